//! `duet vm`: a virtual shelf of old PCs, booted over a virtual wire by the real boot server.
//!
//! For people without spare PCs, for the demo and for the tests.
//! [`shelf::Shelf`] is the face for programs; this file is the command.
//! Nothing here knows how the boot server or the image works: it sees what a person would see,
//! the serial line, the screen of the boot server and the page.

pub mod args;
pub mod console;
pub mod hands;
mod keeper;
mod layout;
pub mod machine;
pub mod person;
pub mod qmp;
mod relay;
pub mod report;
pub mod senses;
pub mod shelf;
pub mod stages;
mod terminal;
pub mod watch;
pub mod wav;
mod wire;

pub use args::VmArgs;

use crate::models::SHELF;
use anyhow::{Context, Result, bail};
use machine::{Dhcp, Pc};
use report::PcReport;
use serde_json::json;
use shelf::{Options, Shelf};
use stages::Stage;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(200);

/// Runs the command.
pub fn run(args: VmArgs) -> Result<()> {
    if args.keeper {
        return keeper::run();
    }
    let args = args.checked()?;
    if let Some(number) = args.shell {
        return terminal::attach(&sessions(&args), number);
    }
    let mut shelf = Shelf::start(options(&args)?)?;
    let limit = Duration::from_secs(args.timeout);
    let end = power_on_all(&mut shelf).and_then(|()| wait_all(&shelf, limit));
    (0..shelf.n_pcs()).for_each(|pc_idx| shelf.wait_counted(pc_idx));
    let reports = reports(&shelf);
    if args.json {
        println!("{}", json_of(&shelf, &args, &reports));
    } else {
        print_tables(&args, &reports);
    }
    end?;
    if args.keep { keep(&shelf, &args) } else { Ok(()) }
}

fn options(args: &VmArgs) -> Result<Options> {
    let pc = Pc {
        processor: args.cpu,
        memory_mib: args.memory,
        firmware: args.firmware(),
        nic: args.nic(),
        counting: args.budget,
        release: args.release.clone(),
        wrap: args.wrap,
        ..Pc::default()
    };
    let mut pc = pc;
    pc.words.extend(args.words.split_whitespace().map(str::to_owned));
    let n_pcs = if args.budget { 1 } else { args.nodes };
    // What is measured is the system alone.
    let models = (!args.budget).then(|| args.out.join(SHELF));
    Ok(Options { pages: args.keep, models, ..alike(args.out.clone(), n_pcs, pc, args.dhcp)? })
}

/// A shelf of PCs that are all alike, with the releases and logs of an `out` folder.
pub fn alike(out: PathBuf, n_pcs: usize, pc: Pc, dhcp: Dhcp) -> Result<Options> {
    Ok(Options {
        pcs: vec![pc; n_pcs],
        dhcp,
        releases: out.join("releases"),
        logs: out.join("vm"),
        program: std::env::current_exe().context("the path of this program is not known")?,
        pages: false,
        settings: String::new(),
        models: None,
    })
}

fn sessions(args: &VmArgs) -> PathBuf {
    args.out.join("vm/sockets")
}

/// Switches all PCs on.
pub fn power_on_all(shelf: &mut Shelf) -> Result<()> {
    (0..shelf.n_pcs()).try_for_each(|pc_idx| shelf.power_on(pc_idx))
}

/// Waits until every PC is healthy, telling each stage on stderr.
pub fn wait_all(shelf: &Shelf, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let mut told = vec![None; shelf.n_pcs()];
    loop {
        let mut healthy = 0;
        for (pc_idx, told) in told.iter_mut().enumerate() {
            let view = shelf.view(pc_idx);
            if view.stage() > *told {
                *told = view.stage();
                tell(pc_idx, &view);
            }
            healthy += usize::from(view.stage() == Some(Stage::Healthy));
            let late = Instant::now() >= deadline || view.ended.is_some();
            if late && view.stage() != Some(Stage::Healthy) {
                shelf.wait_for(pc_idx, Stage::Healthy, Duration::ZERO)?;
            }
        }
        if healthy == shelf.n_pcs() {
            return Ok(());
        }
        if let Some(how) = shelf.server_end() {
            bail!("the boot server ended: {how}");
        }
        std::thread::sleep(TICK);
    }
}

fn tell(pc_idx: usize, view: &watch::View) {
    let Some(reached) = view.reached.last() else { return };
    eprintln!("{:<6}{:>7.1} s  {}", machine::name(pc_idx), reached.seconds, reached.stage.name());
}

/// What each PC did so far.
pub fn reports(shelf: &Shelf) -> Vec<PcReport> {
    let report = |pc_idx: usize| {
        let page = shelf.pages().get(pc_idx + 1).map(|address| format!("http://{address}/"));
        PcReport::new(pc_idx, shelf.pc(pc_idx), shelf.view(pc_idx), page)
    };
    (0..shelf.n_pcs()).map(report).collect()
}

fn print_tables(args: &VmArgs, reports: &[PcReport]) {
    print!("{}", report::table(reports));
    if let (true, Some(pc)) = (args.budget, reports.first()) {
        print!("{}", report::budget_table(pc));
    }
}

fn json_of(shelf: &Shelf, args: &VmArgs, reports: &[PcReport]) -> serde_json::Value {
    let mut json = json!({
        "dhcp": args.dhcp,
        "nodes": reports,
        "server": shelf.server_pcs().unwrap_or_default(),
    });
    if let (true, Some(pc)) = (args.budget, reports.first()) {
        json["instructions_to_multi_user"] = json!(pc.instructions(Stage::MultiUser));
        json["instructions_before_kernel"] = json!(pc.instructions(Stage::Kernel));
    }
    json
}

/// Stays up until Ctrl-C, or until something falls over.
fn keep(shelf: &Shelf, args: &VmArgs) -> Result<()> {
    eprint!("{}", ways_in(shelf, args));
    wait_for_ctrl_c(|| shelf.server_end().map_or(Ok(()), |how| bail!("the boot server ended: {how}")))
}

/// How to reach pages and shells.
fn ways_in(shelf: &Shelf, args: &VmArgs) -> String {
    let mut text = String::new();
    if let Some(server) = shelf.pages().first() {
        text += &format!("boot server  http://{server}/\n");
    }
    for pc_idx in 0..shelf.n_pcs() {
        let number = pc_idx + 1;
        if let Some(page) = shelf.pages().get(number) {
            let out = args.out.display();
            text += &format!(
                "{:<12} http://{page}/   shell: duet vm --out {out} --shell {number}   log: {}\n",
                machine::name(pc_idx),
                shelf.places(pc_idx).serial_log.display()
            );
        }
    }
    text + "Ctrl-C switches everything off.\n"
}

/// Waits for Ctrl-C; `alive` says once a second whether there is still something to wait for.
pub fn wait_for_ctrl_c(alive: impl Fn() -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ctrl_c = tokio::signal::ctrl_c();
        tokio::pin!(ctrl_c);
        loop {
            tokio::select! {
                done = &mut ctrl_c => return done.context("Ctrl-C cannot be awaited"),
                () = tokio::time::sleep(Duration::from_secs(1)) => alive()?,
            }
        }
    })
}

/// Whether a person looks at what we print.
pub fn someone_looks() -> bool {
    std::io::stderr().is_terminal()
}
