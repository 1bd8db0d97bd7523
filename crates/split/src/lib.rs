//! The language model over many weak PCs: which expert lives where, what is cut into stages, and what a node is to hold.
//!
//! `expert` reads what the owner wants, `manifest` knows all models and sets of them, `shape` their bytes,
//! `place` makes the plan, `assign` is what one node is told to hold, `report` what it says it holds, `lead` knows who plans.
//! `wire` is what the stages of a cut model say to each other, `pipe` when and why.
//! It exists so that the agent, rpc-worker and `duet plan` mean the same by an expert and by a stage.
//! It deliberately opens no file and no socket, and names no model's library.

#![forbid(unsafe_code)]

pub mod assign;
pub mod expert;
pub mod lead;
pub mod manifest;
pub mod pipe;
pub mod place;
pub mod report;
pub mod shape;
pub mod wire;
