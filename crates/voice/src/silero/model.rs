//! The file of the weights, as whisper.cpp's converter writes it. Nothing of it is believed: one shape is known, and all
//! else is refused.

use std::collections::BTreeMap;
use std::fmt;

/// Larger than any file of this shape.
pub const FILE_BYTES_MAX: u64 = 2 << 20;
/// "ggml", as a number.
const MAGIC: u32 = 0x6767_6d6c;
const KIND_BYTES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;
const F16: u32 = 1;

pub(super) const BINS: usize = 129;
pub(super) const HIDDEN: usize = 128;
/// Channels in, channels out, and the stride of each layer.
pub(super) const CHANNELS: [(usize, usize, usize); 4] =
    [(BINS, 128, 1), (128, 64, 2), (64, 64, 2), (64, HIDDEN, 1)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SileroError {
    NotSilero,
    /// It ends in the middle, or goes on behind its end.
    Length,
    /// A number of the head, or of a tensor's shape.
    Shape,
    Missing,
    /// A weight is no number.
    Number,
}

impl fmt::Display for SileroError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            SileroError::NotSilero => "this is no Silero model in ggml's format",
            SileroError::Length => "the Silero model is cut off, or longer than it should be",
            SileroError::Shape => "this Silero model has another shape than version 6 at 16 kHz",
            SileroError::Missing => "the Silero model lacks a tensor",
            SileroError::Number => "a weight of the Silero model is no number",
        })
    }
}

impl std::error::Error for SileroError {}

/// All weights, as rows of floats.
#[derive(Debug)]
pub struct Weights {
    pub(super) basis: Vec<f32>,
    /// Weights and bias.
    pub(super) layers: Vec<(Vec<f32>, Vec<f32>)>,
    pub(super) from_input: Vec<f32>,
    pub(super) from_hidden: Vec<f32>,
    /// Of both.
    pub(super) gate_bias: Vec<f32>,
    pub(super) last: Vec<f32>,
    pub(super) last_bias: f32,
}

impl Weights {
    pub fn read(file: &[u8]) -> Result<Weights, SileroError> {
        let mut source = Source(file);
        if source.number().map_err(|_| SileroError::NotSilero)? != MAGIC {
            return Err(SileroError::NotSilero);
        }
        let n_bytes = source.number()? as usize;
        let kind = if n_bytes <= KIND_BYTES_MAX { source.bytes(n_bytes)? } else { b"" };
        if !kind.starts_with(b"silero") {
            return Err(SileroError::NotSilero);
        }
        // The version says nothing that the shape does not.
        source.bytes(12)?;
        let layers = CHANNELS.iter().flat_map(|(n_in, n_out, _)| [*n_in, *n_out, super::TAPS]);
        let head = [super::WINDOW, super::CONTEXT, CHANNELS.len()].into_iter().chain(layers);
        for want in head.chain([HIDDEN, HIDDEN, HIDDEN, 1]) {
            if source.number()? as usize != want {
                return Err(SileroError::Shape);
            }
        }
        let mut tensors = BTreeMap::new();
        while !source.0.is_empty() {
            let (name, values) = source.tensor()?;
            if tensors.insert(name, values).is_some() {
                return Err(SileroError::Shape);
            }
        }
        let mut take = |name: &str, n: usize| match tensors.remove(name.as_bytes()) {
            Some(values) if values.len() == n => Ok(values),
            Some(_) => Err(SileroError::Shape),
            None => Err(SileroError::Missing),
        };
        let mut layers = vec![];
        for (idx, (n_in, n_out, _)) in CHANNELS.iter().enumerate() {
            let name = format!("_model.encoder.{idx}.reparam_conv");
            let weights = take(&format!("{name}.weight"), n_in * n_out * super::TAPS)?;
            layers.push((weights, take(&format!("{name}.bias"), *n_out)?));
        }
        let gates = 4 * HIDDEN;
        let mut gate_bias = take("_model.decoder.rnn.bias_ih", gates)?;
        let more = take("_model.decoder.rnn.bias_hh", gates)?;
        gate_bias.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        let weights = Weights {
            basis: take("_model.stft.forward_basis_buffer", 2 * BINS * super::SPECTRUM)?,
            layers,
            from_input: take("_model.decoder.rnn.weight_ih", gates * HIDDEN)?,
            from_hidden: take("_model.decoder.rnn.weight_hh", gates * HIDDEN)?,
            gate_bias,
            last: take("_model.decoder.decoder.2.weight", HIDDEN)?,
            last_bias: take("_model.decoder.decoder.2.bias", 1)?[0],
        };
        if tensors.is_empty() { Ok(weights) } else { Err(SileroError::Shape) }
    }
}

struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn bytes(&mut self, n: usize) -> Result<&'a [u8], SileroError> {
        let (bytes, rest) = self.0.split_at_checked(n).ok_or(SileroError::Length)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, SileroError> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn tensor(&mut self) -> Result<(&'a [u8], Vec<f32>), SileroError> {
        let (n_dims, n_name, kind) = (self.number()?, self.number()? as usize, self.number()?);
        if n_dims > 3 || n_name > NAME_BYTES_MAX || kind > F16 {
            return Err(SileroError::Shape);
        }
        let mut n = 1usize;
        for _ in 0..n_dims {
            n = n.checked_mul(self.number()? as usize).ok_or(SileroError::Shape)?;
        }
        let name = self.bytes(n_name)?;
        let width = if kind == F16 { 2 } else { 4 };
        // The bytes are there before anything is made of them.
        let bytes = self.bytes(n.checked_mul(width).ok_or(SileroError::Shape)?)?;
        let values: Vec<f32> = match kind {
            F16 => bytes.as_chunks::<2>().0.iter().map(|half| widen(u16::from_le_bytes(*half))).collect(),
            _ => bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
        };
        if values.iter().all(|value| value.is_finite()) {
            Ok((name, values))
        } else {
            Err(SileroError::Number)
        }
    }
}

/// A float of 16 bits.
fn widen(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(half >> 10 & 0x1f), f32::from(half & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1f => f32::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(window: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend(10u32.to_le_bytes());
        bytes.extend(b"silero-16k");
        let numbers =
            [6, 2, 0, window, 64, 4, 129, 128, 3, 128, 64, 3, 64, 64, 3, 64, 128, 3, 128, 128, 128, 1];
        bytes.extend(numbers.iter().flat_map(|number: &u32| number.to_le_bytes()));
        bytes
    }

    fn tensor(dims: &[u32], name: &str, kind: u32, body: &[u8]) -> Vec<u8> {
        let numbers = [dims.len() as u32, name.len() as u32, kind];
        let mut bytes: Vec<u8> = numbers.iter().chain(dims).flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(name.as_bytes());
        bytes.extend(body);
        bytes
    }

    fn check(bytes: &[u8], want: SileroError) {
        assert_eq!(Weights::read(bytes).map(|_| ()), Err(want));
    }

    #[test]
    fn what_is_no_model_of_this_shape_is_refused() {
        check(b"", SileroError::NotSilero);
        check(b"RIFFxxxx", SileroError::NotSilero);
        check(&head(512)[..30], SileroError::Length);
        check(&head(256), SileroError::Shape);
        check(&head(512), SileroError::Missing);
    }

    #[test]
    fn a_tensor_is_held_to_its_bytes_before_anything_is_made_of_them() {
        let with = |tensor: Vec<u8>| [head(512), tensor].concat();
        check(&with(tensor(&[u32::MAX, u32::MAX, u32::MAX], "x", 0, &[])), SileroError::Shape);
        check(&with(tensor(&[1 << 30], "x", 0, &[0; 64])), SileroError::Length);
        check(&with(tensor(&[1], "x", 7, &[0; 4])), SileroError::Shape);
        check(&with(tensor(&[1], "x", 0, &f32::NAN.to_le_bytes())), SileroError::Number);
        check(&with(tensor(&[1], "x", 1, &0x7c00u16.to_le_bytes())), SileroError::Number);
        let twice = tensor(&[1], "x", 0, &[0; 4]).repeat(2);
        check(&with(twice), SileroError::Shape);
    }

    #[test]
    fn halves_become_floats() {
        assert_eq!([0x3c00, 0xc000, 0x0001, 0x3555].map(widen), [1.0, -2.0, 5.960_464_5e-8, 0.333_251_95]);
    }
}
