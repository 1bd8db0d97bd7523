//! What SSE2, SSSE3 and SSE4.1 have in common: 32 bytes are a pair of registers.
//!
//! `pair!` writes an implementation of [`Simd`](crate::simd::Simd); the words in which the three differ are handed in.

#![allow(clippy::undocumented_unsafe_blocks)] // Each word is one instruction or two; `simd` says what all of them owe.

/// 16-byte forms of the words that only SSE2 is sure of.
pub(crate) mod base {
    use core::arch::x86_64::*;

    /// Pairs of unsigned times signed bytes, added, through 16-bit products.
    #[inline(always)]
    pub unsafe fn multiply_bytes(u: __m128i, s: __m128i) -> __m128i {
        // SAFETY: SSE2 only, which every x86-64 processor has.
        unsafe {
            let zero = _mm_setzero_si128();
            let (ul, uh) = (_mm_unpacklo_epi8(u, zero), _mm_unpackhi_epi8(u, zero));
            let sl = _mm_srai_epi16(_mm_unpacklo_epi8(zero, s), 8);
            let sh = _mm_srai_epi16(_mm_unpackhi_epi8(zero, s), 8);
            _mm_packs_epi32(_mm_madd_epi16(ul, sl), _mm_madd_epi16(uh, sh))
        }
    }

    #[inline(always)]
    pub unsafe fn abs8(a: __m128i) -> __m128i {
        // SAFETY: SSE2 only. The unsigned minimum of `a` and `-a` is the magnitude.
        unsafe { _mm_min_epu8(a, _mm_sub_epi8(_mm_setzero_si128(), a)) }
    }

    #[inline(always)]
    pub unsafe fn sign8(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 only.
        unsafe {
            let zero = _mm_setzero_si128();
            let negative = _mm_cmpgt_epi8(zero, b);
            let signed = _mm_sub_epi8(_mm_xor_si128(a, negative), negative);
            _mm_andnot_si128(_mm_cmpeq_epi8(b, zero), signed)
        }
    }

    /// Without `pshufb` a look-up is sixteen loads.
    #[inline(always)]
    pub unsafe fn look_up(table: __m128i, index: __m128i) -> __m128i {
        let (mut t, mut i, mut out) = ([0u8; 16], [0u8; 16], [0u8; 16]);
        // SAFETY: all three arrays hold 16 bytes.
        unsafe {
            _mm_storeu_si128(t.as_mut_ptr().cast(), table);
            _mm_storeu_si128(i.as_mut_ptr().cast(), index);
        }
        for (o, i) in out.iter_mut().zip(i) {
            *o = t[usize::from(i & 15)];
        }
        // SAFETY: `out` holds 16 bytes.
        unsafe { _mm_loadu_si128(out.as_ptr().cast()) }
    }

    /// Four half-precision numbers in the upper halves of 32-bit lanes, times 2^-112.
    #[inline(always)]
    pub unsafe fn shifted4(h: __m128i) -> __m128 {
        // SAFETY: SSE2 only. The arithmetic shift keeps the sign, the mask drops its copies and the lower halves.
        unsafe {
            let bits = _mm_and_si128(_mm_srai_epi32(h, 3), _mm_set1_epi32(0x8fff_e000u32 as i32));
            _mm_castsi128_ps(bits)
        }
    }

