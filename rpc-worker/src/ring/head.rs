//! The head of a ring: what the scheduler asks goes through the own slice here, and through the others by the ring.
//!
//! The machine and the connections live on the rings' thread (`hands`); the own slice is computed by whoever waits for
//! events, which is the scheduler's thread.

use super::Ring;
use super::door::Registry;
use super::hands::{self, Ask};
use super::layers::Layers;
use super::told::Part;
use crate::expert::backend::{Backend, BackendError, Chosen, Event, Manner, Shape, Slot, Work};
use engine::Model;
use split::pipe::{self, Input};
use split::place::RING_ROWS;
use split::wire::{self as frames, Blame};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How long the scheduler's thread waits before it looks after new requests.
const WAIT: Duration = Duration::from_millis(20);

/// To the scheduler's thread.
pub enum Tell {
    Evaluate {
        slot: u16,
        at: u32,
        tokens: Vec<i32>,
    },
    /// Of the slot's so many-th sequence.
    Event {
        n_opened: u64,
        event: pipe::Event,
    },
}

/// A model that is cut over several nodes.
pub struct Split {
    layers: Layers,
    shape: Shape,
    commands: UnboundedSender<Ask>,
    told: Receiver<Tell>,
    /// How many sequences each slot had, whether the last is open, and positions that it has.
    slots: Vec<(u64, bool, u32)>,
}

impl Split {
    /// Loads the first slice and begins to build the ring, on the rings' thread.
    pub fn new(
        slice: &Path,
        ring: &Ring,
        n_threads: u32,
        rings: &Handle,
        registry: &Registry,
        part: Option<Part>,
    ) -> anyhow::Result<Split> {
        let (model, seat) = super::load(slice, ring)?;
        let (n_ctx, n_slots) = (seat.hello.n_ctx, ring.n_slots);
        let layers = Layers::new(model, n_ctx, n_slots, RING_ROWS, n_threads)?;
        let (commands, inbox) = unbounded_channel();
        let (tell, told) = channel();
        let bytes = super::bytes(layers.model(), &seat.hello);
        part.as_ref().inspect(|part| part.loaded(bytes));
        let knocks = registry.expect(seat.hello.key);
        rings.spawn(hands::run(seat, knocks, registry.clone(), inbox, tell, part));
        let shape =
            Shape { n_slots: n_slots.into(), n_ctx, n_rows: RING_ROWS as usize, n_ahead: pipe::AHEAD_MAX };
        Ok(Split { layers, shape, commands, told, slots: vec![(0, false, 0); n_slots.into()] })
    }

    /// What the ring is remade by.
    pub(super) fn reins(&self) -> (Arc<Model>, UnboundedSender<Ask>) {
        (Arc::clone(self.layers.model()), self.commands.clone())
    }

    /// Carries out what the ring wants, for so long; an event, if there is one.
    fn next(&mut self, wait: Duration) -> Option<Event> {
        match self.told.recv_timeout(wait) {
            Ok(Tell::Evaluate { slot, at, tokens }) => {
                let hidden = self.layers.begin(slot, at, &tokens).map_err(|e| e.to_string());
                self.send(Input::Hidden(hidden));
                None
            }
            Ok(Tell::Event { n_opened, event }) => self.event(n_opened, event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Whoever waits must not wait in a circle without a pause.
                std::thread::sleep(wait);
                let open = self.slots.iter().position(|(_, is_open, _)| *is_open)?;
                self.slots[open].1 = false;
                let error = BackendError::Broken("the rings' thread is gone".to_owned());
                Some(Event::Failed { slot: open as u32, error })
            }
        }
    }

    /// What the scheduler is to hear of it.
    fn event(&mut self, n_opened: u64, event: pipe::Event) -> Option<Event> {
        let slot = match &event {
            pipe::Event::Done { slot, .. } | pipe::Event::Failed { slot, .. } => *slot,
        };
        let own = self.slots.get_mut(usize::from(slot)).filter(|own| own.0 == n_opened && own.1)?;
        let slot = u32::from(slot);
        Some(match event {
            pipe::Event::Done { end, chosen, .. } => {
                own.2 = end;
                let chosen = chosen.map(|chosen| Chosen {
                    token: chosen.token,
                    logprob: chosen.logprob,
                    rivals: chosen.rivals,
                });
                Event::Done { slot, end, chosen }
            }
            pipe::Event::Failed { blame, why, .. } => {
                (own.1, own.2) = (false, 0);
                let error = match blame {
                    Blame::Asked => BackendError::Refused(why),
                    Blame::Lost => BackendError::Lost(why),
                    Blame::Broken => BackendError::Broken(why),
                };
                Event::Failed { slot, error }
            }
        })
    }

    /// If the rings' thread is gone, that is heard where events are.
    fn send(&self, input: Input) {
        let _ = self.commands.send(Ask::Input(input));
    }
}

impl Backend for Split {
    fn model(&self) -> &Arc<Model> {
        self.layers.model()
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn open(&mut self, slot: Slot, keep: u32, manner: Manner) -> Result<u32, BackendError> {
        let Some(own) = self.slots.get_mut(slot as usize) else {
            return Err(BackendError::Broken(format!("there is no slot {slot}")));
        };
        let keep = keep.min(own.2);
        *own = (own.0 + 1, true, keep);
        let begun = manner.begun.clone();
        self.send(Input::Open { slot: slot as u16, keep, manner: manner_of(&manner), begun });
        Ok(keep)
    }

    fn close(&mut self, slot: Slot) {
        if let Some(own) = self.slots.get_mut(slot as usize) {
            own.1 = false;
            self.send(Input::Close { slot: slot as u16 });
        }
    }

    fn begin(&mut self, works: Vec<Work>) {
        for Work { slot, at, tokens, choose } in works {
            self.send(Input::Begin(pipe::Work { slot: slot as u16, at, tokens, choose }));
        }
    }

    fn wait(&mut self) -> Vec<Event> {
        let deadline = Instant::now() + WAIT;
        let mut events = Vec::new();
        while events.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            events.extend(self.next(left));
            if left.is_zero() {
                break;
            }
        }
        events
    }
}

pub(super) fn manner_of(manner: &Manner) -> frames::Manner {
    let how = &manner.sampling;
    frames::Manner {
        temperature: how.temperature,
        top_k: how.top_k,
        top_p: how.top_p,
        min_p: how.min_p,
        repeat_penalty: how.repeat_penalty,
        presence_penalty: how.presence_penalty,
        frequency_penalty: how.frequency_penalty,
        repeat_last: how.repeat_last,
        seed: how.seed,
        grammar: how.grammar.clone(),
        top_logprobs: manner.top_logprobs.map(|n| n.min(frames::RIVALS_MAX as u32) as u8),
    }
}
