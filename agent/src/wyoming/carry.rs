//! The hands of one client's socket. However a visit ends but by the client itself, the client is told why.

use super::codec::{Event, Reader};
use super::serve::Door;
use super::visit::{Input, Output, Visit};
use super::work::Work;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{Instant, timeout};

const READ_BYTES: usize = 16 << 10;

/// Until one side ends it.
pub async fn carry(door: &Door, stream: TcpStream, client: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let (mut read, mut write) = stream.into_split();
    let work = Work::new(door, client);
    let (mut visit, mut reader) = (Visit::new((door.offer)()), Reader::default());
    let (mut bytes, mut last, limits) = (vec![0; READ_BYTES], Instant::now(), door.limits);
    let end = last + limits.visit;
    loop {
        while let Some(output) = visit.poll() {
            let goes_on = match output {
                Output::Send(event) => send(&mut write, &event, limits.write).await,
                Output::Close => false,
                wish => {
                    if let Some(input) = work.begin(wish) {
                        visit.handle(input);
                    }
                    true
                }
            };
            if !goes_on {
                // What was sent last is to arrive.
                let _ = timeout(limits.write, write.shutdown()).await;
                return;
            }
        }
        if let Some(news) = work.lane().take() {
            last = Instant::now();
            visit.handle(news.input());
            continue;
        }
        let (patience, why) = match (reader.is_within(), visit.is_busy()) {
            (true, _) => (limits.event, "an event did not come to its end in time"),
            (false, true) => (limits.work, "nothing came of it in time"),
            (false, false) => (limits.idle, "nothing was asked for too long"),
        };
        tokio::select! {
            n = read.read(&mut bytes) => {
                let Ok(n @ 1..) = n else { return };
                // The time of an event counts from its first byte.
                if !reader.is_within() {
                    last = Instant::now();
                }
                reader.push(&bytes[..n]);
                loop {
                    match reader.poll() {
                        Ok(Some(event)) => {
                            last = Instant::now();
                            visit.handle(Input::Event(event));
                        }
                        Ok(None) => break,
                        Err(error) => {
                            let data = json!({"text": error.to_string(), "code": "form"});
                            send(&mut write, &Event::new("error", data), limits.write).await;
                            return;
                        }
                    }
                }
            }
            () = work.lane().came.notified() => {}
            () = tokio::time::sleep_until(last + patience) => visit.handle(Input::Over(why)),
            () = tokio::time::sleep_until(end) => visit.handle(Input::Over("this visit has lasted long enough")),
        }
    }
}

/// False where the client is gone or takes nothing.
async fn send(write: &mut OwnedWriteHalf, event: &Event, time_max: Duration) -> bool {
    matches!(timeout(time_max, write.write_all(&event.to_bytes())).await, Ok(Ok(())))
}
