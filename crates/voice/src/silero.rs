//! Silero's detector of voice, version 6, read from whisper.cpp's file and computed here.
//!
//! whisper.cpp has it too, but begins from nothing at each call: a stream would hear the same second again and again.
//! Here the state stays, so 32 ms of sound cost 32 ms of work: 0.7 M products. The weights are shared by all who listen.
//! One thing is as Silero trained it and not as whisper.cpp 1.8.3 does it: before a window come the last samples of
//! the one before, not the window's own beginning mirrored.

mod model;

pub use model::{FILE_BYTES_MAX, SileroError, Weights};

use model::{BINS, CHANNELS, HIDDEN};
use std::sync::Arc;

/// Samples of a window at 16 kHz: 32 ms.
pub const WINDOW: usize = 512;
/// What comes before a window, and after it mirrored.
const CONTEXT: usize = 64;
const PADDED: usize = CONTEXT + WINDOW + CONTEXT;
/// Of the spectra in a window.
const SPECTRUM: usize = 256;
const HOP: usize = 128;
const TIMES: usize = (PADDED - SPECTRUM) / HOP + 1;
const TAPS: usize = 3;

/// One listener.
#[derive(Debug, Clone)]
pub struct Silero {
    weights: Arc<Weights>,
    context: [f32; CONTEXT],
    hidden: [f32; HIDDEN],
    cell: [f32; HIDDEN],
}

impl Silero {
    pub fn new(weights: Arc<Weights>) -> Silero {
        Silero { weights, context: [0.0; CONTEXT], hidden: [0.0; HIDDEN], cell: [0.0; HIDDEN] }
    }

    /// Another recording begins.
    pub fn reset(&mut self) {
        *self = Silero::new(self.weights.clone());
    }

    /// How likely it is that the next window, from -1 to 1, has voice in it.
    pub fn hear(&mut self, window: &[f32; WINDOW]) -> f32 {
        let before = self.context;
        self.context.copy_from_slice(&window[WINDOW - CONTEXT..]);
        self.step(&before, window)
    }

    fn step(&mut self, before: &[f32; CONTEXT], window: &[f32; WINDOW]) -> f32 {
        let mut sound = [0.0; PADDED];
        sound[..CONTEXT].copy_from_slice(before);
        sound[CONTEXT..CONTEXT + WINDOW].copy_from_slice(window);
        for idx in 0..CONTEXT {
            sound[CONTEXT + WINDOW + idx] = sound[CONTEXT + WINDOW - 2 - idx];
        }
        let weights = self.weights.clone();
        let mut columns = spectra(&weights, &sound);
        for (layer, &(_, _, stride)) in weights.layers.iter().zip(&CHANNELS) {
            columns = convolve(layer, &columns, stride);
        }
        self.remember(&weights, &columns[0]);
        let sum =
            weights.last.iter().zip(&self.hidden).map(|(weight, value)| weight * value.max(0.0)).sum::<f32>();
        sigmoid(sum + weights.last_bias)
    }

    /// A long short-term memory: gates for in, forget, new and out.
    fn remember(&mut self, weights: &Weights, input: &[f32]) {
        let mut gates = weights.gate_bias.clone();
        for (idx, gate) in gates.iter_mut().enumerate() {
            let row = idx * HIDDEN..(idx + 1) * HIDDEN;
            *gate +=
                dot(&weights.from_input[row.clone()], input) + dot(&weights.from_hidden[row], &self.hidden);
        }
        for idx in 0..HIDDEN {
            let gate = |n: usize| gates[n * HIDDEN + idx];
            self.cell[idx] = sigmoid(gate(1)) * self.cell[idx] + sigmoid(gate(0)) * gate(2).tanh();
            self.hidden[idx] = sigmoid(gate(3)) * self.cell[idx].tanh();
        }
    }
}

/// Loudness of each pitch, for each time.
fn spectra(weights: &Weights, sound: &[f32; PADDED]) -> Vec<Vec<f32>> {
    let at = |time: usize| {
        let part = &sound[time * HOP..time * HOP + SPECTRUM];
        let of = |bin: usize| dot(&weights.basis[bin * SPECTRUM..(bin + 1) * SPECTRUM], part);
        (0..BINS).map(|bin| of(bin).hypot(of(bin + BINS))).collect()
    };
    (0..TIMES).map(at).collect()
}

/// Each output sees a time and its two neighbours; what is negative becomes nothing.
fn convolve(layer: &(Vec<f32>, Vec<f32>), columns: &[Vec<f32>], stride: usize) -> Vec<Vec<f32>> {
    let (weights, bias) = layer;
    let n_in = columns[0].len();
    let at = |middle: usize| {
        let mut seen = vec![0.0; n_in * TAPS];
        for tap in 0..TAPS {
            let column = (middle + tap).checked_sub(1).and_then(|time| columns.get(time));
            for (idx, value) in column.into_iter().flatten().enumerate() {
                seen[idx * TAPS + tap] = *value;
            }
        }
        let rows = weights.chunks_exact(n_in * TAPS).zip(bias);
        rows.map(|(row, bias)| (dot(row, &seen) + bias).max(0.0)).collect()
    };
    (0..columns.len()).step_by(stride).map(at).collect()
}

/// Eight sums side by side, which the compiler makes vectors of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// For a comparison with whisper.cpp: the likelihoods of a whole recording as it computes them.
pub fn as_whisper_cpp(weights: Arc<Weights>, sound: &[f32]) -> Vec<f32> {
    let mut silero = Silero::new(weights);
    let mut step = |window: &[f32; WINDOW]| {
        let mut before = [0.0; CONTEXT];
        for (idx, value) in before.iter_mut().rev().enumerate() {
            *value = window[1 + idx];
        }
        silero.step(&before, window)
    };
    sound.as_chunks::<WINDOW>().0.iter().map(&mut step).collect()
}
