//! What this node holds, in the words that the agent puts into its facts.

use super::figures::Speeds;
use super::hall::{Hall, Shown};
use crate::ring::slices;
use crate::ring::told::Shown as Part;
use service::folder::Space;
use service::log::{self, Level};
use split::expert::is_model_file;
use split::report::{FILES_MAX, FileTold, HeldExpert, HeldState, Holds, SENTENCE_BYTES_MAX, SpeedTold};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// `own_bytes` is the memory that this process alone has.
pub fn now(hall: &Hall, models: &Path, own_bytes: u64) -> Holds {
    let shown = hall.shown();
    let parts = hall.parts().shown();
    // On a disk files take no memory but what the kernel keeps of them, which it gives back by itself.
    let disk = Space::of(models).ok().filter(|space| !space.is_memory);
    let slices_bytes = if disk.is_none() { slices::bytes(models) } else { 0 };
    let head = |name: &str| parts.iter().find(|part| part.name == name && part.stage_idx == 0);
    Holds {
        generation: hall.generation(),
        build: build().to_owned(),
        experts: shown.iter().map(|shown| expert(shown, head(&shown.name))).collect(),
        stages: parts.iter().map(|part| part.held(cut)).collect(),
        doubts: parts.iter().filter_map(Part::doubt).collect(),
        files: files(models),
        taken_bytes: own_bytes.saturating_add(slices_bytes),
        disk_bytes: disk.map_or(0, |disk| disk.total_bytes),
        speeds: hall.speeds().into_iter().filter_map(speed).collect(),
    }
}

/// The program does not change while it runs.
fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        crate::ring::build().unwrap_or_else(|error| {
            let what = "this node has no part in any plan";
            log::say(Level::Warning, &format!("rpc-worker: {what}: {error:#}"));
            String::new()
        })
    })
}

/// An expert over several nodes answers only while its ring is closed.
fn expert(shown: &Shown, head: Option<&Part>) -> HeldExpert {
    let lost = head.filter(|head| shown.state == "ready" && !head.is_connected);
    let why = lost.map(|head| head.ring.as_deref().unwrap_or("its ring is not closed yet"));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    HeldExpert {
        name: shown.name.clone(),
        model: shown.model.clone(),
        state: match shown.state {
            "ready" if lost.is_none() => HeldState::Ready,
            "failed" => HeldState::Failed,
            _ => HeldState::Loading,
        },
        sentence: cut(why.or(shown.why.as_deref()).unwrap_or_default()),
        slots: shown.slots,
        busy: count(shown.busy),
        queued: count(shown.waiting),
        bytes: shown.bytes,
    }
}

fn speed((model, speeds): (String, Speeds)) -> Option<SpeedTold> {
    let milli = |tokens_per_second: f64| (tokens_per_second * 1000.0) as u64;
    let (decode, prompt) = (milli(speeds.decode), milli(speeds.prompt));
    (decode + prompt > 0).then_some(SpeedTold { model, decode_milli: decode, prompt_milli: prompt })
}

/// The longest beginning that may be told, of whole letters.
fn cut(sentence: &str) -> String {
    let mut end = sentence.len().min(SENTENCE_BYTES_MAX);
    while !sentence.is_char_boundary(end) {
        end -= 1;
    }
    sentence[..end].to_owned()
}

fn files(models: &Path) -> Vec<FileTold> {
    let told = |entry: fs::DirEntry| {
        let file = entry.file_name().into_string().ok().filter(|name| is_model_file(name))?;
        let facts = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(FileTold { file, bytes: facts.len() })
    };
    let mut files: Vec<FileTold> =
        fs::read_dir(models).into_iter().flatten().flatten().filter_map(told).collect();
    files.sort_by(|a, b| a.file.cmp(&b.file));
    files.truncate(FILES_MAX);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_cut_between_letters() {
        let long = "\u{e9}".repeat(SENTENCE_BYTES_MAX);
        assert_eq!(cut(&format!("x{long}")).len(), SENTENCE_BYTES_MAX - 1);
        assert_eq!(cut("short"), "short");
    }
}
