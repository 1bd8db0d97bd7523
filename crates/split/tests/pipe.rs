//! A ring of stages without a network: links, head and stages are real, wires, clock and model are not.
//!
//! Whatever is killed, frozen or cut, and whenever: every sequence ends with the tokens that it would have had alone,
//! or with an error that says what was lost.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use split::pipe::{
    Event, FEW_ROWS, Head, Input, Job, Link, LinkOutput, Output, Stage, StageInput, StageOutput, Work, Worked,
};
use split::wire::{Blame, Chosen, Counter, Frame, HEAD_BYTES, Head as FrameHead, Hello, Manner};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const N_EMBD: usize = 2;
const N_SLOTS: u16 = 3;
const TOKENS_PER_STORY: usize = 12;
const MS: Duration = Duration::from_millis(1);
/// A story that takes longer hangs.
const STORY_MAX: Duration = Duration::from_secs(60);
/// Between two attempts of the head.
const DIAL_PAUSE: Duration = Duration::from_millis(100);

/// Dice (xorshift64*): the same story every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

/// A model whose every state follows from all tokens before: a stage that forgot something gives other tokens. So does
/// one that computes few rows where there were many, or the other way round, as kernels that round otherwise.
#[derive(Default)]
struct Layers {
    cache: BTreeMap<u16, Vec<u64>>,
    n_computed: usize,
}

fn mix(a: u64, b: u64) -> u64 {
    (a ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) % (1 << 40)
}

impl Layers {
    fn rows(&mut self, slot: u16, at: u32, rows: &[u64]) -> Vec<f32> {
        self.n_computed += rows.len();
        let cache = self.cache.entry(slot).or_default();
        assert!(
            cache.len() >= at as usize,
            "slot {slot} has {} positions, a piece came at {at}",
            cache.len()
        );
        cache.truncate(at as usize);
        let mut out = Vec::new();
        for row in rows {
            let few = u64::from(rows.len() < FEW_ROWS);
            let state = mix(cache.last().copied().unwrap_or(1), row * 2 + few);
            cache.push(state);
            // A float keeps 24 bits.
            out.extend([(state >> 20) as f32, (state & 0xf_ffff) as f32]);
        }
        out
    }
}

fn state(row: &[f32]) -> u64 {
    (row[0] as u64) << 20 | row[1] as u64
}

fn tokens_as_rows(tokens: &[i32]) -> Vec<u64> {
    tokens.iter().map(|token| *token as u64).collect()
}

fn token(state: u64) -> i32 {
    (state % 1000) as i32
}

/// Tokens that follow an answer, as a second question.
const QUESTION: [i32; 5] = [3, 1, 4, 1, 5];

/// What two answers of a sequence are when nothing disturbs it.
fn alone(n_stages: usize, prompt: &[i32]) -> Vec<i32> {
    let mut stages: Vec<Layers> = (0..n_stages).map(|_| Layers::default()).collect();
    let (mut next, mut at, mut said) = (prompt.to_vec(), 0, Vec::new());
    while said.len() < 2 * TOKENS_PER_STORY {
        let n = next.len() as u32;
        let mut hidden = stages[0].rows(0, at, &tokens_as_rows(&next));
        for stage in &mut stages[1..] {
            let rows: Vec<u64> = hidden.chunks(N_EMBD).map(state).collect();
            hidden = stage.rows(0, at, &rows);
        }
        let chosen = token(state(hidden.chunks(N_EMBD).last().unwrap()));
        said.push(chosen);
        next = vec![chosen];
        if said.len() == TOKENS_PER_STORY {
            next.extend(QUESTION);
        }
        at += n;
    }
    said
}

/// Bytes on their way, and when they come.
type Wire = VecDeque<(Instant, Vec<u8>)>;

/// A connection from a node to the one after it.
struct Connection {
    wires: [Wire; 2],
    /// Links of both ends; the acceptor's is made when the hello comes.
    links: [Option<Link>; 2],
    counters: [[Counter; 2]; 2],
    is_open: [bool; 2],
}

enum Machine {
    Head(Box<Head>),
    Stage(Box<Stage>),
}

struct Node {
    machine: Machine,
    layers: Layers,
    /// What the model is at, and when it is done.
    job: Option<(Instant, Job)>,
    /// Neither hears nor speaks until then.
    frozen_until: Instant,
    is_dead: bool,
    next_dial: Instant,
}

