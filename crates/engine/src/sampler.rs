//! Choosing the next token.

use crate::{Context, Error, Model, Token, log, sys};
use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of a grammar.
pub const GRAMMAR_BYTES_MAX: usize = 1 << 18;
/// Tokens that a repeat penalty looks back on.
const REPEAT_LAST_MAX: u32 = 1 << 12;

/// How to choose. The default takes the likeliest token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token; 1 samples as the model says.
    pub temperature: f32,
    /// Only the so many likeliest; 0 for all.
    pub top_k: u32,
    /// Only the likeliest that together have this share; 1 for all.
    pub top_p: f32,
    /// Only those with this share of the likeliest; 0 for all.
    pub min_p: f32,
    /// Divides the logits of tokens that were there; 1 for none.
    pub repeat_penalty: f32,
    /// Taken off the logits of tokens that were there: from each once, and from each as often as it was there.
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    /// How far back the penalties look.
    pub repeat_last: u32,
    pub seed: u32,
    /// GBNF, beginning at `root`.
    pub grammar: Option<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repeat_last: 64,
            seed: 0,
            grammar: None,
        }
    }
}

/// A chain of the library's samplers.
struct Chain(NonNull<sys::llama_sampler>);

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the library, is owned here, and is used no more.
        unsafe { sys::llama_sampler_free(self.0.as_ptr()) };
    }
}

/// Chooses tokens, and remembers what it chose.
pub struct Sampler {
    /// Looks back; comes before everything else.
    penalties: Option<Chain>,
    grammar: Option<Chain>,
    /// Cuts and dice; without it the likeliest is taken.
    dice: Option<Chain>,
    /// The grammar refers to its vocabulary.
    model: Arc<Model>,
    candidates: Vec<sys::llama_token_data>,
    rolls: u32,
}

// SAFETY: the library binds a sampler to no thread; it must only not be used by two at once, and `&mut` sees to that.
unsafe impl Send for Sampler {}

impl Sampler {
    pub fn new(model: Arc<Model>, how: &Sampling) -> Result<Sampler, Error> {
        within("temperature", how.temperature, 0.0, 10.0)?;
        within("top_p", how.top_p, 0.0, 1.0)?;
        within("min_p", how.min_p, 0.0, 1.0)?;
        within("repeat_penalty", how.repeat_penalty, 0.1, 10.0)?;
        within("presence_penalty", how.presence_penalty, -2.0, 2.0)?;
        within("frequency_penalty", how.frequency_penalty, -2.0, 2.0)?;
        crate::context::check("repeat_last", how.repeat_last, 0, REPEAT_LAST_MAX)?;
        crate::context::check("top_k", how.top_k, 0, i32::MAX as u32)?;
        let looks_back =
            how.repeat_penalty != 1.0 || how.presence_penalty != 0.0 || how.frequency_penalty != 0.0;
        let penalties = looks_back.then(|| penalties(&model, how)).transpose()?;
        let grammar = how.grammar.as_deref().map(|text| grammar(&model, text)).transpose()?;
        let dice = if how.temperature == 0.0 { None } else { Some(dice(how)?) };
        Ok(Sampler { penalties, grammar, dice, model, candidates: Vec::new(), rolls: 0 })
    }

    /// The next token after the last row of the last batch; it is remembered.
    /// The context must be of the sampler's own model: the samplers know the tokens of no other.
    pub fn sample(&mut self, context: &Context) -> Result<Token, Error> {
        self.sample_from(context, context.logits())
    }

    /// The same after one row of the last batch.
    pub fn sample_at(&mut self, context: &Context, row_idx: usize) -> Result<Token, Error> {
        self.sample_from(context, context.logits_of(row_idx))
    }

    fn sample_from(&mut self, context: &Context, logits: Option<&[f32]>) -> Result<Token, Error> {
        if !Arc::ptr_eq(&self.model, context.model()) {
            return Err(Error::OtherModel);
        }
        let none = Error::Library { what: "give logits", said: "the last evaluation kept none".to_owned() };
        // A sort of what is no number has no order.
        let token = self.choose(crate::context::numbers(logits.ok_or(none)?)?)?;
        self.accept(token);
        Ok(token)
    }

    /// Remembers a token that was not chosen here: the penalties look back on it. The grammar does not see it.
    pub fn remember(&mut self, token: Token) -> Result<(), Error> {
        let token = self.model.known(token)?;
        if let Some(penalties) = &self.penalties {
            // SAFETY: the sampler is live and the token known.
            unsafe { sys::llama_sampler_accept(penalties.0.as_ptr(), token) };
        }
        Ok(())
    }

    /// Remembers a token that another sampler of the same manner chose: also the grammar goes on.
    pub fn replay(&mut self, token: Token) -> Result<(), Error> {
        let token = self.model.known(token)?;
        if let Some(grammar) = &self.grammar {
            let mut one = [sys::llama_token_data { id: token, logit: 1.0, p: 0.0 }];
            apply(grammar, &mut one);
            // The library throws at a token that its grammar does not allow.
            if one[0].logit == f32::NEG_INFINITY {
                return Err(Error::Grammar { why: "does not allow what was chosen before" });
            }
        }
        self.accept(token);
        Ok(())
    }

    /// How often the dice fell; a token may take two rolls, where a grammar refuses what the first gave.
    pub fn rolls(&self) -> u32 {
        self.rolls
    }

