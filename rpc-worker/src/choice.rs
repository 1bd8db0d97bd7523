//! Whose kernels run: ggml's own, ours as the processor allows, or ours of one instruction set.

use anyhow::{Context, bail};
use engine::kernels::hook::{self, Mode};
use engine::kernels::{Level, calibrate, force, kernels};
use std::str::FromStr;

/// Names the kernels where the command line does not.
const VARIABLE: &str = "DUET_KERNELS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Stock,
    Ours,
    Level(Level),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> Result<Choice, String> {
        match name {
            "stock" => Ok(Choice::Stock),
            "ours" => Ok(Choice::Ours),
            _ => Level::named(name).map(Choice::Level).ok_or_else(|| {
                let levels: Vec<&str> = Level::ALL.iter().map(|level| level.name()).collect();
                format!("there are no kernels {name:?}, only stock, ours, {}", levels.join(", "))
            }),
        }
    }
}

/// Puts a choice in force: the command line's, else the environment's, else ours. To be called before any product.
pub fn choose(asked: Option<Choice>) -> anyhow::Result<Choice> {
    let choice = match (asked, std::env::var(VARIABLE)) {
        (Some(choice), _) => choice,
        (None, Ok(name)) => name.parse().map_err(anyhow::Error::msg).context(VARIABLE)?,
        (None, Err(_)) => Choice::Ours,
    };
    if let Choice::Level(level) = choice
        && !force(level)
    {
        bail!("this processor cannot run the kernels {}", level.name());
    }
    hook::set_mode(if choice == Choice::Stock { Mode::Stock } else { Mode::Ours });
    if choice != Choice::Stock {
        calibrate();
    }
    Ok(choice)
}

/// One line on what runs.
pub fn told(choice: Choice) -> String {
    if choice == Choice::Stock {
        return "kernels: stock".to_owned();
    }
    let way = engine::kernels::way().name();
    format!("kernels: {}, a column of Q1_0 by way of {way}", kernels().level.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_on_kernels_names_what_runs() {
        let choice = choose(Some(Choice::Level(Level::Sse2))).expect("every processor has SSE2");
        assert_eq!(told(choice), "kernels: sse2, a column of Q1_0 by way of direct");
        let choice = choose(Some(Choice::Stock)).expect("stock is always there");
        assert_eq!(told(choice), "kernels: stock");
    }

    #[test]
    fn kernels_are_named_as_the_help_says() {
        assert_eq!("stock".parse(), Ok(Choice::Stock));
        assert_eq!("ssse3".parse(), Ok(Choice::Level(Level::Ssse3)));
        let said = "avx3".parse::<Choice>().unwrap_err();
        assert_eq!(said, "there are no kernels \"avx3\", only stock, ours, sse2, ssse3, sse41, avx2");
    }
}
