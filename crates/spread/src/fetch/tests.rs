//! The machine alone, one event after the other. Twenty of them on a wire are in `image/src/bench/spread`.

use super::*;

const N: u32 = 6;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn bits(chunks: &[u32]) -> Bits {
    let mut bits = Bits::none(N);
    chunks.iter().for_each(|chunk| bits.set(*chunk));
    bits
}

fn fetch() -> Fetch {
    Fetch::new(ms(0), OwnId(1), 7, Bits::all(N), Bits::none(N))
}

fn all(fetch: &mut Fetch) -> Vec<Output> {
    std::iter::from_fn(|| fetch.poll()).collect()
}

fn told(fetch: &mut Fetch, at: u64, peer: u64, has: &[u32], wants: &[u32]) {
    fetch.handle(ms(at), Input::Told { peer, has: &bits(has), wants: &bits(wants) });
}

fn asked(outputs: &[Output]) -> Vec<(Source, u32)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Ask { from, chunk } => Some((*from, *chunk)),
            _ => None,
        })
        .collect()
}

#[test]
fn who_is_alone_asks_the_server_after_a_moment_and_two_at_a_time() {
    let mut fetch = fetch();
    assert_eq!(all(&mut fetch), []);
    assert_eq!(fetch.deadline(), Some(SETTLE));
    let mut now = SETTLE;
    fetch.handle(now, Input::Tick);
    let mut got = 0;
    while !fetch.is_done() {
        let wishes = asked(&all(&mut fetch));
        assert!(!wishes.is_empty() && wishes.iter().all(|(source, _)| *source == Source::Server));
        assert!(wishes.len() <= SERVER_FLIGHTS_MAX);
        for (from, chunk) in wishes {
            now += ms(30);
            got += 1;
            fetch.handle(now, Input::Came { from, chunk, is_good: true });
        }
    }
    assert_eq!((got, all(&mut fetch), fetch.deadline()), (N, vec![Output::Done], None));
    fetch.handle(now, Input::Tick);
    assert_eq!(all(&mut fetch), []);
}

#[test]
fn the_rarest_comes_first_and_from_peers_before_the_server() {
    let mut fetch = fetch();
    told(&mut fetch, 1, 3, &[1, 2, 3], &[]);
    assert_eq!(asked(&all(&mut fetch)).len(), PEER_FLIGHTS_MAX);
    told(&mut fetch, 2, 2, &[0, 1, 2, 3], &[]);
    assert_eq!(asked(&all(&mut fetch))[0], (Source::Peer(2), 0));
    fetch.handle(SETTLE, Input::Tick);
    let wishes = asked(&all(&mut fetch));
    assert!(wishes.iter().all(|(source, chunk)| *source == Source::Server && *chunk > 3), "{wishes:?}");
}

#[test]
fn who_wants_a_chunk_no_more_is_not_waited_for() {
    let ask_of = |chunk: u32, then_wants: &[u32]| {
        let mut fetch = Fetch::new(ms(0), OwnId(1), 7, bits(&[chunk]), Bits::none(N));
        told(&mut fetch, 1, 2, &[], &[chunk]);
        told(&mut fetch, 2, 2, &[], then_wants);
        fetch.handle(SETTLE, Input::Tick);
        asked(&all(&mut fetch))
    };
    let waited_for: Vec<u32> = (0..N).filter(|chunk| ask_of(*chunk, &[*chunk]).is_empty()).collect();
    assert!(!waited_for.is_empty());
    for chunk in waited_for {
        assert_eq!(ask_of(chunk, &[]), [(Source::Server, chunk)]);
    }
}

#[test]
fn who_gave_its_chunks_away_is_asked_for_none() {
    let mut fetch = Fetch::new(ms(0), OwnId(1), 7, bits(&[3]), Bits::none(N));
    told(&mut fetch, 1, 2, &[3], &[]);
    assert_eq!(asked(&all(&mut fetch)), [(Source::Peer(2), 3)]);
    told(&mut fetch, 2, 2, &[], &[]);
    fetch.handle(SETTLE, Input::Failed { from: Source::Peer(2), chunk: 3, how: Failure::Broken });
    assert_eq!(asked(&all(&mut fetch)), [(Source::Server, 3)]);
}

