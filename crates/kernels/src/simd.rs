//! The words kernels are written in.
//!
//! A kernel is written once, over `S: Simd`, and made once for every instruction set.
//! The words work on 32 bytes, or 8 floats, at a time: a pair of registers before AVX2, one register with it.
//! So a group of 32 weights is always one value, and 8 rows always fill one value of floats.
//!
//! A closure is a function of its own, without the instruction set of the function that it stands in: where the
//! compiler does not inline it, each of its words becomes a call, and values of 32 bytes go through memory.
//! So what repeats is a function with `#[inline(always)]`, or a loop, but no closure and no `map` of an array.
//! The check of the CPU floor finds such calls: they stand among the functions of `core_arch`.
//!
//! Every function is `unsafe` for one reason: the processor must have the instruction set of the implementor.
//! Those that take a pointer also need as many readable (or writable) bytes there as they say.

use core::arch::x86_64::{__m128, __m128i};

/// # Safety
/// Implementors may use instructions that not every processor has: see the head of this file.
#[allow(clippy::missing_safety_doc)] // The head of this file says what all of them owe.
pub(crate) unsafe trait Simd: Copy {
    /// 32 bytes.
    type I: Copy;
    /// 16 bytes, ready to be spread by [`Simd::spread`].
    type Q: Copy;
    /// 8 floats.
    type F: Copy;
    /// Instructions write over one of their operands.
    const DESTROYS: bool;
    /// [`Simd::look_up`] is one instruction.
    const SHUFFLES: bool;

    // ------------------------------------------------ into and out of memory
    unsafe fn load(p: *const u8) -> Self::I;
    unsafe fn store(p: *mut u8, v: Self::I);
    /// Of an address that is a multiple of 32.
    unsafe fn load_aligned(p: *const u8) -> Self::I;
    /// 16 bytes of each.
    unsafe fn load_two(p: *const u8, q: *const u8) -> Self::I;
    /// The same 16 bytes twice.
    unsafe fn twice(p: *const u8) -> Self::I;
    /// The same register twice.
    unsafe fn doubled(v: __m128i) -> Self::I;
    /// 16 bytes for `spread`.
    unsafe fn quad(p: *const u8) -> Self::Q;
    /// Bytes `4 * J ..` of `v`, in all eight lanes.
    unsafe fn spread<const J: i32>(v: Self::Q) -> Self::I;
    /// 16 bytes: their low halves first, then their high halves.
    unsafe fn nibbles(p: *const u8) -> Self::I;

    /// 32 bits, the lowest first, as 32 bytes of zeros or ones.
    unsafe fn mask_of(bits: u32) -> Self::I;

