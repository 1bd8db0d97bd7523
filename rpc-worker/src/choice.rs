//! Whose kernels run: ggml's own, ours as the processor allows, or ours of one instruction set.

use anyhow::{Context, bail};
use engine::kernels::hook::{self, Mode};
use engine::kernels::{Level, Way, calibrate, force, kernels, prefer, way};
use serde::Serialize;
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

/// For the command line.
pub fn way_named(name: &str) -> Result<Way, String> {
    Way::named(name).ok_or_else(|| format!("there is no way {name:?}, only tables, direct"))
}

/// Puts a choice in force: the command line's, else the environment's, else ours; and a way, else the faster one. To
/// be called before any product.
pub fn choose(asked: Option<Choice>, asked_way: Option<Way>) -> anyhow::Result<Choice> {
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
    take_way(choice, asked_way)?;
    Ok(choice)
}

/// Two starts may find another way faster, and then Q1_0 gives other bits: so it can be named.
fn take_way(choice: Choice, asked: Option<Way>) -> anyhow::Result<()> {
    match asked {
        Some(_) if choice == Choice::Stock => bail!("the kernels stock know no ways"),
        Some(asked) => {
            prefer(asked);
            if way() != asked {
                bail!("the kernels {} have no way {}", kernels().level.name(), asked.name());
            }
        }
        None if choice == Choice::Stock => {}
        None => _ = calibrate(),
    }
    Ok(())
}

/// One line on what runs.
pub fn told(choice: Choice) -> String {
    if choice == Choice::Stock {
        return "kernels: stock".to_owned();
    }
    format!("kernels: {}, a column of Q1_0 by way of {}", kernels().level.name(), way().name())
}

/// What runs, for `/health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InForce {
    pub kernels: &'static str,
    /// Of a column of Q1_0; ggml's own kernels know none.
    pub way: Option<&'static str>,
}

pub fn in_force(choice: Choice) -> InForce {
    match choice {
        Choice::Stock => InForce { kernels: "stock", way: None },
        _ => InForce { kernels: kernels().level.name(), way: Some(way().name()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_on_kernels_names_what_runs() {
        let _turn = turn();
        let choice = choose(Some(Choice::Level(Level::Sse2)), None).expect("every processor has SSE2");
        assert_eq!(told(choice), "kernels: sse2, a column of Q1_0 by way of direct");
        let choice = choose(Some(Choice::Stock), None).expect("stock is always there");
        assert_eq!(told(choice), "kernels: stock");
    }

    /// What is in force is one setting for the whole program, so tests that change it take turns.
    fn turn() -> std::sync::MutexGuard<'static, ()> {
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        TURN.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    #[test]
    fn a_way_that_is_named_is_taken_and_told() {
        let _turn = turn();
        if !Level::Ssse3.is_here() {
            return println!("skipped: this processor has no ssse3");
        }
        let ssse3 = Some(Choice::Level(Level::Ssse3));
        for name in ["tables", "direct", "tables"] {
            let choice = choose(ssse3, Some(way_named(name).expect("a way"))).expect("ssse3 has both ways");
            assert_eq!(told(choice), format!("kernels: ssse3, a column of Q1_0 by way of {name}"));
            assert_eq!(in_force(choice), InForce { kernels: "ssse3", way: Some(name) });
        }
    }

    #[test]
    fn a_way_that_is_not_there_is_an_error() {
        let _turn = turn();
        let said =
            |choice, way| choose(Some(choice), Some(way)).map(told).expect_err("no such way").to_string();
        assert_eq!(said(Choice::Level(Level::Sse2), Way::Tables), "the kernels sse2 have no way tables");
        assert_eq!(said(Choice::Stock, Way::Direct), "the kernels stock know no ways");
        assert_eq!(
            way_named("both").expect_err("no such way"),
            "there is no way \"both\", only tables, direct"
        );
    }

    #[test]
    fn kernels_are_named_as_the_help_says() {
        assert_eq!("stock".parse(), Ok(Choice::Stock));
        assert_eq!("ssse3".parse(), Ok(Choice::Level(Level::Ssse3)));
        let said = "avx3".parse::<Choice>().unwrap_err();
        assert_eq!(said, "there are no kernels \"avx3\", only stock, ours, sse2, ssse3, sse41, avx2");
    }
}
