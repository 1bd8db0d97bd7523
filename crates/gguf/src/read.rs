//! Reading a file's head: metadata, and where each tensor lies. The weights themselves are not read.

use crate::source::Source;
use crate::{
    ALIGNMENT_DEFAULT, ALIGNMENT_MAX, ARRAY_ITEMS_MAX, Array, DIM_MAX, DIMS_MAX, Error, FILE_BYTES_MAX,
    KEY_BYTES_MAX, KEYS_MAX, Kind, TENSOR_NAME_BYTES_MAX, TENSORS_MAX, Texts, Value,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// The head of a well-made file.
#[derive(Clone, Debug, PartialEq)]
pub struct Gguf {
    pub version: u32,
    /// Tensors begin at multiples of this.
    pub alignment: u64,
    /// Where the weights begin, from the start of the file.
    pub data_at: u64,
    pub file_bytes: u64,
    pub meta: BTreeMap<String, Value>,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
}

/// One tensor: what it is and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub kind: Kind,
    /// One to four, innermost first: a row of weights is `dims[0]` long.
    pub dims: Vec<u64>,
    /// From the start of the weights.
    pub offset: u64,
    pub bytes: u64,
}

impl Gguf {
    /// Reads the head of a file of `file_bytes`. Give a buffered reader: there are many small reads.
    pub fn read(input: &mut dyn Read, file_bytes: u64) -> Result<Gguf, Error> {
        if file_bytes > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge { bytes: file_bytes, max: FILE_BYTES_MAX });
        }
        let mut source = Source::new(input, file_bytes);
        let found = source.array("the first four bytes")?;
        if &found != b"GGUF" {
            return Err(Error::NotGguf { found });
        }
        let version = source.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(Error::Version { found: version });
        }
        let n_tensors = source.count("the number of tensors", TENSORS_MAX)?;
        let n_keys = source.count("the number of keys", KEYS_MAX)?;
        let meta = read_meta(&mut source, n_keys)?;
        let alignment = alignment(&meta)?;
        let tensors = read_tensors(&mut source, n_tensors)?;
        let data_at = source.at.next_multiple_of(alignment);
        check_places(&tensors, alignment, file_bytes.saturating_sub(data_at))?;
        Ok(Gguf { version, alignment, data_at, file_bytes, meta, tensors })
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.meta.get(key)
    }

    pub fn uint(&self, key: &str) -> Option<u64> {
        self.get(key)?.uint()
    }

    pub fn float(&self, key: &str) -> Option<f64> {
        self.get(key)?.float()
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.flag()
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    pub fn array(&self, key: &str) -> Option<&Array> {
        self.get(key)?.array()
    }

    pub fn texts(&self, key: &str) -> Option<&Texts> {
        self.array(key)?.texts()
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Bytes of all weights together.
    pub fn weight_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }
}

impl Tensor {
    /// Weights of the whole tensor.
    pub fn n_weights(&self) -> u64 {
        self.dims.iter().product()
    }
}

fn read_meta(source: &mut Source<'_>, n_keys: u64) -> Result<BTreeMap<String, Value>, Error> {
    // The least a key takes: a length, one letter, a type, one byte of value.
    source.room("the keys", n_keys, 8 + 1 + 4 + 1)?;
    let mut meta = BTreeMap::new();
    for idx in 0..n_keys {
        let key = source.name(&format!("key {idx}"), KEY_BYTES_MAX)?;
        let value = read_value(source, &key)?;
        if meta.contains_key(&key) {
            return Err(Error::Twice { what: "key", name: key });
        }
        meta.insert(key, value);
    }
    Ok(meta)
}

