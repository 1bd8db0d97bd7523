//! Sound cards, from `/proc/asound/cards`, and what each can do, from `/proc/asound/pcm`.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SoundCard {
    pub card_idx: u32,
    pub id: String,
    pub name: String,
    pub can_play: bool,
    pub can_record: bool,
}

pub fn parse(cards: &str, pcm: &str) -> Vec<SoundCard> {
    let mut found: Vec<SoundCard> = cards.lines().filter_map(card).collect();
    for card in &mut found {
        let own: Vec<&str> = pcm.lines().filter(|l| pcm_card(l) == Some(card.card_idx)).collect();
        card.can_play = own.iter().any(|l| l.contains(": playback"));
        card.can_record = own.iter().any(|l| l.contains(": capture"));
    }
    found
}

/// ` 0 [Intel          ]: HDA-Intel - HDA Intel`; the line after it is no card.
fn card(line: &str) -> Option<SoundCard> {
    let (number, rest) = line.split_once('[')?;
    let (id, rest) = rest.split_once("]:")?;
    let name = rest.split_once(" - ").map_or(rest, |(_, name)| name);
    Some(SoundCard {
        card_idx: number.trim().parse().ok()?,
        id: id.trim().to_string(),
        name: name.trim().to_string(),
        ..SoundCard::default()
    })
}

/// `00-00: ALC888 Analog : ALC888 Analog : playback 1 : capture 2`.
fn pcm_card(line: &str) -> Option<u32> {
    line.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cards: &str, pcm: &str, want: &[&str]) {
        let shown = |c: &SoundCard| {
            let can = |b, word| if b { word } else { "" };
            format!(
                "{} {} '{}'{}{}",
                c.card_idx,
                c.id,
                c.name,
                can(c.can_play, " play"),
                can(c.can_record, " record")
            )
        };
        assert_eq!(parse(cards, pcm).iter().map(shown).collect::<Vec<_>>(), want);
    }

    const HDA: &str =
        " 0 [Intel          ]: HDA-Intel - HDA Intel\n                      HDA Intel at 0xfebf0000 irq 24\n";
    const USB: &str =
        " 1 [Device         ]: USB-Audio - USB PnP Sound Device\n                      C-Media at usb-1\n";

    #[test]
    fn each_card_is_named_with_what_it_can_do() {
        let pcm = "00-00: Generic Analog : Generic Analog : playback 1 : capture 1\n01-00: USB Audio : USB Audio : capture 1\n";
        check(
            &format!("{HDA}{USB}"),
            pcm,
            &["0 Intel 'HDA Intel' play record", "1 Device 'USB PnP Sound Device' record"],
        );
    }

    #[test]
    fn a_card_without_streams_can_do_nothing() {
        check(HDA, "", &["0 Intel 'HDA Intel'"]);
    }

    #[test]
    fn no_card_is_no_error() {
        check("--- no soundcards ---\n", "", &[]);
        check("", "", &[]);
    }
}
