//! One story with figures: start, rest, news, deaths and returns, a split and its healing.

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::args::ClusterArgs;
use super::world::{Weather, World};

/// All boot within this time.
const BOOTS_S: u64 = 5;
const REACH_S_MAX: f64 = 300.0;
const SPLIT_S: f64 = 60.0;
pub const NODES_MAX: usize = 1024;

/// The figures of a story; times in seconds of its own clock.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    pub nodes: usize,
    pub loss: f64,
    pub seed: u64,
    /// From the last boot until everybody sees everybody and has all records.
    pub converge_s: f64,
    /// The worst of the deaths, and their mean; the first to see it, at worst.
    pub dead_seen_by_all_s: f64,
    pub dead_seen_by_all_mean_s: f64,
    pub dead_seen_first_s: f64,
    /// From a return until everybody sees the PC, and it has all records; at worst.
    pub back_s: f64,
    pub news_s: f64,
    /// Until both halves hold the other dead.
    pub split_settled_s: Option<f64>,
    pub partition_healed_s: f64,
    /// At rest, with Ethernet, IP, UDP and envelope.
    pub bytes_per_second_per_node: f64,
    pub datagrams_per_second_per_node: f64,
    /// While starting and while healing.
    pub bytes_per_second_per_node_starting: f64,
    pub bytes_per_second_per_node_healing: f64,
    pub largest_datagram_bytes: usize,
    /// At rest: live nodes of which somebody said that they were down.
    pub false_downs: u64,
}

/// Tells the story; `say` hears how far it is.
pub fn tell(args: &ClusterArgs, say: &mut dyn FnMut(&str)) -> Result<Figures> {
    let n = args.nodes;
    ensure!((3..=NODES_MAX).contains(&n), "--nodes: 3 to {NODES_MAX} can be played");
    ensure!((0.0..=0.5).contains(&args.loss), "--loss: a share of 0 to 0.5");
    ensure!((0.0..=1440.0).contains(&args.minutes), "--minutes: at most a day");
    let weather = Weather { loss: args.loss, ..Weather::default() };
    let mut world = World::new(n, args.seed, weather);
    let mut figures = Figures { nodes: n, loss: args.loss, seed: args.seed, ..Figures::default() };
    start(&mut world, &mut figures).context("the start")?;
    say(&format!("together after {:.1} s", figures.converge_s));
    rest(&mut world, args.minutes, &mut figures);
    say(&format!("at rest {:.0} bytes a second and node", figures.bytes_per_second_per_node));
    news(&mut world, &mut figures).context("the news")?;
    for round in 0..args.deaths {
        death(&mut world, n - 1 - round % (n - 2), &mut figures).context("a death")?;
        say(&format!("death {} seen by all after {:.1} s at worst", round + 1, figures.dead_seen_by_all_s));
    }
    figures.dead_seen_by_all_mean_s /= args.deaths.max(1) as f64;
    split(&mut world, &mut figures).context("the split")?;
    say(&format!("split healed after {:.1} s", figures.partition_healed_s));
    figures.largest_datagram_bytes = world.traffic.largest;
    Ok(figures)
}

fn start(world: &mut World, figures: &mut Figures) -> Result<()> {
    let n = world.n_nodes();
    let mut boots: Vec<(u64, usize)> = (1..n).map(|idx| (world.roll(BOOTS_S * 1000), idx)).collect();
    boots.sort_unstable();
    world.boot(0, None);
    let mut ms = 0;
    for (at, idx) in boots {
        world.run((at - ms) as f64 / 1000.0);
        ms = at;
        world.boot(idx, None);
    }
    let took = world.until(REACH_S_MAX, World::is_whole);
    figures.converge_s = took.with_context(|| stragglers(world))?;
    let seconds = world.seconds() * n as f64;
    figures.bytes_per_second_per_node_starting = world.traffic.bytes as f64 / seconds;
    Ok(())
}

/// What the last ones see, for a story that does not end.
fn stragglers(world: &World) -> String {
    let alive: Vec<usize> = world.up().map(|idx| world.node(idx).n_alive()).collect();
    let known: Vec<usize> = world.up().map(|idx| world.node(idx).n_known()).collect();
    let least = |all: &[usize]| (all.iter().min().copied(), all.iter().max().copied());
    format!("not reached in {REACH_S_MAX} s: alive {:?}, known {:?}", least(&alive), least(&known))
}

fn rest(world: &mut World, minutes: f64, figures: &mut Figures) {
    // The last comparisons and rumours of the start are over after this.
    world.run(10.0);
    let (bytes, datagrams, downs) = (world.traffic.bytes, world.traffic.datagrams, world.false_downs);
    let seconds = minutes * 60.0;
    world.run(seconds);
    let share = (seconds * world.n_nodes() as f64).max(1.0);
    figures.bytes_per_second_per_node = (world.traffic.bytes - bytes) as f64 / share;
    figures.datagrams_per_second_per_node = (world.traffic.datagrams - datagrams) as f64 / share;
    figures.false_downs = world.false_downs - downs;
}

fn news(world: &mut World, figures: &mut Figures) -> Result<()> {
    let speaker = world.n_nodes() / 2;
    world.say(speaker);
    let took = world.until(REACH_S_MAX, |world| world.all_know(speaker));
    figures.news_s = took.context("the news did not reach everybody")?;
    Ok(())
}

fn death(world: &mut World, victim: usize, figures: &mut Figures) -> Result<()> {
    let jitter = world.roll(1000) as f64 / 1000.0;
    world.run(2.0 + jitter);
    world.kill(victim);
    let node = world.cast.actors[victim].node;
    let first = world.until(REACH_S_MAX, |world| world.up().any(|idx| !world.node(idx).is_alive(node)));
    let first = first.context("nobody saw it")?;
    let rest = world.until(REACH_S_MAX, |world| world.up().all(|idx| !world.node(idx).is_alive(node)));
    let all = first + rest.context("not everybody saw it")?;
    figures.dead_seen_first_s = figures.dead_seen_first_s.max(first);
    figures.dead_seen_by_all_s = figures.dead_seen_by_all_s.max(all);
    figures.dead_seen_by_all_mean_s += all;
    world.run(1.0);
    world.boot(victim, None);
    let back = world.until(REACH_S_MAX, World::is_whole).with_context(|| stragglers(world))?;
    figures.back_s = figures.back_s.max(back);
    Ok(())
}

fn split(world: &mut World, figures: &mut Figures) -> Result<()> {
    let half = world.n_nodes() / 2;
    world.cut(Some(Box::new(move |a, b| (a < half) != (b < half))));
    let settled =
        |world: &World| world.is_whole_among(|idx| idx < half) && world.is_whole_among(|idx| idx >= half);
    figures.split_settled_s = world.until(SPLIT_S, settled);
    world.run(SPLIT_S - figures.split_settled_s.unwrap_or(SPLIT_S));
    let (left, right) = (1.min(half), world.n_nodes() - 1);
    world.say(left);
    world.say(right);
    world.run(1.0);
    let (bytes, at) = (world.traffic.bytes, world.seconds());
    world.cut(None);
    let is_healed = |world: &World| world.is_whole() && world.all_know(left) && world.all_know(right);
    let took = world.until(REACH_S_MAX, is_healed);
    figures.partition_healed_s = took.with_context(|| stragglers(world))?;
    let share = (world.seconds() - at).max(0.1) * world.n_nodes() as f64;
    figures.bytes_per_second_per_node_healing = (world.traffic.bytes - bytes) as f64 / share;
    Ok(())
}
