//! The innermost loop of `tables` with SSSE3, in assembly.
//!
//! It needs each of the 16 registers: eight bytes of 16 rows, four sums, two sums of bytes, an index and a table.
//! The compiler, given the same in words, moves instructions past each other and then spills, and makes the addresses
//! of 16 rows one by one: 0.27 instructions for a weight, where these are 0.23.

use super::tables::Block;
use core::arch::asm;
use core::arch::x86_64::__m128;
use core::mem::offset_of;

#[repr(C, align(64))]
struct Constants {
    nibble: [u8; 16],
    /// 32 groups add the bias of the high parts; that of the odd rows vanishes 256-fold.
    bias: [i16; 8],
    /// What puts low and high parts together.
    parts: [i16; 8],
    /// The bits of a half, moved down by three, and the power of two that corrects its exponent's bias.
    half: [u32; 4],
    power: [u32; 4],
}

static CONSTANTS: Constants = Constants {
    nibble: [15; 16],
    bias: [-32 * super::tables::BIAS as i16; 8],
    parts: [1, 32, 1, 32, 1, 32, 1, 32],
    half: [0x8fff_e000; 4],
    power: [0x7780_0000; 4],
};

// Where they lie is written out below.
const _: () = assert!(offset_of!(Constants, bias) == 16 && offset_of!(Constants, parts) == 32);
const _: () = assert!(offset_of!(Constants, half) == 48 && offset_of!(Constants, power) == 64);
const _: () = assert!(offset_of!(Block, d) == 1024 && size_of::<Block>() == 1024 + 64);

/// 8 bytes of row `$at` of the first 8 rows, and of the other 8, in turns.
macro_rules! two_rows {
    ($to:literal, $at:literal) => {
        concat!(
            "movq ",
            $to,
            ", qword ptr [{p}",
            $at,
            "]\n",
            "movq xmm8, qword ptr [{q}",
            $at,
            "]\n",
            "punpcklbw ",
            $to,
            ", xmm8\n",
        )
    };
}

/// Bytes of `$a` and `$b` in turns: the low ones in `$a`, the high ones in `$high`.
macro_rules! in_turns {
    ($high:literal, $a:literal, $b:literal) => {
        concat!(
            "movdqa ",
            $high,
            ", ",
            $a,
            "\n",
            "punpcklbw ",
            $a,
            ", ",
            $b,
            "\n",
            "punpckhbw ",
            $high,
            ", ",
            $b,
            "\n",
        )
    };
}

/// `$v` becomes its low four bits, xmm3 its high ones.
macro_rules! nibbles {
    ($v:literal) => {
        concat!(
            "movdqa xmm3, ",
            $v,
            "\n",
            "pand ",
            $v,
            ", xmmword ptr [{k}]\n",
            "psrlw xmm3, 4\n",
            "pand xmm3, xmmword ptr [{k}]\n",
        )
    };
}

/// Adds a look-up in the table at `$at` to `$sum`.
macro_rules! add {
    ($sum:literal, $at:expr, $index:literal) => {
        concat!(
            "movdqa xmm11, xmmword ptr [{tables} + ",
            $at,
            "]\n",
            "pshufb xmm11, ",
            $index,
            "\n",
            "paddb ",
            $sum,
            ", xmm11\n",
        )
    };
}

/// The four look-ups of the first byte of a quarter.
macro_rules! first_byte {
    ($v:literal, $at:literal) => {
        concat!(
            nibbles!($v),
            "movdqa xmm9, xmmword ptr [{tables} + ",
            $at,
            "]\n",
            "movdqa xmm10, xmmword ptr [{tables} + ",
            $at,
            " + 16]\n",
            "pshufb xmm9, ",
            $v,
            "\n",
            "pshufb xmm10, ",
            $v,
            "\n",
            add!("xmm9", concat!($at, " + 32"), "xmm3"),
            add!("xmm10", concat!($at, " + 48"), "xmm3"),
        )
    };
}

/// The four look-ups of another byte.
macro_rules! byte {
    ($v:literal, $at:literal) => {
        concat!(
            nibbles!($v),
            add!("xmm9", $at, $v),
            add!("xmm10", concat!($at, " + 16"), $v),
            add!("xmm9", concat!($at, " + 32"), "xmm3"),
            add!("xmm10", concat!($at, " + 48"), "xmm3"),
        )
    };
}

/// Adds the sums of bytes to those of words: even and odd bytes to the first, odd bytes to the second.
macro_rules! widen {
    () => {
        concat!(
            "paddw xmm12, xmm9\n",
            "psrlw xmm9, 8\n",
            "paddw xmm13, xmm9\n",
            "paddw xmm14, xmm10\n",
            "psrlw xmm10, 8\n",
            "paddw xmm15, xmm10\n",
        )
    };
}

/// Eight bytes of each row.
macro_rules! half {
    () => {
        concat!(
            two_rows!("xmm0", ""),
            two_rows!("xmm1", " + {s}"),
            two_rows!("xmm2", " + 2 * {s}"),
            two_rows!("xmm3", " + {s3}"),
            two_rows!("xmm4", " + 4 * {s}"),
            two_rows!("xmm5", " + {s5}"),
            two_rows!("xmm6", " + 2 * {s3}"),
            two_rows!("xmm7", " + {s7}"),
            in_turns!("xmm8", "xmm0", "xmm4"),
            in_turns!("xmm4", "xmm1", "xmm5"),
            in_turns!("xmm5", "xmm2", "xmm6"),
            in_turns!("xmm6", "xmm3", "xmm7"),
            in_turns!("xmm7", "xmm0", "xmm2"),
            in_turns!("xmm2", "xmm8", "xmm5"),
            in_turns!("xmm5", "xmm1", "xmm3"),
            in_turns!("xmm3", "xmm4", "xmm6"),
            in_turns!("xmm6", "xmm0", "xmm1"),
            in_turns!("xmm1", "xmm7", "xmm5"),
            in_turns!("xmm5", "xmm8", "xmm4"),
            in_turns!("xmm4", "xmm2", "xmm3"),
            first_byte!("xmm0", "0"),
            byte!("xmm6", "64"),
            byte!("xmm7", "128"),
            byte!("xmm1", "192"),
            widen!(),
            first_byte!("xmm8", "256"),
            byte!("xmm5", "320"),
            byte!("xmm2", "384"),
            byte!("xmm4", "448"),
            widen!(),
        )
    };
}

