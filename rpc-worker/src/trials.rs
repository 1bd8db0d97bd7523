//! `rpc-worker kernels`: each kernel alone, beside ggml's own and beside what the machine could do at best.
//!
//! It is a command of the node program so that an old PC can be asked itself: what its kernels do there is measured
//! nowhere else.

use crate::args::Kernels;
use crate::choice::{Choice, choose};
use anyhow::{Context, bail};
use engine::kernels::hook::{Mode, set_mode};
use engine::kernels::{Kind, Level, Way};
use engine::machine::{Stream, multiply_bytes, multiply_floats, read};
use engine::trial::{Product, Trial};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SECONDS_MAX: f64 = 60.0;
const THREADS_MAX: usize = 64;
/// Rows, weights in a row, columns. One column is decode: a matrix that a second-level cache could hold, one of a
/// large model, one of the smallest. Many are a prompt.
const SHAPES: [(usize, usize, usize); 5] =
    [(2048, 2048, 1), (4096, 12288, 1), (1536, 576, 1), (771, 768, 131), (2048, 2048, 64)];
/// Weights of a trial are this many times the largest cache, so that decode reads them from memory, as it does.
const CACHES: u64 = 3;
const WEIGHT_BYTES_MIN: u64 = 16 << 20;
const WEIGHT_BYTES_MAX: u64 = 256 << 20;
/// Multiplications in registers at a time; about a millisecond.
const PEAK_ROUNDS: usize = 200_000;
const PEAK_TIME: Duration = Duration::from_millis(300);
const READ_TIME: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    machine: Machine,
    level: &'static str,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    /// The largest cache; 0 where the system does not say.
    cache_bytes: u64,
    /// Read by one thread, from more memory than the caches hold.
    read_gb_per_s: f64,
    /// The memory that was read.
    read_bytes: u64,
    /// False where the caches are so large that this much memory may stay in them.
    read_is_beyond_cache: bool,
    /// Thousand million multiply-adds a second in registers: bytes (none before SSSE3), floats.
    bytes_gmac_per_s: Option<f64>,
    floats_gmac_per_s: f64,
}

#[derive(Serialize)]
struct Row {
    level: &'static str,
    #[serde(rename = "type")]
    what: String,
    shape: String,
    kind: &'static str,
    threads: usize,
    stock_ps_per_mac: f64,
    ours_ps_per_mac: f64,
    ratio: f64,
    bound_ps_per_mac: f64,
    /// What sets the bound: `memory` or `compute`.
    bound_by: &'static str,
    share_of_bound: f64,
    /// How far apart the two results are, as a part of their size.
    apart: f64,
}

pub fn run(args: &Kernels, way: Option<Way>) -> anyhow::Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= SECONDS_MAX) {
        bail!("--seconds is more than 0 and at most {SECONDS_MAX}");
    }
    if !(1..=THREADS_MAX).contains(&args.threads) {
        bail!("--threads is from 1 to {THREADS_MAX}");
    }
    let level = match &args.level {
        None => Level::of_this_processor(),
        Some(name) => Level::named(name).with_context(|| {
            format!("there are no kernels {name:?}, only {}", Level::ALL.map(Level::name).join(", "))
        })?,
    };
    choose(Some(Choice::Level(level)), way)?;
    let machine = machine(level);
    if !machine.read_is_beyond_cache {
        eprintln!("the caches are so large that {} MB may stay in them", machine.read_bytes / 1_000_000);
    }
    if args.machine && args.json {
        println!("{}", serde_json::to_string(&machine).context("cannot write the figures")?);
        return Ok(());
    }
    if !args.json {
        show_machine(&machine, level);
    }
    let mut report = Report { machine, level: level.name(), rows: vec![] };
    if !args.machine {
        if !args.json {
            show_head();
        }
        for kind in Kind::ALL {
            eprintln!("{kind:?}: up to {:.0} seconds", args.seconds * SHAPES.len() as f64 * 2.0);
            for shape in SHAPES {
                let Some(row) = row(args, level, &report.machine, kind, shape)? else { continue };
                if !args.json {
                    show(&row);
                }
                report.rows.push(row);
            }
        }
    }
    if args.json {
        println!("{}", serde_json::to_string(&report).context("cannot write the figures")?);
    }
    Ok(())
}

