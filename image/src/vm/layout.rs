//! The files of a shelf: where they are, what is in them, and the programs that use them.

use super::keeper::Program;
use super::machine::{self, Dhcp, Firmware, Pc, Places};
use super::shelf::Options;
use super::wire;
use crate::disk::write_secret;
use crate::models::SHELF;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// Firmware images and their variables, as Debian 12 and 13 name them.
const UEFI: [(&str, &str); 2] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];

/// Where a shelf keeps things.
#[derive(Debug)]
pub struct Layout {
    /// Short, because a socket's path ends at 107 bytes; gone when the shelf is.
    pub sockets: PathBuf,
    /// The boot server's own `out`: our releases, but its own state.
    pub server_out: PathBuf,
    pub server_log: PathBuf,
    router_log: PathBuf,
    /// Lines of duet.toml that are for all PCs.
    settings: String,
}

impl Layout {
    /// Makes the folders and writes the boot server's settings.
    pub fn make(options: &Options) -> Result<Self> {
        let logs = &options.logs;
        let layout = Self {
            sockets: make_sockets()?,
            server_out: logs.join("server"),
            server_log: logs.join("server.log"),
            router_log: logs.join("router.log"),
            settings: options.settings.clone(),
        };
        for pc_idx in 0..options.pcs.len() {
            let places = Places::new(logs, &layout.sockets, pc_idx);
            let folder = places.serial_log.parent().context("a log has a folder")?;
            make_folder(folder)?;
            for old in [&places.serial_log, &places.speaker] {
                let _ = fs::remove_file(old);
            }
        }
        for old in [&layout.server_log, &layout.router_log] {
            let _ = fs::remove_file(old);
        }
        let _ = fs::remove_dir_all(&layout.server_out);
        make_folder(&layout.server_out.join("state"))?;
        let releases = fs::canonicalize(&options.releases)
            .with_context(|| format!("{} is not there; `duet build` makes it", options.releases.display()))?;
        symlink(releases, layout.server_out.join("releases")).context("the releases cannot be linked")?;
        layout.link_loaders(&options.releases)?;
        layout.link_models(options.models.as_deref())?;
        layout.keep_key(&options.releases)?;
        layout.write_settings(&options.pcs)?;
        // For `duet vm --shell`, which is another process.
        let link = logs.join("sockets");
        let _ = fs::remove_file(&link);
        symlink(&layout.sockets, link).context("the sockets cannot be linked")?;
        Ok(layout)
    }

    /// The first stages that `duet build` laid beside the releases; without them Debian's own are looked for.
    fn link_loaders(&self, releases: &Path) -> Result<()> {
        let Some(loaders) = releases.parent().and_then(|out| fs::canonicalize(out.join("ipxe")).ok()) else {
            return Ok(());
        };
        symlink(loaders, self.server_out.join("ipxe")).context("the first stages cannot be linked")
    }

    /// A boot server whose folder has no shelf of models offers none.
    fn link_models(&self, models: Option<&Path>) -> Result<()> {
        let Some(models) = models.and_then(|folder| fs::canonicalize(folder).ok()) else { return Ok(()) };
        symlink(models, self.server_out.join(SHELF)).context("the shelf of models cannot be linked")
    }

    /// With the key that signed the releases the boot server takes the PCs into a cluster, as a real one does.
    fn keep_key(&self, releases: &Path) -> Result<()> {
        let Some(key) = releases.parent().map(|out| out.join("keys/release.key")).filter(|key| key.exists())
        else {
            return Ok(());
        };
        make_folder(&self.server_out.join("keys"))?;
        let text = fs::read(&key).with_context(|| format!("{} cannot be read", key.display()))?;
        write_secret(&self.server_out.join("keys/release.key"), &text)
    }