/// The sums of every second row as floats, in `$low` and `$even`, from their parts.
macro_rules! floats {
    ($low:literal, $even:literal, $high:literal) => {
        concat!(
            "movdqa ",
            $low,
            ", ",
            $even,
            "\n",
            "punpcklwd ",
            $low,
            ", ",
            $high,
            "\n",
            "punpckhwd ",
            $even,
            ", ",
            $high,
            "\n",
            "pmaddwd ",
            $low,
            ", xmmword ptr [{k} + 32]\n",
            "pmaddwd ",
            $even,
            ", xmmword ptr [{k} + 32]\n",
            "cvtdq2ps ",
            $low,
            ", ",
            $low,
            "\n",
            "cvtdq2ps ",
            $even,
            ", ",
            $even,
            "\n",
        )
    };
}

/// Adds four sums, times the scales of rows `$a` to `$d` behind `$p` and of the activations, to those at `$at`.
/// What register `$x` held before does not matter: the mask takes it away.
macro_rules! scale {
    ($x:literal, $sums:literal, $at:literal, $p:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "pinsrw ",
            $x,
            ", word ptr [",
            $p,
            $a,
            " - 10], 1\n",
            "pinsrw ",
            $x,
            ", word ptr [",
            $p,
            $b,
            " - 10], 3\n",
            "pinsrw ",
            $x,
            ", word ptr [",
            $p,
            $c,
            " - 10], 5\n",
            "pinsrw ",
            $x,
            ", word ptr [",
            $p,
            $d,
            " - 10], 7\n",
            "psrad ",
            $x,
            ", 3\n",
            "pand ",
            $x,
            ", xmmword ptr [{k} + 48]\n",
            "mulps ",
            $x,
            ", xmmword ptr [{k} + 64]\n",
            "mulps ",
            $x,
            ", xmmword ptr [{tables} + 512]\n",
            "mulps ",
            $x,
            ", ",
            $sums,
            "\n",
            "addps ",
            $x,
            ", xmmword ptr [{sums} + ",
            $at,
            "]\n",
            "movaps xmmword ptr [{sums} + ",
            $at,
            "], ",
            $x,
            "\n",
        )
    };
}

/// As `tables::add`, for 16 rows.
///
/// # Safety
/// The processor must have SSSE3; `n` blocks of 16 rows must be readable at `p`, and as many at `slab`, not none.
#[inline(always)]
pub(super) unsafe fn add(p: *const u8, stride: usize, n: usize, slab: *const Block, sums: &mut [__m128; 4]) {
    // SAFETY: the scale and twice 8 bytes of each row are read, and with 8 of them half of the block's tables; only
    // `sums` is written. A prefetch may miss.
    unsafe {
        asm!(
            "2:",
            "prefetcht0 byte ptr [{next}]",
            "prefetcht0 byte ptr [{next} + 64]",
            "prefetcht0 byte ptr [{next} + 128]",
            "prefetcht0 byte ptr [{next} + 192]",
            "prefetcht0 byte ptr [{next} + 256]",
            "add {next}, {s}",
            "pxor xmm12, xmm12",
            "pxor xmm13, xmm13",
            "movdqa xmm14, xmmword ptr [{k} + 16]",
            "movdqa xmm15, xmm14",
            half!(),
            "add {p}, 8",
            "add {q}, 8",
            "add {tables}, 512",
            half!(),
            // Even rows alone: less 256 times the odd ones.
            "movdqa xmm0, xmm13",
            "movdqa xmm1, xmm15",
            "psllw xmm0, 8",
            "psllw xmm1, 8",
            "psubw xmm12, xmm0",
            "psubw xmm14, xmm1",
            floats!("xmm0", "xmm12", "xmm14"),
            floats!("xmm1", "xmm13", "xmm15"),
            scale!("xmm4", "xmm0", "0", "{p}", "", " + 2 * {s}", " + 4 * {s}", " + 2 * {s3}"),
            scale!("xmm5", "xmm12", "16", "{q}", "", " + 2 * {s}", " + 4 * {s}", " + 2 * {s3}"),
            scale!("xmm6", "xmm1", "32", "{p}", " + {s}", " + {s3}", " + {s5}", " + {s7}"),
            scale!("xmm7", "xmm13", "48", "{q}", " + {s}", " + {s3}", " + {s5}", " + {s7}"),
            "add {p}, 10",
            "add {q}, 10",
            "add {tables}, 576",
            "dec {n}",
            "jnz 2b",
            p = inout(reg) p.add(2) => _,
            q = inout(reg) p.add(2 + 8 * stride) => _,
            next = inout(reg) p.wrapping_add(16 * stride) => _,
            tables = inout(reg) slab => _,
            n = inout(reg) n => _,
            sums = in(reg) sums,
            s = in(reg) stride,
            s3 = in(reg) 3 * stride,
            s5 = in(reg) 5 * stride,
            s7 = in(reg) 7 * stride,
            k = in(reg) &raw const CONSTANTS,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
}
