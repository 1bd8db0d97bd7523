//! The profile `disk`: what it puts into an image is put into a booted PC, so that no second image is built here.

use super::node::Node;
use super::{BOOT_MAX, Place, turn};
use image::demo::models::Models;
use image::vm::machine::{Dhcp, Pc};
use image::vm::shelf::{Options, Shelf};
use image::vm::stages::Stage;
use std::fs::File;
use std::path::Path;
use std::process::Command;

const PROFILE: &str = "buildroot/profiles/disk";
const EAR: &str = "/var/lib/duet/models/duet-ear-q8_0.bin";
const DISK_BYTES: u64 = 256 << 20;
/// Of what travels.
const CHUNK_BYTES: u64 = 4 << 20;

#[test]
fn models_on_a_disk_outlive_the_power_and_half_of_one_is_gone_on_with() {
    let (test, _turn) = ("disk", turn());
    let Some(place) = Place::new(test) else { return };
    place.admits();
    let disk = place.folder.join("disk.img");
    File::create(&disk).unwrap().set_len(DISK_BYTES).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-L", "duet-models"]).arg(&disk).status();
    assert!(made.unwrap().success(), "a disk with the label");
    let models = Models::of(&tests::repository().join("models/default")).expect("they are in the repository");
    let options = place.options(Dhcp::Own, vec![Pc { disk: Some(disk), ..Pc::default() }]);
    let options = Options { models: Some(models.shelf.clone()), ..options };
    let Some(mut shelf) = place.shelf_of(test, options) else { return };

    shelf.power_on(0).unwrap();
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
    let node = Node::of(&shelf, 0);
    // Without the profile no disk is touched.
    assert_eq!(node.run("ls /dev/disk/by-label 2>/dev/null || echo none").trim(), "none");
    install(&node);
    node.until(&format!("test -f {EAR} && mountpoint -q /var/lib/duet/models"));
    let whole = sent(&shelf);
    assert!(whole > 2 * CHUNK_BYTES, "{whole}");
    let on_disk = || node.get("/api/status")["holds"]["disk_bytes"].as_u64().unwrap_or(0);
    assert!(super::wait_until(|| (DISK_BYTES / 2..DISK_BYTES).contains(&on_disk())), "{}", on_disk());
    // A disk that cannot be written, and was never prepared, stops no program.
    let folder = "/var/lib/duet/models";
    node.run(&format!("chmod 755 {folder} && mount -o remount,ro {folder} && systemctl restart agent"));
    node.until("systemctl is-active rpc-worker");
    node.run(&format!("mount -o remount,rw {folder}"));
    // A chunk of it is lost, as if the plug had been pulled before it came.
    node.run(&format!(
        "systemctl stop agent && mv {EAR} {EAR}.part && \
         dd if=/dev/zero of={EAR}.part bs=4M seek=1 count=1 conv=notrunc status=none && sync"
    ));
    shelf.pull_plug(0).unwrap();

    shelf.power_on(0).unwrap();
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
    let node = Node::of(&shelf, 0);
    // Meanwhile it may have begun in memory, which lies under the disk.
    node.run("systemctl stop agent");
    let before = sent(&shelf);
    install(&node);
    node.run("systemctl start agent");
    node.until(&format!("test -f {EAR} && mountpoint -q /var/lib/duet/models"));
    assert_eq!(sent(&shelf) - before, CHUNK_BYTES, "one chunk was missing");
    assert_eq!(node.run("systemctl --failed --no-legend --plain"), "");
}

/// What `duet build --profile disk` puts there, and what udev does with it as the PC comes up.
fn install(node: &Node) {
    let profile = tests::repository().join(PROFILE);
    for (from, to) in [
        ("overlay/etc/modprobe.d/10-duet.conf", "/etc/modprobe.d"),
        ("systemd/90-duet-disk.rules", "/usr/lib/udev/rules.d"),
        ("systemd/var-lib-duet-models.mount", "/usr/lib/systemd/system"),
        ("systemd/duet-disk.service", "/usr/lib/systemd/system"),
    ] {
        let from = profile.join(from);
        let name = from.file_name().unwrap().to_str().unwrap();
        node.give(&from, &Path::new(to).join(name).to_string_lossy());
    }
    node.run("systemctl daemon-reload && udevadm control --reload && udevadm trigger --settle --action=add --subsystem-match=pci");
}

/// Bytes of the ear that left the boot server.
fn sent(shelf: &Shelf) -> u64 {
    let told: serde_json::Value = serde_json::from_str(&shelf.server_get("/api/models").unwrap()).unwrap();
    let models = told["models"].as_array().unwrap().iter();
    models
        .filter(|model| EAR.ends_with(model["file"].as_str().unwrap()))
        .filter_map(|m| m["sent_bytes"].as_u64())
        .sum()
}