/// `None` where the type's blocks do not divide the rows.
fn row(
    args: &Kernels,
    level: Level,
    machine: &Machine,
    kind: Kind,
    (rows, k, columns): (usize, usize, usize),
) -> anyhow::Result<Option<Row>> {
    if !k.is_multiple_of(kind.block().1) {
        return Ok(None);
    }
    let mut product = Product { kind, rows, k, columns, threads: args.threads, copies: 1 };
    if columns == 1 {
        product.copies = (machine.read_bytes as usize).div_ceil(product.bytes());
    }
    let mut trial = Trial::new(product).context("cannot make the product")?;
    let limit = Duration::from_secs_f64(args.seconds);
    let clock = Clock::of(args.threads);
    let (mut best, mut results) = ([Duration::MAX; 2], [vec![], vec![]]);
    let started = Instant::now();
    // In turn, so that both meet the same moods of the machine; both at least twice.
    let mut n_rounds = 0;
    while n_rounds < 2 || started.elapsed() < limit {
        for (idx, mode) in [Mode::Stock, Mode::Ours].into_iter().enumerate() {
            set_mode(mode);
            let start = clock.now();
            // Every copy: the quickest of them alone would be one that a cache still holds.
            for _ in 0..product.copies {
                trial.run()?;
            }
            best[idx] = best[idx].min(clock.now() - start);
            results[idx] = trial.products();
        }
        n_rounds += 1;
    }
    let ps = |time: Duration| time.as_secs_f64() * 1e12 / (product.macs() * product.copies) as f64;
    let [stock, ours] = best.map(ps);
    let (bound, bound_by) = bound(machine, &product);
    Ok(Some(Row {
        level: level.name(),
        what: format!("{kind:?}"),
        shape: format!("{rows}x{k}x{columns}"),
        kind: if columns == 1 { "dot" } else { "gemm" },
        threads: args.threads,
        stock_ps_per_mac: stock,
        ours_ps_per_mac: ours,
        ratio: stock / ours,
        bound_ps_per_mac: bound,
        bound_by,
        share_of_bound: bound / ours,
        apart: apart(&results[0], &results[1]),
    }))
}

/// The larger of what multiplying in registers and what reading the weights would take.
fn bound(machine: &Machine, product: &Product) -> (f64, &'static str) {
    let threads = product.threads.min(machine.cores) as f64;
    let floats = matches!(product.kind, Kind::F32 | Kind::F16);
    // Without a multiplication of bytes, that of floats is the nearest.
    let peak = machine.bytes_gmac_per_s.filter(|_| !floats).unwrap_or(machine.floats_gmac_per_s);
    let compute = 1000.0 / (peak * threads);
    // Threads share the memory, and one alone comes near to what all get.
    let memory = product.bytes() as f64 / product.macs() as f64 * 1000.0 / machine.read_gb_per_s;
    if memory > compute { (memory, "memory") } else { (compute, "compute") }
}

fn apart(a: &[f32], b: &[f32]) -> f64 {
    let square =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>();
    let size = square(&mut a.iter().copied());
    let apart = square(&mut a.iter().zip(b).map(|(a, b)| a - b));
    if size > 0.0 { (apart / size).sqrt() } else { 0.0 }
}

fn machine(level: Level) -> Machine {
    let cache_bytes = cache_bytes();
    let read_bytes = (cache_bytes * CACHES).clamp(WEIGHT_BYTES_MIN, WEIGHT_BYTES_MAX);
    let stream = Stream::new(read_bytes as usize);
    let time = best(READ_TIME, || read(level, black_box(stream.bytes())));
    let giga = |n: Option<usize>, time: Duration| n.map(|n| n as f64 / time.as_secs_f64() / 1e9);
    let bytes = best(PEAK_TIME, || _ = multiply_bytes(level, PEAK_ROUNDS));
    let floats = best(PEAK_TIME, || _ = multiply_floats(level, PEAK_ROUNDS));
    Machine {
        processor: processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cache_bytes,
        read_gb_per_s: read_bytes as f64 / time.as_secs_f64() / 1e9,
        read_bytes,
        read_is_beyond_cache: read_bytes > cache_bytes,
        bytes_gmac_per_s: giga(multiply_bytes(level, 1).map(|n| n * PEAK_ROUNDS), bytes),
        floats_gmac_per_s: giga(multiply_floats(level, 1).map(|n| n * PEAK_ROUNDS), floats).unwrap_or(0.0),
    }
}

/// What a run is timed with. One thread is timed by the processor time that it took, which other programs disturb
/// least; several by the clock on the wall, because they count only together.
#[derive(Clone, Copy)]
enum Clock {
    Processor,
    Wall,
}

