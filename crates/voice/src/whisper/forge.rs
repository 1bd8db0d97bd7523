//! Writes whisper models with random weights: what a model costs follows its shape, not what it knows.

use std::io::{self, Write};

/// How the large tensors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    F16,
    Q8_0,
    Q4_0,
    Q5_1,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::F16, Kind::Q8_0, Kind::Q4_0, Kind::Q5_1];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::F16 => "f16",
            Kind::Q8_0 => "q8_0",
            Kind::Q4_0 => "q4_0",
            Kind::Q5_1 => "q5_1",
        }
    }

    /// The file's number and ggml's.
    const fn numbers(self) -> (u32, u32) {
        match self {
            Kind::F16 => (1, 1),
            Kind::Q8_0 => (2007, 8),
            Kind::Q4_0 => (2002, 2),
            Kind::Q5_1 => (2009, 7),
        }
    }
}

/// The numbers that decide what a model costs.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    pub n_state: u32,
    pub n_head: u32,
    pub n_layer: u32,
    pub n_text_ctx: u32,
}

/// The smallest that can be heard with: for tests, and for trying that a file is read at all.
pub const SMALL: Form = Form { n_state: 32, n_head: 2, n_layer: 1, n_text_ctx: 32 };

const N_VOCAB: u32 = 51_864;
const N_WORDS: u32 = 50_257;
/// Where GPT-2's vocabulary has the lone blank.
const BLANK: u32 = 220;
const N_AUDIO_CTX: u32 = 1500;
const N_MELS: u32 = 80;
const BINS: u32 = 201;
const GGML_F32: u32 = 0;
const GGML_F16: u32 = 1;

/// The file of a [`SMALL`] one.
pub fn small(kind: Kind) -> Vec<u8> {
    let mut file = Vec::new();
    write(&mut file, &SMALL, kind, 1).expect("a vector takes every byte");
    file
}

/// Writes the whole file. The same seed gives the same bytes.
pub fn write(out: &mut impl Write, form: &Form, kind: Kind, seed: u64) -> io::Result<()> {
    let Form { n_state: d, n_head, n_layer, n_text_ctx } = *form;
    let mut forge = Forge { out, dice: Dice(seed | 1), kind };
    forge.numbers(&[0x6767_6d6c, N_VOCAB, N_AUDIO_CTX, d, n_head, n_layer])?;
    forge.numbers(&[n_text_ctx, d, n_head, n_layer, N_MELS, kind.numbers().0])?;
    forge.filters()?;
    forge.words()?;
    forge.small("encoder.positional_embedding", &[d, N_AUDIO_CTX], 0.0)?;
    for (name, width) in [("conv1", N_MELS), ("conv2", d)] {
        forge.half(&format!("encoder.{name}.weight"), &[3, width, d])?;
        forge.small(&format!("encoder.{name}.bias"), &[1, d], 0.0)?;
    }
    forge.norm("encoder.ln_post", d)?;
    for part in ["encoder", "decoder"] {
        for layer in 0..n_layer {
            let block = format!("{part}.blocks.{layer}");
            forge.norm(&format!("{block}.mlp_ln"), d)?;
            forge.linear(&format!("{block}.mlp.0"), d, 4 * d, true)?;
            forge.linear(&format!("{block}.mlp.2"), 4 * d, d, true)?;
            let attentions: &[&str] = if part == "encoder" { &["attn"] } else { &["attn", "cross_attn"] };
            for attention in attentions {
                let block = format!("{block}.{attention}");
                forge.norm(&format!("{block}_ln"), d)?;
                for name in ["query", "key", "value", "out"] {
                    forge.linear(&format!("{block}.{name}"), d, d, name != "key")?;
                }
            }
        }
    }
    forge.small("decoder.positional_embedding", &[d, n_text_ctx], 0.0)?;
    forge.large("decoder.token_embedding.weight", &[d, N_VOCAB])?;
    forge.norm("decoder.ln", d)
}