struct World {
    now: Instant,
    dice: Dice,
    nodes: Vec<Node>,
    /// By the node that dialled.
    connections: Vec<Option<Connection>>,
    events: Vec<Event>,
    is_cut: bool,
    /// Of the head.
    life: u64,
}

fn hello(idx: usize, n: usize) -> Hello {
    Hello {
        build: "test".to_owned(),
        model: [1; 16],
        key: [2; 16],
        stage_idx: idx as u16,
        n_stages: n as u16,
        first: idx as u16,
        end: idx as u16 + 1,
        of: n as u16,
        n_embd: N_EMBD as u32,
        n_ctx: 256,
        n_slots: N_SLOTS,
    }
}

fn manner() -> Manner {
    Manner {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        repeat_last: 64,
        seed: 0,
        grammar: None,
        top_logprobs: None,
    }
}

impl World {
    fn new(n: usize, seed: u64) -> World {
        let now = Instant::now();
        let node = |idx| Node {
            machine: World::machine(now, idx, n, 1),
            layers: Layers::default(),
            job: None,
            frozen_until: now,
            is_dead: false,
            next_dial: now,
        };
        World {
            now,
            dice: Dice(seed | 1),
            nodes: (0..n).map(node).collect(),
            connections: (0..n).map(|_| None).collect(),
            events: Vec::new(),
            is_cut: false,
            life: 1,
        }
    }

    fn machine(now: Instant, idx: usize, n: usize, life: u64) -> Machine {
        if idx == 0 {
            Machine::Head(Box::new(Head::new(now, hello(0, n), 4, life)))
        } else {
            Machine::Stage(Box::new(Stage::new(hello(idx, n))))
        }
    }

    fn head(&mut self) -> &mut Head {
        let Machine::Head(head) = &mut self.nodes[0].machine else { panic!("node 0 is the head") };
        head
    }

    fn tell(&mut self, input: Input) {
        let now = self.now;
        self.head().handle(now, input);
        self.drain(0);
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now += MS;
        for idx in 0..self.nodes.len() {
            if !self.nodes[idx].is_dead && self.now >= self.nodes[idx].frozen_until {
                self.dial(idx);
                self.work(idx);
                self.listen(idx, 0);
                self.listen((idx + self.nodes.len() - 1) % self.nodes.len(), 1);
            }
        }
        let now = self.now;
        if self.head().deadline().is_some_and(|deadline| deadline <= now) {
            self.tell(Input::Time);
        }
    }

    /// A head without a ring tries again and again; a stage dials when its own caller is there.
    fn dial(&mut self, idx: usize) {
        if idx != 0 || self.connections[0].is_some() || self.now < self.nodes[0].next_dial {
            return;
        }
        self.nodes[0].next_dial = self.now + DIAL_PAUSE;
        self.connect(0);
    }

    fn connect(&mut self, idx: usize) {
        let n = self.nodes.len();
        let other = (idx + 1) % n;
        // A frozen one's kernel still takes connections.
        if self.nodes[other].is_dead || self.is_cut {
            return self.fell(idx, "the next stage cannot be reached".to_owned());
        }
        let link = Link::dial(self.now, hello(idx, n));
        let connection = Connection {
            wires: [Wire::new(), Wire::new()],
            links: [Some(link), None],
            counters: Default::default(),
            is_open: [true, true],
        };
        self.connections[idx] = Some(connection);
        self.flush(idx, 0);
    }

    /// Sends what one end of a connection wants to send, and tells the machine behind it what came.
    fn flush(&mut self, by: usize, end: usize) {
        loop {
            let Some(connection) = &mut self.connections[by] else { return };
            let Some(output) = connection.links[end].as_mut().and_then(Link::poll) else { return };
            let owner = if end == 0 { by } else { (by + 1) % self.nodes.len() };
            match output {
                LinkOutput::Send(frame) => {
                    let bytes = connection.counters[end][0].encode(&frame);
                    let late = self.now + MS * self.dice.roll(3) as u32;
                    let late = connection.wires[end].back().map_or(late, |(last, _)| late.max(*last));
                    if !self.is_cut {
                        connection.wires[end].push_back((late, bytes));
                    }
                }
                LinkOutput::Up => self.came_up(owner, end == 1),
                LinkOutput::Came(frame) => self.came(owner, end == 1, frame),
                LinkOutput::Down(why) => {
                    connection.is_open[end] = false;
                    self.fell(owner, why);
                }
            }
        }
    }

