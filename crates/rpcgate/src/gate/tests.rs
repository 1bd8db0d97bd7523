//! Whole conversations with a server that is played here.

use super::*;
use crate::graph::tests::graph;
use crate::message::{COMMANDS, GRAPH_BYTES_MAX};
use crate::tensor::tests::Sent;

const LEASE: Lease = Lease { bytes_max: 4 << 20 };
const BASE: u64 = 1 << 32;

fn message(command: Command, matter: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    command.put(&mut out, matter);
    out
}

fn answer(matter: &[u64]) -> Vec<u8> {
    [matter.len() as u64 * 8].iter().chain(matter).flat_map(|n| n.to_le_bytes()).collect()
}

fn hello() -> Vec<u8> {
    message(Command::Hello, &[&[9; HELLO_BYTES]])
}

/// What the gate gives out for these bytes.
#[track_caller]
fn ask(gate: &mut Gate, bytes: &[u8]) -> Out {
    let mut out = Out::default();
    assert_eq!(gate.from_client(bytes, &mut out), Ok(bytes.len()));
    out
}

#[track_caller]
fn reply(gate: &mut Gate, bytes: &[u8]) -> Out {
    let mut out = Out::default();
    gate.from_server(bytes, &mut out).unwrap();
    out
}

#[track_caller]
fn refused(gate: &mut Gate, bytes: &[u8], want: &str) {
    let mut out = Out::default();
    let got = gate.from_client(bytes, &mut out).map_err(|refusal| refusal.to_string());
    assert_eq!(got, Err(want.to_owned()));
    assert_eq!(out, Out::default());
}

fn greeted() -> Gate {
    let mut gate = Gate::new(LEASE);
    ask(&mut gate, &hello());
    let version = [&(HELLO_ANSWER_BYTES as u64).to_le_bytes()[..], &[0; HELLO_ANSWER_BYTES]].concat();
    assert_eq!(reply(&mut gate, &version).to_client, version);
    gate
}

/// With one buffer, number 7, of 3 MiB.
fn with_buffer() -> Gate {
    let mut gate = greeted();
    let asked = [&0u32.to_le_bytes()[..], &(3u64 << 20).to_le_bytes()].concat();
    ask(&mut gate, &message(Command::AllocBuffer, &[&asked]));
    reply(&mut gate, &answer(&[7, 3 << 20]));
    ask(&mut gate, &message(Command::BufferGetBase, &[&7u64.to_le_bytes()]));
    reply(&mut gate, &answer(&[BASE]));
    gate
}

fn row(id: u64) -> Sent {
    Sent::new(id, 0, [4, 1, 1, 1]).at(7, BASE)
}

fn place(offset: u64, bytes: u64) -> Vec<u8> {
    [offset, bytes].map(u64::to_le_bytes).concat()
}

#[test]
fn hello_comes_first_and_once_and_wishes_for_nothing() {
    refused(&mut Gate::new(LEASE), &message(Command::DeviceCount, &[]), "it does not begin with HELLO");
    let out = ask(&mut Gate::new(LEASE), &hello());
    assert_eq!(out.to_server, message(Command::Hello, &[&[0; HELLO_BYTES]]));
    refused(&mut greeted(), &hello(), "a second HELLO");
    refused(&mut greeted(), &[18, 0, 0, 0, 0, 0, 0, 0, 0], "there is no command 18");
}

#[test]
fn lengths_are_judged_before_anything_is_kept() {
    for command in COMMANDS.into_iter().filter(|command| *command != Command::Hello) {
        let head = [&[command as u8][..], &3u64.to_le_bytes()].concat();
        refused(&mut greeted(), &head, &format!("{command} of 3 bytes"));
    }
    let head = [&[Command::GraphCompute as u8][..], &u64::MAX.to_le_bytes()].concat();
    refused(&mut greeted(), &head, "GraphCompute of 18446744073709551615 bytes");
    let head = [&[Command::GraphCompute as u8][..], &(GRAPH_BYTES_MAX + 1).to_le_bytes()].concat();
    refused(&mut greeted(), &head, "GraphCompute of 16777217 bytes");
    // The length of what is set is judged by the tensor, which comes first.
    let head = [&[Command::SetTensor as u8][..], &(1u64 << 63).to_le_bytes()].concat();
    let mut gate = with_buffer();
    assert_eq!(ask(&mut gate, &head), Out::default());
    let rest = [&row(1).bytes()[..], &[0], &0u64.to_le_bytes()].concat();
    let want = "SetTensor of 9223372036854775503 bytes at 0 in a tensor of 16";
    refused(&mut gate, &rest, want);
}

