//! `duet keys`: who from outside may ask the models of the cluster, and who may also talk by its ears and mouths.
//!
//! A key is printed once, when it is made; the file `out/state/keys.json` keeps its SHA-256. The running `duet serve`
//! sees the file change and brings the list to every node, so this command needs no server.

pub mod args;

use crate::disk::{read_limited, write_secret};
use crate::releases::unix_now_s;
use admission::{API_KEYS_FILE_BYTES_MAX, API_KEYS_MAX, ApiKey, ApiKeyFile, KeyLimits};
use anyhow::{Context, Result, anyhow, bail, ensure};
use args::{AddArgs, KeysArgs, KeysCommand, ListArgs};
use rustix::fs::{FlockOperation, flock};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The owner's own key, for `duet ask` and `duet say`.
const OWN_KEY_FILE: &str = "keys/owner.key";
const OWN_KEY_NAME: &str = "owner";
const KEY_TEXT_BYTES_MAX: usize = 256;

/// Where the owner's keys are kept.
pub fn path(out: &Path) -> PathBuf {
    out.join("state/keys.json")
}

/// What is kept; nothing where no key was ever made.
pub fn read(out: &Path) -> Result<Option<ApiKeyFile>> {
    let path = path(out);
    match read_limited(&path, API_KEYS_FILE_BYTES_MAX) {
        Ok(text) => {
            let file = ApiKeyFile::parse(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// `duet keys`.
pub fn command(args: KeysArgs) -> Result<()> {
    match args.command {
        KeysCommand::Add(add) => {
            let mut secret = Zeroizing::new([0; 32]);
            let n = getrandom(&mut secret[..], GetRandomFlags::empty());
            ensure!(n == Ok(secret.len()), "the kernel gives no random numbers");
            let text = Zeroizing::new(ApiKey::text(&secret));
            change(&args.out, |file| self::add(file, &add, &text))?;
            println!("{}", *text);
            eprintln!("This key is shown once; only its hash is kept. Clients use it as their API key.");
        }
        KeysCommand::Remove(which) => {
            change(&args.out, |file| remove(file, &which.name))?;
            eprintln!("{} is removed; nodes that are up hear of it within seconds.", which.name);
        }
        KeysCommand::List(how) => print!("{}", list(&read(&args.out)?.unwrap_or_default(), &how)?),
    }
    Ok(())
}

/// A key as its holder has it, from a file.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>> {
    let text =
        read_limited(path, KEY_TEXT_BYTES_MAX).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Zeroizing::new(Zeroizing::new(text).trim().to_owned()))
}

/// The owner's own key, for the voice too, and whether it was made just now: nodes hear of that within seconds.
/// Whoever may read the file could make such a key anyway.
pub fn own(out: &Path) -> Result<(Zeroizing<String>, bool)> {
    let path = out.join(OWN_KEY_FILE);
    if path.exists() {
        let text = read_text(&path)?;
        let listed = read(out)?.unwrap_or_default();
        ensure!(
            ApiKey::find(&listed.keys, &text).is_some(),
            "the key of {} was removed; delete the file and a new one is made",
            path.display()
        );
        return Ok((text, false));
    }
    ensure!(out.join("keys").is_dir(), "{} is no folder of `duet serve`", out.display());
    let mut secret = Zeroizing::new([0; 32]);
    let n = getrandom(&mut secret[..], GetRandomFlags::empty());
    ensure!(n == Ok(secret.len()), "the kernel gives no random numbers");
    let text = Zeroizing::new(ApiKey::text(&secret));
    let limits = KeyLimits::default();
    let args = AddArgs {
        name: OWN_KEY_NAME.to_owned(),
        voice: true,
        per_minute: limits.per_minute,
        at_once: limits.at_once,
        tokens_per_day: limits.tokens_per_day,
    };
    change(out, |file| {
        // Its file was lost: nobody has it any more.
        file.keys.retain(|key| key.name != OWN_KEY_NAME);
        add(file, &args, &text)
    })?;
    write_secret(&path, text.as_bytes())?;
    Ok((text, true))
}

/// One change at a time, on disk before anything is said.
fn change(out: &Path, change: impl FnOnce(&mut ApiKeyFile) -> Result<()>) -> Result<()> {
    let state = out.join("state");
    std::fs::create_dir_all(&state).with_context(|| format!("making {}", state.display()))?;
    let lock = File::create(state.join("keys.lock")).context("making a lock beside the keys")?;
    flock(&lock, FlockOperation::LockExclusive).context("waiting for another `duet keys`")?;
    let mut file = read(out)?.unwrap_or_default();
    change(&mut file)?;
    file.touch(unix_now_s());
    write_secret(&path(out), file.to_json().as_bytes())
}

fn add(file: &mut ApiKeyFile, args: &AddArgs, text: &str) -> Result<()> {
    let key = ApiKey::new(&args.name, text, args.limits());
    let key = key.context("a name has at most 32 small letters, digits, dots, hyphens and underlines")?;
    ensure!(
        !file.keys.iter().any(|old| old.name == args.name),
        "there is a key {} already; `duet keys remove {}` comes first",
        args.name,
        args.name
    );
    ensure!(file.keys.len() < API_KEYS_MAX, "a cluster has at most {API_KEYS_MAX} keys");
    file.keys.push(if args.voice { key.with_voice() } else { key });
    Ok(())
}

fn remove(file: &mut ApiKeyFile, name: &str) -> Result<()> {
    let before = file.keys.len();
    file.keys.retain(|key| key.name != name);
    if file.keys.len() == before {
        bail!("there is no key {name}; `duet keys list` shows them all");
    }
    Ok(())
}

fn list(file: &ApiKeyFile, args: &ListArgs) -> Result<String> {
    if args.json {
        let key =
            |key: &ApiKey| serde_json::json!({ "name": key.name, "limits": key.limits, "voice": key.voice });
        let keys: Vec<_> = file.keys.iter().map(key).collect();
        return Ok(serde_json::to_string(&serde_json::json!({ "keys": keys }))? + "\n");
    }
    if file.keys.is_empty() {
        return Ok("There is no key, so nobody may ask. `duet keys add NAME` makes one.\n".to_owned());
    }
    let width = file.keys.iter().map(|key| key.name.len()).max().unwrap_or(0).max(4);
    let mut text = format!("{:<width$}  A MINUTE  AT ONCE  TOKENS A DAY  VOICE\n", "NAME");
    for key in &file.keys {
        let limits = key.limits;
        let (minute, once, day) = (limits.per_minute, limits.at_once, limits.tokens_per_day);
        let voice = if key.voice { "yes" } else { "no" };
        text += &format!("{:<width$}  {minute:<8}  {once:<7}  {day:<12}  {voice}\n", key.name);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_owners_own_key_is_made_once_and_no_other_may_read_it() {
        let out = std::env::temp_dir().join(format!("duet-own-key-{}", std::process::id()));
        std::fs::create_dir_all(out.join("keys")).unwrap();
        let (text, is_new) = own(&out).unwrap();
        let again = own(&out).unwrap();
        let mode = std::fs::metadata(out.join(OWN_KEY_FILE)).unwrap().permissions().mode();
        let listed = read(&out).unwrap().unwrap();
        change(&out, |file| remove(file, OWN_KEY_NAME)).unwrap();
        let removed = own(&out).unwrap_err().to_string();
        std::fs::remove_dir_all(&out).unwrap();
        assert!(is_new && again == (text.clone(), false));
        assert_eq!(mode & 0o777, 0o600);
        assert!(ApiKey::find(&listed.keys, &text).unwrap().voice);
        assert!(removed.contains("was removed"), "{removed}");
    }

    fn args(name: &str) -> AddArgs {
        AddArgs { name: name.to_owned(), voice: false, per_minute: 60, at_once: 4, tokens_per_day: 1000 }
    }

    #[test]
    fn a_key_is_kept_as_its_hash_in_a_file_of_the_owners_alone() {
        let out = std::env::temp_dir().join(format!("duet-api-keys-{}", std::process::id()));
        let text = ApiKey::text(&[7; 32]);
        change(&out, |file| add(file, &args("laptop"), &text)).unwrap();
        let first = read(&out).unwrap().unwrap();
        let kept = std::fs::read_to_string(path(&out)).unwrap();
        let mode = std::fs::metadata(path(&out)).unwrap().permissions().mode();
        change(&out, |file| remove(file, "laptop")).unwrap();
        let second = read(&out).unwrap().unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        assert!(ApiKey::find(&first.keys, &text).is_some());
        assert!(!kept.contains(&text[5..]), "{kept}");
        assert_eq!(mode & 0o777, 0o600);
        assert!(second.keys.is_empty() && second.version > first.version);
    }

    #[test]
    fn names_are_taken_once_and_mistakes_are_told() {
        let mut file = ApiKeyFile::default();
        add(&mut file, &args("laptop"), "a").unwrap();
        let twice = add(&mut file, &args("laptop"), "b").unwrap_err();
        assert_eq!(twice.to_string(), "there is a key laptop already; `duet keys remove laptop` comes first");
        assert!(add(&mut file, &args("a b"), "c").is_err());
        assert!(remove(&mut file, "phone").is_err());
    }

    #[test]
    fn the_list_shows_names_limits_and_who_may_talk() {
        let mut file = ApiKeyFile::default();
        assert!(list(&file, &ListArgs { json: false }).unwrap().contains("`duet keys add NAME`"));
        add(&mut file, &args("laptop"), "a").unwrap();
        add(&mut file, &AddArgs { voice: true, ..args("anna") }, "b").unwrap();
        let want = "NAME    A MINUTE  AT ONCE  TOKENS A DAY  VOICE\n\
                    laptop  60        4        1000          no\n\
                    anna    60        4        1000          yes\n";
        assert_eq!(list(&file, &ListArgs { json: false }).unwrap(), want);
        let json = list(&file, &ListArgs { json: true }).unwrap();
        assert!(
            json.contains("\"voice\":true")
                && json.contains("\"tokens_per_day\":1000")
                && !json.contains("sha256"),
            "{json}"
        );
    }
}
