//! The processor, from `/proc/cpuinfo`: its name and the instruction sets that decide how fast a model speaks.

use serde::Serialize;

/// Flags worth naming, by the kernel's word and by the maker's.
const SETS: [(&str, &str); 9] = [
    ("sse2", "SSE2"),
    ("pni", "SSE3"),
    ("ssse3", "SSSE3"),
    ("sse4_1", "SSE4.1"),
    ("sse4_2", "SSE4.2"),
    ("popcnt", "POPCNT"),
    ("avx", "AVX"),
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Processor {
    pub model: String,
    pub n_threads: usize,
    pub mhz: u32,
    pub instruction_sets: Vec<&'static str>,
}

pub fn parse(cpuinfo: &str) -> Processor {
    let flags = value(cpuinfo, "flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|f| f == flag);
    let mhz: f64 = value(cpuinfo, "cpu MHz").and_then(|v| v.parse().ok()).unwrap_or(0.0);
    Processor {
        model: words(value(cpuinfo, "model name").unwrap_or_default()),
        n_threads: cpuinfo.lines().filter(|l| key(l) == "processor").count(),
        mhz: mhz.round() as u32,
        instruction_sets: SETS.iter().filter(|(flag, _)| has(flag)).map(|(_, name)| *name).collect(),
    }
}

fn key(line: &str) -> &str {
    line.split(':').next().unwrap_or("").trim_end()
}

fn value<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let line = cpuinfo.lines().find(|l| key(l) == name)?;
    line.split_once(':').map(|(_, v)| v.trim())
}

/// Makers pad the name with blanks.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cpuinfo: &str, model: &str, n_threads: usize, mhz: u32, sets: &str) {
        let p = parse(cpuinfo);
        assert_eq!((p.model.as_str(), p.n_threads, p.mhz), (model, n_threads, mhz));
        assert_eq!(p.instruction_sets.join(" "), sets);
    }

    #[test]
    fn a_core_2_duo_is_named_with_its_instruction_sets() {
        let one = "processor\t: 0\nmodel name\t: Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz\n\
                   cpu MHz\t\t: 2999.876\nflags\t\t: fpu sse sse2 ht pni ssse3 cx16 sse4_1 lahf_lm\n\n";
        let two = one.replace(": 0", ": 1");
        check(
            &format!("{one}{two}"),
            "Intel(R) Core(TM)2 Duo CPU E8400 @ 3.00GHz",
            2,
            3000,
            "SSE2 SSE3 SSSE3 SSE4.1",
        );
    }

    #[test]
    fn a_flag_is_a_whole_word() {
        check("processor: 0\nflags: avx2x notavx sse2\n", "", 1, 0, "SSE2");
    }

    #[test]
    fn another_kind_of_machine_gives_an_empty_fact() {
        check("Features : neon\nHardware : board\n", "", 0, 0, "");
        check("", "", 0, 0, "");
    }
}