    /// The same value, but every bit of it is wanted.
    ///
    /// The compiler sees that the lower halves of what is unpacked are masked away. Then it unpacks into a register
    /// that holds anything, and the instruction waits for what was computed there before: it doubled the time.
    #[inline(always)]
    pub fn whole(mut v: __m128i) -> __m128i {
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(xmm_reg) v, options(pure, nomem, nostack, preserves_flags));
        }
        v
    }

    /// Eight half-precision numbers in two times four floats, exactly; but what is no number becomes infinite.
    ///
    /// Their 11 significant bits become whole numbers, their exponents powers of two: no step meets a denormal
    /// float, which costs a Core 2 some 150 cycles.
    #[inline(always)]
    pub unsafe fn half8(h: __m128i) -> [__m128; 2] {
        // SAFETY: SSE2 only.
        unsafe {
            let zero = _mm_setzero_si128();
            let magnitude = _mm_and_si128(h, _mm_set1_epi16(0x7fff));
            // The exponent, and at least 1: there the numbers without a leading bit begin.
            let exponent = _mm_max_epi16(_mm_and_si128(h, _mm_set1_epi16(0x7c00)), _mm_set1_epi16(0x0400));
            let whole = _mm_add_epi16(_mm_sub_epi16(magnitude, exponent), _mm_set1_epi16(0x0400));
            // 2^(exponent - 25) as the upper half of a float, with the sign.
            let power = _mm_add_epi16(_mm_srli_epi16(exponent, 3), _mm_set1_epi16(0x3300));
            let infinite = _mm_cmpgt_epi16(magnitude, _mm_set1_epi16(0x7bff));
            let power = _mm_or_si128(power, _mm_and_si128(infinite, _mm_set1_epi16(0x7f80)));
            let power = _mm_or_si128(power, _mm_xor_si128(h, magnitude));
            let float = |whole, power| _mm_mul_ps(_mm_cvtepi32_ps(whole), _mm_castsi128_ps(power));
            [
                float(_mm_unpacklo_epi16(whole, zero), _mm_unpacklo_epi16(zero, power)),
                float(_mm_unpackhi_epi16(whole, zero), _mm_unpackhi_epi16(zero, power)),
            ]
        }
    }

    /// Two times four floats in eight half-precision numbers, rounded to the nearest, ties to even.
    ///
    /// The sum with a power of two 13 binary places above the number's own leading bit rounds it, as in ggml's
    /// plain C; what is no number becomes 0x7e00 with its sign, there as here.
    #[inline(always)]
    pub unsafe fn narrow8(v: [__m128; 2]) -> __m128i {
        // SAFETY: SSE2 only.
        let narrow = |v: __m128| unsafe {
            let magnitude = _mm_and_ps(v, _mm_castsi128_ps(_mm_set1_epi32(0x7fff_ffff)));
            let sign = _mm_srli_epi32(_mm_castps_si128(_mm_xor_ps(v, magnitude)), 16);
            let scale = |bits| _mm_castsi128_ps(_mm_set1_epi32(bits));
            // Times 2^112, too large ones become infinite; times 2^-110.
            let base = _mm_mul_ps(_mm_mul_ps(magnitude, scale(0x7780_0000)), scale(0x0880_0000));
            let exponent = _mm_and_si128(_mm_castps_si128(v), _mm_set1_epi32(0x7f80_0000));
            // Only the upper words are not zero, so words can be compared for double words.
            let exponent = _mm_max_epi16(exponent, _mm_set1_epi32(0x3880_0000));
            let above = _mm_castsi128_ps(_mm_add_epi32(exponent, _mm_set1_epi32(0x0780_0000)));
            let bits = _mm_castps_si128(_mm_add_ps(base, above));
            let exponent = _mm_and_si128(_mm_srli_epi32(bits, 13), _mm_set1_epi32(0x7c00));
            let half = _mm_add_epi32(exponent, _mm_and_si128(bits, _mm_set1_epi32(0x0fff)));
            let none = _mm_castps_si128(_mm_cmpunord_ps(v, v));
            let half =
                _mm_or_si128(_mm_andnot_si128(none, half), _mm_and_si128(none, _mm_set1_epi32(0x7e00)));
            // Moved up and down again with their sign, so that the saturation of the pack leaves them alone.
            _mm_srai_epi32(_mm_slli_epi32(_mm_or_si128(half, sign), 16), 16)
        };
        // SAFETY: SSE2 only.
        unsafe { _mm_packs_epi32(narrow(v[0]), narrow(v[1])) }
    }

    /// Whether an exponent among 32 half-precision numbers is zero.
    #[inline(always)]
    pub unsafe fn has_tiny(p: *const u8) -> bool {
        // SAFETY: SSE2 only; the caller promises 64 bytes at `p`.
        unsafe {
            let exponents =
                |i: usize| _mm_and_si128(_mm_loadu_si128(p.add(16 * i).cast()), _mm_set1_epi16(0x7c00));
            let least = _mm_min_epi16(
                _mm_min_epi16(exponents(0), exponents(1)),
                _mm_min_epi16(exponents(2), exponents(3)),
            );
            _mm_movemask_epi8(_mm_cmpeq_epi16(least, _mm_setzero_si128())) != 0
        }
    }

    /// Whether an exponent among 32 half-precision numbers is the least or the greatest.
    #[inline(always)]
    pub unsafe fn has_odd(p: *const u8) -> bool {
        // SAFETY: SSE2 only; the caller promises 64 bytes at `p`.
        unsafe {
            let e = |i: usize| _mm_and_si128(_mm_loadu_si128(p.add(16 * i).cast()), _mm_set1_epi16(0x7c00));
            let e = [e(0), e(1), e(2), e(3)];
            let least = _mm_min_epi16(_mm_min_epi16(e[0], e[1]), _mm_min_epi16(e[2], e[3]));
            let most = _mm_max_epi16(_mm_max_epi16(e[0], e[1]), _mm_max_epi16(e[2], e[3]));
            let odd = _mm_or_si128(
                _mm_cmpeq_epi16(least, _mm_setzero_si128()),
                _mm_cmpeq_epi16(most, _mm_set1_epi16(0x7c00)),
            );
            _mm_movemask_epi8(odd) != 0
        }
    }

    #[inline(always)]
    pub unsafe fn turn4(r: [__m128i; 4]) -> [__m128i; 4] {
        // SAFETY: SSE2 only.
        unsafe {
            let (a, b) = (_mm_unpacklo_epi32(r[0], r[1]), _mm_unpackhi_epi32(r[0], r[1]));
            let (c, d) = (_mm_unpacklo_epi32(r[2], r[3]), _mm_unpackhi_epi32(r[2], r[3]));
            [
                _mm_unpacklo_epi64(a, c),
                _mm_unpackhi_epi64(a, c),
                _mm_unpacklo_epi64(b, d),
                _mm_unpackhi_epi64(b, d),
            ]
        }
    }

    #[inline(always)]
    pub unsafe fn lane<const J: i32>(v: __m128) -> __m128 {
        // SAFETY: SSE2 only.
        unsafe {
            match J {
                0 => _mm_shuffle_ps::<0x00>(v, v),
                1 => _mm_shuffle_ps::<0x55>(v, v),
                2 => _mm_shuffle_ps::<0xaa>(v, v),
                _ => _mm_shuffle_ps::<0xff>(v, v),
            }
        }
    }

    /// Sums of neighbours: two of `a`, then two of `b`.
    #[inline(always)]
    pub unsafe fn pairs32(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 only.
        unsafe {
            let (a, b) = (_mm_castsi128_ps(a), _mm_castsi128_ps(b));
            let even = _mm_castps_si128(_mm_shuffle_ps::<0x88>(a, b));
            _mm_add_epi32(even, _mm_castps_si128(_mm_shuffle_ps::<0xdd>(a, b)))
        }
    }

    /// Lane `i` becomes the sum of all lanes of `v[i]`.
    #[inline(always)]
    pub unsafe fn columns_added(v: [__m128i; 4]) -> __m128i {
        // SAFETY: SSE2 only.
        unsafe {
            let pairs = |a, b| _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
            let (x, y) = (pairs(v[0], v[1]), pairs(v[2], v[3]));
            _mm_add_epi32(_mm_unpacklo_epi64(x, y), _mm_unpackhi_epi64(x, y))
        }
    }

    /// Eight sums of 16 signed bytes each, in 16 bits.
    #[inline(always)]
    pub unsafe fn sums(v: [__m128i; 8]) -> __m128i {
        // SAFETY: SSE2 only.
        unsafe {
            let zero = _mm_setzero_si128();
            // Sums of 8 unsigned bytes, each 128 too large; what lies above them is zero.
            let eight = |v| _mm_sad_epu8(_mm_xor_si128(v, _mm_set1_epi8(-128)), zero);
            let two = |i: usize| _mm_packs_epi32(eight(v[i]), eight(v[i + 1]));
            let four = |i: usize| _mm_madd_epi16(_mm_packs_epi32(two(i), two(i + 2)), _mm_set1_epi16(1));
            _mm_sub_epi16(_mm_packs_epi32(four(0), four(4)), _mm_set1_epi16(16 * 128))
        }
    }

    #[inline(always)]
    pub unsafe fn sum(v: __m128) -> f32 {
        // SAFETY: SSE2 only.
        unsafe {
            let a = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)))
        }
    }
}

