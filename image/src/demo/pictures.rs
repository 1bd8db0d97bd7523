//! Pictures of a run for the README: its terminal as SVG, and a PC's page as PNG by a browser without a screen.

use super::paper::Paper;
use crate::tool;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const WINDOW: &str = "1180,760";
/// Where the turns of the conversation stand, with their times.
const PANEL: &str = "#turns";
/// Milliseconds of the page's own time until it has asked for everything.
const BUDGET_MS: u32 = 8000;
/// The README travels with every clone.
const PICTURE_BYTES_MAX: u64 = 150_000;

pub fn make(folder: &Path, paper: &Paper, page: SocketAddr) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let terminal = folder.join("demo.svg");
    fs::write(&terminal, paper.picture()).with_context(|| format!("writing {}", terminal.display()))?;
    eprintln!("{} shows this run", terminal.display());
    let Some(browser) = BROWSERS.into_iter().find(|name| tool::find(name).is_some()) else {
        eprintln!("no page.png: chromium is not installed");
        return Ok(());
    };
    let file = folder.join("page.png");
    let mut command = tool::command(browser);
    command.args(["--headless=new", "--hide-scrollbars", "--no-sandbox", "--disable-gpu"]);
    command.arg(format!("--window-size={WINDOW}")).arg(format!("--virtual-time-budget={BUDGET_MS}"));
    command.arg(format!("--screenshot={}", file.display())).arg(format!("http://{page}/{PANEL}"));
    let done = command.output().with_context(|| format!("starting {browser}"))?;
    ensure!(done.status.success(), "{browser} made no picture: {}", String::from_utf8_lossy(&done.stderr));
    let bytes = fs::metadata(&file).with_context(|| format!("{browser} left no {}", file.display()))?.len();
    ensure!(
        bytes <= PICTURE_BYTES_MAX,
        "{} has {bytes} bytes, {PICTURE_BYTES_MAX} is the most: make the window smaller",
        file.display()
    );
    eprintln!("{} shows the page", file.display());
    Ok(())
}
