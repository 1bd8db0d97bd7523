//! `agent reached`: notes the moment of multi-user, once per boot.
//!
//! systemd starts it after multi-user.target, so that nobody has to ask again and again whether it is there.
//! The kernel log gets a line for the serial console, `/run/duet/multi-user` the same for the agent.

use crate::facts::boot::Reached;
use crate::facts::system::uptime_s;
use crate::io::{clock, node::REACHED_FILE, read};
use anyhow::Context;
use std::path::Path;

pub fn run(root: &Path) -> anyhow::Result<()> {
    let clock = clock::now();
    let file = root.join(REACHED_FILE);
    if file.exists() {
        return Ok(());
    }
    let uptime = read::text(&root.join("proc/uptime"));
    let reached = Reached { milliseconds: (uptime_s(&uptime) * 1000.0) as u64, clock };
    let line = format!("duet: multi-user clock={clock}");
    // Straight to the kernel: the journal may still be busy. A developer's PC has no right to, and needs none.
    if std::fs::write(root.join("dev/kmsg"), format!("<5>{line}\n")).is_err() {
        service::log::say(service::log::Level::Notice, &line);
    }
    let folder = file.parent().unwrap_or(root);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let draft = file.with_extension("new");
    std::fs::write(&draft, reached.to_text()).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, &file).with_context(|| format!("cannot write {}", file.display()))
}
