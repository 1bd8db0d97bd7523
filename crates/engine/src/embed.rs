//! Embeddings: one vector for a whole text.

use crate::{Context, Error, Model, Row, Token, log, sys};

/// How the vectors of the tokens become one: as the model's file says, and by their mean where it says nothing.
pub(crate) fn pooling(model: &Model) -> sys::llama_pooling_type {
    match model.head().uint(&format!("{}.pooling_type", model.facts().architecture)) {
        Some(2) => sys::LLAMA_POOLING_TYPE_CLS,
        Some(3) => sys::LLAMA_POOLING_TYPE_LAST,
        _ => sys::LLAMA_POOLING_TYPE_MEAN,
    }
}

impl Context {
    /// The vector of a text, of length 1. The context must have been made for embeddings.
    pub fn embed(&mut self, tokens: &[Token]) -> Result<Vec<f32>, Error> {
        if !self.settings.embeddings {
            let (value, want) = ("off".to_owned(), "on for this".to_owned());
            return Err(Error::Setting { name: "embeddings", value, want });
        }
        self.forget(0, 0);
        let rows: Vec<Row> =
            (0..).zip(tokens).map(|(at, token)| Row { token: *token, at, seq: 0, output: true }).collect();
        self.evaluate_rows(&rows)?;
        // SAFETY: the context is live, and sequence 0 was part of the batch.
        let vector = unsafe { sys::llama_get_embeddings_seq(self.raw(), 0) };
        if vector.is_null() {
            return Err(log::refused("give the embedding"));
        }
        // SAFETY: the library keeps `n_embd_out` floats of the pooled sequence there until the next evaluation.
        let vector = unsafe { std::slice::from_raw_parts(vector, self.model.n_embd_out()) };
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !length.is_normal() {
            return Err(Error::Library {
                what: "embed the text",
                said: format!("the vector's length is {length}"),
            });
        }
        Ok(vector.iter().map(|x| (f64::from(*x) / length) as f32).collect())
    }
}
