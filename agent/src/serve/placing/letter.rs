//! A coordinator's word to one node: its part of the plan, signed; pure.

use admission::{NodePublic, NodeSecret, Signature, Statement};
use serde::{Deserialize, Serialize};
use split::assign::{BUILD_BYTES_MAX, LAYERS_MAX};
use split::expert::NAME_BYTES_MAX;
use split::place::{NODE_COPIES_MAX, NodeId, Seat};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    pub node: NodeId,
    pub coordinator: NodeId,
    pub generation: u64,
    pub build: String,
    /// Every seat that this node has a part in, whole.
    pub seats: Vec<Seat>,
}

/// On the wire: the letter's text as it was signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    letter: String,
    signature: String,
}

/// Why a letter is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterError {
    Form,
    /// Somebody else has written it.
    Signature,
    /// More seats or stages than a node can have.
    Limits,
}

impl std::fmt::Display for LetterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LetterError::Form => "what came is no letter",
            LetterError::Signature => "the letter is not signed by who plans",
            LetterError::Limits => "the letter holds more than a node can",
        })
    }
}

impl std::error::Error for LetterError {}

pub fn write(letter: &Letter, key: &NodeSecret) -> String {
    let text = serde_json::to_string(letter).expect("numbers and texts are JSON");
    let signature = key.sign(Statement::Plan, text.as_bytes()).to_hex();
    serde_json::to_string(&Sealed { letter: text, signature }).expect("texts are JSON")
}

pub fn read(bytes: &[u8], key: &NodePublic) -> Result<Letter, LetterError> {
    let sealed: Sealed = serde_json::from_slice(bytes).map_err(|_| LetterError::Form)?;
    let signature = Signature::parse(&sealed.signature).ok_or(LetterError::Form)?;
    key.verify(Statement::Plan, sealed.letter.as_bytes(), &signature).map_err(|_| LetterError::Signature)?;
    let letter: Letter = serde_json::from_str(&sealed.letter).map_err(|_| LetterError::Form)?;
    let fits = |seat: &Seat| {
        let parts = &seat.parts;
        let ends = parts.iter().all(|part| part.first < part.last && part.last <= LAYERS_MAX);
        seat.expert.len() <= NAME_BYTES_MAX && !parts.is_empty() && parts.len() <= LAYERS_MAX as usize && ends
    };
    let all = letter.seats.len() as u64 <= NODE_COPIES_MAX && letter.build.len() <= BUILD_BYTES_MAX;
    if all && letter.seats.iter().all(fits) { Ok(letter) } else { Err(LetterError::Limits) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(n_seats: usize) -> Letter {
        let part = split::place::Part { node: NodeId(1), first: 0, last: 4, bytes: 9 };
        let seat = Seat { expert: "calm".into(), parts: vec![part], tokens_per_s_milli: 5 };
        let (node, coordinator) = (NodeId(1), NodeId(2));
        Letter { node, coordinator, generation: 7, build: "0.1.0".into(), seats: vec![seat; n_seats] }
    }

    #[test]
    fn a_letter_is_believed_only_from_who_signed_it() {
        let (key, other) = (NodeSecret::from_seed(&[1; 32]), NodeSecret::from_seed(&[2; 32]));
        let text = write(&letter(2), &key);
        assert_eq!(read(text.as_bytes(), &key.public()), Ok(letter(2)));
        assert_eq!(read(text.as_bytes(), &other.public()), Err(LetterError::Signature));
        let changed = text.replace("calm", "cold");
        assert_eq!(read(changed.as_bytes(), &key.public()), Err(LetterError::Signature));
    }

    #[test]
    fn a_letter_that_is_none_or_too_much_is_refused() {
        let key = NodeSecret::from_seed(&[1; 32]);
        assert_eq!(read(b"{}", &key.public()), Err(LetterError::Form));
        let text = write(&letter(9), &key);
        assert_eq!(read(text.as_bytes(), &key.public()), Err(LetterError::Limits));
        let mut odd = letter(1);
        odd.seats[0].parts.clear();
        assert_eq!(read(write(&odd, &key).as_bytes(), &key.public()), Err(LetterError::Limits));
    }
}