macro_rules! pair {
    ($name:ident, multiply_bytes: $multiply:path, abs8: $abs:path, sign8: $sign:path, look_up: $look_up:path,
        pairs32: $pairs32:path, shuffles: $shuffles:literal) => {
        // SAFETY: the words use the instructions that the type's name stands for, and no newer ones.
        unsafe impl $crate::simd::Simd for $name {
            type I = [__m128i; 2];
            type Q = __m128i;
            type F = [__m128; 2];
            const DESTROYS: bool = true;
            const SHUFFLES: bool = $shuffles;

            #[inline(always)]
            unsafe fn load(p: *const u8) -> Self::I {
                unsafe { [_mm_loadu_si128(p.cast()), _mm_loadu_si128(p.add(16).cast())] }
            }
            #[inline(always)]
            unsafe fn store(p: *mut u8, v: Self::I) {
                unsafe {
                    _mm_storeu_si128(p.cast(), v[0]);
                    _mm_storeu_si128(p.add(16).cast(), v[1]);
                }
            }
            #[inline(always)]
            unsafe fn load_aligned(p: *const u8) -> Self::I {
                unsafe { [_mm_load_si128(p.cast()), _mm_load_si128(p.add(16).cast())] }
            }
            #[inline(always)]
            unsafe fn narrow16(a: Self::I, b: Self::I) -> Self::I {
                unsafe { [_mm_packs_epi32(a[0], a[1]), _mm_packs_epi32(b[0], b[1])] }
            }
            #[inline(always)]
            unsafe fn widen16(a: Self::I) -> [Self::I; 2] {
                unsafe {
                    let wide = |v| {
                        let (low, high) = (_mm_unpacklo_epi16(v, v), _mm_unpackhi_epi16(v, v));
                        [_mm_srai_epi32::<16>(low), _mm_srai_epi32::<16>(high)]
                    };
                    [wide(a[0]), wide(a[1])]
                }
            }
            #[inline(always)]
            unsafe fn load_two(p: *const u8, q: *const u8) -> Self::I {
                unsafe { [_mm_loadu_si128(p.cast()), _mm_loadu_si128(q.cast())] }
            }
            #[inline(always)]
            unsafe fn twice(p: *const u8) -> Self::I {
                unsafe { [_mm_loadu_si128(p.cast()); 2] }
            }
            #[inline(always)]
            unsafe fn doubled(v: __m128i) -> Self::I {
                [v, v]
            }
            #[inline(always)]
            unsafe fn quad(p: *const u8) -> Self::Q {
                unsafe { _mm_loadu_si128(p.cast()) }
            }
            #[inline(always)]
            unsafe fn spread<const J: i32>(v: Self::Q) -> Self::I {
                unsafe {
                    let s = match J {
                        0 => _mm_shuffle_epi32::<0x00>(v),
                        1 => _mm_shuffle_epi32::<0x55>(v),
                        2 => _mm_shuffle_epi32::<0xaa>(v),
                        _ => _mm_shuffle_epi32::<0xff>(v),
                    };
                    [s, s]
                }
            }
            #[inline(always)]
            unsafe fn nibbles(p: *const u8) -> Self::I {
                unsafe {
                    let v = _mm_loadu_si128(p.cast());
                    let low = _mm_set1_epi8(15);
                    [_mm_and_si128(v, low), _mm_and_si128(_mm_srli_epi16(v, 4), low)]
                }
            }
            #[inline(always)]
            unsafe fn mask_of(bits: u32) -> Self::I {
                unsafe {
                    let v = _mm_cvtsi32_si128(bits as i32);
                    let v = _mm_unpacklo_epi8(v, v);
                    let v = _mm_unpacklo_epi16(v, v);
                    let bit = _mm_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
                    let mask = |v| _mm_cmpeq_epi8(_mm_and_si128(v, bit), bit);
                    [mask(_mm_unpacklo_epi32(v, v)), mask(_mm_unpackhi_epi32(v, v))]
                }
            }
            #[inline(always)]
            unsafe fn splat8(v: i8) -> Self::I {
                unsafe { [_mm_set1_epi8(v); 2] }
            }
            #[inline(always)]
            unsafe fn splat16(v: i16) -> Self::I {
                unsafe { [_mm_set1_epi16(v); 2] }
            }
            #[inline(always)]
            unsafe fn splat32(v: i32) -> Self::I {
                unsafe { [_mm_set1_epi32(v); 2] }
            }
            pair!(@two and _mm_and_si128, or _mm_or_si128, xor _mm_xor_si128, add8 _mm_add_epi8, sub8 _mm_sub_epi8);
            pair!(@two equal8 _mm_cmpeq_epi8, min_u8 _mm_min_epu8, mean_u8 _mm_avg_epu8, less_u8 _mm_subs_epu8, sign8 $sign, look_up $look_up);
            pair!(@two add16 _mm_add_epi16, sub16 _mm_sub_epi16, mul16 _mm_mullo_epi16);
            pair!(@two add32 _mm_add_epi32, sub32 _mm_sub_epi32);
            pair!(@two multiply_bytes $multiply, multiply_words _mm_madd_epi16);
            #[inline(always)]
            unsafe fn abs8(a: Self::I) -> Self::I {
                unsafe { [$abs(a[0]), $abs(a[1])] }
            }
            #[inline(always)]
            unsafe fn left16<const N: i32>(a: Self::I) -> Self::I {
                unsafe { [_mm_slli_epi16::<N>(a[0]), _mm_slli_epi16::<N>(a[1])] }
            }
            #[inline(always)]
            unsafe fn right16<const N: i32>(a: Self::I) -> Self::I {
                unsafe { [_mm_srli_epi16::<N>(a[0]), _mm_srli_epi16::<N>(a[1])] }
            }
            #[inline(always)]
            unsafe fn right_signed16<const N: i32>(a: Self::I) -> Self::I {
                unsafe { [_mm_srai_epi16::<N>(a[0]), _mm_srai_epi16::<N>(a[1])] }
            }
            #[inline(always)]
            unsafe fn fold16(a: Self::I) -> __m128i {
                unsafe { _mm_add_epi16(a[0], a[1]) }
            }
            #[inline(always)]
            unsafe fn fold32(a: Self::I) -> __m128i {
                unsafe { _mm_add_epi32(a[0], a[1]) }
            }
            #[inline(always)]
            unsafe fn both(a: Self::I) -> [__m128i; 2] {
                a
            }
            #[inline(always)]
            unsafe fn turn(r: [Self::I; 8]) -> [Self::I; 8] {
                unsafe {
                    let a = $crate::pair::base::turn4([r[0][0], r[1][0], r[2][0], r[3][0]]);
                    let b = $crate::pair::base::turn4([r[4][0], r[5][0], r[6][0], r[7][0]]);
                    let c = $crate::pair::base::turn4([r[0][1], r[1][1], r[2][1], r[3][1]]);
                    let d = $crate::pair::base::turn4([r[4][1], r[5][1], r[6][1], r[7][1]]);
                    [
                        [a[0], b[0]], [a[1], b[1]], [a[2], b[2]], [a[3], b[3]],
                        [c[0], d[0]], [c[1], d[1]], [c[2], d[2]], [c[3], d[3]],
                    ]
                }
            }
            #[inline(always)]
            unsafe fn zero() -> Self::F {
                unsafe { [_mm_setzero_ps(); 2] }
            }
            #[inline(always)]
            unsafe fn all(v: f32) -> Self::F {
                unsafe { [_mm_set1_ps(v); 2] }
            }
            #[inline(always)]
            unsafe fn floats(p: *const f32) -> Self::F {
                unsafe { [_mm_loadu_ps(p), _mm_loadu_ps(p.add(4))] }
            }
            #[inline(always)]
            unsafe fn put(p: *mut f32, v: Self::F) {
                unsafe {
                    _mm_storeu_ps(p, v[0]);
                    _mm_storeu_ps(p.add(4), v[1]);
                }
            }
            #[inline(always)]
            unsafe fn floats_aligned(p: *const f32) -> Self::F {
                unsafe { [_mm_load_ps(p), _mm_load_ps(p.add(4))] }
            }
            #[inline(always)]
            unsafe fn left32<const N: i32>(a: Self::I) -> Self::I {
                unsafe { [_mm_slli_epi32::<N>(a[0]), _mm_slli_epi32::<N>(a[1])] }
            }
            #[inline(always)]
            unsafe fn bytes_to_floats(p: *const u8) -> Self::F {
                unsafe {
                    let bytes = _mm_loadl_epi64(p.cast());
                    let words = _mm_unpacklo_epi8(bytes, bytes);
                    let float = |words| _mm_cvtepi32_ps(_mm_srai_epi32::<24>(words));
                    [float(_mm_unpacklo_epi16(words, words)), float(_mm_unpackhi_epi16(words, words))]
                }
            }
            #[inline(always)]
            unsafe fn are_aligned(p: *const f32, q: *const f32) -> bool {
                (p.addr() | q.addr()) & 15 == 0
            }
            #[inline(always)]
            unsafe fn put_aligned(p: *mut f32, v: Self::F) {
                unsafe {
                    _mm_store_ps(p, v[0]);
                    _mm_store_ps(p.add(4), v[1]);
                }
            }
            #[inline(always)]
            unsafe fn halves(p: *const u8) -> Self::F {
                unsafe { $crate::pair::base::half8(_mm_loadu_si128(p.cast())) }
            }
            #[inline(always)]
            unsafe fn put_halves(p: *mut u8, v: Self::F) {
                unsafe { _mm_storeu_si128(p.cast(), $crate::pair::base::narrow8(v)) }
            }
            #[inline(always)]
            unsafe fn has_tiny_halves(p: *const u8) -> bool {
                unsafe { $crate::pair::base::has_tiny(p) }
            }
            #[inline(always)]
            unsafe fn bits(a: Self::F) -> Self::I {
                unsafe { [_mm_castps_si128(a[0]), _mm_castps_si128(a[1])] }
            }
            #[inline(always)]
            unsafe fn from_bits(a: Self::I) -> Self::F {
                unsafe { [_mm_castsi128_ps(a[0]), _mm_castsi128_ps(a[1])] }
            }
            #[inline(always)]
            unsafe fn has_none_halves(p: *const u8) -> bool {
                unsafe {
                    let magnitude = _mm_and_si128(_mm_loadu_si128(p.cast()), _mm_set1_epi16(0x7fff));
                    _mm_movemask_epi8(_mm_cmpgt_epi16(magnitude, _mm_set1_epi16(0x7c00))) != 0
                }
            }
            #[inline(always)]
            unsafe fn has_odd_halves(p: *const u8) -> bool {
                unsafe { $crate::pair::base::has_odd(p) }
            }
            const SHIFTED: bool = true;
            #[inline(always)]
            unsafe fn shifted_halves(p: *const u8) -> Self::F {
                unsafe {
                    let h = _mm_loadu_si128(p.cast());
                    [
                        $crate::pair::base::shifted4($crate::pair::base::whole(_mm_unpacklo_epi16(h, h))),
                        $crate::pair::base::shifted4($crate::pair::base::whole(_mm_unpackhi_epi16(h, h))),
                    ]
                }
            }
            pair!(@floats plus _mm_add_ps, minus _mm_sub_ps, times _mm_mul_ps, larger _mm_max_ps, smaller _mm_min_ps);
            #[inline(always)]
            unsafe fn times_plus(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
                unsafe { Self::plus(Self::times(a, b), c) }
            }
            #[inline(always)]
            unsafe fn magnitude(a: Self::F) -> Self::F {
                unsafe {
                    let mask = _mm_castsi128_ps(_mm_set1_epi32(0x7fff_ffff));
                    [_mm_and_ps(a[0], mask), _mm_and_ps(a[1], mask)]
                }
            }
            #[inline(always)]
            unsafe fn to_floats(a: Self::I) -> Self::F {
                unsafe { [_mm_cvtepi32_ps(a[0]), _mm_cvtepi32_ps(a[1])] }
            }
            #[inline(always)]
            unsafe fn round(a: Self::F) -> Self::I {
                unsafe { [_mm_cvtps_epi32(a[0]), _mm_cvtps_epi32(a[1])] }
            }
            #[inline(always)]
            unsafe fn cut(a: Self::F) -> Self::I {
                unsafe { [_mm_cvttps_epi32(a[0]), _mm_cvttps_epi32(a[1])] }
            }
            #[inline(always)]
            unsafe fn split_floats(a: Self::F) -> [__m128; 2] {
                a
            }
            #[inline(always)]
            unsafe fn quad_of(v: __m128i) -> Self::Q {
                v
            }
            #[inline(always)]
            unsafe fn beside(a: Self::I, b: Self::I) -> Self::I {
                [a[0], b[1]]
            }
            #[inline(always)]
            unsafe fn lane<const J: i32>(v: __m128) -> Self::F {
                unsafe { [$crate::pair::base::lane::<J>(v); 2] }
            }
            #[inline(always)]
            unsafe fn pairs32(a: __m128i, b: __m128i) -> __m128i {
                unsafe { $pairs32(a, b) }
            }
            #[inline(always)]
            unsafe fn narrow(a: [Self::I; 4]) -> Self::I {
                unsafe {
                    let words = |v: Self::I| _mm_packs_epi32(v[0], v[1]);
                    [
                        _mm_packs_epi16(words(a[0]), words(a[1])),
                        _mm_packs_epi16(words(a[2]), words(a[3])),
                    ]
                }
            }
            #[inline(always)]
            unsafe fn sum(a: Self::F) -> f32 {
                unsafe { $crate::pair::base::sum(_mm_add_ps(a[0], a[1])) }
            }
            #[inline(always)]
            unsafe fn largest(a: Self::F) -> f32 {
                unsafe {
                    let a = _mm_max_ps(a[0], a[1]);
                    let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
                    _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)))
                }
            }
        }
    };
    (@two $($word:ident $of:path),+) => {$(
        #[inline(always)]
        unsafe fn $word(a: Self::I, b: Self::I) -> Self::I {
            unsafe { [$of(a[0], b[0]), $of(a[1], b[1])] }
        }
    )+};
    (@floats $($word:ident $of:path),+) => {$(
        #[inline(always)]
        unsafe fn $word(a: Self::F, b: Self::F) -> Self::F {
            unsafe { [$of(a[0], b[0]), $of(a[1], b[1])] }
        }
    )+};
}
pub(crate) use pair;
