//! An expert: a model with a manner, as one file of `models/experts` describes it.
//!
//! Pure: text in, an expert or an error with its line out. It does not know where the files are, nor whether the model exists.

use serde::{Deserialize, Serialize};

/// A longer file is refused.
pub const FILE_BYTES_MAX: usize = 16 * 1024;
/// `llama-api-` and the name must fit a fact of 64 bytes, with room to spare.
pub const NAME_BYTES_MAX: usize = 40;
pub const MODEL_BYTES_MAX: usize = 64;
/// A slice's name is its model's and its layers.
pub const MODEL_FILE_BYTES_MAX: usize = 96;
pub const QUANTISATION_BYTES_MAX: usize = 16;
pub const TAGS_MAX: usize = 8;
pub const TAG_BYTES_MAX: usize = 24;
pub const COPIES_MAX: u32 = 256;
pub const CONTEXT_LEAST: u32 = 64;
pub const CONTEXT_MAX: u32 = 131_072;
/// Positions of a model that makes vectors: a text is one batch.
pub const TEXT_POSITIONS_MAX: u32 = 4096;
/// An engine takes no fewer.
const POSITIONS_LEAST: u32 = 8;
pub const SLOTS_MAX: u32 = 16;
/// Longest system prompt: some 4000 tokens, which a Core 2 reads once at start.
pub const PERSONA_BYTES_MAX: usize = 16 * 1024;

/// What the service of an expert is called; the expert's name follows.
pub const SERVICE: &str = "llama-api-";
/// The small model that every node may fall back to.
pub const LOCAL: &str = "local";
/// The tag of a fallback so small that every node has it beside whatever else is planned, and so modest that nobody asks
/// it while another can answer.
pub const LAST_RESORT: &str = "last-resort";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expert {
    /// Small letters, digits, `.` and `-`; clients name it as their model.
    pub name: String,
    /// The model's file, without a folder.
    pub model: String,
    /// The type of its weights as GGUF names it, such as `Q1_0`.
    pub quantisation: String,
    #[serde(default, rename = "use")]
    pub purpose: Purpose,
    /// Name of a file in `models/personas`, without `.txt`: the system prompt.
    #[serde(default)]
    pub persona: Option<String>,
    /// Positions that one conversation can fill.
    pub context: u32,
    /// Conversations at once.
    #[serde(default = "one")]
    pub slots: u32,
    /// Nodes that are to hold it whole, if they can.
    #[serde(default = "one")]
    pub copies: u32,
    #[serde(default)]
    pub tags: Vec<String>,
    /// It is wanted on every node that has room: what goes on when all others are gone.
    #[serde(default)]
    pub fallback: bool,
    /// Whether it may be cut over several nodes where none can hold it.
    #[serde(default)]
    pub split: bool,
    /// Slower than this it is not worth its memory.
    #[serde(default)]
    pub least_tokens_per_second: Option<f32>,
    #[serde(default)]
    pub sampling: Sampling,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    #[default]
    Chat,
    Embeddings,
}

/// How the next token is chosen, unless a request says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub repeat_penalty: f32,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.05, repeat_penalty: 1.0 }
    }
}

const fn one() -> u32 {
    1
}

/// What is wrong with an expert's file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertError {
    pub line: usize,
    pub what: String,
}

impl std::fmt::Display for ExpertError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ExpertError {}

impl Expert {
    /// Reads one file; a key that nobody knows is an error.
    pub fn parse(text: &str) -> Result<Expert, ExpertError> {
        if text.len() > FILE_BYTES_MAX {
            let what = format!("an expert's file has at most {FILE_BYTES_MAX} bytes");
            return Err(ExpertError { line: 1, what });
        }
        let expert: Expert = toml::from_str(text).map_err(|error| ExpertError {
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            what: error.message().replace('\n', ", "),
        })?;
        match expert.wrong() {
            Some((key, what)) => Err(ExpertError { line: line_of(text, key), what }),
            None => Ok(expert),
        }
    }

    /// Whether it answers only where nobody else can.
    pub fn is_last_resort(&self) -> bool {
        self.fallback && self.tags.iter().any(|tag| tag == LAST_RESORT)
    }

    /// The name of the service that serves it.
    pub fn service(&self) -> String {
        format!("{SERVICE}{}", self.name)
    }

    /// Positions that one conversation gets of a model that was trained for so many; 0 where nobody knows.
    pub fn positions(&self, n_trained: u64) -> u32 {
        positions_of(self.purpose, self.context, n_trained)
    }

