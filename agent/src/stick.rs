//! `agent stick`: the only program of a node that reads sticks, and the only one that sees a stick's private key.
//!
//! `duet-stick.socket` starts it for each question of the agent. It reads the first block of each stick, signs the one
//! call it was asked about with the first stick that is this cluster's, and ends. It has no network, writes nothing
//! and keeps nothing: the stick may be pulled at once.

use admission::{STICK_BYTES, Stick, StickAsk, StickProof};
use anyhow::Context;
use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// Disks that are looked at.
const STICKS_MAX: usize = 8;
/// Longest question, with its line feed.
const ASK_TEXT_BYTES_MAX: u64 = 512;

/// Names of the disks that may be sticks: those that say they can be taken out, and those on USB.
/// Only SCSI disks, as the kernel calls USB's: a floppy drive would be waited for, and a card reader is none of ours.
pub fn candidates(root: &Path) -> Vec<String> {
    let Ok(all) = std::fs::read_dir(root.join("sys/block")) else { return Vec::new() };
    let is_stick = |name: &str, folder: &Path| {
        let removable =
            std::fs::read_to_string(folder.join("removable")).is_ok_and(|text| text.trim() == "1");
        let is_on_usb =
            || std::fs::canonicalize(folder).is_ok_and(|path| path.to_string_lossy().contains("/usb"));
        name.starts_with("sd") && (removable || is_on_usb())
    };
    let names = all.flatten().filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let mut names: Vec<String> =
        names.filter(|(name, folder)| is_stick(name, folder)).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.truncate(STICKS_MAX);
    names
}

/// The proof as a line of hex digits, or nothing.
pub fn run(root: &Path) -> anyhow::Result<String> {
    let mut line = String::new();
    let mut question = std::io::stdin().lock().take(ASK_TEXT_BYTES_MAX);
    question.read_line(&mut line).context("no question came")?;
    let ask = StickAsk::parse(line.trim_end()).context("this is no question about a call home")?;
    Ok(prove(root, &ask).map(|proof| proof.to_hex() + "\n").unwrap_or_default())
}

fn prove(root: &Path, ask: &StickAsk) -> Option<StickProof> {
    candidates(root).iter().find_map(|name| ask.answer(&read(&root.join("dev").join(name))?))
}

/// A stick that cannot be read, or is not ours, is none.
fn read(device: &Path) -> Option<Stick> {
    let mut block = Zeroizing::new([0; STICK_BYTES]);
    File::open(device).ok()?.read_exact(&mut block[..]).ok()?;
    Stick::decode(&block[..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{AuthoritySecret, CallId, Pass, StickSecret};

    fn stick(authority: &AuthoritySecret, n: u8) -> Stick {
        let secret = StickSecret::from_seed(&[n; 32]);
        Stick::new(Pass::issue(authority, 1000, 30, secret.public()).unwrap(), secret).unwrap()
    }

    #[test]
    fn the_first_stick_of_this_cluster_signs_and_disks_that_stay_are_not_read() {
        let root = std::env::temp_dir().join(format!("duet-agent-stick-{}", std::process::id()));
        let (ours, other) = (AuthoritySecret::from_seed(&[1; 32]), AuthoritySecret::from_seed(&[2; 32]));
        let disks = [
            ("sda", "0", stick(&ours, 1).encode().to_vec()),
            ("sdb", "1", b"too short".to_vec()),
            ("sdc", "1", stick(&other, 2).encode().to_vec()),
            ("sdd", "1", stick(&ours, 3).encode().to_vec()),
            ("fd0", "1", stick(&ours, 4).encode().to_vec()),
        ];
        std::fs::create_dir_all(root.join("dev")).unwrap();
        for (name, removable, bytes) in &disks {
            std::fs::create_dir_all(root.join("sys/block").join(name)).unwrap();
            std::fs::write(root.join("sys/block").join(name).join("removable"), removable).unwrap();
            std::fs::write(root.join("dev").join(name), bytes).unwrap();
        }
        assert_eq!(candidates(&root), ["sdb", "sdc", "sdd"]);
        let ask =
            StickAsk { authority: ours.public(), call: CallId([5; 32]), nonce: [6; 32], servers: [7; 32] };
        let proof = prove(&root, &ask).unwrap();
        assert_eq!(proof.pass.key, StickSecret::from_seed(&[3; 32]).public());
        assert_eq!(proof.verify(&ours.public(), 2000, &ask.call, &ask.nonce, &ask.servers), Ok(()));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
