//! The hands of one session's socket: sound and commands up, sound and news down.

use super::desk::{Carried, Session, Sessions};
use super::down::{self, Heard};
use super::frame::{self, Message, Reader};
use super::words::Command;
use crate::hear::RATE;
use crate::sound::rate::Resampler;
use crate::talk::parts::Event;
use crate::talk::{News, Told};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, sleep_until, timeout};

/// Samples of a frame, as the detector of voices wants them.
const FRAME_SAMPLES: usize = 256;
const READ_BYTES: usize = 16 << 10;

/// Why a socket is closed: a status (RFC 6455, section 7.4.1) and a sentence.
type Farewell = (u16, String);

/// Until one side ends it; the session waits a while for another socket.
pub async fn carry<S>(carried: Carried, stream: S)
where
    S: AsyncRead + AsyncWrite + Send,
{
    let Carried { sessions, session } = &carried;
    let (read, mut write) = tokio::io::split(stream);
    let news = sessions.talks().follow();
    let mut up = Up { session, resampler: Resampler::new(session.rate, RATE), rest: vec![] };
    let (status, why) = talk(sessions, &mut up, news, read, &mut write).await;
    let _ = timeout(sessions.limits.write, async {
        write.write_all(&frame::close(status, &why)).await?;
        write.shutdown().await
    })
    .await;
}

async fn talk(
    sessions: &Sessions,
    up: &mut Up<'_>,
    mut news: Receiver<Told>,
    mut read: impl AsyncRead + Unpin,
    write: &mut (impl AsyncWrite + Unpin),
) -> Farewell {
    let (session, limits) = (up.session, sessions.limits);
    let mut write = Down { to: write, time_max: limits.write };
    let (mut reader, mut bytes) = (Reader::default(), vec![0; READ_BYTES]);
    let (mut heard_at, mut pinged_at) = (Instant::now(), Instant::now());
    let gone = || (1001, "the client is gone".to_owned());
    if !write.send(frame::text(&view(session))).await {
        return gone();
    }
    loop {
        if !sessions.is_open(&session.id) {
            return (1000, "the session is over".into());
        }
        // Its last word may have come before anybody followed the news.
        if sessions.talks().get(session.line.id).is_none() {
            return (1000, "the conversation is over".into());
        }
        while let Some(heard) = session.queue.with(|queue, now| queue.heard(now)) {
            session.line.post().tell(match heard {
                Heard::Sounding { turn, clause_idx } => Event::Sounding { turn, clause_idx },
                Heard::Spoken { turn, clause_idx } => Event::Spoken { turn, clause_idx },
            });
        }
        while let Some(next) = session.queue.with(|queue, _| queue.pop()) {
            let bytes = match next {
                down::Down::Sound(sound) => frame::binary(&sound),
                down::Down::Word(word) => frame::text(&json(&word)),
            };
            if !write.send(bytes).await {
                return gone();
            }
        }
        let due = session.queue.with(|queue, now| queue.deadline().map(|due| due.saturating_sub(now)));
        let due = due.map_or(heard_at + limits.silence, |wait| Instant::now() + wait);
        tokio::select! {
            n = read.read(&mut bytes) => {
                let Ok(n @ 1..) = n else { return gone() };
                heard_at = Instant::now();
                reader.push(&bytes[..n]);
                loop {
                    match reader.poll() {
                        Ok(None) => break,
                        Ok(Some(Message::Ping(body))) => {
                            if !write.send(frame::pong(&body)).await {
                                return gone();
                            }
                        }
                        Ok(Some(message)) => if let Err(farewell) = up.message(message) {
                            return farewell;
                        },
                        Err(error) => return (error.status(), error.to_string()),
                    }
                }
            }
            told = news.recv() => {
                let text = match told {
                    Ok(told) if told.talk != session.line.id => continue,
                    Ok(Told { news: News::Closed, .. }) => return (1000, "the conversation is over".into()),
                    Ok(told) => json(&told),
                    // What was missed is in what holds now.
                    Err(RecvError::Lagged(_)) => view(session),
                    Err(RecvError::Closed) => return (1001, "this node goes down".into()),
                };
                if !write.send(frame::text(&text)).await {
                    return gone();
                }
            }
            () = session.queue.news.notified() => {}
            () = sleep_until(due) => {}
            () = sleep_until(heard_at.max(pinged_at) + limits.ping_after) => {
                if heard_at.elapsed() >= limits.silence {
                    return (1001, "nothing came for too long".into());
                }
                pinged_at = Instant::now();
                if !write.send(frame::ping()).await {
                    return gone();
                }
            }
        }
    }
}

/// What holds now, for whoever comes in the middle.
fn view(session: &Session) -> String {
    let mut view = serde_json::to_value(session.status()).unwrap_or_default();
    view["kind"] = "view".into();
    view.to_string()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What goes down.
struct Down<'a, W> {
    to: &'a mut W,
    time_max: Duration,
}

impl<W: AsyncWrite + Unpin> Down<'_, W> {
    /// False where the client is gone or takes nothing.
    async fn send(&mut self, bytes: Vec<u8>) -> bool {
        let sending = async {
            self.to.write_all(&bytes).await?;
            self.to.flush().await
        };
        matches!(timeout(self.time_max, sending).await, Ok(Ok(())))
    }
}

/// What comes up.
struct Up<'a> {
    session: &'a Session,
    resampler: Option<Resampler>,
    /// Sound that is shorter than a frame.
    rest: Vec<i16>,
}

impl Up<'_> {
    fn message(&mut self, message: Message) -> Result<(), Farewell> {
        match message {
            Message::Binary(bytes) => self.sound(&bytes),
            Message::Text(text) => match Command::parse(&text).map_err(|why| (1008, why))? {
                Command::Start => {
                    // What was left of the last turn is no beginning of this one.
                    self.rest.clear();
                    self.session.line.start();
                    Ok(())
                }
                Command::Stop => {
                    self.session.line.stop();
                    Ok(())
                }
                Command::Played { turn, clause } => {
                    self.session.queue.with(|queue, _| queue.played(turn, clause));
                    Ok(())
                }
                Command::End => Err((1000, "as you wished".into())),
            },
            Message::Close => Err((1000, String::new())),
            Message::Ping(_) | Message::Pong => Ok(()),
        }
    }

    fn sound(&mut self, bytes: &[u8]) -> Result<(), Farewell> {
        if !bytes.len().is_multiple_of(2) {
            return Err((1007, "samples have two bytes".into()));
        }
        let pcm: Vec<i16> =
            bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        if let Some(resampler) = &mut self.resampler {
            resampler.push(&pcm, &mut self.rest);
        }
        let whole = self.rest.len() / FRAME_SAMPLES * FRAME_SAMPLES;
        for frame in self.rest[..whole].chunks(FRAME_SAMPLES) {
            self.session.line.post().tell(Event::Frame(frame.to_vec()));
        }
        self.rest.drain(..whole);
        Ok(())
    }
}
