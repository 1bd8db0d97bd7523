//! Names of keys and buttons: the kernel's own, without `KEY_` and in small letters.

/// Codes and names, one a line; some codes have two names, the usual one first.
const LIST: &str = include_str!("names.list");

/// `rightctrl` is 97; capitals and the kernel's own way, `KEY_RIGHTCTRL`, are understood too.
pub fn code(name: &str) -> Option<u16> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("key_").unwrap_or(&name);
    all().find(|(_, known)| *known == name).map(|(code, _)| code)
}

/// 97 is `rightctrl`.
pub fn name(code: u16) -> Option<&'static str> {
    all().find(|(known, _)| *known == code).map(|(_, name)| name)
}

fn all() -> impl Iterator<Item = (u16, &'static str)> {
    LIST.lines().filter_map(|line| {
        let (code, name) = line.split_once(' ')?;
        Some((code.parse().ok()?, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_kernels_names() {
        for (name, want) in [
            ("rightctrl", 97),
            ("f12", 88),
            ("leftmeta", 125),
            ("pause", 119),
            ("playpause", 164),
            ("b", 48),
            ("1", 2),
            ("btn_left", 272),
            ("KEY_RIGHTCTRL", 97),
            (" F12 ", 88),
        ] {
            assert_eq!(code(name), Some(want), "{name}");
        }
        for name in ["", "key_", "ctrl", "97", "#"] {
            assert_eq!(code(name), None, "{name:?}");
        }
    }

    #[test]
    fn every_line_is_a_key_and_every_name_finds_its_code() {
        assert_eq!(all().count(), LIST.lines().count() - 1, "all but the first line");
        assert!(all().all(|(known, name)| code(name) == Some(known)));
        assert_eq!((name(97), name(88), name(0x2ff)), (Some("rightctrl"), Some("f12"), None));
    }
}
