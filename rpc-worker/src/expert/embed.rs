//! The thread of a model for embeddings: one text after the other.

use super::figures::{Count, Figures, Ticket};
use engine::{Context, Token};
use std::sync::mpsc::Receiver;
use std::time::Instant;
use tokio::sync::oneshot;

/// One vector for each text, or what went wrong.
pub type Vectors = Result<Vec<Vec<f32>>, String>;

/// Texts whose vectors are asked for.
pub struct EmbedJob {
    pub texts: Vec<Vec<Token>>,
    pub answer: oneshot::Sender<Vectors>,
    pub ticket: Ticket,
}

/// Works until nobody can send jobs any more.
pub fn run(mut context: Context, jobs: &Receiver<EmbedJob>, figures: &Figures) {
    while let Ok(mut job) = jobs.recv() {
        job.ticket.seated();
        figures.set_busy(1);
        let mut vectors = Vec::new();
        let mut failed = None;
        for text in &job.texts {
            if job.answer.is_closed() {
                figures.add(Count::Cancelled, 1);
                break;
            }
            let start = Instant::now();
            match context.embed(text) {
                Ok(vector) => vectors.push(vector),
                Err(error) => failed = Some(error.to_string()),
            }
            figures.step(text.len(), 0, start.elapsed());
            figures.add(Count::PromptTokens, text.len() as u64);
            if failed.is_some() {
                figures.add(Count::Failed, 1);
                break;
            }
        }
        figures.set_busy(0);
        // Its client may be gone; then nobody needs to know.
        let _ = job.answer.send(failed.map_or(Ok(vectors), Err));
    }
}