    fn listen(&mut self, by: usize, end: usize) {
        let now = self.now;
        let n = self.nodes.len();
        loop {
            let Some(connection) = &mut self.connections[by] else { return };
            let wire = &mut connection.wires[1 - end];
            let is_here = wire.front().is_some_and(|(at, _)| *at <= now);
            let Some((_, bytes)) = (if is_here { wire.pop_front() } else { None }) else { break };
            let (head_bytes, body) = bytes.split_first_chunk::<HEAD_BYTES>().unwrap();
            let head = FrameHead::read(head_bytes).unwrap();
            let frame = connection.counters[end][1].decode(head, head_bytes, body).unwrap();
            match (&mut connection.links[end], frame) {
                (Some(link), frame) => link.came(now, frame),
                (empty, Frame::Hello(theirs)) => {
                    *empty = Some(Link::accept(now, hello((by + 1) % n, n), &theirs))
                }
                _ => panic!("a stranger spoke"),
            }
            self.flush(by, end);
        }
        let Some(connection) = &mut self.connections[by] else { return };
        let is_gone = !connection.is_open[1 - end] && connection.wires[1 - end].is_empty();
        if let Some(link) = &mut connection.links[end]
            && link.deadline().is_some_and(|deadline| deadline <= now)
        {
            link.time(now);
        }
        self.flush(by, end);
        if is_gone {
            let owner = if end == 0 { by } else { (by + 1) % n };
            self.fell(owner, "the connection was closed".to_owned());
        }
    }

    fn came_up(&mut self, owner: usize, is_previous: bool) {
        let is_up = |connection: &Option<Connection>, end: usize| {
            connection.as_ref().and_then(|c| c.links[end].as_ref()).is_some_and(Link::is_up)
        };
        let n = self.nodes.len();
        match (&mut self.nodes[owner].machine, is_previous) {
            // The last stage came back to the head: the ring is closed.
            (Machine::Head(_), _) if is_up(&self.connections[0], 0) && is_up(&self.connections[n - 1], 1) => {
                self.tell(Input::Up);
            }
            (Machine::Stage(stage), true) => {
                stage.handle(StageInput::Up);
                self.connect(owner);
            }
            _ => {}
        }
    }

    fn came(&mut self, owner: usize, is_previous: bool, frame: Frame) {
        assert!(is_previous, "only hellos, beats and faults go backwards");
        let now = self.now;
        match &mut self.nodes[owner].machine {
            Machine::Head(head) => head.handle(now, Input::Came(frame)),
            Machine::Stage(stage) => stage.handle(StageInput::Came(frame)),
        }
        self.drain(owner);
    }

    /// A connection of a node fell: it closes the other one too.
    fn fell(&mut self, owner: usize, why: String) {
        let n = self.nodes.len();
        let now = self.now;
        for (by, end) in [(owner, 0), ((owner + n - 1) % n, 1)] {
            if let Some(connection) = &mut self.connections[by] {
                if let Some(link) = &mut connection.links[end] {
                    link.end(now, &why);
                    while let Some(output) = link.poll() {
                        if let (LinkOutput::Send(frame), false) = (output, self.is_cut) {
                            let bytes = connection.counters[end][0].encode(&frame);
                            connection.wires[end].push_back((now, bytes));
                        }
                    }
                }
                connection.is_open[end] = false;
                if connection.is_open == [false, false] {
                    self.connections[by] = None;
                }
            }
        }
        match &mut self.nodes[owner].machine {
            Machine::Head(head) => head.handle(now, Input::Down(why)),
            Machine::Stage(stage) => stage.handle(StageInput::Down),
        }
        self.drain(owner);
    }

    fn drain(&mut self, idx: usize) {
        let late = self.now + MS * (1 + self.dice.roll(4) as u32);
        loop {
            let node = &mut self.nodes[idx];
            let (send, drop) = match &mut node.machine {
                Machine::Head(head) => match head.poll() {
                    None => return,
                    Some(Output::Evaluate { slot, at, tokens }) => {
                        let job = Job::Rows { slot, at, choose: false, tokens, hidden: Vec::new() };
                        assert!(node.job.replace((late, job)).is_none(), "two jobs at once");
                        (None, None)
                    }
                    Some(Output::Event(event)) => {
                        self.events.push(event);
                        (None, None)
                    }
                    Some(Output::Send(frame)) => (Some(frame), None),
                    Some(Output::Drop(why)) => (None, Some(why)),
                },
                Machine::Stage(stage) => match stage.poll() {
                    None => return,
                    Some(StageOutput::Work(job)) => {
                        assert!(node.job.replace((late, job)).is_none(), "two jobs at once");
                        (None, None)
                    }
                    Some(StageOutput::Send(frame)) => (Some(frame), None),
                    Some(StageOutput::Drop(why)) => (None, Some(why)),
                },
            };
            if let Some(frame) = send {
                let now = self.now;
                if let Some(link) = self.connections[idx].as_mut().and_then(|c| c.links[0].as_mut()) {
                    link.send(now, frame);
                }
                self.flush(idx, 0);
            }
            if let Some(why) = drop {
                self.fell(idx, why);
            }
        }
    }

