//! AVX2, FMA and F16C: for the newer PC on the same shelf, chosen at run time.
//!
//! 32 bytes are one register here.

#![allow(clippy::undocumented_unsafe_blocks)] // Each word is one instruction or two; `simd` says what all of them owe.

use crate::simd::Simd;
use crate::table::kernel_set;
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

macro_rules! words {
    ($($word:ident $of:path),+ $(,)?) => {$(
        #[inline(always)]
        unsafe fn $word(a: __m256i, b: __m256i) -> __m256i {
            unsafe { $of(a, b) }
        }
    )+};
}

macro_rules! floats {
    ($($word:ident $of:path),+ $(,)?) => {$(
        #[inline(always)]
        unsafe fn $word(a: __m256, b: __m256) -> __m256 {
            unsafe { $of(a, b) }
        }
    )+};
}

/// Turns four rows of four values within each half.
#[inline(always)]
unsafe fn turn_four([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    unsafe {
        let (p, q) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (s, t) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(p, s),
            _mm256_unpackhi_epi64(p, s),
            _mm256_unpacklo_epi64(q, t),
            _mm256_unpackhi_epi64(q, t),
        ]
    }
}

// SAFETY: the words use AVX2, FMA and F16C, and the table hands this set out only where cpuid shows all three.
unsafe impl Simd for Avx2 {
    type I = __m256i;
    type Q = __m256i;
    type F = __m256;
    const DESTROYS: bool = false;
    const SHUFFLES: bool = true;

    words!(
        and _mm256_and_si256, or _mm256_or_si256, xor _mm256_xor_si256,
        add8 _mm256_add_epi8, sub8 _mm256_sub_epi8, equal8 _mm256_cmpeq_epi8, min_u8 _mm256_min_epu8,
        mean_u8 _mm256_avg_epu8, less_u8 _mm256_subs_epu8,
        sign8 _mm256_sign_epi8, look_up _mm256_shuffle_epi8,
        add16 _mm256_add_epi16, sub16 _mm256_sub_epi16, mul16 _mm256_mullo_epi16,
        add32 _mm256_add_epi32, sub32 _mm256_sub_epi32,
        multiply_bytes _mm256_maddubs_epi16, multiply_words _mm256_madd_epi16,
    );
    floats!(plus _mm256_add_ps, minus _mm256_sub_ps, times _mm256_mul_ps, larger _mm256_max_ps, smaller _mm256_min_ps);

