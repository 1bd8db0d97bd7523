//! Virtual PCs boot the release that was built: the whole chain from power-on to healthy.
//!
//! These tests are slow, so each boots as few PCs as it can, and one at a time.
//! They need a release in `out` (`duet build`) and the right to make a network of their own.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

#[path = "boot/acts.rs"]
mod acts;
#[path = "boot/conversation.rs"]
mod conversation;
#[path = "boot/diag.rs"]
mod diag;
#[path = "boot/disk.rs"]
mod disk;
#[path = "boot/models.rs"]
mod models;
#[path = "boot/node.rs"]
mod node;
#[path = "boot/overlay.rs"]
mod overlay;
#[path = "boot/voice.rs"]
mod voice;

use image::vm::machine::{Dhcp, Firmware, Nic, Pc};
use image::vm::senses;
use image::vm::shelf::{Options, Shelf};
use image::vm::stages::Stage;
use release::{Manifest, ReleaseId, SecretKey};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// From power-on to healthy; a loaded machine of two cores needs two minutes.
const BOOT_MAX: Duration = Duration::from_secs(600);
/// Until init has fetched the root.
const FETCH_MAX: Duration = Duration::from_secs(300);

/// The virtual PCs take all cores, so the tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program `duet` beside this test program, built now if it is old.
fn duet() -> PathBuf {
    static DUET: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(tests::repository()).args(["build", "--quiet", "--package", "image"]);
        command.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            command.arg("--release");
        }
        assert!(command.status().unwrap().success(), "the program duet does not build");
        profile.join("duet")
    };
    DUET.get_or_init(build).clone()
}

/// An output folder for one test: its own releases and logs, beside the files of the built release.
struct Place {
    out: PathBuf,
    folder: PathBuf,
    good: String,
}

