//! Half-precision numbers, as ggml stores its scales.

/// Exact for every input, infinities and NaN with them.
#[inline(always)]
pub fn half_to_float(h: u16) -> f32 {
    // The shift keeps the sign; 2^112 corrects the exponent's bias, also for denormals.
    let bits = (i32::from(h as i16) << 13) as u32 & 0x8fff_e000;
    if h & 0x7c00 == 0x7c00 {
        return f32::from_bits(bits | 0x7f80_0000);
    }
    f32::from_bits(bits) * f32::from_bits(0x7780_0000)
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
    fn every_half_becomes_its_float() {
        for h in 0..=u16::MAX {
            let (got, want) = (f64::from(half_to_float(h)), by_definition(h));
            assert!(got == want || got.is_nan() && want.is_nan(), "{h:#06x}: {got} for {want}");
        }
    }
}