    #[inline(always)]
    unsafe fn load(p: *const u8) -> Self::I {
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut u8, v: Self::I) {
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn load_aligned(p: *const u8) -> Self::I {
        unsafe { _mm256_load_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn narrow16(a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm256_permute4x64_epi64::<0xd8>(_mm256_packs_epi32(a, b)) }
    }
    #[inline(always)]
    unsafe fn widen16(a: Self::I) -> [Self::I; 2] {
        unsafe {
            let high = _mm256_extracti128_si256::<1>(a);
            [_mm256_cvtepi16_epi32(_mm256_castsi256_si128(a)), _mm256_cvtepi16_epi32(high)]
        }
    }
    #[inline(always)]
    unsafe fn load_two(p: *const u8, q: *const u8) -> Self::I {
        unsafe { _mm256_loadu2_m128i(q.cast(), p.cast()) }
    }
    #[inline(always)]
    unsafe fn twice(p: *const u8) -> Self::I {
        unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn doubled(v: __m128i) -> Self::I {
        unsafe { _mm256_broadcastsi128_si256(v) }
    }
    #[inline(always)]
    unsafe fn quad(p: *const u8) -> Self::Q {
        unsafe { Self::twice(p) }
    }
    #[inline(always)]
    unsafe fn spread<const J: i32>(v: Self::Q) -> Self::I {
        unsafe {
            match J {
                0 => _mm256_shuffle_epi32::<0x00>(v),
                1 => _mm256_shuffle_epi32::<0x55>(v),
                2 => _mm256_shuffle_epi32::<0xaa>(v),
                _ => _mm256_shuffle_epi32::<0xff>(v),
            }
        }
    }
    #[inline(always)]
    unsafe fn nibbles(p: *const u8) -> Self::I {
        unsafe {
            let v = _mm_loadu_si128(p.cast());
            _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15))
        }
    }
    #[inline(always)]
    unsafe fn mask_of(bits: u32) -> Self::I {
        unsafe {
            let which =
                _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
            let v = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), which);
            _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit)
        }
    }
    #[inline(always)]
    unsafe fn splat8(v: i8) -> Self::I {
        unsafe { _mm256_set1_epi8(v) }
    }
    #[inline(always)]
    unsafe fn splat16(v: i16) -> Self::I {
        unsafe { _mm256_set1_epi16(v) }
    }
    #[inline(always)]
    unsafe fn splat32(v: i32) -> Self::I {
        unsafe { _mm256_set1_epi32(v) }
    }
    #[inline(always)]
    unsafe fn abs8(a: Self::I) -> Self::I {
        unsafe { _mm256_abs_epi8(a) }
    }
    #[inline(always)]
    unsafe fn left16<const N: i32>(a: Self::I) -> Self::I {
        unsafe { _mm256_slli_epi16::<N>(a) }
    }
    #[inline(always)]
    unsafe fn right16<const N: i32>(a: Self::I) -> Self::I {
        unsafe { _mm256_srli_epi16::<N>(a) }
    }
    #[inline(always)]
    unsafe fn right_signed16<const N: i32>(a: Self::I) -> Self::I {
        unsafe { _mm256_srai_epi16::<N>(a) }
    }
    #[inline(always)]
    unsafe fn fold16(a: Self::I) -> __m128i {
        unsafe { _mm_add_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a)) }
    }
    #[inline(always)]
    unsafe fn fold32(a: Self::I) -> __m128i {
        unsafe { _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a)) }
    }
    #[inline(always)]
    unsafe fn both(a: Self::I) -> [__m128i; 2] {
        unsafe { [_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a)] }
    }
    #[inline(always)]
    unsafe fn turn(r: [Self::I; 8]) -> [Self::I; 8] {
        unsafe {
            let (x, y) = (turn_four([r[0], r[1], r[2], r[3]]), turn_four([r[4], r[5], r[6], r[7]]));
            [
                _mm256_permute2x128_si256::<0x20>(x[0], y[0]),
                _mm256_permute2x128_si256::<0x20>(x[1], y[1]),
                _mm256_permute2x128_si256::<0x20>(x[2], y[2]),
                _mm256_permute2x128_si256::<0x20>(x[3], y[3]),
                _mm256_permute2x128_si256::<0x31>(x[0], y[0]),
                _mm256_permute2x128_si256::<0x31>(x[1], y[1]),
                _mm256_permute2x128_si256::<0x31>(x[2], y[2]),
                _mm256_permute2x128_si256::<0x31>(x[3], y[3]),
            ]
        }
    }
    #[inline(always)]
    unsafe fn zero() -> Self::F {
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn all(v: f32) -> Self::F {
        unsafe { _mm256_set1_ps(v) }
    }
    #[inline(always)]
    unsafe fn floats(p: *const f32) -> Self::F {
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn put(p: *mut f32, v: Self::F) {
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn floats_aligned(p: *const f32) -> Self::F {
        unsafe { _mm256_load_ps(p) }
    }
    #[inline(always)]
    unsafe fn left32<const N: i32>(a: Self::I) -> Self::I {
        unsafe { _mm256_slli_epi32::<N>(a) }
    }
    #[inline(always)]
    unsafe fn bytes_to_floats(p: *const u8) -> Self::F {
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn are_aligned(p: *const f32, q: *const f32) -> bool {
        (p.addr() | q.addr()) & 31 == 0
    }
    #[inline(always)]
    unsafe fn put_aligned(p: *mut f32, v: Self::F) {
        unsafe { _mm256_store_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn has_none_halves(_: *const u8) -> bool {
        false
    }
    #[inline(always)]
    unsafe fn has_odd_halves(_: *const u8) -> bool {
        false
    }
    const SHIFTED: bool = false;
    #[inline(always)]
    unsafe fn shifted_halves(p: *const u8) -> Self::F {
        unsafe { Self::halves(p) }
    }
    #[inline(always)]
    unsafe fn put_halves(p: *mut u8, v: Self::F) {
        unsafe {
            // ggml's 0x7e00 with the sign in place of what is no number: the processor would keep more of its bits.
            let none = _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v);
            let sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0));
            let nan = _mm256_or_ps(sign, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc0_0000)));
            let v = _mm256_blendv_ps(v, nan, none);
            _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v));
        }
    }
    #[inline(always)]
    unsafe fn has_tiny_halves(_: *const u8) -> bool {
        false
    }
    #[inline(always)]
    unsafe fn bits(a: Self::F) -> Self::I {
        unsafe { _mm256_castps_si256(a) }
    }
    #[inline(always)]
    unsafe fn from_bits(a: Self::I) -> Self::F {
        unsafe { _mm256_castsi256_ps(a) }
    }
    #[inline(always)]
    unsafe fn halves(p: *const u8) -> Self::F {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn times_plus(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn magnitude(a: Self::F) -> Self::F {
        unsafe { _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff))) }
    }
    #[inline(always)]
    unsafe fn to_floats(a: Self::I) -> Self::F {
        unsafe { _mm256_cvtepi32_ps(a) }
    }
    #[inline(always)]
    unsafe fn round(a: Self::F) -> Self::I {
        unsafe { _mm256_cvtps_epi32(a) }
    }
    #[inline(always)]
    unsafe fn cut(a: Self::F) -> Self::I {
        unsafe { _mm256_cvttps_epi32(a) }
    }
    #[inline(always)]
    unsafe fn split_floats(a: Self::F) -> [__m128; 2] {
        unsafe { [_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a)] }
    }
    #[inline(always)]
    unsafe fn quad_of(v: __m128i) -> Self::Q {
        unsafe { _mm256_broadcastsi128_si256(v) }
    }
    #[inline(always)]
    unsafe fn beside(a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm256_blend_epi32::<0xf0>(a, b) }
    }
    #[inline(always)]
    unsafe fn lane<const J: i32>(v: __m128) -> Self::F {
        unsafe { _mm256_broadcastss_ps(crate::pair::base::lane::<J>(v)) }
    }
    #[inline(always)]
    unsafe fn pairs32(a: __m128i, b: __m128i) -> __m128i {
        unsafe { _mm_hadd_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn narrow(a: [Self::I; 4]) -> Self::I {
        unsafe {
            // The packs work within halves; one permutation of 32-bit lanes puts the order right.
            let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a[0], a[1]), _mm256_packs_epi32(a[2], a[3]));
            _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: Self::F) -> f32 {
        unsafe {
            let halves = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            crate::pair::base::sum(halves)
        }
    }
    #[inline(always)]
    unsafe fn largest(a: Self::F) -> f32 {
        unsafe {
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)))
        }
    }
}

kernel_set!(Avx2, Level::Avx2, "avx2,fma,f16c", columns: 4);
