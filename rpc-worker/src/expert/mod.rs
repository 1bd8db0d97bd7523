//! Experts: models that answer requests of the OpenAI API.
//!
//! From the door inwards: `routes` are the paths, `wishes` and `hall` say which experts there are, `serving` is one of
//! them. `talk` makes tokens of messages, `schedule` shares the slots of a `backend` among requests, `calls` and
//! `answers` make of what it says what a client reads. `whole` is the backend of a model that this node holds alone.

pub mod answers;
pub mod backend;
mod begun;
mod calls;
pub(crate) mod chances;
mod embed;
pub mod figures;
pub mod hall;
pub mod holds;
pub mod job;
mod loader;
pub mod metrics;
pub mod routes;
pub mod schedule;
pub mod serving;
pub mod talk;
pub mod whole;
pub mod wishes;
