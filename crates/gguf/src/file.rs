//! The hands of the slicer: the only place here that opens files.
//!
//! A slice appears whole or not at all: it is written under its name with `.part` behind it, sealed, and renamed.

use crate::{Error, Gguf, ModelId, SEAL_BYTES, Sealer, check_seal};
use std::fs::{self, File, Permissions};
use std::io::{BufReader, BufWriter};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// Reads the head of a model file.
pub fn read_head(path: &Path) -> Result<Gguf, Error> {
    let file = File::open(path).map_err(unread)?;
    let file_bytes = file.metadata().map_err(unread)?.len();
    Gguf::read(&mut BufReader::new(file), file_bytes)
}

/// Cuts these layers out of a model file; says how many bytes the slice has.
pub fn write_slice_file(model: &Path, layers: Range<u64>, to: &Path) -> Result<u64, Error> {
    let id = read_head(model)?.model_id(&mut File::open(model).map_err(unread)?)?;
    write_slice_file_of(id, model, layers, to)
}

/// The same out of a file that has only what the slice is made of, where it is known what makes the model itself.
pub fn write_slice_file_of(id: ModelId, model: &Path, layers: Range<u64>, to: &Path) -> Result<u64, Error> {
    let head = read_head(model)?;
    let mut input = File::open(model).map_err(unread)?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let done = write(&head, id, layers, &mut input, part).and_then(|bytes| {
        fs::rename(part, to).map_err(unwritten)?;
        Ok(bytes)
    });
    if done.is_err() {
        // It is of no use; if it cannot be removed, the error says enough.
        let _ = fs::remove_file(part);
    }
    done
}

fn write(head: &Gguf, id: ModelId, layers: Range<u64>, input: &mut File, part: &Path) -> Result<u64, Error> {
    let out = File::create(part).map_err(unwritten)?;
    // Whoever writes may keep its files to itself, and a model is for everybody on the node, as its whole was.
    out.set_permissions(Permissions::from_mode(0o644)).map_err(unwritten)?;
    let out = Sealer::new(BufWriter::with_capacity(WRITE_BYTES, out));
    let out = head.write_slice_of(id, layers, input, out)?.finish().map_err(unwritten)?;
    let out = out.into_inner().map_err(|e| unwritten(e.into_error()))?;
    out.sync_all().map_err(unwritten)?;
    Ok(out.metadata().map_err(unwritten)?.len())
}

/// Reads a slice from end to end and holds it to its seal. Its head, if it is good.
pub fn check_slice_file(path: &Path) -> Result<Gguf, Error> {
    let head = read_head(path)?;
    let file = File::open(path).map_err(unread)?;
    let file_bytes = file.metadata().map_err(unread)?.len();
    if file_bytes < head.data_at + SEAL_BYTES {
        return Err(Error::Seal { why: "is missing" });
    }
    check_seal(&mut BufReader::with_capacity(WRITE_BYTES, file), file_bytes)?;
    Ok(head)
}

fn unread(e: std::io::Error) -> Error {
    Error::Read { at: 0, why: e.to_string() }
}

fn unwritten(e: std::io::Error) -> Error {
    Error::Write { why: e.to_string() }
}