    /// The model of a node ends its job.
    fn work(&mut self, idx: usize) {
        let (now, n) = (self.now, self.nodes.len());
        let node = &mut self.nodes[idx];
        if node.job.as_ref().is_none_or(|(at, _)| *at > now) {
            return;
        }
        let Some((_, job)) = node.job.take() else { return };
        let worked = match job {
            Job::Open { slot, keep, .. } => {
                let cache = node.layers.cache.entry(slot).or_default();
                assert!(cache.len() >= keep as usize, "a sequence keeps more than the stage has");
                cache.truncate(keep as usize);
                Worked::Opened
            }
            Job::Forget { slot } => {
                node.layers.cache.remove(&slot);
                Worked::Opened
            }
            Job::Rows { slot, at, choose, tokens, hidden } => {
                let rows: Vec<u64> = match idx {
                    0 => tokens_as_rows(&tokens),
                    _ => hidden.chunks(N_EMBD).map(state).collect(),
                };
                let hidden = node.layers.rows(slot, at, &rows);
                let last = state(hidden.chunks(N_EMBD).last().unwrap());
                let chosen = Chosen { token: token(last), logprob: None, rivals: Vec::new(), rolls: 1 };
                if idx + 1 == n { Worked::Chosen(choose.then_some(chosen)) } else { Worked::Hidden(hidden) }
            }
        };
        match (&mut node.machine, worked) {
            (Machine::Head(head), Worked::Hidden(hidden)) => head.handle(now, Input::Hidden(Ok(hidden))),
            (Machine::Head(_), _) => panic!("the head hands on"),
            (Machine::Stage(stage), worked) => stage.handle(StageInput::Worked(Ok(worked))),
        }
        self.drain(idx);
    }

