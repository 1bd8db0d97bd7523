//! Clients that fetch files of many sizes with many options, each from a transfer of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netboot::tftp::{self, Input, Output, Request, Transfer};

use crate::wire::{End, Wire};

/// How all transfers ended.
#[derive(Default)]
pub struct Ending {
    /// Files that came whole.
    pub whole: usize,
    /// Files that their client gave up.
    pub gone: usize,
    pub data_sent: u64,
    /// The least number of packets that would do.
    pub data_needed: u64,
}

/// A client as in RFC 1350 and 7440: acknowledges at the end of a window or where the order broke,
/// repeats itself after silence, and gives up in the end.
struct Client {
    request: Request,
    want: Arc<[u8]>,
    got: Vec<u8>,
    block: usize,
    window: u64,
    /// The next block in order; none before the options are agreed on.
    next: u64,
    since_ack: u64,
    whole: bool,
    silent: u32,
    wake: Duration,
}

/// Packets sent for each one needed; half of all packets may be lost.
const TRAFFIC_MAX: u64 = 50;
const PATIENCE: u32 = 12;
const CLIENT_WAIT: Duration = Duration::from_millis(1500);

/// Plays until every transfer is over on both sides.
pub fn play(wire: &mut Wire, n_clients: usize) -> Ending {
    let start = Instant::now();
    let mut now = Duration::ZERO;
    let mut clients: Vec<Client> = (0..n_clients).map(|_| Client::new(wire)).collect();
    let mut transfers: Vec<Transfer> =
        clients.iter().map(|client| Transfer::new(start, &client.request, client.want.clone())).collect();
    let data_needed = clients.iter().map(Client::blocks).sum();
    let mut ending = Ending { data_needed, ..Ending::default() };
    for (idx, transfer) in transfers.iter_mut().enumerate() {
        drain(wire, now, transfer, idx as End + 1, &mut ending);
    }
    loop {
        let alarms = transfers.iter().filter_map(|transfer| transfer.deadline().map(|wake| wake - start));
        let patience = clients.iter().filter(|client| client.is_waiting()).map(|client| client.wake);
        let Some(next) = alarms.chain(patience).chain(wire.next()).min() else { break };
        now = now.max(next);
        assert!(ending.data_sent <= data_needed * TRAFFIC_MAX, "the traffic grows without end");
        assert!(now <= tftp::TRANSFER_MAX + Duration::from_secs(1), "a transfer outlived its limit");
        while let Some(packet) = wire.receive(now) {
            if packet.to == 0 {
                let transfer = &mut transfers[packet.from as usize - 1];
                transfer.handle(start + now, Input::Datagram(&packet.bytes));
                drain(wire, now, transfer, packet.from, &mut ending);
            } else {
                clients[packet.to as usize - 1].hear(wire, now, packet.to, &packet.bytes);
            }
        }
        for (idx, transfer) in transfers.iter_mut().enumerate() {
            transfer.handle(start + now, Input::Time);
            drain(wire, now, transfer, idx as End + 1, &mut ending);
        }
        for (idx, client) in clients.iter_mut().enumerate() {
            client.wake_up(wire, now, idx as End + 1);
        }
    }
    for client in &clients {
        ending.whole += usize::from(client.whole);
        ending.gone += usize::from(!client.whole);
    }
    ending
}

fn drain(wire: &mut Wire, now: Duration, transfer: &mut Transfer, to: End, ending: &mut Ending) {
    while let Some(output) = transfer.poll() {
        if let Output::Send(bytes) = output {
            ending.data_sent += u64::from(bytes[1] == 3);
            wire.send(now, 0, to, bytes);
        }
    }
}

impl Client {
    fn new(wire: &mut Wire) -> Client {
        let size = [0, 1, 511, 512, 513, 20_480, 30_111][wire.roll(7) as usize];
        let want: Arc<[u8]> =
            (0..size).map(|idx: u32| (idx.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut maybe = |values: &[u16]| values.get(wire.roll(values.len() as u64 + 1) as usize).copied();
        let request =
            Request { block: maybe(&[512, 1024, 1468]), window: maybe(&[1, 2, 4, 16]), ..Request::default() };
        let has_options = request.block.is_some() || request.window.is_some();
        Client {
            block: usize::from(request.block.unwrap_or(512)),
            window: u64::from(request.window.unwrap_or(1)),
            next: u64::from(!has_options),
            request,
            want,
            got: Vec::new(),
            since_ack: 0,
            whole: false,
            silent: 0,
            wake: CLIENT_WAIT,
        }
    }

    fn blocks(&self) -> u64 {
        (self.want.len() / self.block) as u64 + 1
    }

    fn is_waiting(&self) -> bool {
        !self.whole && self.silent < PATIENCE
    }

    fn hear(&mut self, wire: &mut Wire, now: Duration, me: End, bytes: &[u8]) {
        // A client that has the whole file still answers: its last ACK may have been lost.
        if !self.is_waiting() && !self.whole {
            return;
        }
        let number = u64::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        match bytes[1] {
            6 if self.next <= 1 => {
                self.next = 1;
                self.acknowledge(wire, now, me);
            }
            3 if self.next > 0 && number == self.next => {
                let data = &bytes[4..];
                self.got.extend_from_slice(data);
                self.next += 1;
                self.since_ack += 1;
                self.silent = 0;
                self.wake = now + CLIENT_WAIT;
                if data.len() < self.block {
                    assert!(self.got[..] == self.want[..], "the file came out different");
                    self.whole = true;
                }
                if self.whole || self.since_ack == self.window {
                    self.acknowledge(wire, now, me);
                }
            }
            // A block that it has already, amid a window: nothing new.
            3 if self.next > number && self.since_ack > 0 => {}
            // Out of order: say where it broke, or again what was said.
            3 if self.next > 0 => self.acknowledge(wire, now, me),
            _ => {}
        }
    }

    fn acknowledge(&mut self, wire: &mut Wire, now: Duration, me: End) {
        self.since_ack = 0;
        let [high, low] = ((self.next - 1) as u16).to_be_bytes();
        wire.send(now, me, 0, vec![0, 4, high, low]);
    }

    fn wake_up(&mut self, wire: &mut Wire, now: Duration, me: End) {
        if self.is_waiting() && now >= self.wake {
            self.silent += 1;
            self.wake = now + CLIENT_WAIT;
            if self.next > 0 {
                self.acknowledge(wire, now, me);
            }
        }
    }
}
