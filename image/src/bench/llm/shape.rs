//! The shapes of the models that are measured, and which tensor of them has which type.
//!
//! Only sizes are those of the models; the weights are random.

use gguf::Kind;

/// How a model is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// As people call the model.
    pub name: &'static str,
    /// As the format calls its architecture.
    pub architecture: Architecture,
    pub width: u64,
    pub heads: u64,
    pub heads_kv: u64,
    pub head_width: u64,
    pub hidden: u64,
    pub layers: u64,
    pub vocabulary: u64,
    /// Width, heads and heads for keys and values, for types whose blocks do not divide the true width.
    pub widened: Option<(u64, u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Llama,
    /// Biases in the attention.
    Qwen2,
    /// Norms in the attention.
    Qwen3,
}

impl Architecture {
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }
}

pub const SMOLLM2: Shape = Shape {
    name: "SmolLM2-135M",
    architecture: Architecture::Llama,
    width: 576,
    heads: 9,
    heads_kv: 3,
    head_width: 64,
    hidden: 1536,
    layers: 30,
    vocabulary: 49_152,
    widened: Some((768, 12, 4)),
};

pub const QWEN2: Shape = Shape {
    name: "Qwen2.5-0.5B",
    architecture: Architecture::Qwen2,
    width: 896,
    heads: 14,
    heads_kv: 2,
    head_width: 64,
    hidden: 4864,
    layers: 24,
    vocabulary: 151_936,
    widened: Some((1024, 16, 2)),
};

pub const BONSAI: Shape = Shape {
    name: "Bonsai-1.7B",
    architecture: Architecture::Qwen3,
    width: 2048,
    heads: 16,
    heads_kv: 8,
    head_width: 128,
    hidden: 6144,
    layers: 28,
    vocabulary: 151_936,
    widened: None,
};

pub const SHAPES: [Shape; 3] = [SMOLLM2, QWEN2, BONSAI];

/// What a model's tensors are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    pub name: &'static str,
    /// Most matrices.
    pub most: Kind,
    /// The token matrix, and in every second layer what makes values and what ends the layer.
    pub careful: Kind,
}

const fn pure(name: &'static str, kind: Kind) -> Mix {
    Mix { name, most: kind, careful: kind }
}

/// Every quantisation that is measured. Only one is a mixture, so that each row shows one kernel.
pub const MIXES: [Mix; 14] = [
    pure("F16", Kind::F16),
    pure("Q8_0", Kind::Q8_0),
    pure("Q4_0", Kind::Q4_0),
    pure("Q4_1", Kind::Q4_1),
    pure("Q5_0", Kind::Q5_0),
    pure("Q5_1", Kind::Q5_1),
    Mix { name: "Q4_K_M", most: Kind::Q4_K, careful: Kind::Q6_K },
    pure("Q5_K", Kind::Q5_K),
    pure("Q6_K", Kind::Q6_K),
    pure("IQ4_NL", Kind::IQ4_NL),
    pure("TQ1_0", Kind::TQ1_0),
    pure("TQ2_0", Kind::TQ2_0),
    pure("Q1_0", Kind::Q1_0),
    pure("Q2_0", Kind::Q2_0),
];

/// A matrix or a row of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    /// Innermost first.
    pub dims: Vec<u64>,
    pub kind: Kind,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Weights,
    /// All ones: a norm that changes nothing.
    Ones,
    /// Small numbers.
    Bias,
}

impl Shape {
    /// The same with rows that are whole blocks of every type in the mixture.
    pub fn fit(self, mix: &Mix) -> Shape {
        let fits =
            |width: u64| width.is_multiple_of(mix.most.block()) && width.is_multiple_of(mix.careful.block());
        match self.widened {
            Some((width, heads, heads_kv)) if !fits(self.width) => Shape { width, heads, heads_kv, ..self },
            _ => self,
        }
    }

    /// All tensors of a model with `layers` layers, in the order of the file.
    pub fn parts(&self, mix: &Mix, layers: u64) -> Vec<Part> {
        let part = |name: String, dims: &[u64], kind: Kind, role: Role| Part {
            name,
            dims: dims.to_vec(),
            kind,
            role,
        };
        let ones = |name: String, n: u64| part(name, &[n], Kind::F32, Role::Ones);
        let mut parts = vec![
            part("token_embd.weight".into(), &[self.width, self.vocabulary], mix.careful, Role::Weights),
            ones("output_norm.weight".into(), self.width),
        ];
        let (queries, keys) = (self.heads * self.head_width, self.heads_kv * self.head_width);
        let matrices = [
            ("attn_q", self.width, queries),
            ("attn_k", self.width, keys),
            ("attn_v", self.width, keys),
            ("attn_output", queries, self.width),
            ("ffn_gate", self.width, self.hidden),
            ("ffn_up", self.width, self.hidden),
            ("ffn_down", self.hidden, self.width),
        ];
        for layer in 0..layers {
            let name = |what: &str, end: &str| format!("blk.{layer}.{what}.{end}");
            parts.push(ones(name("attn_norm", "weight"), self.width));
            parts.push(ones(name("ffn_norm", "weight"), self.width));
            if self.architecture == Architecture::Qwen3 {
                parts.push(ones(name("attn_q_norm", "weight"), self.head_width));
                parts.push(ones(name("attn_k_norm", "weight"), self.head_width));
            }
            for (what, columns, rows) in matrices {
                let careful = matches!(what, "attn_v" | "ffn_down") && layer % 2 == 0;
                let kind = if careful { mix.careful } else { mix.most };
                parts.push(part(name(what, "weight"), &[columns, rows], kind, Role::Weights));
                let biased = matches!(what, "attn_q" | "attn_k" | "attn_v");
                if biased && self.architecture == Architecture::Qwen2 {
                    parts.push(part(name(what, "bias"), &[rows], Kind::F32, Role::Bias));
                }
            }
        }
        parts
    }
}

impl Part {
    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        let rows: u64 = self.dims[1..].iter().product();
        self.kind.bytes_of(self.dims[0]).expect("a shape is fitted to its mixture first") * rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(shape: Shape, mix: &Mix) -> u64 {
        shape.fit(mix).parts(mix, shape.layers).iter().map(|part| part.dims.iter().product::<u64>()).sum()
    }

    #[test]
    fn the_shapes_have_as_many_weights_as_the_models() {
        // The models' own papers: 134.5 million, 494 million, 1.72 thousand million.
        assert_eq!(weights(SMOLLM2, &MIXES[0]) / 100_000, 1345);
        assert_eq!(weights(QWEN2, &MIXES[0]) / 1_000_000, 494);
        assert_eq!(weights(BONSAI, &MIXES[0]) / 10_000_000, 172);
    }

    #[test]
    fn every_row_is_whole_blocks_in_every_shape_and_mixture() {
        for shape in SHAPES {
            for mix in &MIXES {
                let fitted = shape.fit(mix);
                assert_eq!(fitted.heads % fitted.heads_kv, 0);
                for part in fitted.parts(mix, 2) {
                    assert!(
                        part.kind.bytes_of(part.dims[0]).is_some(),
                        "{} of {} as {}",
                        part.name,
                        shape.name,
                        mix.name
                    );
                }
            }
        }
    }

    #[test]
    fn only_what_does_not_fit_is_widened() {
        assert_eq!(SMOLLM2.fit(&MIXES[2]).width, 576);
        assert_eq!(SMOLLM2.fit(&MIXES[6]).width, 768);
    }
}