/// Dice (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From -1 to 1.
    fn float(&mut self) -> f32 {
        (self.roll() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

struct Forge<'a, W> {
    out: &'a mut W,
    dice: Dice,
    kind: Kind,
}

impl<W: Write> Forge<'_, W> {
    fn numbers(&mut self, numbers: &[u32]) -> io::Result<()> {
        numbers.iter().try_for_each(|number| self.out.write_all(&number.to_le_bytes()))
    }

    /// Triangles that widen with the pitch, as true filters do.
    fn filters(&mut self) -> io::Result<()> {
        self.numbers(&[N_MELS, BINS])?;
        let centre =
            |band: u32| (BINS - 1) as f32 * ((band as f32 / 40.0).exp() - 1.0) / (2.025_f32.exp() - 1.0);
        for band in 1..=N_MELS {
            let (left, middle, right) = (centre(band - 1), centre(band), centre(band + 1));
            let half = ((right - left) / 2.0).max(1.0);
            for bin in 0..BINS {
                let height = (1.0 - (bin as f32 - middle).abs() / half).max(0.0) / half / 40.0;
                self.out.write_all(&height.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn words(&mut self) -> io::Result<()> {
        self.numbers(&[N_WORDS])?;
        for idx in 0..N_WORDS {
            let word = if idx == BLANK { " ".to_string() } else { format!(" w{idx}") };
            self.numbers(&[word.len() as u32])?;
            self.out.write_all(word.as_bytes())?;
        }
        Ok(())
    }

    fn norm(&mut self, name: &str, width: u32) -> io::Result<()> {
        self.small(&format!("{name}.weight"), &[width], 1.0)?;
        self.small(&format!("{name}.bias"), &[width], 0.0)
    }

    fn linear(&mut self, name: &str, from: u32, to: u32, has_bias: bool) -> io::Result<()> {
        self.large(&format!("{name}.weight"), &[from, to])?;
        if has_bias { self.small(&format!("{name}.bias"), &[to], 0.0) } else { Ok(()) }
    }

    fn head(&mut self, name: &str, dims: &[u32], ggml: u32) -> io::Result<u32> {
        self.numbers(&[dims.len() as u32, name.len() as u32, ggml])?;
        self.numbers(dims)?;
        self.out.write_all(name.as_bytes())?;
        Ok(dims.iter().product())
    }

    /// Floats around `middle`.
    fn small(&mut self, name: &str, dims: &[u32], middle: f32) -> io::Result<()> {
        let n = self.head(name, dims, GGML_F32)?;
        (0..n).try_for_each(|_| {
            let value = middle + 0.03 * self.dice.float();
            self.out.write_all(&value.to_le_bytes())
        })
    }

    fn half(&mut self, name: &str, dims: &[u32]) -> io::Result<()> {
        let n = self.head(name, dims, GGML_F16)?;
        (0..n).try_for_each(|_| {
            // Sign and fraction at random, sizes from 2^-7 to 2^-4.
            let roll = self.dice.roll() as u16;
            let exponent = 8 + (roll >> 10 & 3);
            self.out.write_all(&(roll & 0x83ff | exponent << 10).to_le_bytes())
        })
    }

    fn large(&mut self, name: &str, dims: &[u32]) -> io::Result<()> {
        // A scale of 2^-11 or 2^-8, so that a row of random blocks is about as loud as one of a real model.
        let (scale, n_random): ([u16; 2], usize) = match self.kind {
            Kind::F16 => return self.half(name, dims),
            Kind::Q8_0 => ([0x1000, 0], 32),
            Kind::Q4_0 => ([0x1c00, 0], 16),
            // The least value: -16 steps.
            Kind::Q5_1 => ([0x1c00, 0xac00], 20),
        };
        let n = self.head(name, dims, self.kind.numbers().1)?;
        let n_scales = if scale[1] == 0 { 1 } else { 2 };
        (0..n / 32).try_for_each(|_| {
            let mut block = vec![];
            block.extend(scale[..n_scales].iter().flat_map(|half| half.to_le_bytes()));
            block.extend((0..n_random / 4).flat_map(|_| (self.dice.roll() as u32).to_le_bytes()));
            self.out.write_all(&block)
        })
    }
}
