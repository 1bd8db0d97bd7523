//! Gives the boot interface the address that iPXE got, and waits for its link.
//!
//! There is no DHCP here: iPXE has done it a moment ago, and the boot line tells the result.
//! The address stays; systemd-networkd takes it over.

use std::fs;
use std::path::Path;
use std::time::Duration;

use release::{Address, Mac, Word};

use crate::rounds::seconds;
use crate::trouble::plain;
use crate::{World, sys};

const CARDS: &str = "/sys/class/net";

/// Longest wait for the driver to show its card.
const CARD_WAIT: Duration = Duration::from_secs(5);

/// After each such wait without link the person hears about it.
const LINK_WAIT: Duration = Duration::from_secs(10);

/// So often, before the PC restarts.
const LINK_WAITS_MAX: u32 = 6;

/// Gigabit cards take 2 to 3 seconds to agree on a speed; a look costs about 10 000 instructions.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Finds the boot interface, brings it up and gives it its address. The link may still be down.
pub fn set_up<W: World>(world: &mut W, mac: Option<Mac>, address: &Address) -> Result<Word, String> {
    let found = wait_for(world, CARD_WAIT, || find(Path::new(CARDS), mac));
    let interface = found.ok_or_else(|| no_card(mac, &list(Path::new(CARDS))))?;
    let failed = |what, error| format!("{interface} does not take {what}: {}", plain(&error));
    sys::bring_up(&interface).map_err(|error| failed("power", error))?;
    sys::set_address(&interface, address).map_err(|error| failed("its address", error))?;
    Ok(interface)
}

/// Waits until the cable carries something.
pub fn wait_for_link<W: World>(world: &mut W, interface: &Word) -> Result<(), String> {
    let carrier = Path::new(CARDS).join(interface.as_str()).join("carrier");
    let has_link = || fs::read(&carrier).is_ok_and(|text| text.starts_with(b"1")).then_some(());
    for n in 1..=LINK_WAITS_MAX {
        if wait_for(world, LINK_WAIT, has_link).is_some() {
            return Ok(());
        }
        let waited = seconds(LINK_WAIT * n);
        let problem =
            format!("{interface} has no link after {waited}; is its cable plugged in at both ends?");
        if n == LINK_WAITS_MAX {
            return Err(problem);
        }
        world.say(&format!("{problem} Still waiting"));
    }
    Err(format!("{interface} has no link"))
}

fn wait_for<W: World, T>(world: &mut W, most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = world.now() + most;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if world.now() > end {
            return None;
        }
        world.wait(LOOK_EVERY);
    }
}

/// The interface with this address; without one, the first that is no loopback.
fn find(cards: &Path, mac: Option<Mac>) -> Option<Word> {
    let is_it = |has: &Mac| mac.map_or(has.0 != [0; 6], |mac| *has == mac);
    list(cards).into_iter().find(|(_, has)| is_it(has)).map(|(name, _)| name)
}

/// Every interface with its hardware address, in the order of their names.
fn list(cards: &Path) -> Vec<(Word, Mac)> {
    let entries = fs::read_dir(cards).into_iter().flatten().flatten();
    let mut list: Vec<(Word, Mac)> = entries
        .filter_map(|entry| {
            let mac = fs::read_to_string(entry.path().join("address")).ok()?;
            let name = Word::parse(entry.file_name().to_str()?).ok()?;
            Some((name, Mac::parse(mac.trim_end()).ok()?))
        })
        .collect();
    list.sort();
    list
}

fn no_card(mac: Option<Mac>, list: &[(Word, Mac)]) -> String {
    let others: Vec<String> = list
        .iter()
        .filter(|(_, mac)| mac.0 != [0; 6])
        .map(|(name, mac)| format!("{name} has {mac}"))
        .collect();
    let others =
        if others.is_empty() { "no other card is there either".to_string() } else { others.join(", ") };
    let wanted = mac.map_or(String::new(), |mac| format!(" with the address {mac}"));
    format!(
        "no network card{wanted} is there ({others}); if its driver is not in the initrd, \
         let iPXE load root.squashfs too (wrap mode)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(name: &str, cards: &[(&str, &str)]) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("init-network-{name}-{}", std::process::id()));
        for (card, address) in cards {
            fs::create_dir_all(folder.join(card)).unwrap();
            fs::write(folder.join(card).join("address"), format!("{address}\n")).unwrap();
        }
        folder
    }

    fn check(name: &str, mac: Option<&str>, want: Option<&str>) {
        let lo = ("lo", "00:00:00:00:00:00");
        let folder = cards(name, &[("eth1", "52:54:00:00:00:02"), ("eth0", "52:54:00:00:00:01"), lo]);
        let found = find(&folder, mac.map(|mac| Mac::parse(mac).unwrap()));
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(found.as_ref().map(Word::as_str), want);
    }

    #[test]
    fn the_card_is_found_by_its_address() {
        check("address", Some("52:54:00:00:00:02"), Some("eth1"));
        check("missing", Some("52:54:00:00:00:03"), None);
    }

    #[test]
    fn without_an_address_the_first_real_card_is_taken() {
        check("first", None, Some("eth0"));
    }

    #[test]
    fn a_missing_card_is_said_with_those_that_are_there() {
        let card = |name, n| (Word::parse(name).unwrap(), Mac([0, 0, 0, 0, 0, n]));
        let sentence = no_card(Some(Mac([1; 6])), &[card("eth0", 7), card("lo", 0)]);
        assert!(sentence.starts_with(
            "no network card with the address 01:01:01:01:01:01 is there (eth0 has 00:00:00:00:00:07);"
        ));
        assert!(no_card(None, &[]).starts_with("no network card is there (no other card is there either);"));
    }
}