impl Clock {
    fn of(threads: usize) -> Clock {
        if threads == 1 { Clock::Processor } else { Clock::Wall }
    }

    fn now(self) -> Duration {
        let time = clock_gettime(match self {
            Clock::Processor => ClockId::ProcessCPUTime,
            Clock::Wall => ClockId::Monotonic,
        });
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
    }
}

/// The shortest of many runs on one thread.
fn best(limit: Duration, mut run: impl FnMut()) -> Duration {
    let started = Instant::now();
    let mut best = Duration::MAX;
    while best == Duration::MAX || started.elapsed() < limit {
        let start = Clock::Processor.now();
        run();
        best = best.min(Clock::Processor.now() - start);
    }
    best
}

fn processor(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.map_or("", |line| line.trim_start_matches([' ', '\t', ':']));
    if name.is_empty() { "unknown".to_owned() } else { name.split_whitespace().collect::<Vec<_>>().join(" ") }
}

/// The largest cache of the first processor.
fn cache_bytes() -> u64 {
    let size =
        |idx: u32| fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{idx}/size")).ok();
    (0..8).filter_map(size).filter_map(|size| kib(&size)).max().unwrap_or(0) << 10
}

fn kib(size: &str) -> Option<u64> {
    size.trim().strip_suffix('K')?.parse().ok()
}

fn show_machine(machine: &Machine, level: Level) {
    println!("{}, {} cores, our kernels: {}", machine.processor, machine.cores, level.name());
    println!(
        "largest cache {} MB; one thread reads {:.1} GB/s from {} MB",
        machine.cache_bytes / 1_000_000,
        machine.read_gb_per_s,
        machine.read_bytes / 1_000_000
    );
    let bytes = machine.bytes_gmac_per_s.map_or("none".to_owned(), |peak| format!("{peak:.1}"));
    println!(
        "thousand million multiply-adds a second in registers: {bytes} of bytes, {:.1} of floats",
        machine.floats_gmac_per_s
    );
}

fn show_head() {
    println!("\npicoseconds for a multiply-add");
    println!(
        "{:<8}{:<6}{:<16}{:>9}{:>9}{:>8}{:>9}{:>8}  of",
        "type", "kind", "shape", "stock", "ours", "ratio", "bound", "share"
    );
}

fn show(row: &Row) {
    println!(
        "{:<8}{:<6}{:<16}{:>9.1}{:>9.1}{:>8.2}{:>9.1}{:>6.0} %  {}",
        row.what,
        row.kind,
        row.shape,
        row.stock_ps_per_mac,
        row.ours_ps_per_mac,
        row.ratio,
        row.bound_ps_per_mac,
        row.share_of_bound * 100.0,
        row.bound_by
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(bytes: Option<f64>) -> Machine {
        Machine {
            processor: String::new(),
            cores: 2,
            cache_bytes: 0,
            read_gb_per_s: 10.0,
            read_bytes: 0,
            read_is_beyond_cache: true,
            bytes_gmac_per_s: bytes,
            floats_gmac_per_s: 5.0,
        }
    }

    #[track_caller]
    fn check(bytes: Option<f64>, columns: usize, threads: usize, want: (f64, &str)) {
        let product = Product { kind: Kind::Q8_0, rows: 10, k: 320, columns, threads, copies: 1 };
        assert_eq!(bound(&machine(bytes), &product), want);
    }

    #[test]
    fn one_column_waits_for_memory_and_many_for_the_processor() {
        check(Some(40.0), 1, 1, (34.0 / 32.0 * 100.0, "memory"));
        check(Some(40.0), 100, 1, (25.0, "compute"));
        check(Some(40.0), 100, 2, (12.5, "compute"));
        check(Some(40.0), 100, 8, (12.5, "compute"));
    }

    #[test]
    fn without_a_multiplication_of_bytes_floats_are_the_bound() {
        check(None, 100, 1, (200.0, "compute"));
    }

    #[test]
    fn the_processors_name_is_what_the_kernel_says() {
        let text =
            "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz\n";
        assert_eq!(processor(text), "Intel(R) Core(TM)2 Duo CPU E8400 @ 3.00GHz");
        assert_eq!(processor(""), "unknown");
    }

    #[test]
    fn results_are_compared_by_their_size() {
        assert_eq!(apart(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(apart(&[3.0, 4.0], &[3.0, 3.0]), 0.2);
    }

    #[test]
    fn caches_are_told_in_kibibytes() {
        assert_eq!((kib("6144K\n"), kib("?")), (Some(6144), None));
    }
}