    /// Lets the dice fall without a choice, so that they stand as those of a sampler that fell so often before.
    pub fn roll(&mut self, n: u32) {
        for _ in 0..n {
            self.rolls += 1;
            if let Some(dice) = &self.dice {
                // The library rolls for a single candidate too.
                apply(dice, &mut [sys::llama_token_data { id: 0, logit: 1.0, p: 0.0 }]);
            }
        }
    }

    fn choose(&mut self, logits: &[f32]) -> Result<Token, Error> {
        let token = self.pick(logits, false)?;
        let Some(grammar) = &self.grammar else { return Ok(token) };
        // Asking the grammar about one token costs little; about a whole vocabulary it costs more than a small model.
        let mut one = [sys::llama_token_data { id: token, logit: 1.0, p: 0.0 }];
        apply(grammar, &mut one);
        if one[0].logit > f32::NEG_INFINITY { Ok(token) } else { self.pick(logits, true) }
    }

    fn pick(&mut self, logits: &[f32], by_grammar: bool) -> Result<Token, Error> {
        let all = (0..).zip(logits).map(|(id, logit)| sys::llama_token_data { id, logit: *logit, p: 0.0 });
        self.candidates.clear();
        self.candidates.extend(all);
        if let Some(penalties) = &self.penalties {
            apply(penalties, &mut self.candidates);
        }
        if by_grammar && let Some(grammar) = &self.grammar {
            apply(grammar, &mut self.candidates);
        }
        // The first of equals, so that the choice does not follow the order of a sort.
        let best =
            self.candidates.iter().reduce(|best, next| if next.logit > best.logit { next } else { best });
        let Some(best) = best.filter(|best| best.logit > f32::NEG_INFINITY) else {
            return Err(Error::Grammar { why: "allows no token here" });
        };
        let best = best.id;
        let Some(dice) = &self.dice else { return Ok(best) };
        self.candidates.retain(|candidate| candidate.logit > f32::NEG_INFINITY);
        self.rolls += 1;
        Ok(apply(dice, &mut self.candidates).unwrap_or(best))
    }

    fn accept(&mut self, token: Token) {
        for chain in [&self.penalties, &self.grammar, &self.dice].into_iter().flatten() {
            // SAFETY: the sampler is live; the token is one that the grammar allowed, so it does not throw.
            unsafe { sys::llama_sampler_accept(chain.0.as_ptr(), token) };
        }
    }
}

/// Runs a sampler over candidates; the id of the selected one, if it selects.
fn apply(chain: &Chain, candidates: &mut [sys::llama_token_data]) -> Option<Token> {
    let mut array = sys::llama_token_data_array {
        data: candidates.as_mut_ptr(),
        size: candidates.len(),
        selected: -1,
        sorted: false,
    };
    // SAFETY: the array describes the slice; samplers only reorder it, overwrite it, and make it shorter.
    unsafe { sys::llama_sampler_apply(chain.0.as_ptr(), &raw mut array) };
    candidates.get(usize::try_from(array.selected).ok()?).map(|chosen| chosen.id)
}

fn own(raw: *mut sys::llama_sampler) -> Result<Chain, Error> {
    NonNull::new(raw).map(Chain).ok_or_else(|| log::refused("make a sampler"))
}

fn penalties(model: &Model, how: &Sampling) -> Result<Chain, Error> {
    let (n_vocab, last) = (model.n_vocab() as i32, how.repeat_last as i32);
    let (frequency, presence) = (how.frequency_penalty, how.presence_penalty);
    // SAFETY: numbers only, within their limits.
    own(unsafe { sys::llama_sampler_init_penalties(n_vocab, last, how.repeat_penalty, frequency, presence) })
}

fn grammar(model: &Model, text: &str) -> Result<Chain, Error> {
    if text.len() > GRAMMAR_BYTES_MAX {
        return Err(Error::TooLong { what: "the grammar", bytes: text.len(), max: GRAMMAR_BYTES_MAX });
    }
    let text = CString::new(text).map_err(|_| Error::Grammar { why: "holds a zero byte" })?;
    log::clear();
    // SAFETY: both texts end with a zero and are copied; the vocabulary outlives the sampler, which owns its model.
    let raw = unsafe { sys::llama_sampler_init_grammar(model.vocab(), text.as_ptr(), c"root".as_ptr()) };
    NonNull::new(raw).map(Chain).ok_or(Error::Grammar { why: "is no good GBNF with a rule root" })
}

fn dice(how: &Sampling) -> Result<Chain, Error> {
    // SAFETY: takes a plain struct.
    let chain = own(unsafe { sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params()) })?;
    let add = |raw: *mut sys::llama_sampler| {
        let part = own(raw)?;
        // SAFETY: both are live; the chain owns the part from now on.
        unsafe { sys::llama_sampler_chain_add(chain.0.as_ptr(), part.0.as_ptr()) };
        std::mem::forget(part);
        Ok(())
    };
    // SAFETY: numbers only, within their limits, in these five lines.
    unsafe {
        if how.top_k > 0 {
            add(sys::llama_sampler_init_top_k(how.top_k as i32))?;
        }
        add(sys::llama_sampler_init_top_p(how.top_p, 1))?;
        add(sys::llama_sampler_init_min_p(how.min_p, 1))?;
        add(sys::llama_sampler_init_temp(how.temperature))?;
        add(sys::llama_sampler_init_dist(how.seed))?;
    }
    Ok(chain)
}

fn within(name: &'static str, value: f32, least: f32, most: f32) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Setting { name, value: value.to_string(), want: format!("from {least} to {most}") })
}
