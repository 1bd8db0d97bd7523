//! Tells when a file may have changed, also while its folder is not there yet.
//!
//! The kernel is asked (inotify), so that nobody looks again and again.
//! It deliberately does not say what has changed: whoever watches reads the file, which is the truth.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use tokio::net::unix::pipe::Receiver;

/// Room for the notices of one read; more are read in the next.
const NOTICES_BYTES: usize = 4096;

/// A watch on one file. The folder above the file's own folder must exist.
pub struct Watch {
    kernel: OwnedFd,
    /// The same as a reader: tokio waits for pipes, and inotify is read like one.
    notices: Receiver,
    folder: PathBuf,
}

impl Watch {
    /// What happens to the file from now on is noticed: make the watch first, then read the file.
    pub fn new(file: &Path) -> io::Result<Watch> {
        let folder = file.parent().ok_or(ErrorKind::InvalidInput)?.to_path_buf();
        let above = folder.parent().ok_or(ErrorKind::InvalidInput)?;
        let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(kernel.as_fd(), above, WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        let notices = Receiver::from_owned_fd_unchecked(kernel.try_clone()?)?;
        let watch = Watch { kernel, notices, folder };
        watch.arm()?;
        Ok(watch)
    }

    /// Resolves after something happened in the file's folder.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            self.notices.readable().await?;
            if self.drain()? {
                // The folder may be a new one; from here on it is watched, and what it holds already is read next.
                return self.arm();
            }
        }
    }

    /// Watching a folder twice changes nothing.
    fn arm(&self) -> io::Result<()> {
        let what =
            WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        match inotify::add_watch(self.kernel.as_fd(), &self.folder, what | WatchFlags::DELETE_SELF) {
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes all notices away unread and says whether there were any.
    fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        loop {
            match self.notices.try_read(&mut [0; NOTICES_BYTES]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => any = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// A test that waits longer than this hangs.
    const WAIT_MAX: Duration = Duration::from_secs(60);

    fn check(name: &str, story: impl AsyncFnOnce(&mut Watch, &Path)) {
        let above = std::env::temp_dir().join(format!("duet-watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&above);
        fs::create_dir_all(&above).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let file = above.join("folder/file");
            let mut watch = Watch::new(&file).unwrap();
            story(&mut watch, &file).await;
        });
        fs::remove_dir_all(above).unwrap();
    }

    async fn notice(watch: &mut Watch) {
        tokio::time::timeout(WAIT_MAX, watch.changed()).await.expect("nothing was noticed").unwrap();
    }

    fn put(file: &Path, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file.with_extension("new"), text).unwrap();
        fs::rename(file.with_extension("new"), file).unwrap();
    }

    /// Notices come in bundles of any size, so a story is told until the file is as it should be.
    async fn until(watch: &mut Watch, done: impl Fn() -> bool) {
        while !done() {
            notice(watch).await;
        }
    }

    #[test]
    fn a_file_whose_folder_comes_later_is_noticed() {
        check("later", async |watch, file| {
            put(file, "one");
            notice(watch).await;
            assert_eq!(fs::read_to_string(file).unwrap(), "one");
        });
    }

    #[test]
    fn a_file_that_is_replaced_or_removed_is_noticed() {
        check("replaced", async |watch, file| {
            put(file, "one");
            notice(watch).await;
            put(file, "two");
            notice(watch).await;
            fs::remove_file(file).unwrap();
            until(watch, || !file.exists()).await;
            notice(watch).await;
        });
    }

    #[test]
    fn a_folder_that_was_removed_and_made_again_is_watched_again() {
        check("again", async |watch, file| {
            put(file, "one");
            notice(watch).await;
            fs::remove_dir_all(file.parent().unwrap()).unwrap();
            notice(watch).await;
            fs::create_dir(file.parent().unwrap()).unwrap();
            notice(watch).await;
            put(file, "two");
            notice(watch).await;
        });
    }
}
