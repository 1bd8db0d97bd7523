//! Which models this node is to have, by the catalogue, its memory and the plan; pure.

use admission::{CatalogueFile, ModelUse};
use std::ops::Range;

/// A model that hears may take one part in so many of the node's memory.
const SPEECH_SHARE: u64 = 8;
/// And no more than this unless the owner names it: the largest are slower than speech on these PCs.
const EAR_MIB_MAX: u64 = 768;
/// A larger model is nobody's last resort, and lies only where the plan says.
const FIRST_BYTES_MAX: u64 = 96 << 20;

/// What the plan gives this node: a model, or some layers of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub file: String,
    /// The layers, and the file that is to hold just these.
    pub slice: Option<(Range<u64>, String)>,
}

/// A model that is to lie here, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub told: CatalogueFile,
    pub slice: Option<(Range<u64>, String)>,
}

impl Want {
    /// The file that there is in the end.
    pub fn file(&self) -> &str {
        self.slice.as_ref().map_or(&self.told.file, |(_, file)| file)
    }
}

/// In the order in which they are fetched. First come the smallest model that hears and the smallest that speaks, with
/// which the node works whatever becomes of the rest; then the ear that the owner names; then what the plan says; then the
/// best ear that fits.
pub fn wants(
    files: &[CatalogueFile],
    total_mib: u64,
    planned: &[Planned],
    hearing: Option<&str>,
) -> Vec<Want> {
    let of = |purpose: ModelUse| files.iter().filter(move |told| told.purpose == purpose);
    let whole = |told: &CatalogueFile| Want { told: told.clone(), slice: None };
    let by_size = |told: &&CatalogueFile| (told.bytes, told.file.clone());
    let firsts = [ModelUse::Speech, ModelUse::Language, ModelUse::VoiceActivity];
    let mut wants: Vec<Want> =
        firsts.into_iter().filter_map(|purpose| of(purpose).min_by_key(by_size)).map(whole).collect();
    wants.retain(|want| want.told.bytes <= FIRST_BYTES_MAX);
    let named = of(ModelUse::Speech).find(|told| Some(told.file.as_str()) == hearing);
    wants.extend(named.map(whole));
    for Planned { file, slice } in planned {
        let told = files.iter().find(|told| told.file == *file);
        wants.extend(told.map(|told| Want { told: told.clone(), slice: slice.clone() }));
    }
    let fits =
        |told: &&CatalogueFile| u64::from(told.memory_mib) <= EAR_MIB_MAX.min(total_mib / SPEECH_SHARE);
    let best = of(ModelUse::Speech).filter(fits).max_by_key(by_size);
    // The owner's word is enough.
    wants.extend(best.filter(|_| named.is_none()).map(whole));
    let mut seen: Vec<String> = Vec::new();
    wants.retain(|want| {
        let is_new = !seen.iter().any(|file| file == want.file());
        seen.push(want.file().to_owned());
        is_new
    });
    wants
}

/// What else there is to fetch, from where somebody fetches one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// The one that is fetched is not wanted any more.
    Gone,
    /// One that was never tried goes before it.
    First,
    /// Others come after it, or are tried again.
    Some,
    None,
}

/// `missing` is what is wanted and not here, in the order of [`wants`].
pub fn beside(missing: &[Want], want: &Want, was_refused: impl Fn(&Want) -> bool) -> Beside {
    let Some(at) = missing.iter().position(|other| other == want) else { return Beside::Gone };
    match missing[..at].iter().any(|other| !was_refused(other)) {
        true => Beside::First,
        false if missing.len() > 1 => Beside::Some,
        false => Beside::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, purpose: ModelUse, mib: u32) -> CatalogueFile {
        let (file, blake3) = (name.to_owned(), "ab".repeat(32));
        CatalogueFile {
            file,
            purpose,
            bytes: u64::from(mib) << 20,
            blake3,
            memory_mib: mib + 64,
            model: None,
            shape: None,
        }
    }

    fn check(total_mib: u64, planned: &[&str], hearing: Option<&str>, want: &str) {
        let files = [
            file("base.bin", ModelUse::Speech, 142),
            file("ear.bin", ModelUse::Speech, 8),
            file("huge.bin", ModelUse::Speech, 1500),
            file("tiny.bin", ModelUse::Speech, 75),
            file("large.gguf", ModelUse::Language, 1100),
            file("talk.gguf", ModelUse::Language, 9),
            file("vectors.gguf", ModelUse::Embedding, 25),
        ];
        let plan = |name: &&str| Planned { file: (*name).to_owned(), slice: None };
        let planned: Vec<Planned> = planned.iter().map(plan).collect();
        let got: Vec<String> =
            wants(&files, total_mib, &planned, hearing).iter().map(|want| want.file().to_owned()).collect();
        assert_eq!(got.join(" "), want, "{total_mib} MiB");
    }

    #[test]
    fn the_small_ones_come_first_and_an_ear_that_fits_last() {
        check(512, &[], None, "ear.bin talk.gguf");
        check(1200, &["vectors.gguf"], None, "ear.bin talk.gguf vectors.gguf tiny.bin");
        check(4096, &["large.gguf", "talk.gguf", "gone.gguf"], None, "ear.bin talk.gguf large.gguf base.bin");
        // One that is too large for an ear beside all the rest is fetched where the owner names it.
        check(64 << 10, &[], None, "ear.bin talk.gguf base.bin");
        check(1200, &["vectors.gguf"], Some("huge.bin"), "ear.bin talk.gguf huge.bin vectors.gguf");
        check(4096, &[], Some("talk.gguf"), "ear.bin talk.gguf base.bin");
    }

    #[test]
    fn a_fetch_makes_way_for_what_comes_before_it_once() {
        let want = |name: &str| Want { told: file(name, ModelUse::Language, 9), slice: None };
        let all = ["ear", "large", "base"].map(want);
        let check = |missing: &[Want], refused: &[&str], wanted: Beside| {
            assert_eq!(beside(missing, &want("large"), |other| refused.contains(&other.file())), wanted);
        };
        check(&all, &[], Beside::First);
        check(&all, &["ear"], Beside::Some);
        check(&all[1..], &[], Beside::Some);
        check(&all[1..2], &[], Beside::None);
        check(&all[2..], &[], Beside::Gone);
    }

    #[test]
    fn layers_of_a_model_are_another_file_than_the_model() {
        let files = [file("large.gguf", ModelUse::Language, 1100)];
        let slice = Some((0..4, "large.layers-0-4.gguf".to_owned()));
        let planned = [Planned { file: "large.gguf".into(), slice: slice.clone() }];
        let got = wants(&files, 4096, &planned, None);
        assert_eq!(got.iter().map(Want::file).collect::<Vec<_>>(), ["large.layers-0-4.gguf"]);
        assert_eq!(wants(&[], 4096, &planned, None), []);
    }
}
