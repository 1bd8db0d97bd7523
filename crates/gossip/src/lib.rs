//! The hands of the gossip: one thread, one socket and one for words to everybody, the system's clock and chance around a [`cluster::Node`].
//!
//! Agent and boot server both gossip, so the hands are here once.
//! They have a thread of their own and no executor: a node whose cores are taken by a model must still answer within
//! half a second, or the others bury it.
//! What the node knows is laid out as a picture that others may take at any time; nobody waits for the thread.

#![forbid(unsafe_code)]

mod hands;
mod picture;
mod wires;

use admission::{NodeId, RingKey};
use cluster::{Config, Event, Keys, Node, Random, Witness};
use hands::Hands;
pub use hands::PICTURE_EVERY;
pub use picture::{BadSender, Member, Picture, Traffic};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use wires::Group;

/// The gossip's port, on every node.
pub const PORT: u16 = 7947;

/// What the program wants of its node.
#[derive(Debug)]
pub enum Order {
    /// A body as `cluster::Facts::encode` gives it.
    Publish(Vec<u8>),
    /// A connection to this service failed just now.
    Suspect { node: NodeId, service: String },
    /// A page of the roster, as the boot server has it.
    Page(Vec<u8>),
    /// A new ring key, as the boot server has it.
    RingKey(RingKey),
    /// Says goodbye and ends the thread.
    Leave,
}

/// Is told what happens, on the gossip's own thread: it must be quick.
pub type OnEvent = Box<dyn FnMut(&Event) + Send>;

/// A running gossip.
pub struct Gossip {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
    picture: Arc<Mutex<Arc<Picture>>>,
    thread: Option<JoinHandle<()>>,
}

impl Gossip {
    /// Takes the port and begins. `listen` is usually every address: a broadcast comes to no other.
    pub fn start(listen: SocketAddr, config: Config, on_event: OnEvent) -> io::Result<Gossip> {
        let socket = UdpSocket::bind(listen)?;
        let witness: Box<dyn Witness> = Box::new(Keys::new(config.authority));
        let cluster = config.certificate.cluster();
        let now = Instant::now();
        let node = Node::new(now, config, witness, random());
        let picture = Arc::new(Mutex::new(Arc::new(picture::take(&node, cluster, now))));
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (orders, inbox) = channel();
        // Who hears one address alone hears no word to everybody.
        let group = listen.ip().is_unspecified().then(|| Group::open(listen.port())).flatten();
        let hands =
            Hands::new((socket, group), node, cluster, inbox, wake.clone(), picture.clone(), on_event)?;
        let thread = std::thread::Builder::new().name("gossip".to_owned()).spawn(move || hands.run())?;
        Ok(Gossip { orders, wake, picture, thread: Some(thread) })
    }

    pub fn order(&self, order: Order) {
        // A thread that has ended needs no orders.
        if self.orders.send(order).is_ok() {
            hands::ring(&self.wake);
        }
    }

    /// What this node knows; at most a second old.
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the thread still runs; it ends only by `Leave` or by a fault of ours.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Gossip {
    /// Says goodbye, so that nobody has to find out.
    fn drop(&mut self) {
        self.order(Order::Leave);
        if let Some(thread) = self.thread.take() {
            // If it panicked, its message is in the log already.
            let _ = thread.join();
        }
    }
}

/// Chance from the operating system.
fn random() -> Random {
    Box::new(|bytes| {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty());
            rest = &mut rest[n.expect("a running Linux always has random bytes")..];
        }
    })
}
