//! What a conversation shows of itself: to pages, consoles and sessions, as it happens.
//!
//! Texts in it are private: who may see them is the doors' to say. Who reads too slowly loses news, not memory, and finds
//! in the view what holds now.

use super::trace::Outcome;
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;
use voice::turn::{ANSWER_BYTES_MAX, TEXT_BYTES_MAX};

/// News that wait for a slow reader.
pub const NEWS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    #[default]
    Idle,
    /// Hands-free, and nobody speaks.
    Waiting,
    Listening,
    Thinking,
    Speaking,
}

impl From<voice::turn::Mood> for Mood {
    fn from(mood: voice::turn::Mood) -> Mood {
        match mood {
            voice::turn::Mood::Idle => Mood::Idle,
            voice::turn::Mood::Waiting => Mood::Waiting,
            voice::turn::Mood::Listening => Mood::Listening,
            voice::turn::Mood::Thinking => Mood::Thinking,
            voice::turn::Mood::Speaking => Mood::Speaking,
        }
    }
}

impl Mood {
    pub fn as_str(self) -> &'static str {
        match self {
            Mood::Idle => "idle",
            Mood::Waiting => "waiting",
            Mood::Listening => "listening",
            Mood::Thinking => "thinking",
            Mood::Speaking => "speaking",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum News {
    Mood {
        mood: Mood,
    },
    /// What was understood.
    Heard {
        turn: u32,
        text: String,
    },
    /// Who answers, and why.
    By {
        turn: u32,
        by: String,
    },
    /// More of the answer.
    Words {
        turn: u32,
        words: String,
    },
    /// Said without being asked.
    Announced {
        text: String,
    },
    /// Why something did not go as it should, for a person.
    Trouble {
        sentence: String,
    },
    Done {
        turn: u32,
        outcome: Outcome,
    },
    /// The conversation is over.
    Closed,
}

/// News, and of which conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub talk: u64,
    #[serde(flatten)]
    pub news: News,
}

/// What holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    pub mood: Mood,
    pub turn: u32,
    pub said: String,
    pub answer: String,
    pub by: String,
    pub trouble: String,
}

/// One conversation's face to the others.
#[derive(Debug)]
pub struct Board {
    talk: u64,
    view: Mutex<View>,
    sender: broadcast::Sender<Told>,
}

impl Board {
    pub fn new(talk: u64, sender: broadcast::Sender<Told>) -> Board {
        Board { talk, view: Mutex::default(), sender }
    }

    pub fn view(&self) -> View {
        self.lock().clone()
    }

    pub fn tell(&self, news: News) {
        self.lock().take(&news);
        // Without any listener nobody is told.
        let _ = self.sender.send(Told { talk: self.talk, news });
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn take(&mut self, news: &News) {
        match news {
            News::Mood { mood } => {
                self.mood = *mood;
                // Somebody begins anew: what is shown of the turn before stays until there is something to show.
                if *mood == Mood::Listening {
                    self.trouble.clear();
                }
            }
            News::Heard { turn, text } => {
                let said = cut(text, TEXT_BYTES_MAX).to_owned();
                *self = View { mood: self.mood, turn: *turn, said, ..View::default() };
            }
            News::By { by, .. } => self.by.clone_from(by),
            News::Words { words, .. } => {
                let room = ANSWER_BYTES_MAX.saturating_sub(self.answer.len());
                self.answer.push_str(cut(words, room));
            }
            News::Trouble { sentence } => self.trouble.clone_from(sentence),
            News::Announced { .. } | News::Done { .. } | News::Closed => {}
        }
    }
}

/// At most so many bytes of a text, and no half letters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
