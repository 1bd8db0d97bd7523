//! Files that were written are read back the same; files that were broken are refused with a sentence that says where.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use gguf::{Array, Error, Gguf, Kind, NewTensor, Value, Writer};

fn tensor(name: &str, kind: Kind, dims: &[u64]) -> NewTensor {
    NewTensor { name: name.to_owned(), kind, dims: dims.to_vec() }
}

fn meta() -> Vec<(&'static str, Value)> {
    vec![
        ("general.architecture", Value::Text("llama".to_owned())),
        ("a.u8", Value::U8(1)),
        ("a.i8", Value::I8(-1)),
        ("a.u16", Value::U16(2)),
        ("a.i16", Value::I16(-2)),
        ("a.u32", Value::U32(3)),
        ("a.i32", Value::I32(-3)),
        ("a.u64", Value::U64(4)),
        ("a.i64", Value::I64(-4)),
        ("a.f32", Value::F32(0.5)),
        ("a.f64", Value::F64(0.25)),
        ("a.bool", Value::Bool(true)),
        ("b.u8", Value::Array(Array::U8(vec![1, 2]))),
        ("b.i8", Value::Array(Array::I8(vec![-1, 2]))),
        ("b.u16", Value::Array(Array::U16(vec![1, 2]))),
        ("b.i16", Value::Array(Array::I16(vec![-1, 2]))),
        ("b.u32", Value::Array(Array::U32(vec![1, 2]))),
        ("b.i32", Value::Array(Array::I32(vec![-1, 2]))),
        ("b.u64", Value::Array(Array::U64(vec![1, 2]))),
        ("b.i64", Value::Array(Array::I64(vec![-1, 2]))),
        ("b.f32", Value::Array(Array::F32(vec![1.5]))),
        ("b.f64", Value::Array(Array::F64(vec![]))),
        ("b.bool", Value::Array(Array::Bool(vec![true, false]))),
        ("b.text", Value::Array(Array::Text(["", "ab", "c"].into_iter().collect()))),
    ]
}

fn tensors() -> Vec<NewTensor> {
    vec![
        tensor("one", Kind::F32, &[3]),
        tensor("two", Kind::Q4_K, &[256, 2]),
        tensor("three", Kind::Q1_0, &[128]),
    ]
}

/// A small good file.
fn good() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &meta(), &tensors()).unwrap();
    for bytes in [vec![1; 12], vec![2; 100], vec![3; 188], vec![4; 18]] {
        writer.write(&bytes).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Gguf, Error> {
    Gguf::read(&mut &bytes[..], bytes.len() as u64)
}

/// Where `needle` lies in the good file, plus `after`.
fn find(bytes: &[u8], needle: &[u8], after: usize) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap() + after
}

/// Breaks the good file and tells what the reader says.
fn check(change: impl FnOnce(&mut Vec<u8>), want: &str) {
    let mut bytes = good();
    change(&mut bytes);
    let said = read(&bytes).map_or_else(|e| e.to_string(), |_| "it was taken".to_owned());
    assert!(said.contains(want), "{said:?} does not say {want:?}");
}

/// Overwrites bytes right after a name.
fn put(bytes: &mut [u8], name: &str, after: usize, with: &[u8]) {
    let at = find(bytes, name.as_bytes(), name.len() + after);
    bytes[at..at + with.len()].copy_from_slice(with);
}

#[test]
fn what_was_written_is_read_back() {
    let bytes = good();
    let file = read(&bytes).unwrap();
    assert_eq!((file.version, file.alignment, file.meta.len()), (3, 32, meta().len()));
    for (key, value) in meta() {
        assert_eq!(file.get(key), Some(&value), "{key}");
    }
    let found: Vec<_> =
        file.tensors.iter().map(|t| (t.name.as_str(), t.kind, t.offset, t.bytes, t.n_weights())).collect();
    let want = [
        ("one", Kind::F32, 0, 12, 3),
        ("two", Kind::Q4_K, 32, 288, 512),
        ("three", Kind::Q1_0, 320, 18, 128),
    ];
    assert_eq!(found, want);
    let data = &bytes[file.data_at as usize..];
    assert_eq!((data[0], data[11], data[12], data[32], data[132], data[320]), (1, 1, 0, 2, 3, 4));
    assert_eq!(bytes.len() as u64, file.data_at + 320 + 32);
}

#[test]
fn a_file_cut_anywhere_in_its_head_is_refused() {
    let bytes = good();
    let head = read(&bytes).unwrap().data_at as usize;
    for length in 0..head {
        assert!(read(&bytes[..length]).is_err(), "{length} of {head} bytes were taken");
    }
}

#[test]
fn a_reader_that_ends_early_is_an_error_and_not_a_panic() {
    let bytes = good();
    let said = Gguf::read(&mut &bytes[..40], bytes.len() as u64).unwrap_err();
    assert!(matches!(said, Error::Read { .. }), "{said}");
}

