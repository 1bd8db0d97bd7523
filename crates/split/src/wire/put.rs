//! Writes the bodies of frames: fields in little endian, one after the other.

use super::kinds::{BEAT, CLOSE, DONE, FAULT, FORGET, HELLO, LEFT, OPEN, ROWS};
use super::{Blame, Frame, Manner};

/// Appends a body; its kind.
pub(super) fn put_frame(out: &mut Vec<u8>, frame: &Frame) -> u8 {
    match frame {
        Frame::Hello(hello) => {
            put_text(out, &hello.build);
            out.extend(hello.model);
            out.extend(hello.key);
            for n in [hello.stage_idx, hello.n_stages, hello.first, hello.end, hello.of, hello.n_slots] {
                out.extend(n.to_le_bytes());
            }
            out.extend(hello.n_embd.to_le_bytes());
            out.extend(hello.n_ctx.to_le_bytes());
            HELLO
        }
        Frame::Open(open) => {
            put_slot(out, open.slot, open.epoch);
            out.extend((open.starts.len() as u16).to_le_bytes());
            open.starts.iter().for_each(|start| out.extend(start.to_le_bytes()));
            out.extend(open.known.to_le_bytes());
            put_manner(out, &open.manner);
            put_tokens(out, &open.chosen);
            out.extend(open.rolls.to_le_bytes());
            OPEN
        }
        Frame::Close { slot, epoch } => {
            put_slot(out, *slot, *epoch);
            CLOSE
        }
        Frame::Forget { slot, epoch } => {
            put_slot(out, *slot, *epoch);
            FORGET
        }
        Frame::Rows(rows) => {
            put_slot(out, rows.slot, rows.epoch);
            out.extend(rows.at.to_le_bytes());
            out.push(u8::from(rows.choose));
            put_tokens(out, &rows.tokens);
            let start = out.len();
            out.resize(start + 4 * rows.hidden.len(), 0);
            for (room, float) in out[start..].as_chunks_mut().0.iter_mut().zip(&rows.hidden) {
                *room = float.to_le_bytes();
            }
            ROWS
        }
        Frame::Done(done) => {
            put_slot(out, done.slot, done.epoch);
            out.extend(done.end.to_le_bytes());
            out.push(u8::from(done.chosen.is_some()));
            if let Some(chosen) = &done.chosen {
                out.extend(chosen.token.to_le_bytes());
                out.push(u8::from(chosen.logprob.is_some()));
                chosen.logprob.iter().for_each(|logprob| out.extend(logprob.to_le_bytes()));
                out.push(chosen.rivals.len() as u8);
                for (token, logprob) in &chosen.rivals {
                    out.extend(token.to_le_bytes());
                    out.extend(logprob.to_le_bytes());
                }
                out.push(chosen.rolls);
            }
            DONE
        }
        Frame::Fault(fault) => {
            out.push(u8::from(fault.of.is_some()));
            if let Some((slot, epoch)) = fault.of {
                put_slot(out, slot, epoch);
            }
            out.push(match fault.blame {
                Blame::Asked => 0,
                Blame::Lost => 1,
                Blame::Broken => 2,
            });
            put_text(out, &fault.why);
            FAULT
        }
        Frame::Left(left) => {
            out.extend(left.life.to_le_bytes());
            let n_slots = left.stages.first().map_or(0, Vec::len);
            out.extend((left.stages.len() as u16).to_le_bytes());
            out.extend((n_slots as u16).to_le_bytes());
            for rest in left.stages.iter().flatten() {
                for n in [rest.epoch, rest.have, rest.kept] {
                    out.extend(n.to_le_bytes());
                }
            }
            LEFT
        }
        Frame::Beat => BEAT,
    }
}

fn put_slot(out: &mut Vec<u8>, slot: u16, epoch: u32) {
    out.extend(slot.to_le_bytes());
    out.extend(epoch.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_tokens(out: &mut Vec<u8>, tokens: &[i32]) {
    out.extend((tokens.len() as u32).to_le_bytes());
    tokens.iter().for_each(|token| out.extend(token.to_le_bytes()));
}

fn put_manner(out: &mut Vec<u8>, manner: &Manner) {
    let Manner { temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty, .. } =
        manner;
    for x in [temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty] {
        out.extend(x.to_le_bytes());
    }
    for n in [manner.top_k, manner.repeat_last, manner.seed] {
        out.extend(n.to_le_bytes());
    }
    out.push(manner.top_logprobs.map_or(u8::MAX, |n| n));
    out.push(u8::from(manner.grammar.is_some()));
    manner.grammar.iter().for_each(|grammar| put_text(out, grammar));
}
