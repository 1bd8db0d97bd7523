//! The bodies of frames: fields in little endian, one after the other, each held to its limit when it is read.

use super::{
    BODY_BYTES_MAX, BUILD_BYTES_MAX, Blame, CHOSEN_MAX, CTX_MAX, Chosen, Done, Fault, Frame,
    GRAMMAR_BYTES_MAX, Hello, LAYERS_MAX, Manner, Open, RIVALS_MAX, ROWS_BYTES_MAX, ROWS_MAX, Rows,
    SLOTS_MAX, STAGES_MAX, WHY_BYTES_MAX, WIDTH_MAX, WireError,
};

const HELLO: u8 = 1;
const OPEN: u8 = 2;
const CLOSE: u8 = 3;
const FORGET: u8 = 4;
const ROWS: u8 = 5;
const DONE: u8 = 6;
const FAULT: u8 = 7;
const BEAT: u8 = 8;

/// How far a repeat penalty looks back, and how many candidates are kept, as the engine has it.
const REPEAT_LAST_MAX: u32 = 1 << 12;
const TOP_K_MAX: u32 = i32::MAX as u32;

/// The longest body of a kind.
pub(super) fn bytes_max(kind: u8) -> Result<usize, WireError> {
    Ok(match kind {
        HELLO => 64 + 2 + BUILD_BYTES_MAX,
        OPEN => 64 + 4 + GRAMMAR_BYTES_MAX + 4 + 4 * CHOSEN_MAX,
        CLOSE | FORGET => 6,
        ROWS => BODY_BYTES_MAX,
        DONE => 32 + 8 * RIVALS_MAX,
        FAULT => 16 + WHY_BYTES_MAX,
        BEAT => 0,
        found => return Err(WireError::Kind { found }),
    })
}

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
            out.extend(open.keep.to_le_bytes());
            put_manner(out, &open.manner);
            put_tokens(out, &open.chosen);
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
            out.reserve(4 * rows.hidden.len());
            rows.hidden.iter().for_each(|float| out.extend(float.to_le_bytes()));
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

/// Takes fields off a body.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