    // ------------------------------------------------ bytes and whole numbers
    unsafe fn splat8(v: i8) -> Self::I;
    unsafe fn splat16(v: i16) -> Self::I;
    unsafe fn splat32(v: i32) -> Self::I;
    unsafe fn and(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn xor(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn add8(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn sub8(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn equal8(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn min_u8(a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, unsigned, not below zero.
    unsafe fn less_u8(a: Self::I, b: Self::I) -> Self::I;
    /// Unsigned means, halves rounded up.
    unsafe fn mean_u8(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn abs8(a: Self::I) -> Self::I;
    /// `a` with the sign of `b` put to it: `-a`, `0` or `a`.
    unsafe fn sign8(a: Self::I, b: Self::I) -> Self::I;
    /// In each half, byte `i` becomes `table[index[i]]`; an index is 0..=15.
    unsafe fn look_up(table: Self::I, index: Self::I) -> Self::I;
    unsafe fn add16(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn sub16(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn mul16(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn left16<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn right16<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn right_signed16<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn left32<const N: i32>(a: Self::I) -> Self::I;
    unsafe fn add32(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn sub32(a: Self::I, b: Self::I) -> Self::I;
    /// Unsigned bytes of `u` times signed bytes of `s`, neighbours added, in 16 bits with saturation.
    unsafe fn multiply_bytes(u: Self::I, s: Self::I) -> Self::I;
    /// Signed 16-bit products, neighbours added, in 32 bits.
    unsafe fn multiply_words(a: Self::I, b: Self::I) -> Self::I;
    /// 8 + 8 whole numbers of 32 bits, in order, to 16 bits with saturation.
    unsafe fn narrow16(a: Self::I, b: Self::I) -> Self::I;
    /// 16 whole numbers of 16 bits, in order, to 32 bits.
    unsafe fn widen16(a: Self::I) -> [Self::I; 2];
    /// The lower half plus the upper half, of 16-bit and of 32-bit numbers.
    unsafe fn fold16(a: Self::I) -> __m128i;
    unsafe fn fold32(a: Self::I) -> __m128i;
    /// The two halves.
    unsafe fn both(a: Self::I) -> [__m128i; 2];
    /// Takes eight rows of eight 32-bit values and gives eight columns.
    unsafe fn turn(rows: [Self::I; 8]) -> [Self::I; 8];

    // ------------------------------------------------ floats
    unsafe fn zero() -> Self::F;
    unsafe fn all(v: f32) -> Self::F;
    unsafe fn floats(p: *const f32) -> Self::F;
    unsafe fn put(p: *mut f32, v: Self::F);
    /// Of an address that is a multiple of a register's size; 32 will always do.
    unsafe fn floats_aligned(p: *const f32) -> Self::F;
    /// Whether `floats_aligned` may be used on both.
    unsafe fn are_aligned(p: *const f32, q: *const f32) -> bool;
    unsafe fn put_aligned(p: *mut f32, v: Self::F);
    /// Eight half-precision numbers, exactly; before AVX2 what is no number becomes infinite.
    unsafe fn halves(p: *const u8) -> Self::F;
    /// Whether one of 32 is not as [`Simd::shifted_halves`] wants it: tiny, infinite or no number.
    unsafe fn has_odd_halves(p: *const u8) -> bool;
    /// Whether one of eight is no number, and [`Simd::halves`] would say something else.
    unsafe fn has_none_halves(p: *const u8) -> bool;
    /// Finite ones in half as many instructions: times 2^-112 where this is so, and then those below 2^-14 cost a
    /// Core 2 150 cycles.
    unsafe fn shifted_halves(p: *const u8) -> Self::F;
    const SHIFTED: bool;
    /// Eight half-precision numbers, rounded to the nearest, ties to even, with ggml's bits for what is no number.
    unsafe fn put_halves(p: *mut u8, v: Self::F);
    /// Whether one of 32 half-precision numbers is so small that [`Simd::halves`] is the faster one.
    unsafe fn has_tiny_halves(p: *const u8) -> bool;
    /// The same bits.
    unsafe fn bits(a: Self::F) -> Self::I;
    unsafe fn from_bits(a: Self::I) -> Self::F;
    unsafe fn plus(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn minus(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn times(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`; rounded once or twice, as the processor likes.
    unsafe fn times_plus(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `b` where one of the two is no number.
    unsafe fn larger(a: Self::F, b: Self::F) -> Self::F;
    /// `b` where one of the two is no number.
    unsafe fn smaller(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn magnitude(a: Self::F) -> Self::F;
    unsafe fn to_floats(a: Self::I) -> Self::F;
    /// Eight signed bytes at `p`.
    unsafe fn bytes_to_floats(p: *const u8) -> Self::F;
    /// Rounds to the nearest whole number, ties to even.
    unsafe fn round(a: Self::F) -> Self::I;
    /// Rounds to the next whole number towards zero.
    unsafe fn cut(a: Self::F) -> Self::I;
    /// 32 whole numbers of 32 bits, in order, to bytes with saturation.
    unsafe fn narrow(a: [Self::I; 4]) -> Self::I;
    unsafe fn sum(a: Self::F) -> f32;
    unsafe fn largest(a: Self::F) -> f32;

    // ------------------------------------------------ an SSE register, which every set has
    unsafe fn split_floats(a: Self::F) -> [__m128; 2];
    /// What [`Simd::quad`] makes of memory, of a register.
    unsafe fn quad_of(v: __m128i) -> Self::Q;
    /// The low 16 bytes of `a`, then the high 16 of `b`.
    unsafe fn beside(a: Self::I, b: Self::I) -> Self::I;
    /// Lane `J`, in all eight.
    unsafe fn lane<const J: i32>(v: __m128) -> Self::F;
    /// The sums of neighbours: two of `a`, then two of `b`.
    unsafe fn pairs32(a: __m128i, b: __m128i) -> __m128i;

    // ------------------------------------------------ what follows from the words above
    /// Signed bytes times signed bytes, four neighbours added, in 32 bits. Neither may hold -128.
    #[inline(always)]
    unsafe fn multiply_signed(a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: the promise of all words.
        unsafe {
            let sums = Self::multiply_bytes(Self::abs8(a), Self::sign8(b, a));
            Self::multiply_words(sums, Self::splat16(1))
        }
    }

    /// The sums of 16 bytes each, in order.
    #[inline(always)]
    unsafe fn sums_of_16(v: [Self::I; 4]) -> __m128i {
        // SAFETY: the promise of all words.
        unsafe {
            let [[a, b], [c, d], [e, f], [g, h]] =
                [Self::both(v[0]), Self::both(v[1]), Self::both(v[2]), Self::both(v[3])];
            crate::pair::base::sums([a, b, c, d, e, f, g, h])
        }
    }
}
