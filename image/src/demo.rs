//! `duet demo`: from nothing to two virtual PCs that boot the image just built, and a conversation with them.
//!
//! It only calls what the other commands do, in their order, and shows what came of it.

pub mod models;
pub mod paper;
pub mod pictures;
pub mod scenes;
pub mod timeline;

use crate::build::{self, Options as BuildOptions};
use crate::keys;
use crate::models::SHELF;
use crate::progress::Progress;
use crate::setup::{self, For};
use crate::vm::machine::{Dhcp, Pc};
use crate::vm::shelf::{Options, Shelf};
use crate::vm::{alike, person, power_on_all, report, reports, senses, wait_all, wait_for_ctrl_c};
use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
use models::Models;
use paper::{Paper, Shown, Style, words};
use scenes::Played;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long both PCs may take.
const BOOT_MAX: Duration = Duration::from_secs(900);

/// Build the image, boot two virtual Core 2 Duo PCs with it and talk to them: everything in one go.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "demo",
    example = "On a fresh Debian with a Rust toolchain:\n  cargo duet demo",
    example = "The pictures of the README, made anew:\n  cargo duet demo --pictures docs/figures </dev/null",
    note = "On a terminal the PCs stay up until Ctrl-C, so that their pages can be looked at.",
    note = "Virtual are the PCs, the air between a mouth and a microphone (the kernel's loopback card), and the person, who is a voice of espeak-ng that no model of ours was trained with. Image, programs and models are those of real PCs."
)]
pub struct DemoArgs {
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// the shelf of models that the boot server offers (default: OUT/models)
    #[argh(option)]
    pub models: Option<PathBuf>,
    /// folder for a picture of this run (demo.svg) and, where chromium is installed, of a PC's page (page.png)
    #[argh(option)]
    pub pictures: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
}

/// Runs the command.
pub fn command(args: DemoArgs) -> Result<()> {
    let started = Instant::now();
    let repository = build::repository()?;
    setup::ensure(&[For::Build, For::Vm], args.yes)?;
    let shown = match (args.json, std::io::stdout().is_terminal()) {
        (true, _) => Shown::Stderr,
        (false, true) => Shown::Terminal,
        (false, false) => Shown::Plain,
    };
    let mut paper = Paper::new(shown, args.pictures.is_some());
    paper.tell(vec![words(Style::Dim, "$ "), words(Style::Bold, "cargo duet demo")]);
    let built = build::build(&repository, &BuildOptions::new(args.out.clone()))?;
    tell(&mut paper, "image", &format!("{} after {}", built.id, passed(started)));
    eprintln!("\nTwo virtual Core 2 Duo PCs boot {} from the network:", built.id);
    let models_folder = args.models.clone().unwrap_or_else(|| args.out.join(SHELF));
    let models = Models::of(&models_folder);
    let options = alike(args.out.clone(), 2, Pc::default(), Dhcp::Own)?;
    let (settings, offered) = (person::SETTINGS.to_owned(), Some(models_folder.clone()));
    let mut shelf = Shelf::start(Options { pages: true, settings, models: offered, ..options })?;
    power_on_all(&mut shelf)?;
    wait_all(&shelf, BOOT_MAX)?;
    let reports = reports(&shelf);
    for pc in &reports {
        let seconds = pc.stages.last().map_or(0.0, |reached| reached.seconds);
        let address = pc.address.map(|address| address.to_string()).unwrap_or_default();
        tell(
            &mut paper,
            &pc.name,
            &format!("{address} booted from the network, healthy after {seconds:.0} s"),
        );
    }
    let (key, tone) = try_out(&shelf)?;
    tell(
        &mut paper,
        "hotkey",
        "F12 pressed on pc1, seen by its keyboard device; its speaker says that it listens",
    );
    let played = match &models {
        Some(models) => Some(talk(&mut shelf, models, &mut paper)?),
        None => {
            let (folder, ear, talk) = (models_folder.display(), models::EAR, models::TALK);
            let why = format!("left out: {folder} lacks {ear} or {talk}; `duet build` puts both there");
            tell(&mut paper, "talk", &why);
            None
        }
    };
    paper.tell(vec![]);
    tell(&mut paper, "page", &format!("http://{}/ is the boot server's", shelf.pages()[0]));
    tell(&mut paper, "time", &format!("all of it took {}", passed(started)));
    if args.json {
        let json = serde_json::json!({
            "release": built.id.as_str(),
            "squashfs_bytes": built.squashfs_bytes,
            "initrd_bytes": built.initrd_bytes,
            "nodes": reports,
            "key_seen": key,
            "tone": tone,
            "conversation": played,
            "seconds": started.elapsed().as_secs_f64(),
        });
        println!("{json}");
    } else {
        println!("\n{}", report::table(&reports));
    }
    if let Some(folder) = &args.pictures {
        let at = played.as_ref().map_or(0, |played| usize::from(played.at != reports[0].name));
        pictures::make(folder, &paper, shelf.pages()[at + 1])?;
    }
    if !std::io::stdout().is_terminal() {
        return Ok(());
    }
    eprintln!("\nThe pages above stay open until Ctrl-C.");
    wait_for_ctrl_c(|| match shelf.server_end() {
        Some(how) => anyhow::bail!("the boot server ended: {how}"),
        None => Ok(()),
    })
}

/// The conversation, told turn by turn.
fn talk(shelf: &mut Shelf, models: &Models, paper: &mut Paper) -> Result<Played> {
    let (key, _) = keys::own(shelf.server_out())?;
    let progress = Progress::new(scenes::N_STEPS);
    let is_drawn = paper.is_drawn();
    let played = scenes::play(shelf, models, &key, &progress, &mut |number, turn| {
        timeline::lines(number, turn, is_drawn).into_iter().for_each(|line| paper.tell(line));
    })?;
    paper.tell(vec![]);
    let noticed =
        format!("was switched off before turn 3; {} noticed within {:.1} s", played.at, played.noticed_s);
    tell(paper, &played.off, &noticed);
    Ok(played)
}

fn tell(paper: &mut Paper, name: &str, text: &str) {
    paper.tell(vec![words(Style::Dim, format!("{name:<12}")), words(Style::Plain, text)]);
}

fn passed(since: Instant) -> String {
    let seconds = since.elapsed().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Presses the hotkey on the first PC, and listens to what its speaker plays.
fn try_out(shelf: &Shelf) -> Result<(bool, crate::vm::wav::Tone)> {
    eprintln!("pressing F12 on pc1");
    let key = senses::key_is_seen(shelf, 0, "f12", senses::KEY_F12)?;
    ensure!(key, "pc1 did not see F12");
    eprintln!("listening to the speaker of pc1");
    Ok((key, senses::listening_is_heard(shelf, 0)?))
}