#[test]
fn a_message_may_come_byte_by_byte_and_goes_out_whole() {
    let bytes = message(Command::InitTensor, &[&row(1).bytes()]);
    let mut gate = with_buffer();
    for byte in &bytes[..bytes.len() - 1] {
        assert_eq!(ask(&mut gate, &[*byte]), Out::default());
        assert!(gate.is_within_message());
    }
    assert_eq!(ask(&mut gate, &bytes[bytes.len() - 1..]).to_server, bytes);
    assert!(!gate.is_within_message());
}

#[test]
fn nothing_is_read_while_an_answer_is_owed() {
    let mut gate = greeted();
    let two = [message(Command::DeviceCount, &[]), message(Command::DeviceCount, &[])].concat();
    let mut out = Out::default();
    assert_eq!(gate.from_client(&two, &mut out), Ok(9));
    assert!(gate.is_waiting());
    reply(&mut gate, &[4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(gate.from_client(&two[9..], &mut out), Ok(9));
    assert_eq!(out.to_server, two);
}

#[test]
fn memory_is_the_leases_and_no_more() {
    let mut gate = with_buffer();
    let want = "1048577 bytes of memory were asked for, and the lease has 1048576 left";
    let asked = |bytes: u64| {
        message(Command::AllocBuffer, &[&[&0u32.to_le_bytes()[..], &bytes.to_le_bytes()].concat()])
    };
    refused(&mut gate, &asked((1 << 20) + 1), want);
    for huge in [1 << 63, u64::MAX] {
        let want = format!("{huge} bytes of memory were asked for, and the lease has 1048576 left");
        refused(&mut with_buffer(), &asked(huge), &want);
    }
    let told = ask(&mut with_buffer(), &message(Command::GetDeviceMemory, &[&[0; 4]]));
    assert_eq!(told.to_client, answer(&[1 << 20, 4 << 20]));
    // The server had none.
    let mut gate = with_buffer();
    ask(&mut gate, &asked(1 << 20));
    reply(&mut gate, &answer(&[0, 0]));
    ask(&mut gate, &asked(1 << 20));
}

#[test]
fn a_buffer_that_nobody_gave_out_is_refused() {
    let eight = 8u64.to_le_bytes();
    for command in [Command::BufferGetBase, Command::FreeBuffer] {
        refused(&mut with_buffer(), &message(command, &[&eight]), "there is no buffer 0x8");
    }
    refused(&mut with_buffer(), &message(Command::BufferClear, &[&eight, &[0]]), "there is no buffer 0x8");
    let mut gate = with_buffer();
    let free = message(Command::FreeBuffer, &[&7u64.to_le_bytes()]);
    assert_eq!(ask(&mut gate, &free).to_server, free);
    refused(&mut gate, &free, "there is no buffer 0x7");
}

#[test]
fn tensors_are_held_to_their_buffer_and_bytes_to_their_tensor() {
    let outside = row(1).at(7, BASE + (3 << 20) - 15).bytes();
    let beyond = "tensor 'x' reaches beyond its buffer";
    refused(&mut with_buffer(), &message(Command::InitTensor, &[&outside]), beyond);
    let one = row(1).bytes();
    let get = |offset, bytes| message(Command::GetTensor, &[&row(1).bytes(), &place(offset, bytes)]);
    refused(&mut with_buffer(), &get(0, 4096), "GetTensor of 4096 bytes at 0 in a tensor of 16");
    let want = "GetTensor of 1 bytes at 18446744073709551615 in a tensor of 16";
    refused(&mut with_buffer(), &get(u64::MAX, 1), want);
    let memset = message(Command::MemsetTensor, &[&one, &place(8, 9), &[0]]);
    refused(&mut with_buffer(), &memset, "MemsetTensor of 9 bytes at 8 in a tensor of 16");
    let short = Sent::new(2, 0, [3, 1, 1, 1]).at(7, BASE).bytes();
    let copy = message(Command::CopyTensor, &[&one, &short]);
    refused(&mut with_buffer(), &copy, "CopyTensor of 16 bytes at 0 in a tensor of 12");
    let set = message(Command::SetTensor, &[&one, &[0], &0u64.to_le_bytes(), &[5; 17]]);
    refused(&mut with_buffer(), &set, "SetTensor of 17 bytes at 0 in a tensor of 16");
    let huge = Sent { ne: [u32::MAX; 4], ..row(1) };
    let want = "tensor 'x' is larger than any memory";
    refused(&mut with_buffer(), &message(Command::InitTensor, &[&huge.bytes()]), want);
}

#[test]
fn weights_go_on_in_pieces_as_they_come() {
    let n = 2 * PIECE_BYTES + 4;
    let tensor = Sent::new(1, 24, [n as u32 + 8, 1, 1, 1]).at(7, BASE).bytes();
    let matter: Vec<u8> = (0..n).map(|idx| idx as u8).collect();
    let bytes = message(Command::SetTensor, &[&tensor, &[1], &8u64.to_le_bytes(), &matter]);
    let mut gate = with_buffer();
    let out = ask(&mut gate, &bytes);
    let mut want = Vec::new();
    for (idx, piece) in matter.chunks(PIECE_BYTES).enumerate() {
        let offset = (8 + idx * PIECE_BYTES) as u64;
        Command::SetTensor.put(&mut want, &[&tensor, &[0], &offset.to_le_bytes(), piece]);
    }
    assert!(out.to_server == want && !gate.is_waiting() && !gate.is_within_message());
}

#[test]
fn results_come_in_pieces_and_are_one_answer() {
    let n = 2 * PIECE_BYTES as u64 + 4;
    let tensor = Sent::new(1, 24, [n as u32, 1, 1, 1]).at(7, BASE).bytes();
    let mut gate = with_buffer();
    let mut out = ask(&mut gate, &message(Command::GetTensor, &[&tensor, &place(0, n)]));
    let (mut offset, mut told) = (0, out.to_client.clone());
    for bytes in [PIECE_BYTES as u64, PIECE_BYTES as u64, 4] {
        assert_eq!(out.to_server, message(Command::GetTensor, &[&tensor, &place(offset, bytes)]));
        let said = [&bytes.to_le_bytes()[..], &vec![offset as u8 + 1; bytes as usize]].concat();
        let (first, second) = said.split_at(5);
        told.extend(reply(&mut gate, first).to_client);
        out = reply(&mut gate, second);
        told.extend(&out.to_client);
        offset += bytes;
    }
    assert_eq!((told.len() as u64, &told[..8]), (8 + n, &n.to_le_bytes()[..]));
    assert!(!gate.is_waiting() && out.to_server.is_empty());
}

#[test]
fn a_graph_is_needed_before_it_is_computed_again() {
    let again = message(Command::GraphRecompute, &[&[0; 4]]);
    refused(&mut with_buffer(), &again, "GRAPH_RECOMPUTE without a graph");
    let mut gate = with_buffer();
    let bytes = message(Command::GraphCompute, &[&graph(&[2], &[row(1), row(2).of(2, &[1, 1])])]);
    assert_eq!(ask(&mut gate, &bytes).to_server, bytes);
    assert_eq!(ask(&mut gate, &again).to_server, again);
    ask(&mut gate, &message(Command::FreeBuffer, &[&7u64.to_le_bytes()]));
    refused(&mut gate, &again, "GRAPH_RECOMPUTE without a graph");
}

#[test]
fn a_question_about_sizes_brings_no_memory() {
    let none = vec![0; TENSOR_BYTES];
    let mut matter = 0u32.to_le_bytes().to_vec();
    matter.extend(row(1).at(99, 77).bytes());
    (0..SOURCES_MAX).for_each(|_| matter.extend(&none));
    let mut want = 0u32.to_le_bytes().to_vec();
    want.extend(row(1).at(0, 0).bytes());
    (0..SOURCES_MAX).for_each(|_| want.extend(&none));
    let out = ask(&mut greeted(), &message(Command::GetAllocSize, &[&matter]));
    assert_eq!(out.to_server, message(Command::GetAllocSize, &[&want]));
    matter[12] = 99;
    let want = "tensor 'x' has a type that does not exist";
    refused(&mut greeted(), &message(Command::GetAllocSize, &[&matter]), want);
}

#[test]
fn a_hash_is_never_known() {
    let bytes = message(Command::SetTensorHash, &[&row(1).bytes(), &place(0, 1)]);
    let out = ask(&mut with_buffer(), &bytes);
    assert_eq!((out.to_client, out.to_server), (vec![1, 0, 0, 0, 0, 0, 0, 0, 0], vec![]));
}

#[test]
fn a_server_that_answers_otherwise_is_none_of_ours() {
    let mut out = Out::default();
    assert_eq!(greeted().from_server(&[0], &mut out), Err(Fault::Unasked));
    let mut gate = greeted();
    ask(&mut gate, &message(Command::DeviceCount, &[]));
    let told = Fault::Length { want: 4, told: 5 };
    assert_eq!(gate.from_server(&5u64.to_le_bytes(), &mut out), Err(told));
    let mut gate = greeted();
    ask(&mut gate, &message(Command::AllocBuffer, &[&[0; 4], &9u64.to_le_bytes()]));
    assert_eq!(gate.from_server(&answer(&[7, 8]), &mut out), Err(Fault::Memory));
    let mut gate = with_buffer();
    ask(&mut gate, &message(Command::BufferGetBase, &[&7u64.to_le_bytes()]));
    assert_eq!(gate.from_server(&answer(&[u64::MAX]), &mut out), Err(Fault::Memory));
}