#[test]
fn two_that_want_the_same_bring_each_chunk_once() {
    let mut brought = Vec::new();
    for (own, other) in [(1, 2), (2, 1)] {
        let mut fetch = Fetch::new(ms(0), OwnId(own), own, Bits::all(N), Bits::none(N));
        told(&mut fetch, 1, other, &[], &[0, 1, 2, 3, 4, 5]);
        let mut now = SETTLE;
        fetch.handle(now, Input::Tick);
        loop {
            let wishes = asked(&all(&mut fetch));
            if wishes.is_empty() {
                break;
            }
            for (from, chunk) in wishes {
                now += ms(30);
                brought.push(chunk);
                fetch.handle(now, Input::Came { from, chunk, is_good: true });
            }
        }
    }
    brought.sort_unstable();
    assert_eq!(brought, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn who_gets_on_with_nothing_is_not_waited_for() {
    let mut fetch = fetch();
    told(&mut fetch, 1, 2, &[], &[0, 1, 2, 3, 4, 5]);
    for at in [SETTLE, ms(1) + STALE] {
        fetch.handle(at, Input::Tick);
        for (from, chunk) in asked(&all(&mut fetch)) {
            fetch.handle(at, Input::Came { from, chunk, is_good: true });
        }
    }
    // One after the other: each that comes makes room for the next.
    for _ in 0..N {
        for (from, chunk) in asked(&all(&mut fetch)) {
            fetch.handle(ms(2) + STALE, Input::Came { from, chunk, is_good: true });
        }
    }
    assert!(fetch.is_done());
}

#[test]
fn a_peer_that_sends_a_wrong_chunk_is_told_and_never_asked_again() {
    let mut fetch = fetch();
    told(&mut fetch, 1, 2, &[0, 1, 2, 3, 4, 5], &[]);
    let wishes = asked(&all(&mut fetch));
    let (from, chunk) = wishes[0];
    fetch.handle(ms(5), Input::Came { from, chunk, is_good: false });
    assert_eq!(all(&mut fetch), [Output::Dropped { from, chunk }]);
    told(&mut fetch, 6, 2, &[0, 1, 2, 3, 4, 5], &[]);
    assert_eq!(all(&mut fetch), []);
    // Of what it sent beside, nothing is believed twice.
    let (from, chunk) = wishes[1];
    fetch.handle(ms(7), Input::Came { from, chunk, is_good: false });
    assert_eq!(all(&mut fetch), []);
    let dropped: Vec<Share> = fetch.shares().filter(|share| share.is_dropped).collect();
    assert_eq!(dropped, [Share { source: Source::Peer(2), n_chunks: 0, is_dropped: true }]);
    fetch.handle(SETTLE, Input::Tick);
    assert!(asked(&all(&mut fetch)).iter().all(|(source, _)| *source == Source::Server));
}

#[test]
fn what_was_asked_of_one_that_is_gone_is_asked_of_another_at_once() {
    let mut fetch = fetch();
    told(&mut fetch, 1, 2, &[0], &[]);
    told(&mut fetch, 2, 3, &[0], &[]);
    let (from, chunk) = asked(&all(&mut fetch))[0];
    let Source::Peer(peer) = from else { panic!("a peer has it") };
    fetch.handle(ms(9), Input::Gone { peer });
    assert_eq!(asked(&all(&mut fetch)), [(Source::Peer(5 - peer), chunk)]);
}

#[test]
fn a_busy_peer_is_asked_again_soon_and_a_broken_one_ever_later() {
    let mut fetch = fetch();
    told(&mut fetch, 1, 2, &[0], &[]);
    let mut pauses = Vec::new();
    let mut now = ms(1);
    for how in [Failure::Busy, Failure::Broken, Failure::Broken, Failure::Broken] {
        assert_eq!(asked(&all(&mut fetch)).len(), 1);
        fetch.handle(now, Input::Failed { from: Source::Peer(2), chunk: 0, how });
        let next = now + FAILED_PAUSE_MAX;
        let until = fetch.sides[&Source::Peer(2)].until;
        assert!(until > now && until <= next);
        pauses.push(until - now);
        // The server is left out of this.
        fetch.settled = until + ms(1);
        now = until;
        fetch.handle(now, Input::Tick);
    }
    assert!(pauses.is_sorted() && pauses[0] >= BUSY_PAUSE, "{pauses:?}");
}

#[test]
fn a_chunk_that_does_not_come_is_asked_of_a_second_source_and_then_given_up() {
    let mut fetch = Fetch::new(ms(0), OwnId(1), 7, bits(&[3]), Bits::none(N));
    told(&mut fetch, 1, 2, &[3], &[]);
    assert_eq!(asked(&all(&mut fetch)), [(Source::Peer(2), 3)]);
    fetch.handle(ms(1) + SLOW_AFTER, Input::Tick);
    assert_eq!(asked(&all(&mut fetch)), [(Source::Server, 3)]);
    fetch.handle(ms(1) + FLIGHT_TIME_MAX, Input::Tick);
    fetch.handle(ms(2) + FLIGHT_TIME_MAX, Input::Came { from: Source::Server, chunk: 3, is_good: true });
    assert_eq!(all(&mut fetch), [Output::Done]);
}

#[test]
fn only_what_is_needed_and_not_here_is_fetched() {
    let mut fetch = Fetch::new(ms(0), OwnId(1), 7, bits(&[0, 2, 4]), bits(&[0, 5]));
    fetch.handle(SETTLE, Input::Tick);
    let mut chunks: Vec<u32> = asked(&all(&mut fetch)).iter().map(|(_, chunk)| *chunk).collect();
    chunks.sort_unstable();
    assert_eq!((chunks, fetch.n_needed(), fetch.missing()), (vec![2, 4], 3, bits(&[2, 4])));
}

#[test]
fn what_a_peer_says_of_another_length_changes_nothing() {
    let mut fetch = fetch();
    fetch.handle(ms(1), Input::Told { peer: 2, has: &Bits::all(N + 1), wants: &Bits::none(N + 1) });
    fetch.handle(ms(1), Input::Told { peer: 1, has: &Bits::all(N), wants: &Bits::none(N) });
    fetch.handle(ms(1), Input::Came { from: Source::Peer(9), chunk: 99, is_good: true });
    assert_eq!((all(&mut fetch), fetch.have().count()), (vec![], 0));
}