    /// The first key that breaks a limit, and the sentence about it. For experts that came another way than by a file.
    pub fn wrong(&self) -> Option<(&'static str, String)> {
        let is_word = |text: &str| {
            let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
            !text.is_empty() && text.bytes().all(known) && !text.starts_with(['.', '-'])
        };
        let word = |key, text: &str, n_max: usize| {
            let what = format!("{key} takes small letters, digits, '.' and '-', at most {n_max} of them");
            (!is_word(text) || text.len() > n_max).then_some((key, what))
        };
        let within = |key, n: u32, least: u32, most: u32| {
            (n < least || n > most).then(|| (key, format!("{key} lies between {least} and {most}")))
        };
        let share = |key, n: f32, most: f32| {
            (!(0.0..=most).contains(&n)).then(|| (key, format!("{key} lies between 0 and {most}")))
        };
        let tag = || {
            let many = self.tags.len() > TAGS_MAX;
            let many = many.then(|| ("tags", format!("an expert has at most {TAGS_MAX} tags")));
            many.or_else(|| self.tags.iter().find_map(|tag| word("tags", tag, TAG_BYTES_MAX)))
        };
        word("name", &self.name, NAME_BYTES_MAX)
            .or_else(|| {
                let what = format!("model is the name of a .gguf file, at most {MODEL_BYTES_MAX} bytes");
                (!is_model_file(&self.model) || self.model.len() > MODEL_BYTES_MAX).then_some(("model", what))
            })
            .or_else(|| {
                let known = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                let fits = (1..=QUANTISATION_BYTES_MAX).contains(&self.quantisation.len());
                let is_type = fits && self.quantisation.bytes().all(known);
                let what = "quantisation is a type of GGUF, such as Q1_0".to_owned();
                (!is_type).then_some(("quantisation", what))
            })
            .or_else(|| self.persona.as_ref().and_then(|name| word("persona", name, NAME_BYTES_MAX)))
            .or_else(|| within("context", self.context, CONTEXT_LEAST, CONTEXT_MAX))
            .or_else(|| within("slots", self.slots, 1, SLOTS_MAX))
            .or_else(|| {
                let what = format!("context times slots is at most {CONTEXT_MAX}");
                (self.context.saturating_mul(self.slots) > CONTEXT_MAX).then_some(("slots", what))
            })
            .or_else(|| within("copies", self.copies, 1, COPIES_MAX))
            .or_else(tag)
            .or_else(|| {
                self.least_tokens_per_second.and_then(|n| share("least_tokens_per_second", n, 1000.0))
            })
            .or_else(|| share("temperature", self.sampling.temperature, 2.0))
            .or_else(|| within("top_k", self.sampling.top_k, 0, 1000))
            .or_else(|| share("top_p", self.sampling.top_p, 1.0))
            .or_else(|| share("min_p", self.sampling.min_p, 1.0))
            .or_else(|| share("repeat_penalty", self.sampling.repeat_penalty, 2.0))
    }
}

/// What is asked for, and no more than a model was trained for: behind that it knows no place. Plans and programs both go
/// by this.
pub fn positions_of(purpose: Purpose, asked: u32, n_trained: u64) -> u32 {
    let most = match purpose {
        Purpose::Chat => CONTEXT_MAX,
        Purpose::Embeddings => TEXT_POSITIONS_MAX,
    };
    let trained = u32::try_from(n_trained).ok().filter(|n| *n > 0).unwrap_or(u32::MAX);
    asked.min(trained).min(most).max(POSITIONS_LEAST)
}

/// The experts of a folder's files, by name, each with its file's stem and text; and what is wrong with the others.
pub fn collect<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Vec<Expert>, Vec<String>) {
    let (mut experts, mut wrong) = (Vec::<Expert>::new(), Vec::new());
    for (stem, text) in files {
        match Expert::parse(text) {
            Err(error) => wrong.push(format!("{stem}.toml, {error}")),
            Ok(expert) if expert.name != stem => {
                wrong.push(format!(
                    "{stem}.toml, line {}: the name is not that of the file",
                    line_of(text, "name")
                ));
            }
            Ok(expert) if expert.fallback && experts.iter().any(|other| other.fallback) => {
                let line = line_of(text, "fallback");
                wrong.push(format!("{stem}.toml, line {line}: another expert is the fallback already"));
            }
            Ok(expert) => experts.push(expert),
        }
    }
    experts.sort_by(|a, b| a.name.cmp(&b.name));
    (experts, wrong)
}

