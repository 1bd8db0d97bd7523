//! A conversation: the turn machine of `crates/voice`, and the hands that it wishes for.
//!
//! `parts` is what its hands look like from here. One ear, one mouth and one mind serve all conversations of a node; a
//! microphone, a key and a speaker belong to one: those of the PC, of a browser's page, of a caller of the API.
//! `driver` turns events into inputs of the machine and its wishes into jobs, without a clock; `saying` knows how far
//! ahead of the speaker speech is made, `tongue` which languages there are. `run` is its thread. `talks` lists all conversations of a node, `news` is what
//! they tell, `trace` what a turn leaves behind, `shown` how people see that, `meters` counts, `force` which settings hold.

mod driver;
#[cfg(test)]
pub mod echo;
pub mod force;
pub mod meters;
pub mod news;
pub mod parts;
mod post;
mod run;
mod saying;
pub mod shown;
pub mod talks;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tongue;
pub mod trace;

pub use driver::{Own, Shared, Talk};
pub use news::{Mood, News, Told, View};
pub use post::{EVENTS_MAX, Events, Post, Refused, post, post_for};
pub use talks::{Line, Talks, Whose};