#[test]
fn another_kind_of_file_is_named() {
    check(|b| b[..4].copy_from_slice(b"ELF!"), "begins with \"ELF!\"");
}

#[test]
fn version_one_and_big_endian_files_are_refused() {
    check(|b| b[4] = 1, "GGUF version 1 is not known");
    check(|b| b[4..8].copy_from_slice(&[0, 0, 0, 3]), "GGUF version 50331648");
}

#[test]
fn huge_counts_are_refused_before_memory_is_asked_for() {
    check(|b| b[8..16].fill(0xff), "the number of tensors at byte 8: 18446744073709551615");
    check(|b| b[16..24].fill(0x7f), "the number of keys at byte 16");
    check(|b| b[16..18].copy_from_slice(&[0xff, 0x0f]), "the file ends inside the keys");
    check(|b| b[8..10].copy_from_slice(&[0xff, 0xff]), "the file ends inside the tensors");
    check(|b| put(b, "b.f32", 8, &[0xff; 8]), "the number of items of b.f32");
    check(|b| put(b, "b.f64", 8, &[0, 0, 0x20]), "the file ends inside b.f64");
    check(|b| put(b, "b.text", 8, &[0, 0, 0x20]), "the file ends inside b.text");
    check(|b| put(b, "architecture", 4, &[0, 0, 0, 1]), "the length of general.architecture");
}

#[test]
fn arrays_of_arrays_are_refused() {
    check(|b| put(b, "b.u8", 4, &[9]), "the array b.u8 holds arrays");
}

#[test]
fn unknown_types_are_refused() {
    check(|b| put(b, "a.u8", 0, &[13]), "the type of a.u8");
    check(|b| put(b, "b.u8", 4, &[77]), "the type of b.u8");
    check(|b| put(b, "a.bool", 4, &[2]), "the flag a.bool");
    check(|b| put(b, "two", 20, &[43]), "the type of tensor two");
}

#[test]
fn names_are_text_without_zero_bytes() {
    check(|b| put(b, "a.u", 0, &[0]), "holds a zero byte");
    check(|b| put(b, "a.u", 0, &[0xff]), "is not UTF-8");
}

#[test]
fn the_same_name_twice_is_refused() {
    check(|b| put(b, "a.", 0, b"i8"), "key \"a.i8\" is there twice");
    let twice = [tensor("x", Kind::F32, &[1]), tensor("x", Kind::F32, &[1])];
    assert!(matches!(Writer::new(Vec::new(), &[], &twice), Err(Error::Twice { .. })));
}

#[test]
fn impossible_shapes_are_refused() {
    check(|b| put(b, "one", 0, &[0]), "the number of dimensions of one");
    check(|b| put(b, "one", 0, &[5]), "the number of dimensions of one");
    check(|b| put(b, "one", 4, &[0]), "\"one\" has a dimension of zero");
    check(|b| put(b, "one", 4, &[0, 0, 0, 0, 1]), "\"one\" has a dimension beyond");
    check(|b| put(b, "two", 4, &[255, 0]), "rows of 255 weights, which are no whole q4_K blocks of 256");
    check(
        |b| put(b, "two", 4, &[0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40]),
        "\"two\" is larger than any file",
    );
}

#[test]
fn tensors_lie_aligned_inside_the_file_and_apart() {
    check(|b| put(b, "two", 24, &[33]), "\"two\" at byte 33 of the data is not aligned");
    check(|b| put(b, "three", 16, &[64, 0]), "overlaps the one before it");
    check(|b| put(b, "three", 16, &[0, 4]), "reaches beyond the end");
    check(
        |b| put(b, "three", 16, &[0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        "reaches beyond the end",
    );
}

#[test]
fn alignments_are_powers_of_two() {
    let with = |value| {
        let bytes = Writer::new(Vec::new(), &[("general.alignment", value)], &[]).unwrap().finish().unwrap();
        read(&bytes).map(|file| file.alignment).map_err(|e| e.to_string())
    };
    assert_eq!(with(Value::U32(64)), Ok(64));
    assert!(with(Value::U32(48)).unwrap_err().contains("general.alignment is 48"));
    assert!(with(Value::U32(4)).is_err() && with(Value::U32(1 << 20)).is_err());
    assert!(with(Value::U64(32)).unwrap_err().contains("general.alignment is u64"));
}

#[test]
fn a_writer_takes_what_was_promised_and_no_more() {
    let one = [tensor("x", Kind::F32, &[2])];
    let mut writer = Writer::new(Vec::new(), &[], &one).unwrap();
    assert!(writer.write(&[0; 9]).is_err());
    writer.write(&[0; 7]).unwrap();
    let said = writer.finish().unwrap_err().to_string();
    assert_eq!(said, "tensor \"x\" got 7 bytes, 8 were promised");
}

#[test]
fn limits_hold_for_a_file_that_claims_to_be_huge() {
    let said = Gguf::read(&mut &b""[..], 1 << 40).unwrap_err().to_string();
    assert!(said.contains("more than the"), "{said}");
}