    /// The boot server reads its settings anew when they change.
    pub fn write_settings(&self, pcs: &[Pc]) -> Result<()> {
        let path = self.server_out.join("state/duet.toml");
        let new = path.with_extension("new");
        fs::write(&new, settings(&self.settings, pcs))
            .with_context(|| format!("{} cannot be written", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The house router of proxy mode.
    pub fn router_program(&self, name: &str) -> Program {
        let leases = self.sockets.join("leases");
        Program {
            name: name.to_owned(),
            command: wire::router_command(&leases.to_string_lossy()),
            log: self.router_log.clone(),
            apart: true,
        }
    }

    /// One PC; a UEFI PC gets its own copy of the firmware's variables.
    pub fn pc_program(&self, pc: &Pc, pc_idx: usize, places: &Places) -> Result<Program> {
        let uefi = match pc.firmware {
            Firmware::Bios => None,
            Firmware::Uefi => Some(copy_uefi(places)?),
        };
        if pc.plain_rom {
            let script = &places.rom_script;
            fs::write(script, machine::ROM_SCRIPT)
                .with_context(|| format!("{} cannot be written", script.display()))?;
        }
        Ok(Program {
            name: machine::name(pc_idx),
            command: machine::command(pc, pc_idx, places, uefi),
            log: places.serial_log.with_file_name("qemu.log"),
            apart: false,
        })
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))
}

/// A folder of our own that did not exist before, so that nobody else has prepared anything in it.
fn make_sockets() -> Result<PathBuf> {
    let mut noise = [0; 6];
    rustix::rand::getrandom(&mut noise, rustix::rand::GetRandomFlags::empty())?;
    let name = noise.iter().fold("duet-vm-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    let folder = std::env::temp_dir().join(name);
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    Ok(folder)
}

fn copy_uefi(places: &Places) -> Result<&'static Path> {
    for (code, vars) in UEFI {
        if Path::new(code).exists() {
            fs::copy(vars, &places.vars).with_context(|| format!("{vars} cannot be copied"))?;
            return Ok(Path::new(code));
        }
    }
    bail!("there is no UEFI firmware; install the package ovmf")
}

/// The boot server with the same program as ours.
pub fn serve_program(name: &str, options: &Options, layout: &Layout) -> Program {
    let mut command = vec![options.program.to_string_lossy().into_owned()];
    command.extend(["serve", "--plain", "--http-port", "80", "--interface", wire::BRIDGE].map(str::to_owned));
    command.extend(["--out".to_owned(), layout.server_out.to_string_lossy().into_owned()]);
    match options.dhcp {
        Dhcp::Own => {
            command.extend(["--dhcp", "own", "--range", "10.77.0.100-10.77.0.199"].map(str::to_owned));
        }
        Dhcp::Proxy => command.extend(["--dhcp", "proxy"].map(str::to_owned)),
    }
    Program { name: name.to_owned(), command, log: layout.server_log.clone(), apart: false }
}

/// The boot server's `duet.toml` for these PCs.
fn settings(all: &str, pcs: &[Pc]) -> String {
    let mut text = String::from("# Written by `duet vm`; changes here are lost.\n");
    text.push_str(all);
    for (pc_idx, pc) in pcs.iter().enumerate() {
        text.push_str(&format!("\n[pc.\"{}\"]\n", machine::mac(pc_idx)));
        let mut line = |key: &str, value: &str| text.push_str(&format!("{key} = \"{value}\"\n"));
        line("name", &machine::name(pc_idx));
        if !pc.words.is_empty() {
            line("words", &pc.words.join(" "));
        }
        if let Some(file) = &pc.first_stage {
            line("first_stage", file);
        }
        if let Some(release) = &pc.release {
            line("release", release);
        }
        if pc.wrap {
            line("mode", "wrap");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pc_has_its_settings_under_its_own_card() {
        let plain = Pc { words: vec![], ..Pc::default() };
        let special = Pc {
            words: vec!["duet.shell".into(), "loglevel=7".into()],
            first_stage: Some("undionly".into()),
            release: Some("trixie-0123456789ab".into()),
            wrap: true,
            ..Pc::default()
        };
        let want = r#"# Written by `duet vm`; changes here are lost.

[pc."52:54:00:77:00:01"]
name = "pc1"

[pc."52:54:00:77:00:02"]
name = "pc2"
words = "duet.shell loglevel=7"
first_stage = "undionly"
release = "trixie-0123456789ab"
mode = "wrap"
"#;
        assert_eq!(settings("", &[plain, special]), want);
    }

    #[test]
    fn what_is_for_all_stands_before_the_tables_of_the_pcs() {
        let text = settings("[voice]\nrate = 150\n", &[Pc::default()]);
        assert!(text.find("rate = 150").unwrap() < text.find("[pc.").unwrap(), "{text}");
    }
}
