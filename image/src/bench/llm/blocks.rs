//! Random weights, in each type's own layout, with scales so small that nothing overflows.
//!
//! A weight comes out at about 0.03 in size, whatever the type: norms between the layers keep the rest in bounds.

use gguf::Kind;

/// Dice with a seed: splitmix64, whose every state gives a good number.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for eight in bytes.chunks_mut(8) {
            let n = eight.len();
            eight.copy_from_slice(&self.roll().to_le_bytes()[..n]);
        }
    }
}

/// Fills whole blocks of a type.
pub fn fill(kind: Kind, dice: &mut Dice, out: &mut [u8]) {
    dice.fill(out);
    for block in out.chunks_exact_mut(kind.block_bytes() as usize) {
        // One to two times the least scale, in 256 steps.
        let step = 1.0 + f32::from(block[0]) / 256.0;
        shape_block(kind, step, block);
    }
}

fn shape_block(kind: Kind, step: f32, block: &mut [u8]) {
    let mut scale = |at: usize, value: f32| block[at..at + 2].copy_from_slice(&half(value).to_le_bytes());
    match kind {
        Kind::Q8_0 | Kind::IQ4_NL => scale(0, 0.0003 * step),
        Kind::Q4_0 => scale(0, 0.004 * step),
        Kind::Q5_0 => scale(0, 0.002 * step),
        Kind::Q1_0 => scale(0, 0.02 * step),
        // The least value brings the mean to zero.
        Kind::Q4_1 => {
            scale(0, 0.004 * step);
            scale(2, -7.5 * 0.004 * step);
        }
        Kind::Q5_1 => {
            scale(0, 0.002 * step);
            scale(2, -15.5 * 0.002 * step);
        }
        Kind::Q4_K => {
            scale(0, 0.0001 * step);
            scale(2, 7.5 * 0.0001 * step);
        }
        Kind::Q5_K => {
            scale(0, 0.0001 * step);
            scale(2, 15.5 * 0.0001 * step);
        }
        Kind::Q6_K => {
            scale(208, 0.0001 * step);
            // Scales of 16: as large as they may be, they would leave no ordinary number for the scale of all.
            block[192..208].iter_mut().for_each(|scale| *scale = (*scale as i8 >> 3) as u8);
        }
        Kind::TQ1_0 => scale(52, 0.02 * step),
        Kind::TQ2_0 => {
            scale(64, 0.02 * step);
            block[..64].iter_mut().for_each(three_values);
        }
        Kind::Q2_0 => {
            scale(0, 0.02 * step);
            block[2..].iter_mut().for_each(three_values);
        }
        Kind::F16 => {
            // Any sign and mantissa; 2^-6 as exponent.
            let bits = u16::from_le_bytes([block[0], block[1]]);
            block.copy_from_slice(&(bits & 0x83ff | 9 << 10).to_le_bytes());
        }
        Kind::F32 => {
            let bits = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
            block.copy_from_slice(&(bits & 0x807f_ffff | 121 << 23).to_le_bytes());
        }
        other => unreachable!("no mixture holds {other}"),
    }
}

/// Four weights of two bits; the fourth value, which ternary models do not use, becomes the second.
fn three_values(byte: &mut u8) {
    let both = *byte & (*byte >> 1) & 0x55;
    *byte &= !(both << 1);
}

/// A number as 16 bits; exact enough for a random scale.
pub fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23 & 0xff) as i32 - 127;
    assert!((-14..=15).contains(&exponent), "{value} is no ordinary number of 16 bits");
    sign | ((exponent + 15) as u16) << 10 | (bits >> 13) as u16 & 0x3ff
}

#[cfg(test)]
mod tests {
    use super::super::shape::MIXES;
    use super::*;

    fn of_half(bits: u16) -> f32 {
        let size = (1.0 + f32::from(bits & 0x3ff) / 1024.0) * 2f32.powi(i32::from(bits >> 10 & 31) - 15);
        if bits & 0x8000 == 0 { size } else { -size }
    }

    #[test]
    fn halves_say_what_was_meant() {
        for value in [0.0001, -0.0075, 0.03, 1.0, -2.5, 0.02 * 1.996] {
            let error = (of_half(half(value)) - value).abs() / value.abs();
            assert!(error < 0.001, "{value} became {}", of_half(half(value)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_weights() {
        let block = |seed| {
            let mut bytes = vec![0; 144 * 3];
            fill(Kind::Q4_K, &mut Dice::new(seed), &mut bytes);
            bytes
        };
        assert_eq!(block(7), block(7));
        assert_ne!(block(7), block(8));
    }

    #[test]
    fn every_type_of_every_mixture_can_be_made() {
        for mix in &MIXES {
            for kind in [mix.most, mix.careful] {
                let mut bytes = vec![0; kind.block_bytes() as usize * 2];
                fill(kind, &mut Dice::new(1), &mut bytes);
                assert!(bytes.iter().any(|byte| *byte != 0), "{kind}");
            }
        }
    }

    #[test]
    fn ternary_weights_have_three_values() {
        let mut bytes = vec![0; 66 * 20];
        fill(Kind::TQ2_0, &mut Dice::new(3), &mut bytes);
        for block in bytes.chunks(66) {
            for byte in &block[..64] {
                assert!((0..4).all(|part| byte >> (2 * part) & 3 != 3), "{byte:08b}");
            }
        }
    }
}
