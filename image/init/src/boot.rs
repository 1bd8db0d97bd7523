//! The story of a boot, from the boot line to a verified root.
//!
//! The link needs seconds to come up, so the interface is brought up first and everything that needs no network
//! happens meanwhile.

use std::fs::File;
use std::io;
use std::path::Path;

use release::{
    BootFacts, BootLine, FileName, KEY_TEXT_BYTES, Manifest, Mode, PublicKey, ReleaseId, Server, Stage, Word,
};

use crate::fetch::Limits;
use crate::machine::Machine;
use crate::modules::{self, Modules};
use crate::rounds::{Order, fetch_from_any, seed};
use crate::trouble::plain;
use crate::{Trouble, World, network, root, verify};

const KEY: &str = "/duet.pub";

/// Where iPXE places a root in wrap mode.
const PLACED: &str = "/";

/// A root that may be booted, and where it came from.
struct Found {
    image: File,
    manifest: Manifest,
    mode: Mode,
    interface: Option<Word>,
    server: Option<Server>,
}

/// Boots this PC. Returns only when it cannot, with the sentence that says why.
pub fn boot(machine: &mut Machine) -> String {
    match prepare(machine) {
        Ok(()) => root::hand_over(),
        Err(sentence) => sentence,
    }
}

fn prepare(machine: &mut Machine) -> Result<(), String> {
    root::mount_system()?;
    let key = public_key()?;
    let cmdline = std::fs::read("/proc/cmdline").map_err(|error| plain(&error))?;
    machine.line =
        BootLine::parse(&cmdline).map_err(|error| format!("the boot line cannot be used: {error}"))?;
    let drivers = Modules::of_this_kernel();
    let loader = modules::become_loader();
    let placed = Path::new(PLACED).join(FileName::Root.as_str());
    let found = if placed.exists() {
        take_placed(machine, &drivers, &key, &placed)?
    } else {
        fetch(machine, &drivers, &key)?
    };
    finish(machine, found, key)?;
    modules::set_loader(&loader);
    Ok(())
}

fn public_key() -> Result<PublicKey, String> {
    let text = verify::read_small(Path::new(KEY), KEY_TEXT_BYTES);
    let text = text.map_err(|trouble| format!("{KEY} of the initrd {trouble}"))?;
    PublicKey::from_text(&text).map_err(|error| format!("{KEY} of the initrd is no good: {error}"))
}

/// Wrap mode: the root lies beside us and needs no network.
fn take_placed(
    machine: &mut Machine,
    drivers: &Modules,
    key: &PublicKey,
    path: &Path,
) -> Result<Found, String> {
    ready_filesystems(drivers)?;
    let named = |(file, trouble): (FileName, Trouble)| format!("{file} beside the kernel {trouble}");
    let wanted = machine.line.release.as_ref();
    let manifest = verify::check_placed(Path::new(PLACED), wanted, key).map_err(named)?;
    machine.stamp("fetched");
    let image = File::open(path).map_err(|error| named((FileName::Root, Trouble::Read(error))))?;
    Ok(Found { image, manifest, mode: Mode::Wrap, interface: None, server: None })
}

/// Net mode: the root comes from the first boot server that has it whole and right.
fn fetch(machine: &mut Machine, drivers: &Modules, key: &PublicKey) -> Result<Found, String> {
    let line = machine.line.clone();
    let missing = |word: &str| format!("the boot line does not say {word}, so nothing can be fetched");
    let address = line.address.ok_or_else(|| missing("duet.ip"))?;
    let release: ReleaseId = line.release.ok_or_else(|| missing("duet.release"))?;
    if line.servers.is_empty() {
        return Err(missing("duet.servers"));
    }
    for trouble in drivers.load_for_cards() {
        machine.say(&trouble);
    }
    let interface = network::set_up(machine, line.mac, &address)?;
    machine.stamp("interface");
    ready_filesystems(drivers)?;
    machine.stamp("modules");
    network::wait_for_link(machine, &interface)?;
    machine.has_network = true;
    machine.stamp("link");

    let path = Path::new(root::MEMORY).join(FileName::Root.as_str());
    let mut image =
        create(&path).map_err(|error| format!("{} cannot be made: {}", path.display(), plain(&error)))?;
    let seed = seed(line.mac, line.attempt);
    let order = Order { servers: &line.servers, release: &release, key, seed, limits: Limits::BOOT };
    let (server, manifest) = fetch_from_any(machine, &order, &mut image)?;
    machine.stamp("fetched");
    Ok(Found { image, manifest, mode: Mode::Net, interface: Some(interface), server: Some(server) })
}

/// Everything for the root that does not depend on it.
fn ready_filesystems(drivers: &Modules) -> Result<(), String> {
    // One device is enough; each of the usual eight would be one more for udev to look at.
    drivers.load("loop", c"max_loop=1")?;
    drivers.load("squashfs", c"")?;
    drivers.load("overlay", c"")?;
    root::mount_memory()
}

fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

/// From a verified image to the last moment before the hand-over.
fn finish(machine: &mut Machine, found: Found, key: PublicKey) -> Result<(), String> {
    root::assemble(&found.image)?;
    if let Some(mac) = machine.line.mac {
        root::write_machine_id(mac)?;
    }
    machine.stamp("root-ready");
    let sent = found.server.and_then(|server| machine.send(server, Stage::RootReady, "the root is mounted"));
    machine.note(&format!("release {} is verified and mounted", found.manifest.id));
    leave_facts(machine, found, key)?;
    if let Some(sent) = sent {
        sent.finish();
    }
    Ok(())
}

/// Tells the agent how this node came up.
fn leave_facts(machine: &mut Machine, found: Found, key: PublicKey) -> Result<(), String> {
    let line = &machine.line;
    let facts = BootFacts {
        release: found.manifest.id,
        release_key: Some(key),
        mode: found.mode,
        attempt: line.attempt,
        mac: line.mac,
        interface: found.interface,
        address: line.address,
        servers: line.servers.clone(),
        stamps: std::mem::take(&mut machine.stamps),
    };
    let path = Path::new(root::OURS).join("boot.toml");
    std::fs::write(&path, facts.to_text())
        .map_err(|error| format!("{} cannot be written: {}", path.display(), plain(&error)))
}
