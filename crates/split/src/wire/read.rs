//! Reads the bodies of frames: each field is held to its limit before it is used, and before memory is asked for.

use super::kinds::{BEAT, CLOSE, DONE, FAULT, FORGET, HELLO, LEFT, OPEN, ROWS};
use super::{
    BUILD_BYTES_MAX, Blame, CHOSEN_MAX, CTX_MAX, Chosen, Done, Fault, Frame, GRAMMAR_BYTES_MAX, Hello,
    LAYERS_MAX, Left, Manner, Open, RIVALS_MAX, ROLLS_MAX, ROWS_BYTES_MAX, ROWS_MAX, Rest, Rows, SLOTS_MAX,
    STAGES_MAX, WHY_BYTES_MAX, WIDTH_MAX, WireError,
};

/// How far a repeat penalty looks back, and how many candidates are kept, as the engine has it.
const REPEAT_LAST_MAX: u32 = 1 << 12;
const TOP_K_MAX: u32 = i32::MAX as u32;

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
            LEFT => Frame::Left(self.left()?),
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
        let n = self.u16()?;
        if !(1..STAGES_MAX).contains(&n) {
            return beyond("the number of stages");
        }
        let starts = (0..n).map(|_| self.at_most("the position", CTX_MAX)).collect::<Result<_, _>>()?;
        let known = self.at_most("the position", CTX_MAX)?;
        let manner = self.manner()?;
        let chosen = self.tokens("the number of tokens", CHOSEN_MAX)?;
        let rolls = self.at_most("the number of rolls", ROLLS_MAX)?;
        Ok(Open { slot, epoch, starts, known, manner, chosen, rolls })
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
        Ok(Chosen { token, logprob, rivals, rolls: self.u8()? })
    }

    fn left(&mut self) -> Result<Left, WireError> {
        let life = u64::from_le_bytes(self.array()?);
        let (n_stages, n_slots) = (self.u16()?, self.u16()?);
        if n_stages >= STAGES_MAX {
            return beyond("the number of stages");
        }
        if n_slots > SLOTS_MAX || (n_slots == 0) != (n_stages == 0) {
            return beyond("the number of slots");
        }
        let rest = |reader: &mut Self| {
            let epoch = reader.u32()?;
            let have = reader.at_most("the position", CTX_MAX)?;
            Ok(Rest { epoch, have, kept: reader.at_most("the position", CTX_MAX)? })
        };
        let stage = |_| (0..n_slots).map(|_| rest(self)).collect::<Result<Vec<_>, WireError>>();
        let stages = (0..n_stages).map(stage).collect::<Result<_, _>>()?;
        Ok(Left { life, stages })
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