fn beyond<T>(name: &'static str) -> Result<T, WireError> {
    Err(WireError::Field { name })
}

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { left: body }
    }

    /// The frame of a whole body.
    pub fn frame(mut self, kind: u8) -> Result<Frame, WireError> {
        let frame = match kind {
            HELLO => Frame::Hello(self.hello()?),
            OPEN => Frame::Open(self.open()?),
            CLOSE => self.slot().map(|(slot, epoch)| Frame::Close { slot, epoch })?,
            FORGET => self.slot().map(|(slot, epoch)| Frame::Forget { slot, epoch })?,
            ROWS => Frame::Rows(self.rows()?),
            DONE => Frame::Done(self.done()?),
            FAULT => Frame::Fault(self.fault()?),
            BEAT => Frame::Beat,
            found => return Err(WireError::Kind { found }),
        };
        if self.left.is_empty() { Ok(frame) } else { Err(WireError::Body) }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, left) = self.left.split_at_checked(n).ok_or(WireError::Body)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, left) = self.left.split_first_chunk().ok_or(WireError::Body)?;
        self.left = left;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => beyond("a yes or no"),
        }
    }

    fn within(&mut self, name: &'static str, least: f32, most: f32) -> Result<f32, WireError> {
        let number = f32::from_le_bytes(self.array()?);
        if (least..=most).contains(&number) { Ok(number) } else { beyond(name) }
    }

    fn at_most(&mut self, name: &'static str, most: u32) -> Result<u32, WireError> {
        let number = self.u32()?;
        if number <= most { Ok(number) } else { beyond(name) }
    }

    fn text(&mut self, name: &'static str, most: usize) -> Result<String, WireError> {
        let length = self.u32()? as usize;
        if length > most {
            return beyond(name);
        }
        String::from_utf8(self.take(length)?.to_vec()).or_else(|_| beyond(name))
    }

    fn slot(&mut self) -> Result<(u16, u32), WireError> {
        let (slot, epoch) = (self.u16()?, self.u32()?);
        if slot < SLOTS_MAX { Ok((slot, epoch)) } else { beyond("the slot") }
    }

    fn token(&mut self) -> Result<i32, WireError> {
        let token = i32::from_le_bytes(self.array()?);
        if token >= 0 { Ok(token) } else { beyond("a token") }
    }

    fn tokens(&mut self, name: &'static str, most: usize) -> Result<Vec<i32>, WireError> {
        let n = self.u32()? as usize;
        // Memory is asked for once it is clear that the bytes are there.
        if n > most {
            return beyond(name);
        }
        if n > self.left.len() / 4 {
            return Err(WireError::Body);
        }
        (0..n).map(|_| self.token()).collect()
    }

    fn hello(&mut self) -> Result<Hello, WireError> {
        let build = self.text("the build", BUILD_BYTES_MAX)?;
        if build.is_empty() || !build.bytes().all(|byte| byte.is_ascii_graphic()) {
            return beyond("the build");
        }
        let (model, key) = (self.array()?, self.array()?);
        let [stage_idx, n_stages, first, end, of, n_slots] =
            [self.u16()?, self.u16()?, self.u16()?, self.u16()?, self.u16()?, self.u16()?];
        let (n_embd, n_ctx) = (self.u32()?, self.u32()?);
        if !(2..=STAGES_MAX).contains(&n_stages) {
            return beyond("the number of stages");
        }
        if stage_idx >= n_stages {
            return beyond("the stage");
        }
        if !(first < end && end <= of && of <= LAYERS_MAX) {
            return beyond("the layers");
        }
        if !(1..=SLOTS_MAX).contains(&n_slots) {
            return beyond("the number of slots");
        }
        if !(1..=WIDTH_MAX).contains(&n_embd) {
            return beyond("the width");
        }
        if !(1..=CTX_MAX).contains(&n_ctx) {
            return beyond("the context");
        }
        Ok(Hello { build, model, key, stage_idx, n_stages, first, end, of, n_embd, n_ctx, n_slots })
    }

    fn manner(&mut self) -> Result<Manner, WireError> {
        let temperature = self.within("the temperature", 0.0, 10.0)?;
        let (top_p, min_p) = (self.within("top_p", 0.0, 1.0)?, self.within("min_p", 0.0, 1.0)?);
        let repeat_penalty = self.within("the repeat penalty", 0.1, 10.0)?;
        let presence_penalty = self.within("the presence penalty", -2.0, 2.0)?;
        let frequency_penalty = self.within("the frequency penalty", -2.0, 2.0)?;
        let top_k = self.at_most("top_k", TOP_K_MAX)?;
        let repeat_last = self.at_most("the length of the penalty", REPEAT_LAST_MAX)?;
        let seed = self.u32()?;
        let top_logprobs = match self.u8()? {
            u8::MAX => None,
            n if usize::from(n) <= RIVALS_MAX => Some(n),
            _ => return beyond("the number of rivals"),
        };
        let grammar = if self.flag()? { Some(self.text("the grammar", GRAMMAR_BYTES_MAX)?) } else { None };
        Ok(Manner {
            temperature,
            top_k,
            top_p,
            min_p,
            repeat_penalty,
            presence_penalty,
            frequency_penalty,
            repeat_last,
            seed,
            grammar,
            top_logprobs,
        })
    }

    fn open(&mut self) -> Result<Open, WireError> {
        let (slot, epoch) = self.slot()?;
        let keep = self.at_most("the position", CTX_MAX)?;
        let manner = self.manner()?;
        let chosen = self.tokens("the number of tokens", CHOSEN_MAX)?;
        Ok(Open { slot, epoch, keep, manner, chosen })
    }

    fn rows(&mut self) -> Result<Rows, WireError> {
        let (slot, epoch) = self.slot()?;
        let at = self.u32()?;
        let choose = self.flag()?;
        let tokens = self.tokens("the number of rows", ROWS_MAX)?;
        if tokens.is_empty() {
            return beyond("the number of rows");
        }
        if u64::from(at) + tokens.len() as u64 > u64::from(CTX_MAX) {
            return beyond("the position");
        }
        let (floats, rest) = self.left.as_chunks::<4>();
        let is_whole = rest.is_empty() && !floats.is_empty() && floats.len().is_multiple_of(tokens.len());
        if !is_whole || self.left.len() > ROWS_BYTES_MAX {
            return beyond("the number of floats");
        }
        self.left = &[];
        let hidden: Vec<f32> = floats.iter().map(|float| f32::from_le_bytes(*float)).collect();
        // What is no number spreads to every later token.
        if hidden.iter().any(|float| !float.is_finite()) {
            return beyond("a hidden state");
        }
        Ok(Rows { slot, epoch, at, choose, tokens, hidden })
    }

    fn done(&mut self) -> Result<Done, WireError> {
        let (slot, epoch) = self.slot()?;
        let end = self.at_most("the position", CTX_MAX)?;
        let chosen = if self.flag()? { Some(self.chosen()?) } else { None };
        Ok(Done { slot, epoch, end, chosen })
    }

    fn chosen(&mut self) -> Result<Chosen, WireError> {
        let token = self.token()?;
        let logprob = if self.flag()? { Some(self.logprob()?) } else { None };
        let n = usize::from(self.u8()?);
        if n > RIVALS_MAX {
            return beyond("the number of rivals");
        }
        let rivals = (0..n).map(|_| Ok((self.token()?, self.logprob()?))).collect::<Result<_, _>>()?;
        Ok(Chosen { token, logprob, rivals })
    }

    fn logprob(&mut self) -> Result<f32, WireError> {
        self.within("a logarithm", f32::MIN, 1e-3)
    }

    fn fault(&mut self) -> Result<Fault, WireError> {
        let of = if self.flag()? { Some(self.slot()?) } else { None };
        let blame = match self.u8()? {
            0 => Blame::Asked,
            1 => Blame::Lost,
            2 => Blame::Broken,
            _ => return beyond("the blame"),
        };
        Ok(Fault { of, blame, why: self.text("the sentence", WHY_BYTES_MAX)? })
    }
}
