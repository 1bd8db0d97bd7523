//! The manual page, made from the same data as `--help`, so that the two never disagree.

use crate::args::Args;
use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind};
use std::fmt::Write;

/// The page in roff, for `man`.
pub fn page() -> String {
    let info = Args::get_args_info();
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(out, ".TH DUET 1 \"\" \"duet {version}\" \"duet\"");
    let _ = writeln!(out, ".SH NAME\nduet \\- {}", escape(info.description.trim_start_matches("duet: ")));
    let _ = writeln!(out, ".SH SYNOPSIS\n.B duet\n.I command\n.RI [ options ]");
    let _ = writeln!(out, ".SH COMMANDS");
    for sub in &info.commands {
        command(&mut out, &format!("duet {}", sub.name), &sub.command);
    }
    examples(&mut out, info.examples);
    let _ = writeln!(out, ".SH EXIT STATUS\n0 when the work is done, 1 with one sentence on what is wrong.");
    let _ = writeln!(out, ".SH LICENCE\nGPL-3.0-or-later.");
    out
}

fn command(out: &mut String, name: &str, info: &CommandInfoWithArgs) {
    let _ = writeln!(out, ".SS {}\n{}", escape(name), escape(info.description));
    for place in info.positionals.iter().filter(|place| !place.hidden) {
        let _ = writeln!(out, ".TP\n.I {}\n{}", escape(place.name), escape(place.description));
    }
    for flag in info.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help") {
        let _ = writeln!(out, ".TP\n{}\n{}", flag_head(flag), escape(flag.description));
    }
    for sub in &info.commands {
        command(out, &format!("{name} {}", sub.name), &sub.command);
    }
    examples(out, info.examples);
}

fn flag_head(flag: &FlagInfo<'_>) -> String {
    let short = flag.short.map(|short| format!("\\-{short}, ")).unwrap_or_default();
    match flag.kind {
        FlagInfoKind::Switch => format!(".B {short}{}", escape(flag.long)),
        FlagInfoKind::Option { arg_name } => {
            format!(".BI \"{short}{} \" {}", escape(flag.long), escape(arg_name))
        }
    }
}

fn examples(out: &mut String, examples: &[&str]) {
    for example in examples {
        let (what, lines) = example.split_once('\n').unwrap_or(("", example));
        let lines: Vec<String> = lines.lines().map(|line| escape(line.trim())).collect();
        let _ = writeln!(out, ".PP\n{}\n.RS\n.nf\n{}\n.fi\n.RE", escape(what), lines.join("\n"));
    }
}

/// Keeps roff from reading text as requests.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_part_and_an_example() {
        let page = page();
        for sub in &Args::get_args_info().commands {
            assert!(page.contains(&format!(".SS duet {}\n", escape(sub.name))), "{}", sub.name);
            let nested = sub.command.commands.iter().all(|sub| !sub.command.examples.is_empty());
            let own = !sub.command.examples.is_empty();
            assert!(own || (nested && !sub.command.commands.is_empty()), "{} has no example", sub.name);
        }
    }

    #[test]
    fn a_leading_dot_is_no_request() {
        assert_eq!(escape(".TH a-b"), "\\&.TH a\\-b");
    }
}
