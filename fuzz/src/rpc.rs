//! The target of `rpcgate`: what a stock llama.cpp client says, and what of it reaches ggml's server.

use rpcgate::{Command, Gate, HELLO_BYTES, KINDS, Lease, Out, PIECE_BYTES, TENSOR_BYTES};

const LEASE: Lease = Lease { bytes_max: 1 << 20 };
const BUFFER: u64 = 7;
const BASE: u64 = 1 << 32;
const BYTES: u64 = 1 << 16;
/// Questions that are answered for one input.
const ANSWERS_MAX: usize = 64;

/// A byte of command and its matter, whose length is written well, then all of it once more as the client's stream.
/// The server is played; whatever reaches it is held to its memory by another count than the gate's.
pub fn rpc_gate(bytes: &[u8]) {
    let Some((command, matter)) = bytes.split_first() else { return };
    let message = |matter: &[u8]| {
        let mut message = vec![*command];
        message.extend((matter.len() as u64).to_le_bytes());
        message.extend(matter);
        message
    };
    let mut server = Server::begun();
    server.hear(&message(matter));
    // Whatever that was, a graph may be computed again.
    server.hear(&[16, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    server.hear(bytes);
    Server::begun().hear(bytes);
    Server::new().hear(bytes);
}

/// A server that answers every question, and asserts that it is asked nothing else.
struct Server {
    gate: Gate,
    is_over: bool,
    has_buffer: bool,
    n_answers: usize,
    /// Bytes of the client's that wait for an answer.
    pending: Vec<u8>,
}

impl Server {
    fn new() -> Server {
        let gate = Gate::new(LEASE);
        Server { gate, is_over: false, has_buffer: false, n_answers: 0, pending: vec![] }
    }

    /// Greeted, and with one buffer.
    fn begun() -> Server {
        let mut server = Server::new();
        let message = |command: Command, matter: &[u8]| {
            let head = [&[command as u8][..], &(matter.len() as u64).to_le_bytes()].concat();
            [&head[..], matter].concat()
        };
        server.hear(&message(Command::Hello, &[0; HELLO_BYTES]));
        let asked = [&[0; 4][..], &BYTES.to_le_bytes()].concat();
        server.hear(&message(Command::AllocBuffer, &asked));
        server.hear(&message(Command::BufferGetBase, &BUFFER.to_le_bytes()));
        assert!(server.has_buffer && !server.is_over, "a good beginning was refused");
        server
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.pending.extend(bytes);
        while !self.is_over && !self.gate.is_waiting() {
            let mut out = Out::default();
            match self.gate.from_client(&self.pending, &mut out) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(refusal) => {
                    assert!(!refusal.to_string().is_empty());
                    self.is_over = true;
                }
            }
            let is_quiet = out == Out::default();
            self.take(&out.to_server);
            if is_quiet || self.n_answers > ANSWERS_MAX {
                return;
            }
        }
    }

    /// Every message that reaches the server.
    fn take(&mut self, mut bytes: &[u8]) {
        while let [command, rest @ ..] = bytes {
            let (length, rest) = rest.split_first_chunk::<8>().expect("a message has a length");
            let (matter, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            bytes = rest;
            let answer = self.check(*command, matter);
            let Some(answer) = answer else { continue };
            assert!(self.gate.is_waiting() && bytes.is_empty(), "a question is the last for now");
            self.n_answers += 1;
            let said = [&(answer.len() as u64).to_le_bytes()[..], &answer].concat();
            let mut out = Out::default();
            self.gate.from_server(&said, &mut out).expect("a good answer");
            let more = std::mem::take(&mut out.to_server);
            if self.n_answers <= ANSWERS_MAX {
                self.take(&more);
            }
        }
    }

    /// The answer, if the command has one.
    fn check(&mut self, command: u8, matter: &[u8]) -> Option<Vec<u8>> {
        let number = |at: usize| u64::from_le_bytes(matter[at..at + 8].try_into().expect("eight bytes"));
        let tensor = |at: usize| self.bytes_of(&matter[at..at + TENSOR_BYTES]).expect("a tensor has memory");
        match command {
            0 => {
                let asked = number(4);
                assert!(asked <= LEASE.bytes_max, "more than the lease");
                // A second one is refused by the server, as if it had no more memory.
                let pointer = if self.has_buffer { 0 } else { BUFFER };
                self.has_buffer = true;
                Some([pointer, asked].iter().flat_map(|n| n.to_le_bytes()).collect())
            }
            1 | 2 | 13 => Some(vec![0; 8]),
            3 => {
                assert_eq!(number(0), BUFFER);
                Some(BASE.to_le_bytes().to_vec())
            }
            4 => {
                assert!(self.has_buffer && number(0) == BUFFER);
                self.has_buffer = false;
                None
            }
            5 => {
                assert!(self.has_buffer && number(0) == BUFFER);
                None
            }
            6 => {
                let (offset, n) = (number(TENSOR_BYTES + 1), (matter.len() - TENSOR_BYTES - 9) as u64);
                assert!(n <= PIECE_BYTES as u64 && offset + n <= tensor(0) && matter[TENSOR_BYTES] == 0);
                None
            }
            8 => {
                let (offset, n) = (number(TENSOR_BYTES), number(TENSOR_BYTES + 8));
                assert!(n <= PIECE_BYTES as u64 && offset + n <= tensor(0), "beyond the tensor");
                Some(vec![1; n as usize])
            }
            9 => {
                assert!(tensor(0) <= tensor(TENSOR_BYTES), "a copy that is longer than its place");
                Some(vec![1])
            }
            10 => {
                self.check_graph(matter);
                None
            }
            12 => {
                tensor(0);
                None
            }
            14 => {
                assert!(matter.iter().all(|byte| *byte == 0), "a wish for another transport");
                Some(vec![0; 4 + HELLO_BYTES])
            }
            15 => Some(vec![1, 0, 0, 0]),
            16 => None,
            17 => {
                let (offset, n) = (number(TENSOR_BYTES), number(TENSOR_BYTES + 8));
                assert!(offset.checked_add(n).is_some_and(|end| end <= tensor(0)), "beyond the tensor");
                None
            }
            other => panic!("command {other} reached the server"),
        }
    }

    /// Every tensor lies in its buffer, and whatever is computed is on the list.
    fn check_graph(&self, matter: &[u8]) {
        let count =
            |at: usize| u32::from_le_bytes(matter[at..at + 4].try_into().expect("four bytes")) as usize;
        let n_nodes = count(4);
        let nodes: Vec<&[u8]> = matter[8..8 + 8 * n_nodes].chunks_exact(8).collect();
        let tensors = &matter[12 + 8 * n_nodes..];
        assert_eq!(tensors.len(), count(8 + 8 * n_nodes) * TENSOR_BYTES);
        for (idx, tensor) in tensors.chunks_exact(TENSOR_BYTES).enumerate() {
            let n_bytes = self.bytes_of(tensor);
            let op = u32::from_le_bytes(tensor[52..56].try_into().expect("four bytes"));
            let is_node = nodes.iter().any(|id| **id == tensor[..8]);
            let computes = is_node && ![0, 36, 37, 38, 39].contains(&op);
            assert!(!is_node || rpcgate::allowed(op).is_some(), "an operation that is not on the list");
            assert!(!computes || n_bytes.is_some(), "something is computed without memory");
            for id in tensor[124..204].chunks_exact(8).filter(|id| **id != [0; 8]) {
                let before = tensors.chunks_exact(TENSOR_BYTES).take(idx + 1);
                let mut before = before.filter(|source| source[..8] == *id);
                let source = before.next().expect("a source comes before what is made of it");
                assert!(!computes || self.bytes_of(source).is_some(), "a source without memory");
            }
        }
    }

    /// Bytes of a tensor in its buffer, counted once more; nothing for one that has none.
    fn bytes_of(&self, tensor: &[u8]) -> Option<u64> {
        let four = |at: usize| u32::from_le_bytes(tensor[at..at + 4].try_into().expect("four bytes"));
        let eight = |at: usize| u64::from_le_bytes(tensor[at..at + 8].try_into().expect("eight bytes"));
        let kind = KINDS.iter().find(|kind| kind.number == four(8)).expect("a known type");
        if eight(12) == 0 {
            assert_eq!(eight(220), 0, "memory of no buffer");
            return None;
        }
        assert!(self.has_buffer && eight(12) == BUFFER, "a tensor in a buffer that is not there");
        let (ne, nb) = ([20, 24, 28, 32].map(four), [36, 40, 44, 48].map(four));
        // Whoever takes it as packed and whoever goes by its steps stay within.
        let mut end = u128::from(ne[0] / kind.block as u32) * u128::from(kind.bytes);
        let mut packed = end;
        for idx in 1..4 {
            end += u128::from(ne[idx].saturating_sub(1)) * u128::from(nb[idx]);
            packed *= u128::from(ne[idx]);
        }
        let data = u128::from(eight(220));
        assert!(data >= u128::from(BASE));
        let last = u128::from(BASE + BYTES);
        if !ne.contains(&0) {
            assert!(data + end.max(packed) <= last, "a tensor reaches beyond its buffer");
        }
        let blocks = u128::from(ne[0].saturating_sub(kind.block as u32) / kind.block as u32);
        let steps = blocks * u128::from(nb[0]) + u128::from(kind.bytes);
        let rest: u128 = (1..4).map(|idx| u128::from(ne[idx].saturating_sub(1)) * u128::from(nb[idx])).sum();
        if ne.contains(&0) {
            return Some(0);
        }
        // ggml's own count for blocks that are spread is larger than what they span.
        assert!(data + steps + rest <= last);
        let own = if kind.block > 1 {
            u128::from(ne[0]) * u128::from(nb[0]) / u128::from(kind.block) + rest
        } else {
            u128::from(kind.bytes) + u128::from(ne[0] - 1) * u128::from(nb[0]) + rest
        };
        Some(u64::try_from(own).expect("within a buffer"))
    }
}
