//! What is done for one client; all of it stops when the client leaves.
//!
//! Whoever works tells an end. If it goes without one, the client is told that too: it would wait for nothing.

use super::lane::{Lane, News};
use super::serve::Door;
use super::visit::{Input, Output};
use crate::talk::parts::{AskJob, HearEnd, HearJob, Part, Sound, SpeakJob, Stop, Who};
use std::net::SocketAddr;
use std::sync::Arc;

/// Conversations of these clients are numbered apart from those of microphones.
const TALK_BIT: u64 = 1 << 63;
const LEFT_ALONE: &str = "nobody does this any more; try again";

pub struct Work<'a> {
    door: &'a Door,
    client: SocketAddr,
    lane: Arc<Lane>,
    stop: Stop,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// One thing that is worked on.
struct Errand {
    lane: Arc<Lane>,
    /// What the client is told if nobody tells an end.
    lost: Option<News>,
}

impl Errand {
    fn end(&mut self, news: News) {
        if self.lost.take().is_some() {
            self.lane.put(news);
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(lost) = self.lost.take() {
            self.lane.put(lost);
        }
    }
}

impl<'a> Work<'a> {
    pub fn new(door: &'a Door, client: SocketAddr) -> Work<'a> {
        Work { door, client, lane: Arc::default(), stop: Stop::default() }
    }

    /// Where it is told what came of the work.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Begins it, or says at once what comes of it.
    pub fn begin(&self, wish: Output) -> Option<Input<'static>> {
        let shared = &self.door.shared;
        let stop = self.stop.clone();
        match wish {
            Output::Hear { pcm, .. } if pcm.is_empty() => return Some(Input::Heard(Ok(""))),
            Output::Hear { pcm, language } => {
                let mut errand = self.errand(News::Heard(Err(LEFT_ALONE.into())));
                let done = Box::new(move |end: HearEnd| errand.end(News::Heard(end.text)));
                let who = Who::Program(self.door.hash_of(self.client.ip()));
                shared.ear.hear(HearJob { pcm, who, language, stop, done });
            }
            Output::Say { clause, voice } => {
                let language = self.door.force.now().language;
                let sayings = crate::speech::sayings::of(voice.as_ref().unwrap_or(&language));
                let Some(text) = sayings.say(&clause) else { return Some(Input::Said(Ok(()))) };
                let mut errand = self.errand(News::Said(Err(LEFT_ALONE.into())));
                let sink = Box::new(move |sound: Sound<'_>| match sound {
                    Sound::Piece { rate, pcm } => errand.lane.put(News::Piece { rate, pcm: pcm.to_vec() }),
                    Sound::End => errand.end(News::Said(Ok(()))),
                    Sound::Failed(why) => errand.end(News::Said(Err(why.to_owned()))),
                });
                shared.mouth.speak(SpeakJob { text, talk: self.talk(""), voice, stop, sink });
            }
            Output::Ask { text, conversation } => {
                let mut errand = self.errand(News::Answered(Err(LEFT_ALONE.into())));
                let sink = Box::new(move |part: Part| match part {
                    Part::By(_) | Part::Steps(_) => {}
                    Part::Words(words) => errand.lane.put(News::Words(words)),
                    Part::End => errand.end(News::Answered(Ok(()))),
                    Part::Failed(why) => errand.end(News::Answered(Err(why))),
                });
                shared.mind.answer(AskJob { text, talk: self.talk(&conversation), stop, sink });
            }
            Output::Send(_) | Output::Close => {}
        }
        None
    }

    fn errand(&self, lost: News) -> Errand {
        Errand { lane: self.lane.clone(), lost: Some(lost) }
    }

    /// The number of a conversation: the same name from the same PC is the same one.
    fn talk(&self, conversation: &str) -> u64 {
        self.door.hash_of((self.client.ip(), conversation)) | TALK_BIT
    }
}