    fn kill(&mut self, idx: usize) {
        let n = self.nodes.len();
        self.life += 1;
        let node = &mut self.nodes[idx];
        node.is_dead = true;
        node.machine = World::machine(self.now, idx, n, self.life);
        (node.layers, node.job) = (Layers::default(), None);
        for (by, end) in [(idx, 0), ((idx + n - 1) % n, 1)] {
            if let Some(connection) = &mut self.connections[by] {
                (connection.is_open[end], connection.links[end]) = (false, None);
                if connection.is_open == [false, false] {
                    self.connections[by] = None;
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mishap {
    None,
    /// Killed, and back after so many milliseconds.
    Killed {
        node: usize,
        back_ms: u32,
    },
    Frozen {
        node: usize,
        for_ms: u32,
    },
    Cut {
        for_ms: u32,
    },
}

/// Three conversations of two answers at once; the mishap comes after so many steps. How many ended with an error.
fn story(n: usize, seed: u64, mishap: Mishap, after: u32) -> usize {
    tell(&mut World::new(n, seed), &format!("{n} stages, seed {seed}"), mishap, after)
}

fn tell(world: &mut World, whose: &str, mishap: Mishap, after: u32) -> usize {
    let n = world.nodes.len();
    let told = format!("{whose}, {mishap:?} after {after} ms");
    let prompts: Vec<Vec<i32>> = (0..N_SLOTS)
        .map(|slot| (0..9 + i32::from(slot)).map(|i| i * 7 + i32::from(slot)).collect())
        .collect();
    let mut said: Vec<Vec<i32>> = vec![Vec::new(); prompts.len()];
    let mut over: Vec<Option<Blame>> = vec![None; prompts.len()];
    for (slot, prompt) in (0..).zip(&prompts) {
        world.tell(Input::Open { slot, keep: 0, manner: manner(), begun: Vec::new() });
        let (first, rest) = prompt.split_at(5);
        world.tell(Input::Begin(Work { slot, at: 0, tokens: first.to_vec(), choose: false }));
        world.tell(Input::Begin(Work { slot, at: 5, tokens: rest.to_vec(), choose: true }));
    }
    let (mut steps, began) = (0, world.now);
    while (0..prompts.len()).any(|idx| over[idx].is_none() && said[idx].len() < 2 * TOKENS_PER_STORY) {
        world.step();
        steps += 1;
        let past = |ms| steps == after + ms;
        match mishap {
            Mishap::Killed { node, .. } if past(0) => world.kill(node),
            Mishap::Killed { node, back_ms } if past(back_ms) => world.nodes[node].is_dead = false,
            Mishap::Frozen { node, for_ms } if past(0) => {
                world.nodes[node].frozen_until = world.now + MS * for_ms
            }
            Mishap::Cut { .. } if past(0) => {
                world.is_cut = true;
                world.connections.iter_mut().flatten().for_each(|c| c.wires = [Wire::new(), Wire::new()]);
            }
            Mishap::Cut { for_ms } if past(for_ms) => world.is_cut = false,
            _ => {}
        }
        for event in std::mem::take(&mut world.events) {
            match event {
                Event::Done { slot, end, chosen: Some(chosen) } => {
                    let (idx, mut tokens) = (usize::from(slot), vec![chosen.token]);
                    said[idx].push(chosen.token);
                    let n_asked = if said[idx].len() > TOKENS_PER_STORY { QUESTION.len() } else { 0 };
                    assert_eq!(end as usize + 1, prompts[idx].len() + said[idx].len() + n_asked, "{told}");
                    if said[idx].len().is_multiple_of(TOKENS_PER_STORY) {
                        world.tell(Input::Close { slot });
                    }
                    if said[idx].len() == TOKENS_PER_STORY {
                        tokens.extend(QUESTION);
                        world.tell(Input::Open { slot, keep: end, manner: manner(), begun: Vec::new() });
                    }
                    if said[idx].len() < 2 * TOKENS_PER_STORY {
                        world.tell(Input::Begin(Work { slot, at: end, tokens, choose: true }));
                    }
                }
                Event::Done { chosen: None, .. } => {}
                Event::Failed { slot, blame, why } => {
                    assert!(!why.is_empty() && over[usize::from(slot)].is_none(), "{told}");
                    over[usize::from(slot)] = Some(blame);
                }
            }
        }
        assert!(world.now < began + STORY_MAX, "it hangs: {told}, {said:?}");
    }
    for (idx, prompt) in prompts.iter().enumerate() {
        let want = alone(n, prompt);
        assert_eq!(said[idx], want[..said[idx].len()], "{told}");
        assert!(over[idx].is_none_or(|blame| blame == Blame::Lost), "{told}");
    }
    over.iter().flatten().count()
}

#[test]
fn undisturbed_sequences_say_what_each_says_alone() {
    for n in 2..6 {
        for seed in 0..8 {
            assert_eq!(story(n, seed, Mishap::None, 0), 0);
        }
    }
}

#[test]
fn a_stage_that_is_killed_at_any_moment_and_comes_back_costs_no_token() {
    for after in (1..480).step_by(3) {
        let node = 1 + after as usize % 2;
        assert_eq!(
            story(3, u64::from(after), Mishap::Killed { node, back_ms: 400 }, after),
            0,
            "after {after} ms"
        );
    }
}

#[test]
fn only_the_stage_that_is_new_computes_again() {
    let (mut alone, mut world) = (World::new(4, 5), World::new(4, 5));
    assert_eq!(tell(&mut alone, "alone", Mishap::None, 0), 0);
    for (node, after) in [(1, 200), (2, 250), (3, 300)] {
        assert_eq!(tell(&mut world, "disturbed", Mishap::Killed { node, back_ms: 100 }, after), 0);
        let computed =
            |world: &World| -> Vec<usize> { world.nodes.iter().map(|n| n.layers.n_computed).collect() };
        let (undisturbed, disturbed) = (computed(&alone), computed(&world));
        for (idx, (a, b)) in undisturbed.iter().zip(&disturbed).enumerate().filter(|(idx, _)| *idx != node) {
            // What was on its way may be computed twice: a piece of each conversation.
            assert!(*b <= a + 3 * 6, "node {idx} computed {b} rows, and undisturbed {a}, as {node} was lost");
        }
        assert!(world.life > 1 && disturbed[node] > 0, "nothing was lost");
        world = World::new(4, 5);
    }
}

#[test]
fn a_head_that_starts_anew_takes_nothing_of_another_for_its_own() {
    let mut world = World::new(3, 9);
    assert_eq!(tell(&mut world, "the first head", Mishap::None, 0), 0);
    world.kill(0);
    world.nodes[0].is_dead = false;
    assert_eq!(tell(&mut world, "the second head", Mishap::None, 0), 0);
}

#[test]
fn a_ring_that_is_given_other_names_goes_on_with_what_it_has() {
    let mut world = World::new(3, 3);
    assert_eq!(tell(&mut world, "before", Mishap::None, 0), 0);
    let before: Vec<usize> = world.nodes.iter().map(|node| node.layers.n_computed).collect();
    let hello = hello(0, 3);
    world.tell(Input::Remake(hello));
    world.fell(0, "the ring is made anew".to_owned());
    assert_eq!(tell(&mut world, "after", Mishap::None, 0), 0);
    // The same again: each computes its prompts anew, because they begin at the first position.
    let after: Vec<usize> = world.nodes.iter().map(|node| node.layers.n_computed).collect();
    assert_eq!(after, before.iter().map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn who_was_asleep_himself_holds_it_against_nobody() {
    let start = Instant::now();
    let mut link = Link::accept(start, hello(1, 3), &hello(0, 3));
    while link.poll().is_some() {}
    let is_down = |link: &mut Link| {
        std::iter::from_fn(|| link.poll()).any(|output| matches!(output, LinkOutput::Down(_)))
    };
    link.time(start + MS * 5_000);
    assert!(!is_down(&mut link), "it was asleep, and not the other");
    // Awake, it hears nothing.
    let mut now = start + MS * 5_000;
    while now < start + MS * 6_500 {
        now = link.deadline().unwrap_or(now + MS * 1_000).max(now + MS);
        link.time(now);
        if is_down(&mut link) {
            return;
        }
    }
    panic!("silence was borne for ever");
}

#[test]
fn a_stage_that_stays_away_ends_every_sequence_with_an_error() {
    for after in (1..120).step_by(7) {
        let node = 1 + after as usize % 2;
        let n_lost = story(3, u64::from(after), Mishap::Killed { node, back_ms: 1_000_000 }, after);
        assert_eq!(n_lost, 3, "after {after} ms");
    }
}

#[test]
fn a_frozen_stage_is_noticed_and_nothing_hangs() {
    // Once the ring was there.
    for after in (40..200).step_by(7) {
        let node = 1 + after as usize % 2;
        // Shorter than the silence that is borne: nothing happens.
        assert_eq!(story(3, u64::from(after), Mishap::Frozen { node, for_ms: 700 }, after), 0);
        // A moment longer: it is back while the head still waits.
        assert_eq!(
            story(3, u64::from(after), Mishap::Frozen { node, for_ms: 1_700 }, after),
            0,
            "after {after} ms"
        );
        story(3, u64::from(after), Mishap::Frozen { node, for_ms: 9_000 }, after);
    }
}

#[test]
fn a_wire_that_is_cut_for_a_while_costs_no_token() {
    // Once the ring was there.
    for after in (40..200).step_by(7) {
        assert_eq!(story(3, u64::from(after), Mishap::Cut { for_ms: 1_500 }, after), 0, "after {after} ms");
        story(4, u64::from(after), Mishap::Cut { for_ms: 20_000 }, after);
    }
}

#[test]
fn stages_of_another_build_or_model_are_refused_with_a_sentence() {
    let now = Instant::now();
    let check = |change: fn(&mut Hello), want: &str| {
        let mut theirs = hello(0, 3);
        change(&mut theirs);
        let mut link = Link::accept(now, hello(1, 3), &theirs);
        let mut downs = std::iter::from_fn(|| link.poll()).filter_map(|output| match output {
            LinkOutput::Down(why) => Some(why),
            _ => None,
        });
        assert_eq!(downs.next().unwrap_or_default(), want);
    };
    check(|_| {}, "");
    check(|h| h.build = "other".to_owned(), "builds differ: test here, other there");
    check(|h| h.model = [3; 16], "the slices are of different models");
    check(|h| h.key = [3; 16], "the other stage is of another pipeline");
    check(|h| h.stage_idx = 2, "stage 2 of 3 came, where stage 0 of 3 was due");
    check(|h| (h.first, h.end, h.of) = (0, 2, 3), "layer 1 does not follow layer 2");
    check(|h| h.n_ctx = 128, "the stages differ in their slots");
}