impl Place {
    fn new(test: &str) -> Option<Place> {
        let out = tests::out();
        let Some(good) = image::releases::promoted(&out).ok().and_then(|ids| ids.into_iter().next()) else {
            tests::skip(test, "there is no release; `duet build` makes one");
            return None;
        };
        let folder = out.join("boot-tests").join(test);
        let _ = fs::remove_dir_all(&folder);
        for part in ["releases", "keys"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::copy(out.join("keys/release.pub"), folder.join("keys/release.pub")).unwrap();
        symlink(out.join("ipxe"), folder.join("ipxe")).unwrap();
        let place = Place { out, folder, good };
        place.link(&place.good);
        place.promote(&[&place.good]);
        Some(place)
    }

    /// The boot server gets the releases' key, and with it takes the PCs into a cluster.
    fn admits(&self) {
        fs::copy(self.out.join("keys/release.key"), self.folder.join("keys/release.key")).unwrap();
    }

    fn good_folder(&self) -> PathBuf {
        self.out.join("releases").join(&self.good)
    }

    /// The files of the built release under another name, without taking their room again.
    fn link(&self, id: &str) -> PathBuf {
        let folder = self.folder.join("releases").join(id);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(self.good_folder()).unwrap() {
            let entry = entry.unwrap();
            fs::hard_link(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        folder
    }

    fn promote(&self, ids: &[&str]) {
        fs::write(self.folder.join("releases/promoted"), ids.join("\n") + "\n").unwrap();
    }

    /// A release of the same files under another name, truly signed.
    fn copy(&self, id: &str) -> PathBuf {
        let folder = self.link(id);
        let mut manifest = Manifest::parse(&fs::read(folder.join("manifest.toml")).unwrap()).unwrap();
        manifest.id = ReleaseId::parse(id).unwrap();
        let key = fs::read(self.out.join("keys/release.key")).unwrap();
        let text = manifest.to_text();
        let signature = release::sign(&SecretKey::from_text(&key).unwrap(), text.as_bytes());
        for (name, content) in [("manifest.toml", text), ("manifest.sig", signature)] {
            // The other name of the file belongs to the built release.
            fs::remove_file(folder.join(name)).unwrap();
            fs::write(folder.join(name), content).unwrap();
        }
        let root = fs::read(folder.join("root.squashfs")).unwrap();
        fs::remove_file(folder.join("root.squashfs")).unwrap();
        fs::write(folder.join("root.squashfs"), root).unwrap();
        folder
    }

    fn shelf(&self, test: &str, dhcp: Dhcp, pcs: Vec<Pc>) -> Option<Shelf> {
        self.shelf_of(test, self.options(dhcp, pcs))
    }

    fn options(&self, dhcp: Dhcp, pcs: Vec<Pc>) -> Options {
        Options {
            pcs,
            dhcp,
            releases: self.folder.join("releases"),
            logs: self.folder.clone(),
            program: duet(),
            pages: false,
            settings: String::new(),
            models: None,
        }
    }

    fn shelf_of(&self, test: &str, options: Options) -> Option<Shelf> {
        match Shelf::start(options) {
            Ok(shelf) => Some(shelf),
            // An ordinary user on a machine that forbids user namespaces can do nothing about it.
            Err(error) if format!("{error:#}").contains("network namespace") => {
                tests::skip(test, "this user may not make a network; run as root");
                None
            }
            Err(error) => panic!("{error:#}"),
        }
    }
}

/// What the boot server says of one PC.
fn told(shelf: &Shelf, name: &str) -> Value {
    let all = shelf.server_pcs().unwrap();
    let pc = all["pcs"].as_array().unwrap().iter().find(|pc| pc["name"] == name);
    pc.unwrap_or_else(|| panic!("the boot server does not know {name}: {all}")).clone()
}

/// Puts other bytes in the middle of a file, as a bad disk would: its name, length and folder stay as they are.
fn damage(file: &Path, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    file.write_all_at(bytes, middle).unwrap();
}

#[test]
fn two_bios_pcs_beside_a_house_router_become_healthy_and_hear_and_speak() {
    let (test, _turn) = ("two_bios_pcs", turn());
    let Some(place) = Place::new(test) else { return };
    let pcs = vec![Pc::default(), Pc { nic: Nic::Rtl8139, ..Pc::default() }];
    let Some(mut shelf) = place.shelf(test, Dhcp::Proxy, pcs) else { return };
    shelf.power_on(0).unwrap();
    shelf.power_on(1).unwrap();
    for pc_idx in 0..2 {
        shelf.wait_for(pc_idx, Stage::Healthy, BOOT_MAX).unwrap();
    }

    // The addresses are the router's: the boot server gave none.
    let router = fs::read_to_string(place.folder.join("router.log")).unwrap();
    for pc_idx in 0..2 {
        let address = shelf.view(pc_idx).address.unwrap();
        assert!(router.contains(&format!("DHCPACK(lan0) {address}")), "{address} is not in {router}");
    }

    // Page and boot server tell the same story.
    let status: Value = serde_json::from_str(&shelf.node_get(0, "/api/status").unwrap()).unwrap();
    assert!(status.to_string().contains(&place.good), "{status}");
    assert_eq!(told(&shelf, "pc2")["stage"], "healthy");

    // No unit failed or was dropped from a circle.
    let failed = shelf.command(0, "systemctl --failed --no-legend --plain", BOOT_MAX).unwrap();
    assert_eq!((failed.status, failed.output.as_str()), (0, ""));
    for pc_idx in 0..2 {
        let log = shelf.serial_text(pc_idx).unwrap();
        assert!(!log.contains("ordering cycle"), "{log}");
    }

    assert!(senses::key_is_seen(&shelf, 0, "f12", senses::KEY_F12).unwrap(), "F12 was not seen");
    senses::listening_is_heard(&shelf, 0).unwrap();
}

#[test]
fn a_uefi_pc_boots_by_its_own_firmware_beside_a_house_router() {
    let (test, _turn) = ("uefi_pc", turn());
    let Some(place) = Place::new(test) else { return };
    let pc = Pc { firmware: Firmware::Uefi, nic: Nic::Virtio, ..Pc::default() };
    let Some(mut shelf) = place.shelf(test, Dhcp::Proxy, vec![pc]) else { return };
    shelf.power_on(0).unwrap();
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
    let log = shelf.serial_text(0).unwrap();
    assert!(log.contains("UEFI PXEv4"), "the firmware's own PXE did not run: {log}");
    let pc = told(&shelf, "pc1");
    assert!(pc["firmware"].to_string().contains("UEFI"), "{pc}");
}

#[test]
fn a_pc_with_192_mib_and_a_plain_pxe_rom_loads_undionly_once_and_becomes_healthy() {
    let (test, _turn) = ("small_pc", turn());
    let Some(place) = Place::new(test) else { return };
    let first_stage = Some("undionly".to_owned());
    let pc = Pc { memory_mib: 192, plain_rom: true, first_stage, ..Pc::default() };
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![pc]) else { return };
    shelf.power_on(0).unwrap();
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
    let log = shelf.serial_text(0).unwrap();
    assert_eq!(log.matches("plain ROM loads undionly.kpxe").count(), 1, "{log}");
    let memory = shelf.view(0).memory.unwrap();
    assert!(memory.total < 192 << 20 && memory.available > 0, "{memory:?}");
}

#[test]
fn a_release_with_a_wrong_hash_or_a_wrong_signature_is_never_booted() {
    let (test, _turn) = ("bad_releases", turn());
    let Some(place) = Place::new(test) else { return };
    let (hash, signature) = ("trixie-00000000bad1", "trixie-00000000bad2");
    let (damaged, forged) = (place.copy(hash), place.copy(signature));
    let pc = |id: &str| Pc { release: Some(id.to_owned()), ..Pc::default() };
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![pc(hash), pc(signature)]) else { return };
    // The boot server offers only what it found well signed, so both go bad afterwards.
    damage(&damaged.join("root.squashfs"), &[0x55; 64]);
    damage(&forged.join("manifest.sig"), b"0123456789abcdef");
    shelf.power_on(0).unwrap();
    shelf.power_on(1).unwrap();
    shelf.wait_line(0, "has a wrong hash; not booting it", FETCH_MAX).unwrap();
    shelf.wait_line(1, "has a wrong signature; not booting this release", FETCH_MAX).unwrap();
    // Both try again, and neither gets further the second time.
    for pc_idx in 0..2 {
        let refused = || shelf.serial_text(pc_idx).unwrap().matches("not booting").count() >= 2;
        assert!(wait_until(refused), "pc{} did not try again", pc_idx + 1);
        assert!(shelf.view(pc_idx).stage() < Some(Stage::RootReady));
        assert!(!shelf.serial_text(pc_idx).unwrap().contains("systemd"));
    }
}

#[test]
fn after_two_unhealthy_boots_a_pc_gets_the_release_before_and_the_server_says_why() {
    let (test, _turn) = ("rollback", turn());
    let Some(place) = Place::new(test) else { return };
    let newer = "trixie-000000000002";
    place.copy(newer);
    place.promote(&[newer, &place.good]);
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![Pc::default()]) else { return };
    for attempt in 1..=2 {
        shelf.power_on(0).unwrap();
        shelf.wait_line(0, &format!("boots {newer}, attempt {attempt}"), FETCH_MAX).unwrap();
        shelf.wait_for(0, Stage::RootReady, FETCH_MAX).unwrap();
        shelf.pull_plug(0).unwrap();
    }
    shelf.power_on(0).unwrap();
    shelf.wait_line(0, &format!("boots {}, attempt 3", place.good), FETCH_MAX).unwrap();
    let pc = told(&shelf, "pc1");
    assert_eq!(pc["release"], place.good.as_str(), "{pc}");
    let reason = pc["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(newer), "the reason does not name the failed release: {pc}");
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
}

fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + FETCH_MAX;
    while std::time::Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    false
}
