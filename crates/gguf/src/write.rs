//! Writing a file: the head at once, then the weights of one tensor after the other, in pieces of any size.

use crate::read::tensor_bytes;
use crate::{ALIGNMENT_DEFAULT, Array, Error, Kind, Value};
use std::collections::BTreeSet;
use std::io::Write;

/// What a tensor of a new file will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTensor {
    pub name: String,
    pub kind: Kind,
    /// Innermost first.
    pub dims: Vec<u64>,
}

/// A file that is being written. Weights come in the order of the tensors.
pub struct Writer<W: Write> {
    out: W,
    tensors: Vec<(String, u64)>,
    idx: usize,
    /// Bytes of the current tensor that were written.
    done: u64,
    alignment: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the head. Keys keep their order.
    pub fn new(mut out: W, meta: &[(&str, Value)], tensors: &[NewTensor]) -> Result<Writer<W>, Error> {
        let alignment = match meta.iter().find(|(key, _)| *key == "general.alignment") {
            Some((_, Value::U32(alignment))) => u64::from(*alignment),
            _ => ALIGNMENT_DEFAULT,
        };
        if alignment == 0 {
            return Err(Error::Alignment { found: "0".to_owned() });
        }
        let mut head = Vec::from(b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((tensors.len() as u64).to_le_bytes());
        head.extend((meta.len() as u64).to_le_bytes());
        let mut keys = BTreeSet::new();
        for (key, value) in meta {
            if !keys.insert(*key) {
                return Err(Error::Twice { what: "key", name: (*key).to_owned() });
            }
            put_text(&mut head, key);
            put_value(&mut head, value);
        }
        let sizes = put_tensors(&mut head, tensors, alignment)?;
        head.resize(head.len().next_multiple_of(alignment as usize), 0);
        out.write_all(&head).map_err(failed)?;
        Ok(Writer { out, tensors: sizes, idx: 0, done: 0, alignment })
    }

    /// The next bytes of the current tensor; a full tensor makes way for the next.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some((name, promised)) = self.tensors.get(self.idx) else {
            return Err(Error::Unfinished {
                tensor: "(none)".to_owned(),
                bytes: bytes.len() as u64,
                promised: 0,
            });
        };
        let done = self.done + bytes.len() as u64;
        if done > *promised {
            return Err(Error::Unfinished { tensor: name.clone(), bytes: done, promised: *promised });
        }
        self.out.write_all(bytes).map_err(failed)?;
        self.done = done;
        if done == *promised {
            let padding = promised.next_multiple_of(self.alignment) - promised;
            self.out.write_all(&vec![0; padding as usize]).map_err(failed)?;
            (self.idx, self.done) = (self.idx + 1, 0);
        }
        Ok(())
    }

    /// Ends the file. Every tensor must be full.
    pub fn finish(mut self) -> Result<W, Error> {
        if let Some((tensor, promised)) = self.tensors.get(self.idx) {
            return Err(Error::Unfinished { tensor: tensor.clone(), bytes: self.done, promised: *promised });
        }
        self.out.flush().map_err(failed)?;
        Ok(self.out)
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::Write { why: e.to_string() }
}

fn put_tensors(
    head: &mut Vec<u8>,
    tensors: &[NewTensor],
    alignment: u64,
) -> Result<Vec<(String, u64)>, Error> {
    let mut offset = 0u64;
    let mut sizes = Vec::new();
    let mut names = BTreeSet::new();
    for tensor in tensors {
        if !names.insert(&tensor.name) {
            return Err(Error::Twice { what: "tensor", name: tensor.name.clone() });
        }
        let bytes = tensor_bytes(&tensor.name, tensor.kind, &tensor.dims)?;
        put_text(head, &tensor.name);
        head.extend((tensor.dims.len() as u32).to_le_bytes());
        tensor.dims.iter().for_each(|dim| head.extend(dim.to_le_bytes()));
        head.extend(tensor.kind.id().to_le_bytes());
        head.extend(offset.to_le_bytes());
        sizes.push((tensor.name.clone(), bytes));
        offset = (offset + bytes).next_multiple_of(alignment);
    }
    Ok(sizes)
}

fn put_text(head: &mut Vec<u8>, text: &str) {
    head.extend((text.len() as u64).to_le_bytes());
    head.extend(text.as_bytes());
}

fn put_value(head: &mut Vec<u8>, value: &Value) {
    let id: u32 = match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::Text(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    };
    head.extend(id.to_le_bytes());
    match value {
        Value::U8(v) => head.extend(v.to_le_bytes()),
        Value::I8(v) => head.extend(v.to_le_bytes()),
        Value::U16(v) => head.extend(v.to_le_bytes()),
        Value::I16(v) => head.extend(v.to_le_bytes()),
        Value::U32(v) => head.extend(v.to_le_bytes()),
        Value::I32(v) => head.extend(v.to_le_bytes()),
        Value::F32(v) => head.extend(v.to_le_bytes()),
        Value::Bool(v) => head.push(u8::from(*v)),
        Value::Text(v) => put_text(head, v),
        Value::Array(v) => put_array(head, v),
        Value::U64(v) => head.extend(v.to_le_bytes()),
        Value::I64(v) => head.extend(v.to_le_bytes()),
        Value::F64(v) => head.extend(v.to_le_bytes()),
    }
}

fn put_array(head: &mut Vec<u8>, array: &Array) {
    let id: u32 = match array {
        Array::U8(_) => 0,
        Array::I8(_) => 1,
        Array::U16(_) => 2,
        Array::I16(_) => 3,
        Array::U32(_) => 4,
        Array::I32(_) => 5,
        Array::F32(_) => 6,
        Array::Bool(_) => 7,
        Array::Text(_) => 8,
        Array::U64(_) => 10,
        Array::I64(_) => 11,
        Array::F64(_) => 12,
    };
    head.extend(id.to_le_bytes());
    head.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(v) => head.extend(v),
        Array::I8(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::U16(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::I16(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::U32(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::I32(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::F32(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::Bool(v) => v.iter().for_each(|v| head.push(u8::from(*v))),
        Array::Text(v) => v.iter().for_each(|v| put_text(head, v)),
        Array::U64(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::I64(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
        Array::F64(v) => v.iter().for_each(|v| head.extend(v.to_le_bytes())),
    }
}
