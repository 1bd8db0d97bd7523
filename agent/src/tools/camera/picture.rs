//! What a camera gives, as a file that programs read: JPEG as it is, with the tables that cameras leave out, and raw
//! pictures as PPM.

use crate::io::video::Frame;

const SIDE_MAX: u32 = 4096;

#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub ending: &'static str,
    pub bytes: Vec<u8>,
}

pub fn develop(frame: &Frame) -> Result<Picture, String> {
    let (width, height) = (frame.width, frame.height);
    if !(1..=SIDE_MAX).contains(&width) || !(1..=SIDE_MAX).contains(&height) {
        return Err(format!("a picture of {width} x {height} is none"));
    }
    let (ending, bytes) = match &frame.kind {
        b"MJPG" => ("jpg", with_tables(&frame.bytes)?),
        b"YUYV" => ("ppm", ppm(frame)?),
        _ => return Err("its pictures are of a kind that is not known here".into()),
    };
    Ok(Picture { width, height, ending, bytes })
}

const MARK: u8 = 0xff;
const BEGIN: u8 = 0xd8;
const HUFFMAN: u8 = 0xc4;
const SCAN: u8 = 0xda;

/// Motion JPEG may leave out the Huffman tables that everybody knows (ITU T.81, K.3).
fn with_tables(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let broken = || "it gave a broken picture".to_owned();
    if !bytes.starts_with(&[MARK, BEGIN]) {
        return Err(broken());
    }
    let mut at = 2;
    loop {
        let [mark, kind, high, low] =
            *bytes.get(at..at + 4).and_then(|four| four.first_chunk()).ok_or_else(broken)?;
        if mark != MARK {
            return Err(broken());
        }
        match kind {
            HUFFMAN => return Ok(bytes.to_vec()),
            SCAN => break,
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2),
        }
    }
    let (before, after) = bytes.split_at(at);
    Ok([before, &tables(), after].concat())
}

/// For each table: class and number, codes of each length, and what they mean.
fn tables() -> Vec<u8> {
    let mut body = Vec::new();
    for (class, lengths, values) in [
        (0x00, DC_BRIGHT, &DC_VALUES[..]),
        (0x10, AC_BRIGHT, &AC_BRIGHT_VALUES[..]),
        (0x01, DC_COLOUR, &DC_VALUES[..]),
        (0x11, AC_COLOUR, &AC_COLOUR_VALUES[..]),
    ] {
        body.push(class);
        body.extend_from_slice(&lengths);
        body.extend_from_slice(values);
    }
    let length = u16::try_from(body.len() + 2).expect("four tables have 418 bytes");
    [&[MARK, HUFFMAN], &length.to_be_bytes()[..], &body].concat()
}

const DC_BRIGHT: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_COLOUR: [u8; 16] = [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_BRIGHT: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d];
const AC_COLOUR: [u8; 16] = [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77];
#[rustfmt::skip]
const AC_BRIGHT_VALUES: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
    0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
    0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
    0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
    0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
    0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
    0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];
#[rustfmt::skip]
const AC_COLOUR_VALUES: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
    0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
    0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
    0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
    0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
    0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
    0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

/// Two points of YUYV are four bytes: bright, blue, bright, red (ITU BT.601, the narrow range).
fn ppm(frame: &Frame) -> Result<Vec<u8>, String> {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let line = (frame.line_bytes as usize).max(2 * width);
    if width % 2 != 0 || frame.bytes.len() < line.saturating_mul(height) {
        return Err("it gave half a picture".into());
    }
    let mut ppm = format!("P6\n{width} {height}\n255\n").into_bytes();
    ppm.reserve_exact(3 * width * height);
    for line in frame.bytes.chunks_exact(line).take(height) {
        for four in line[..2 * width].chunks_exact(4) {
            let [first, blue, second, red] = [four[0], four[1], four[2], four[3]].map(i32::from);
            ppm.extend(point(first, blue, red));
            ppm.extend(point(second, blue, red));
        }
    }
    Ok(ppm)
}

/// In 256ths.
fn point(bright: i32, blue: i32, red: i32) -> [u8; 3] {
    let (y, b, r) = (298 * (bright - 16), blue - 128, red - 128);
    let byte = |sum: i32| u8::try_from(((sum + 128) >> 8).clamp(0, 255)).unwrap_or_default();
    [byte(y + 409 * r), byte(y - 100 * b - 208 * r), byte(y + 516 * b)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &[u8; 4], width: u32, line_bytes: u32, bytes: &[u8]) -> Frame {
        Frame { width, height: 1, kind: *kind, line_bytes, bytes: bytes.to_vec() }
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        // White, black; red, green and blue of bars at 100 %.
        for (yuv, want) in [
            ([235, 128, 235, 128], [255, 255, 255]),
            ([16, 128, 16, 128], [0, 0, 0]),
            ([81, 90, 81, 240], [255, 0, 0]),
            ([145, 54, 145, 34], [0, 255, 1]),
            ([41, 240, 41, 110], [0, 0, 255]),
        ] {
            let picture = develop(&frame(b"YUYV", 2, 0, &yuv)).unwrap();
            let pixels = picture.bytes.strip_prefix(b"P6\n2 1\n255\n").unwrap();
            let far = pixels.iter().zip(want.iter().cycle()).map(|(a, b): (&u8, &u8)| a.abs_diff(*b)).max();
            assert!(far.unwrap() <= 1, "{pixels:?} instead of {want:?}");
        }
    }

    #[test]
    fn half_a_picture_is_none() {
        for (width, line, n) in [(2, 0, 3), (2, 8, 4), (3, 0, 60), (0, 0, 0), (5000, 0, 20_000)] {
            assert!(develop(&frame(b"YUYV", width, line, &vec![0; n])).is_err(), "{width} {line} {n}");
        }
    }

    #[test]
    fn a_jpeg_gets_the_tables_that_it_lacks() {
        let bare = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xda, 0, 2, 9, 9];
        let whole = develop(&frame(b"MJPG", 2, 0, &bare)).unwrap();
        assert_eq!(whole.bytes.len(), bare.len() + 420);
        assert_eq!(whole.bytes[..8], bare[..8]);
        assert_eq!(whole.bytes[8..12], [0xff, 0xc4, 0x01, 0xa2]);
        assert_eq!(whole.bytes[whole.bytes.len() - 6..], bare[8..]);
        assert_eq!(with_tables(&whole.bytes).unwrap(), whole.bytes);
    }

    #[test]
    fn a_table_has_as_many_values_as_codes() {
        let n = |lengths: [u8; 16]| lengths.iter().map(|n| usize::from(*n)).sum::<usize>();
        assert_eq!([n(DC_BRIGHT), n(DC_COLOUR)], [DC_VALUES.len(); 2]);
        assert_eq!([n(AC_BRIGHT), n(AC_COLOUR)], [162; 2]);
    }

    #[test]
    fn a_broken_jpeg_is_told() {
        for bytes in [
            &[][..],
            &[0xff],
            &[0xff, 0xd8],
            &[0xff, 0xd8, 0, 0, 0, 0],
            &[0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff],
        ] {
            assert!(develop(&frame(b"MJPG", 2, 0, bytes)).is_err());
        }
    }
}
