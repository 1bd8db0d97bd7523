//! Experts: models that answer requests.
//!
//! `backend` is what computes.

pub mod backend;
