//! The PC's own key for its console: a socket without a key, in a folder that only the console's unit is shown.
//!
//! Its mode lets everybody in, because the console is a user of its own; the folder keeps the others out. Lines come and
//! go: `start` and `stop` in, what happens as JSON out.

use crate::io::runtime;
use crate::talk::{Line, News, Talks, Told};
use service::log::{self, Level};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast::error::RecvError};
use tokio::time::timeout;

pub const FILE: &str = "talk.sock";
/// A PC has a serial line or two.
const CONNECTIONS_MAX: usize = 4;
/// `start` and `stop` are all there is.
const READ_BYTES: usize = 64;
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// Never ends.
pub async fn run(talks: Arc<Talks>) {
    let Some(path) = runtime::console_path(FILE) else { return std::future::pending().await };
    // What is left of an earlier run is nobody's.
    let _ = std::fs::remove_file(&path);
    let open = UnixListener::bind(&path);
    // The unit's UMask takes rights away from a new file.
    let open =
        open.and_then(|open| std::fs::set_permissions(&path, Permissions::from_mode(0o666)).map(|()| open));
    let listener = match open {
        Ok(listener) => listener,
        Err(error) => {
            log::say(Level::Warning, &format!("duet: {} cannot be opened: {error}", path.display()));
            return std::future::pending().await;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let talks = talks.clone();
        tokio::spawn(async move {
            let _ = serve(talks, stream).await;
            drop(place);
        });
    }
}

/// Ends when the program or the conversation does.
async fn serve(talks: Arc<Talks>, mut stream: UnixStream) -> Option<()> {
    let mut news = talks.follow();
    let Some(line) = talks.here() else {
        let none = "{\"kind\":\"trouble\",\"sentence\":\"this PC has no ear and no mouth of its own now\"}\n";
        return send(&mut stream, none.into()).await;
    };
    send(&mut stream, view(&line)).await?;
    let mut bytes = [0; READ_BYTES];
    loop {
        let text = tokio::select! {
            n = stream.read(&mut bytes) => {
                let n = n.ok().filter(|n| *n > 0)?;
                for word in bytes[..n].split(|byte| *byte == b'\n') {
                    match word {
                        b"start" => _ = line.start(),
                        b"stop" => _ = line.stop(),
                        _ => {}
                    }
                }
                continue;
            }
            told = news.recv() => match told {
                Ok(told) if told.talk != line.id => continue,
                Ok(Told { news: News::Closed, .. }) | Err(RecvError::Closed) => return None,
                Ok(told) => serde_json::to_string(&told).ok()? + "\n",
                Err(RecvError::Lagged(_)) => view(&line),
            },
        };
        send(&mut stream, text).await?;
    }
}

fn view(line: &Line) -> String {
    let mut view = serde_json::to_value(line.view()).unwrap_or_default();
    view["kind"] = "view".into();
    format!("{view}\n")
}

async fn send(stream: &mut UnixStream, text: String) -> Option<()> {
    timeout(WRITE_TIME_MAX, stream.write_all(text.as_bytes())).await.ok()?.ok()
}
