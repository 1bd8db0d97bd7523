//! Which sound devices there are, and which of them are tried in what order: pure, of what the kernel tells.

use serde::Serialize;

/// What is read of each of the kernel's two lists.
pub const LIST_BYTES_MAX: u64 = 64 << 10;
/// More sound devices are not looked at.
const DEVICES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Microphone,
    Speaker,
}

impl Side {
    /// What a card does on this side.
    pub fn verb(self) -> &'static str {
        match self {
            Side::Microphone => "record",
            Side::Speaker => "play",
        }
    }
}

/// One device of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// ALSA's name of it: `plughw:1,0`.
    pub pcm: String,
    /// The card's short name, as the kernel gives it: `Device`.
    pub id: String,
    /// The card's long name: `USB PnP Sound Device`.
    pub card: String,
    /// The kernel's driver of it: `USB-Audio`.
    pub driver: String,
    /// This device of the card: `ALC888 Analog`.
    pub name: String,
    pub can_play: bool,
    pub can_record: bool,
}

/// Reads `/proc/asound/cards` and `/proc/asound/pcm`.
pub fn parse(cards: &str, pcm: &str) -> Vec<Device> {
    let cards: Vec<(u32, Device)> = cards.lines().filter_map(card).take(DEVICES_MAX).collect();
    let device = |line: &str| {
        let (numbers, rest) = line.split_once(':')?;
        let (card_idx, device_idx) = numbers.split_once('-')?;
        let (card_idx, device_idx): (u32, u32) =
            (card_idx.trim().parse().ok()?, device_idx.trim().parse().ok()?);
        let (_, card) = cards.iter().find(|(idx, _)| *idx == card_idx)?;
        let mut fields = rest.split(':').map(str::trim);
        let (id, name) = (fields.next()?, fields.next().unwrap_or_default());
        let mut device = Device { pcm: format!("plughw:{card_idx},{device_idx}"), ..card.clone() };
        device.name = if name.is_empty() { id } else { name }.to_string();
        for field in fields {
            device.can_play |= field.starts_with("playback");
            device.can_record |= field.starts_with("capture");
        }
        Some(device)
    };
    pcm.lines().filter_map(device).take(DEVICES_MAX).collect()
}

/// ` 1 [Device         ]: USB-Audio - USB PnP Sound Device`; the line after it is no card.
fn card(line: &str) -> Option<(u32, Device)> {
    let (number, rest) = line.split_once('[')?;
    let (id, rest) = rest.split_once("]:")?;
    let (driver, card) = rest.split_once(" - ").unwrap_or((rest, rest));
    let text = |text: &str| text.trim().to_string();
    let device = Device { id: text(id), card: text(card), driver: text(driver), ..Device::default() };
    Some((number.trim().parse().ok()?, device))
}

/// Kinds of names that lead to a card and nowhere else. Others of libasound's lead to files and programs, and names also
/// come from whoever has a key.
const KINDS: [&str; 9] =
    ["hw", "plughw", "default", "sysdefault", "front", "hdmi", "iec958", "dmix", "dsnoop"];

