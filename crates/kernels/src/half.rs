//! Half-precision numbers, as ggml stores its scales.

/// Exact for every input, infinities with them; what is no number keeps its bits, and is quiet.
///
/// No step meets a denormal float, which would cost a Core 2 some 150 cycles: the scales of Q6_K are tiny halves more
/// often than not.
#[inline(always)]
pub fn half_to_float(h: u16) -> f32 {
    let magnitude = u32::from(h & 0x7fff);
    let float = match magnitude {
        // Without a leading bit it is a whole number of the smallest step, 2^-24.
        0..0x0400 => magnitude as i32 as f32 * f32::from_bits(0x3380_0000),
        // 112 lies between the two biases of the exponent.
        0x0400..0x7c00 => f32::from_bits((magnitude << 13) + (112 << 23)),
        0x7c00 => f32::INFINITY,
        _ => f32::from_bits(magnitude << 13 | 0x7fc0_0000),
    };
    f32::from_bits(float.to_bits() | u32::from(h >> 15) << 31)
}

/// Reads the half-precision number at `p`.
///
/// # Safety
/// Two bytes at `p` must be readable.
#[inline(always)]
pub unsafe fn half_at(p: *const u8) -> f32 {
    // SAFETY: the caller's promise.
    half_to_float(unsafe { p.cast::<u16>().read_unaligned() })
}

/// Rounded to the nearest, ties to even, as ggml's plain C does it: see `pair::base::narrow8`.
#[inline(always)]
pub fn float_to_half(v: f32) -> u16 {
    let sign = (v.to_bits() >> 16) as u16 & 0x8000;
    if v.is_nan() {
        return sign | 0x7e00;
    }
    let base = v.abs() * f32::from_bits(0x7780_0000) * f32::from_bits(0x0880_0000);
    let exponent = (v.to_bits() & 0x7f80_0000).max(0x3880_0000);
    let bits = (base + f32::from_bits(exponent + 0x0780_0000)).to_bits();
    sign | ((bits >> 13 & 0x7c00) + (bits & 0x0fff)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: sign, exponent, fraction.
    fn by_definition(h: u16) -> f64 {
        let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(h >> 10 & 31), f64::from(h & 1023));
        match exponent {
            0 => sign * fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_comes_back_from_its_float() {
        for h in (0..=u16::MAX).filter(|h| h & 0x7fff <= 0x7c00) {
            assert_eq!(float_to_half(half_to_float(h)), h);
        }
    }

    #[test]
    fn a_float_becomes_the_nearest_half_and_a_tie_the_even_one() {
        for h in 0..0x7bff_u16 {
            let (low, high) = (half_to_float(h), half_to_float(h + 1));
            let middle = (low + high) / 2.0;
            assert_eq!(float_to_half(middle), h + (h & 1), "tie above {h:#06x}");
            assert_eq!(
                float_to_half(f32::from_bits(middle.to_bits() - 1)),
                h,
                "below the tie above {h:#06x}"
            );
            assert_eq!(float_to_half(-f32::from_bits(middle.to_bits() + 1)), (h + 1) | 0x8000);
        }
        assert_eq!(float_to_half(65520.0), 0x7c00);
        assert_eq!(float_to_half(f32::MAX), 0x7c00);
        assert_eq!(float_to_half(f32::MIN_POSITIVE / 4.0), 0);
    }

    #[test]
    fn every_half_becomes_its_float() {
        for h in 0..=u16::MAX {
            let (got, want) = (f64::from(half_to_float(h)), by_definition(h));
            assert!(got == want || got.is_nan() && want.is_nan(), "{h:#06x}: {got} for {want}");
        }
    }
}