fn read_value(source: &mut Source<'_>, key: &str) -> Result<Value, Error> {
    let at = source.at;
    let id = source.u32(&format!("the type of {key}"))?;
    Ok(match id {
        0 => Value::U8(u8::from_le_bytes(source.array(key)?)),
        1 => Value::I8(i8::from_le_bytes(source.array(key)?)),
        2 => Value::U16(u16::from_le_bytes(source.array(key)?)),
        3 => Value::I16(i16::from_le_bytes(source.array(key)?)),
        4 => Value::U32(u32::from_le_bytes(source.array(key)?)),
        5 => Value::I32(i32::from_le_bytes(source.array(key)?)),
        6 => Value::F32(f32::from_le_bytes(source.array(key)?)),
        7 => Value::Bool(read_flag(source, key)?),
        8 => Value::Text(source.text(key)?),
        9 => Value::Array(read_array(source, key)?),
        10 => Value::U64(u64::from_le_bytes(source.array(key)?)),
        11 => Value::I64(i64::from_le_bytes(source.array(key)?)),
        12 => Value::F64(f64::from_le_bytes(source.array(key)?)),
        _ => return Err(Error::Unknown { what: format!("the type of {key}"), at, found: id }),
    })
}

fn read_flag(source: &mut Source<'_>, key: &str) -> Result<bool, Error> {
    let at = source.at;
    match source.array::<1>(key)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [found] => Err(Error::Unknown { what: format!("the flag {key}"), at, found: found.into() }),
    }
}

fn read_array(source: &mut Source<'_>, key: &str) -> Result<Array, Error> {
    let at = source.at;
    let id = source.u32(&format!("the type of {key}"))?;
    let n = source.count(&format!("the number of items of {key}"), ARRAY_ITEMS_MAX)?;
    Ok(match id {
        0 => Array::U8(source.bytes(key, n)?),
        1 => Array::I8(numbers(source, key, n, i8::from_le_bytes)?),
        2 => Array::U16(numbers(source, key, n, u16::from_le_bytes)?),
        3 => Array::I16(numbers(source, key, n, i16::from_le_bytes)?),
        4 => Array::U32(numbers(source, key, n, u32::from_le_bytes)?),
        5 => Array::I32(numbers(source, key, n, i32::from_le_bytes)?),
        6 => Array::F32(numbers(source, key, n, f32::from_le_bytes)?),
        7 => Array::Bool((0..n).map(|_| read_flag(source, key)).collect::<Result<_, _>>()?),
        8 => Array::Text(read_texts(source, key, n)?),
        9 => {
            let what = format!("the array {key} holds arrays: type");
            return Err(Error::Unknown { what, at, found: id });
        }
        10 => Array::U64(numbers(source, key, n, u64::from_le_bytes)?),
        11 => Array::I64(numbers(source, key, n, i64::from_le_bytes)?),
        12 => Array::F64(numbers(source, key, n, f64::from_le_bytes)?),
        _ => return Err(Error::Unknown { what: format!("the type of {key}"), at, found: id }),
    })
}

fn numbers<T, const N: usize>(
    source: &mut Source<'_>,
    key: &str,
    n: u64,
    number: fn([u8; N]) -> T,
) -> Result<Vec<T>, Error> {
    source.room(key, n, N as u64)?;
    let bytes = source.bytes(key, n * N as u64)?;
    let (whole, _) = bytes.as_chunks::<N>();
    Ok(whole.iter().map(|chunk| number(*chunk)).collect())
}

fn read_texts(source: &mut Source<'_>, key: &str, n: u64) -> Result<Texts, Error> {
    source.room(key, n, 8)?;
    let mut texts = Texts::default();
    for _ in 0..n {
        texts.push(&source.text(key)?);
    }
    Ok(texts)
}

fn alignment(meta: &BTreeMap<String, Value>) -> Result<u64, Error> {
    match meta.get("general.alignment") {
        None => Ok(ALIGNMENT_DEFAULT),
        Some(Value::U32(found)) => {
            let alignment = u64::from(*found);
            if alignment.is_power_of_two() && (8..=ALIGNMENT_MAX).contains(&alignment) {
                return Ok(alignment);
            }
            Err(Error::Alignment { found: found.to_string() })
        }
        Some(other) => Err(Error::Alignment { found: other.type_name().to_owned() }),
    }
}

