//! Experts: models that answer requests of the OpenAI API.
//!
//! From the door inwards: `routes` are the paths and `replies` their answers, `wishes` and `hall` say which experts there
//! are, `serving` is one of them. `talk` makes tokens of messages and `form` a grammar of what they ask for, `schedule`
//! shares the `seat`s of a `backend` among requests. Of what it says `calls`, `logprobs`, `answers` and `stream` make what
//! a client reads. `whole` is the backend of a model that this node holds alone.

pub mod answers;
pub mod backend;
mod begun;
mod calls;
pub(crate) mod chances;
pub mod civil;
mod embed;
pub mod figures;
mod form;
pub mod hall;
pub mod holds;
pub mod job;
mod loader;
mod logprobs;
pub mod metrics;
mod rehearsal;
mod replies;
pub mod routes;
pub mod schedule;
mod seat;
pub mod serving;
mod stream;
pub mod talk;
pub mod whole;
pub mod wishes;