/// Whether libasound may be given this name.
pub fn is_name(name: &str) -> bool {
    let Some((kind, place)) = name.split_once(':') else { return !name.contains(['\0', '{']) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=,".contains(&byte);
    KINDS.contains(&kind) && place.bytes().all(is_plain)
}

/// ALSA's names of what is tried, the best first: what the owner wishes, then every card that can.
///
/// A wish is a name of ALSA's, or part of what the kernel calls a card. Whoever plugs in a headset wants it, so USB goes
/// before what is built in; outputs of digital sound go last, because most of them lead nowhere.
pub fn candidates(devices: &[Device], wish: Option<&str>, side: Side) -> Vec<String> {
    let can = |device: &&Device| match side {
        Side::Microphone => device.can_record,
        Side::Speaker => device.can_play,
    };
    let mut able: Vec<&Device> = devices.iter().filter(can).collect();
    able.sort_by_key(|device| (is_digital(device), device.driver != "USB-Audio"));
    let wish = wish.map(str::trim).filter(|wish| !wish.is_empty());
    let wished: Vec<String> = match wish {
        None => Vec::new(),
        Some(wish) if wish.contains(':') || wish == "default" => vec![wish.to_string()],
        Some(wish) => {
            let named: Vec<_> = able.iter().filter(|device| is_called(device, wish)).collect();
            match named.is_empty() {
                // A name that a configuration of ALSA's gives.
                true => vec![wish.to_string()],
                false => named.iter().map(|device| device.pcm.clone()).collect(),
            }
        }
    };
    let mut all = wished;
    for device in able {
        if !all.contains(&device.pcm) {
            all.push(device.pcm.clone());
        }
    }
    all
}

fn is_digital(device: &Device) -> bool {
    ["HDMI", "DisplayPort", "Digital", "IEC958", "S/PDIF"].iter().any(|word| device.name.contains(word))
}

fn is_called(device: &Device, wish: &str) -> bool {
    let wish = wish.to_lowercase();
    [&device.id, &device.card, &device.name].iter().any(|name| name.to_lowercase().contains(&wish))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARDS: &str = " 0 [NVidia         ]: HDA-Intel - HDA NVidia\n                      HDA NVidia at 0xf7080000 irq 17\n \
        1 [Intel          ]: HDA-Intel - HDA Intel\n                      HDA Intel at 0xfebf0000 irq 24\n \
        2 [Device         ]: USB-Audio - USB PnP Sound Device\n                      C-Media at usb-1\n";
    const PCM: &str = "00-03: HDMI 0 : HDMI 0 : playback 1\n01-00: ALC888 Analog : ALC888 Analog : playback 1 : capture 2\n\
        01-01: ALC888 Digital : ALC888 Digital : playback 1\n02-00: USB Audio : USB Audio : playback 1 : capture 1\n";

    #[track_caller]
    fn check(wish: Option<&str>, side: Side, want: &[&str]) {
        assert_eq!(candidates(&parse(CARDS, PCM), wish, side), want);
    }

    #[test]
    fn a_headset_goes_first_and_digital_outputs_last() {
        check(None, Side::Speaker, &["plughw:2,0", "plughw:1,0", "plughw:0,3", "plughw:1,1"]);
        check(None, Side::Microphone, &["plughw:2,0", "plughw:1,0"]);
    }

    #[test]
    fn part_of_a_cards_name_is_a_wish_and_the_others_are_what_is_left() {
        check(Some("alc888 analog"), Side::Microphone, &["plughw:1,0", "plughw:2,0"]);
        check(Some("NVIDIA"), Side::Speaker, &["plughw:0,3", "plughw:2,0", "plughw:1,0", "plughw:1,1"]);
    }

    #[test]
    fn a_name_of_alsas_is_taken_as_it_is() {
        check(Some("hw:7,1"), Side::Microphone, &["hw:7,1", "plughw:2,0", "plughw:1,0"]);
        check(Some("default"), Side::Microphone, &["default", "plughw:2,0", "plughw:1,0"]);
        check(Some("mic"), Side::Microphone, &["mic", "plughw:2,0", "plughw:1,0"]);
        check(Some("  "), Side::Microphone, &["plughw:2,0", "plughw:1,0"]);
    }

    #[test]
    fn a_name_leads_to_a_card_and_to_no_file_or_program() {
        for name in ["hw:7,1", "plughw:CARD=Device,DEV=0", "default", "sysdefault:CARD=PCH", "mic"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "file:/run/x,raw",
            "file:'|id',raw",
            "tee:hw:0,x,raw",
            "plug:file:x",
            "hw:'0'",
            "hw:{x 1}",
            "{",
            "a\0b",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_card_that_cannot_is_not_meant() {
        check(Some("nvidia"), Side::Microphone, &["nvidia", "plughw:2,0", "plughw:1,0"]);
    }

    #[test]
    fn garbage_is_no_device() {
        for (cards, pcm) in [
            ("--- no soundcards ---\n", ""),
            ("", PCM),
            (CARDS, "x\n-:\n01-:\n99999999999-0: a : b : playback 1\n05-00: no : card : playback 1\n:::::\n"),
            (" 0 []: \n", "00\n"),
        ] {
            assert_eq!(parse(cards, pcm), []);
        }
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let pcm: String = (0..1000).map(|n| format!("01-{n:02}: a : b : playback 1\n")).collect();
        assert_eq!(parse(CARDS, &pcm).len(), DEVICES_MAX);
    }
}
