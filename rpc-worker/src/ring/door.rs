//! Where the stages before knock: one listener for all rings of this node. Who says no hello soon, or names a ring that
//! is not here, goes again.

use super::wire;
use service::log::{self, Level};
use split::pipe::HELLO_TIME_MAX;
use split::wire::{Blame, Counter, Fault, Frame, Hello};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Connections that did not say their hello yet.
const STRANGERS_MAX: usize = 16;
/// After a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A stage that came and said who it is.
pub struct Came {
    pub stream: TcpStream,
    pub read: Counter,
    pub hello: Hello,
}

type Rings = BTreeMap<[u8; 16], Sender<Came>>;

/// Which rings are here. Clones are the same.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Rings>>);

impl Registry {
    /// Takes in who comes for this ring, until the receiver is dropped.
    pub fn expect(&self, key: [u8; 16]) -> Receiver<Came> {
        let (sender, receiver) = channel(1);
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.retain(|_, ring| !ring.is_closed());
        rings.insert(key, sender);
        receiver
    }

    fn find(&self, key: &[u8; 16]) -> Option<Sender<Came>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

/// Lets stages in until the future is dropped.
pub async fn serve(listener: TcpListener, registry: Registry) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // No place: the connection is closed at once.
        let Ok(place) = Arc::clone(&strangers).try_acquire_owned() else { continue };
        let registry = registry.clone();
        tokio::spawn(async move {
            let greeted = tokio::time::timeout(HELLO_TIME_MAX, greet(stream, &registry)).await;
            if let Ok(Err(why)) = greeted {
                log::say(Level::Warning, &format!("rpc-worker: {from} is no stage of a ring here: {why}"));
            }
            drop(place);
        });
    }
}

async fn greet(mut stream: TcpStream, registry: &Registry) -> Result<(), String> {
    let mut read = Counter::default();
    let hello = match wire::read(&mut stream, &mut read).await.map_err(|e| e.to_string())? {
        Frame::Hello(hello) => hello,
        _ => return Err("it did not begin with a hello".to_owned()),
    };
    let Some(ring) = registry.find(&hello.key) else {
        let why = "this node holds nothing of that pipeline".to_owned();
        let fault = Frame::Fault(Fault { of: None, blame: Blame::Lost, why: why.clone() });
        // It goes either way.
        let _ = stream.write_all(&Counter::default().encode(&fault)).await;
        return Err(why);
    };
    ring.send(Came { stream, read, hello }).await.map_err(|_| "the ring was just given up".to_owned())
}