fn read_tensors(source: &mut Source<'_>, n_tensors: u64) -> Result<Vec<Tensor>, Error> {
    // The least a tensor takes: a length, one letter, the number of dimensions, one of them, a type, an offset.
    source.room("the tensors", n_tensors, 8 + 1 + 4 + 8 + 4 + 8)?;
    let mut tensors = Vec::new();
    let mut names = BTreeSet::new();
    for idx in 0..n_tensors {
        let name = source.name(&format!("the name of tensor {idx}"), TENSOR_NAME_BYTES_MAX)?;
        if !names.insert(name.clone()) {
            return Err(Error::Twice { what: "tensor", name });
        }
        tensors.push(read_tensor(source, name)?);
    }
    Ok(tensors)
}

fn read_tensor(source: &mut Source<'_>, name: String) -> Result<Tensor, Error> {
    let at = source.at;
    let n_dims = source.u32(&format!("the dimensions of {name}"))?;
    if !(1..=DIMS_MAX).contains(&n_dims) {
        let what = format!("the number of dimensions of {name}");
        return Err(Error::TooMany { what, at, n: n_dims.into(), max: DIMS_MAX.into() });
    }
    let mut dims = Vec::new();
    for _ in 0..n_dims {
        dims.push(source.u64(&format!("the dimensions of {name}"))?);
    }
    let at = source.at;
    let id = source.u32(&format!("the type of {name}"))?;
    let kind = Kind::from_id(id).ok_or_else(|| Error::Unknown {
        what: format!("the type of tensor {name}"),
        at,
        found: id,
    })?;
    let offset = source.u64(&format!("the offset of {name}"))?;
    let bytes = tensor_bytes(&name, kind, &dims)?;
    Ok(Tensor { name, kind, dims, offset, bytes })
}

/// The size of a tensor, or why it can have none.
pub(crate) fn tensor_bytes(name: &str, kind: Kind, dims: &[u64]) -> Result<u64, Error> {
    let wrong = |why| Error::Shape { tensor: name.to_owned(), why };
    let Some((row, rows)) = dims.split_first() else { return Err(wrong("has no dimensions")) };
    if dims.contains(&0) {
        return Err(wrong("has a dimension of zero"));
    }
    if dims.iter().any(|dim| *dim > DIM_MAX) {
        return Err(wrong("has a dimension beyond 2147483648"));
    }
    if !row.is_multiple_of(kind.block()) {
        return Err(Error::Block { tensor: name.to_owned(), kind, row: *row });
    }
    let too_large = || wrong("is larger than any file");
    let bytes = rows.iter().try_fold(kind.bytes_of(*row).ok_or_else(too_large)?, |bytes, dim| {
        bytes.checked_mul(*dim).ok_or_else(too_large)
    })?;
    if bytes > FILE_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

/// Tensors are aligned, inside the file, and no two share a byte.
fn check_places(tensors: &[Tensor], alignment: u64, data_bytes: u64) -> Result<(), Error> {
    let mut places: Vec<&Tensor> = tensors.iter().collect();
    places.sort_by_key(|tensor| tensor.offset);
    let mut free_from = 0;
    for tensor in places {
        let wrong = |why| Err(Error::Place { tensor: tensor.name.clone(), offset: tensor.offset, why });
        if !tensor.offset.is_multiple_of(alignment) {
            return wrong("is not aligned");
        }
        if tensor.offset < free_from {
            return wrong("overlaps the one before it");
        }
        match tensor.offset.checked_add(tensor.bytes) {
            Some(end) if end <= data_bytes => free_from = end,
            _ => return wrong("reaches beyond the end of the file"),
        }
    }
    Ok(())
}
