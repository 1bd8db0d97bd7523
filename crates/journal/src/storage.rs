//! What a journal needs of whatever keeps it: one folder of files, and the steps that make them survive a power cut.

use std::fmt::Display;

/// A folder without folders in it. Nothing is durable before [`Storage::sync`], and no new, renamed or removed name
/// before [`Storage::sync_folder`].
pub trait Storage {
    type Error: Display;

    fn list(&mut self) -> Result<Vec<String>, Self::Error>;

    /// Up to `bytes_max` bytes from the beginning.
    fn read(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, Self::Error>;

    /// A new empty file; one that was there is emptied.
    fn create(&mut self, name: &str) -> Result<(), Self::Error>;

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Self::Error>;

    fn truncate(&mut self, name: &str, bytes: u64) -> Result<(), Self::Error>;

    fn sync(&mut self, name: &str) -> Result<(), Self::Error>;

    /// Takes the place of what `to` was.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Self::Error>;

    fn remove(&mut self, name: &str) -> Result<(), Self::Error>;

    fn sync_folder(&mut self) -> Result<(), Self::Error>;
}
