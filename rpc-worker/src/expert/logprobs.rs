//! How likely tokens were, in the two forms that the API has for it.

use super::job::Chance;
use openai::answer::{Logprob, Logprobs, OldLogprobs, TokenLogprob};

fn shown(bytes: &[u8], logprob: f32) -> TokenLogprob {
    TokenLogprob { token: String::from_utf8_lossy(bytes).into_owned(), logprob, bytes: bytes.to_vec() }
}

/// As chats tell it.
pub fn logprobs(chances: &[Chance]) -> Logprobs {
    let one = |chance: &Chance| Logprob {
        chosen: shown(&chance.bytes, chance.logprob),
        top_logprobs: chance.rivals.iter().map(|(bytes, logprob)| shown(bytes, *logprob)).collect(),
    };
    Logprobs::new(chances.iter().map(one).collect())
}

/// As completions tell it; `offset` is where the first token begins in the text.
pub fn old_logprobs(chances: &[Chance], offset: u32) -> OldLogprobs {
    let mut old = OldLogprobs::default();
    let mut offset = offset;
    for chance in chances {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        old.text_offset.push(offset);
        offset += chance.bytes.len() as u32;
        old.tokens.push(text(&chance.bytes));
        old.token_logprobs.push(chance.logprob);
        old.top_logprobs.push(chance.rivals.iter().map(|(bytes, logprob)| (text(bytes), *logprob)).collect());
    }
    old
}
