//! `duet demo`: from nothing to two virtual PCs that boot the image just built.
//!
//! It only calls what the other commands do, in their order, and shows what came of it.

use crate::build::{self, Options as BuildOptions};
use crate::setup::{self, For};
use crate::vm::machine::{Dhcp, Pc};
use crate::vm::shelf::{Options, Shelf};
use crate::vm::{alike, power_on_all, report, reports, senses, wait_all, wait_for_ctrl_c};
use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long both PCs may take.
const BOOT_MAX: Duration = Duration::from_secs(900);

/// Build the image and boot two virtual Core 2 Duo PCs with it: everything in one go.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "demo",
    example = "On a fresh Debian with a Rust toolchain:\n  cargo duet demo",
    note = "On a terminal the PCs stay up until Ctrl-C, so that their pages can be looked at."
)]
pub struct DemoArgs {
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
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
    let built = build::build(&repository, &BuildOptions::new(args.out.clone()))?;
    eprintln!("\nTwo virtual Core 2 Duo PCs boot {} from the network:", built.id);
    let options = alike(args.out.clone(), 2, Pc::default(), Dhcp::Own)?;
    let mut shelf = Shelf::start(Options { pages: true, ..options })?;
    power_on_all(&mut shelf)?;
    wait_all(&shelf, BOOT_MAX)?;
    let (key, tone) = try_out(&shelf)?;
    let reports = reports(&shelf);
    if args.json {
        let json = serde_json::json!({
            "release": built.id.as_str(),
            "squashfs_bytes": built.squashfs_bytes,
            "initrd_bytes": built.initrd_bytes,
            "nodes": reports,
            "key_seen": key,
            "tone": tone,
            "seconds": started.elapsed().as_secs_f64(),
        });
        println!("{json}");
    } else {
        println!("\n{}", report::table(&reports));
        println!(
            "release      {} ({} bytes root, {} bytes initrd)",
            built.id, built.squashfs_bytes, built.initrd_bytes
        );
        println!("hotkey       F12 pressed on pc1, seen by its keyboard device");
        println!(
            "speaker      pc1 played the notes that say it listens, found in {}",
            shelf.places(0).speaker.display()
        );
        println!("boot server  http://{}/", shelf.pages()[0]);
        println!("all of it took {} seconds", started.elapsed().as_secs());
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

/// Presses the hotkey on the first PC, and listens to what its speaker plays.
fn try_out(shelf: &Shelf) -> Result<(bool, crate::vm::wav::Tone)> {
    eprintln!("pressing F12 on pc1");
    let key = senses::key_is_seen(shelf, 0, "f12", senses::KEY_F12)?;
    ensure!(key, "pc1 did not see F12");
    eprintln!("listening to the speaker of pc1");
    Ok((key, senses::listening_is_heard(shelf, 0)?))
}