/// Whether this is a file's name that may be joined to the models' folder: no folder, no way out of one.
pub fn is_model_file(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    name.len() <= MODEL_FILE_BYTES_MAX
        && name.strip_suffix(".gguf").is_some_and(|stem| !stem.is_empty())
        && !name.starts_with('.')
        && name.bytes().all(known)
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

/// The line that sets this key.
fn line_of(text: &str, key: &str) -> usize {
    let sets = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(sets).map_or(1, |idx| idx + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "name = \"calm\"\nmodel = \"Bonsai-1.7B-Q1_0.gguf\"\nquantisation = \"Q1_0\"\ncontext = 2048\n";

    fn check(lines: &str, want: &str) {
        let told = match Expert::parse(&format!("{LEAST}{lines}")) {
            Ok(expert) => format!("{} x{} {:?}", expert.name, expert.copies, expert.purpose),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, want);
    }

    #[test]
    fn the_least_file_is_one_chat_expert() {
        check("", "calm x1 Chat");
        assert_eq!(Expert::parse(LEAST).unwrap().sampling, Sampling::default());
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused_with_its_line() {
        let Err(error) = Expert::parse(&format!("{LEAST}[sampling]\ntemprature = 1.0\n")) else {
            panic!("it was taken")
        };
        assert_eq!(error.line, 6);
        assert!(error.what.starts_with("unknown field `temprature`"), "{error}");
    }

    #[test]
    fn every_limit_has_a_sentence_and_a_line() {
        check("copies = 0\n", "line 5: copies lies between 1 and 256");
        check("slots = 17\n", "line 5: slots lies between 1 and 16");
        let long = format!("{LEAST}slots = 3\n").replace("2048", "65536");
        assert_eq!(
            Expert::parse(&long).unwrap_err().to_string(),
            "line 5: context times slots is at most 131072"
        );
        check(
            "persona = \"../x\"\n",
            "line 5: persona takes small letters, digits, '.' and '-', at most 40 of them",
        );
        check(
            "tags = [\"a b\"]\n",
            "line 5: tags takes small letters, digits, '.' and '-', at most 24 of them",
        );
        check("[sampling]\ntemperature = nan\n", "line 6: temperature lies between 0 and 2");
        check("least_tokens_per_second = -1.0\n", "line 5: least_tokens_per_second lies between 0 and 1000");
        let tags = ["\"t\""; TAGS_MAX + 1].join(",");
        check(&format!("tags = [{tags}]\n"), "line 5: an expert has at most 8 tags");
    }

    #[test]
    fn nobody_gets_more_positions_than_a_model_was_trained_for() {
        let chat = Expert::parse(LEAST).unwrap();
        assert_eq!([0, 1, 512, 1 << 40].map(|n| chat.positions(n)), [2048, 8, 512, 2048]);
        let text = LEAST.replace("2048", "8192") + "use = \"embeddings\"\n";
        assert_eq!(Expert::parse(&text).unwrap().positions(0), TEXT_POSITIONS_MAX);
    }

    #[test]
    fn a_model_is_a_file_and_no_path() {
        for name in ["a.gguf", "Bonsai-1.7B-Q1_0.gguf"] {
            assert!(is_model_file(name), "{name}");
        }
        for name in ["", ".gguf", "../a.gguf", "a/b.gguf", ".a.gguf", "a.bin", "a b.gguf"] {
            assert!(!is_model_file(name), "{name}");
        }
    }

    #[test]
    fn a_file_too_long_is_not_read() {
        let long = format!("{LEAST}# {}\n", "x".repeat(FILE_BYTES_MAX));
        assert!(Expert::parse(&long).unwrap_err().what.contains("at most 16384 bytes"));
    }

    #[test]
    fn a_folder_gives_its_sound_experts_and_says_what_is_wrong_with_the_others() {
        let fallback = format!("{}fallback = true\n", LEAST.replace("calm", "b"));
        let third = fallback.replace("\"b\"", "\"c\"");
        let (experts, wrong) =
            collect([("x", LEAST), ("c", third.as_str()), ("b", &fallback), ("calm", LEAST)]);
        assert_eq!(experts.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["c", "calm"]);
        let want = [
            "x.toml, line 1: the name is not that of the file",
            "b.toml, line 5: another expert is the fallback already",
        ];
        assert_eq!(wrong, want);
    }

    #[test]
    fn every_expert_of_the_repository_is_sound_and_named_like_its_file() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        let mut n_fallbacks = 0;
        for entry in std::fs::read_dir(folder.join("experts")).unwrap() {
            let path = entry.unwrap().path();
            let expert = Expert::parse(&std::fs::read_to_string(&path).unwrap());
            let expert = expert.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(path.file_stem().unwrap().to_str(), Some(expert.name.as_str()));
            if let Some(persona) = &expert.persona {
                let persona = folder.join("personas").join(format!("{persona}.txt"));
                assert!(
                    persona.metadata().unwrap().len() <= PERSONA_BYTES_MAX as u64,
                    "{}",
                    persona.display()
                );
            }
            n_fallbacks += usize::from(expert.fallback);
        }
        assert_eq!(n_fallbacks, 1, "one small model goes on when all others are gone");
    }
}
