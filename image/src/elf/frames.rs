//! Function bounds from `.eh_frame`, which stripped files keep.
//!
//! Compilers write one frame description (FDE) for each function, so that an
//! exception or a debugger can unwind it; only start and length are read here.
//! The layout is that of the Linux Standard Base, "Exception Frames".
//! Encodings that need a running program are passed over: the function is then
//! found by its symbol, or scanned as code between functions.

use super::file::Mapped;
use std::collections::BTreeMap;
use std::ops::Range;

/// Encodings of pointers (`DW_EH_PE_*`): low half the form, high half the base.
const ENCODING_ABSOLUTE: u8 = 0x00;
const BASE_MASK: u8 = 0x70;
const BASE_PC: u8 = 0x10;
const FORM_MASK: u8 = 0x0f;

/// Address ranges of all functions that the section describes, as they come.
///
/// A damaged entry ends the walk; what was found before it stays.
pub(super) fn functions(section: Mapped<'_>) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut encodings = BTreeMap::new();
    let mut at = 0;
    while let Some(entry) = Entry::read(section, at) {
        if entry.cie_distance == 0 {
            encodings.insert(at, cie_encoding(entry.body));
        } else if let Some(Some(encoding)) =
            entry.id_at.checked_sub(entry.cie_distance).and_then(|cie| encodings.get(&cie))
        {
            found.extend(range(section, &entry, *encoding));
        }
        at = entry.next;
    }
    found
}

struct Entry<'a> {
    /// Where the field stands that a CIE is found by, counted backwards.
    id_at: usize,
    cie_distance: usize,
    body: &'a [u8],
    next: usize,
}

impl<'a> Entry<'a> {
    fn read(section: Mapped<'a>, at: usize) -> Option<Entry<'a>> {
        let bytes = section.bytes;
        let short = u32::from_le_bytes(array(bytes, at)?);
        let (id_at, length) = match short {
            0 => return None,
            u32::MAX => (at + 12, usize::try_from(u64::from_le_bytes(array(bytes, at + 4)?)).ok()?),
            length => (at + 4, length as usize),
        };
        let next = id_at.checked_add(length)?;
        let body = bytes.get(id_at.checked_add(4)?..next)?;
        Some(Entry { id_at, cie_distance: u32::from_le_bytes(array(bytes, id_at)?) as usize, body, next })
    }
}

/// How the FDEs of this CIE write addresses; `None` if they cannot be read here.
fn cie_encoding(body: &[u8]) -> Option<u8> {
    let version = *body.first()?;
    let end = 1 + body.get(1..)?.iter().position(|byte| *byte == 0)?;
    let augmentation = &body[1..end];
    let mut rest = &body[end + 1..];
    skip_leb(&mut rest)?; // code alignment
    skip_leb(&mut rest)?; // data alignment
    // The return address column: one byte at first, a LEB128 number since version 3.
    if version == 1 {
        rest = rest.get(1..)?
    } else {
        skip_leb(&mut rest)?
    }
    let Some((b'z', letters)) = augmentation.split_first() else {
        return augmentation.is_empty().then_some(ENCODING_ABSOLUTE);
    };
    skip_leb(&mut rest)?; // length of the augmentation
    for letter in letters {
        match letter {
            b'R' => return rest.first().copied(),
            b'L' => rest = rest.get(1..)?,
            b'P' => {
                let (_, width) = form_width(*rest.first()?)?;
                rest = rest.get(1 + width..)?;
            }
            b'S' | b'B' => {}
            _ => return None,
        }
    }
    Some(ENCODING_ABSOLUTE)
}

fn range(section: Mapped<'_>, entry: &Entry<'_>, encoding: u8) -> Option<Range<u64>> {
    let (signed, width) = form_width(encoding)?;
    let start = number(entry.body, signed, width)?;
    let length = number(entry.body.get(width..)?, false, width)?;
    let base = match encoding & BASE_MASK {
        0 => 0,
        BASE_PC => section.address.wrapping_add(entry.id_at as u64 + 4),
        _ => return None,
    };
    let start = base.wrapping_add(start);
    Some(start..start.checked_add(length)?)
}

/// Whether a form is signed, and its bytes.
fn form_width(encoding: u8) -> Option<(bool, usize)> {
    match encoding & FORM_MASK {
        0x00 | 0x04 => Some((false, 8)),
        0x02 => Some((false, 2)),
        0x03 => Some((false, 4)),
        0x0a => Some((true, 2)),
        0x0b => Some((true, 4)),
        0x0c => Some((true, 8)),
        _ => None,
    }
}

fn number(bytes: &[u8], signed: bool, width: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(bytes.get(..width)?);
    if signed && wide[width - 1] & 0x80 != 0 {
        wide[width..].fill(0xff);
    }
    Some(u64::from_le_bytes(wide))
}

fn skip_leb(rest: &mut &[u8]) -> Option<()> {
    let end = rest.iter().position(|byte| byte & 0x80 == 0)?;
    *rest = &rest[end + 1..];
    Some(())
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CIE with 'zR' and this encoding, and one FDE with these bytes after its CIE pointer.
    fn section(encoding: u8, fde: &[u8]) -> Vec<u8> {
        let cie = [&[0, 0, 0, 0, 1][..], b"zR\0", &[1, 0x78, 16, 1, encoding]].concat();
        let mut bytes = (cie.len() as u32).to_le_bytes().to_vec();
        bytes.extend(&cie);
        let distance = bytes.len() as u32 + 4;
        bytes.extend((fde.len() as u32 + 4).to_le_bytes());
        bytes.extend(distance.to_le_bytes());
        bytes.extend(fde);
        bytes
    }

    fn check(bytes: &[u8], want: &[(u64, u64)]) {
        let found = functions(Mapped { address: 0x1000, bytes });
        assert_eq!(found.iter().map(|range| (range.start, range.end)).collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_start_relative_to_its_own_place_is_found() {
        // The start field stands 25 bytes into the section.
        check(&section(0x1b, &[0x10, 0, 0, 0, 0x20, 0, 0, 0]), &[(0x1029, 0x1049)]);
        check(&section(0x1b, &[0xf0, 0xff, 0xff, 0xff, 0x20, 0, 0, 0]), &[(0x1009, 0x1029)]);
    }

    #[test]
    fn an_absolute_start_is_found() {
        check(&section(0x00, &[0, 0x40, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]), &[(0x4000, 0x4008)]);
    }

    #[test]
    fn an_encoding_that_needs_a_running_program_is_passed_over() {
        check(&section(0x3b, &[0x10, 0, 0, 0, 0x20, 0, 0, 0]), &[]);
    }

    #[test]
    fn a_length_beyond_the_section_ends_the_walk() {
        let mut bytes = section(0x1b, &[0x10, 0, 0, 0, 0x20, 0, 0, 0]);
        bytes.extend([0xf0, 0xff, 0xff, 0x7f, 1, 2, 3]);
        check(&bytes, &[(0x1029, 0x1049)]);
        bytes.truncate(30);
        check(&bytes, &[]);
    }

    #[test]
    fn a_range_past_the_end_of_memory_is_no_function() {
        check(&section(0x00, &[0xff; 16]), &[]);
    }
}
