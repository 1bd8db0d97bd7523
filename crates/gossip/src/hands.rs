//! The thread: waits for the socket, an order or the node's deadline, and carries out what the node wishes.

use crate::picture::{self, Picture};
use crate::wires::{self, Group};
use crate::{OnEvent, Order};
use admission::ClusterId;
use cluster::{DATAGRAM_BYTES_MAX, Event, Input, Node, Output};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Of this thread alone, where the system allows it: an answer must not wait until a model has finished its sentence.
const NICE: i32 = -10;
/// Datagrams read before orders and time have their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// What the kernel keeps while the thread waits for a core: two seconds of a busy wire.
const RECEIVE_BYTES: usize = 1 << 20;
/// A picture is made at most this often, but for a doubt, and at least this often.
pub const PICTURE_EVERY: Duration = Duration::from_millis(100);
const PICTURE_AGE_MAX: Duration = Duration::from_secs(1);
/// New cards are looked for so often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// If nothing else is due, so that a lost deadline heals.
const SLEEP_MAX: Duration = Duration::from_secs(1);

pub struct Hands {
    socket: UdpSocket,
    group: Option<Group>,
    looked: Instant,
    port: u16,
    node: Node,
    cluster: ClusterId,
    orders: Receiver<Order>,
    wake: Arc<OwnedFd>,
    picture: Arc<Mutex<Arc<Picture>>>,
    pictured: Instant,
    is_stale: bool,
    on_event: OnEvent,
}

/// Wakes the thread.
pub fn ring(wake: &OwnedFd) {
    // If the counter is full the thread is awake anyway.
    let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
}

impl Hands {
    pub fn new(
        (socket, group): (UdpSocket, Option<Group>),
        node: Node,
        cluster: ClusterId,
        orders: Receiver<Order>,
        wake: Arc<OwnedFd>,
        picture: Arc<Mutex<Arc<Picture>>>,
        on_event: OnEvent,
    ) -> io::Result<Hands> {
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        // The kernel grants what it likes.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BYTES);
        let port = socket.local_addr()?.port();
        Ok(Hands {
            socket,
            group,
            looked: Instant::now(),
            port,
            node,
            cluster,
            orders,
            wake,
            picture,
            pictured: Instant::now(),
            is_stale: true,
            on_event,
        })
    }

    pub fn run(mut self) {
        // Without the right the thread is as quick as all others. On Linux no process id means this thread.
        let _ = rustix::process::setpriority_process(None, NICE);
        loop {
            self.node.handle(Instant::now(), Input::Time);
            self.carry_out();
            let (has_datagrams, has_orders) = self.wait();
            if has_orders && !self.take_orders() {
                self.carry_out();
                return;
            }
            if has_datagrams {
                self.receive();
            }
        }
    }

    /// Sleeps until something is to be done; says what came.
    fn wait(&self) -> (bool, bool) {
        let now = Instant::now();
        let due = self.node.deadline().map_or(SLEEP_MAX, |at| at.saturating_duration_since(now));
        let picture = if self.is_stale { PICTURE_EVERY } else { SLEEP_MAX };
        let time = due.min(picture).min(SLEEP_MAX);
        // A millisecond more: woken a moment early, the thread would only turn round.
        let time = if time.is_zero() { time } else { time + Duration::from_millis(1) };
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
        fds.extend(
            self.group.as_ref().map(|group| PollFd::from_borrowed_fd(group.socket().as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, Some(&time)) {
            // Asked to look again, or the kernel is short of memory: both looks are cheap.
            Err(Errno::INTR | Errno::NOMEM) => (true, true),
            Err(error) => panic!("poll of two open files refuses: {error}"),
            Ok(_) => {
                let came = |fd: &PollFd<'_>| !fd.revents().is_empty();
                (fds[1..].iter().any(came), came(&fds[0]))
            }
        }
    }

    /// False when this was goodbye.
    fn take_orders(&mut self) -> bool {
        // Emptied first: an order that comes after the look rings anew.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        while let Ok(order) = self.orders.try_recv() {
            let now = Instant::now();
            match order {
                Order::Publish(body) => self.node.handle(now, Input::Publish(body)),
                Order::Suspect { node, service } => {
                    self.node.handle(now, Input::Suspect { node, service: &service });
                }
                Order::Page(page) => self.node.handle(now, Input::Page(&page)),
                Order::RingKey(key) => self.node.handle(now, Input::RingKey(key)),
                Order::Leave => {
                    self.node.handle(now, Input::Leave);
                    return false;
                }
            }
        }
        true
    }

    fn receive(&mut self) {
        // One byte more than any datagram of ours: what fills it is none.
        let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
        for socket in [Some(&self.socket), self.group.as_ref().map(Group::socket)].into_iter().flatten() {
            for _ in 0..DATAGRAMS_AT_ONCE {
                match wires::receive(socket, &mut buffer) {
                    Ok((n, from)) => {
                        self.node.handle(Instant::now(), Input::Datagram { from, bytes: &buffer[..n] });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An earlier datagram found no door somewhere; the gossip finds out by itself.
                    Err(_) => {}
                }
            }
        }
    }

    fn carry_out(&mut self) {
        let mut is_urgent = false;
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, bytes } => self.send(to, &bytes),
                Output::Broadcast { bytes } => self.send_to_all(&bytes),
                Output::Event(event) => {
                    self.is_stale = true;
                    // Whoever chooses a peer next must not take the one that just failed; doubts are few for each record.
                    is_urgent |= matches!(event, Event::Doubted(_));
                    (self.on_event)(&event);
                }
            }
        }
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.group.iter_mut().for_each(Group::look);
        }
        let age = self.pictured.elapsed();
        if is_urgent || age >= PICTURE_AGE_MAX || (self.is_stale && age >= PICTURE_EVERY) {
            self.pictured = Instant::now();
            self.is_stale = false;
            let picture = Arc::new(picture::take(&self.node, self.cluster, self.pictured));
            *self.picture.lock().unwrap_or_else(PoisonError::into_inner) = picture;
        }
    }

    fn send_to_all(&mut self, bytes: &[u8]) {
        for to in wires::broadcasts(self.port) {
            self.send(to, bytes);
        }
        if let Some(group) = &mut self.group {
            group.look();
            group.send(bytes, self.port);
        }
    }

    fn send(&self, to: SocketAddrV4, bytes: &[u8]) {
        // Lost like any other datagram: the wire may be down, and the gossip lives with it.
        let _ = self.socket.send_to(bytes, to);
    }
}
