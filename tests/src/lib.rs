//! What the tests that cross crates share.

pub mod cage;
pub mod clients;
pub mod core2;
pub mod gateway;
pub mod model;
pub mod network;
pub mod node;
pub mod release;
pub mod shelf;
mod skip;
pub mod worker;

pub use skip::skip;

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests folder stands in the repository")
}

/// Where `duet test` has put its build; `out` for whoever calls cargo by hand.
pub fn out() -> PathBuf {
    std::env::var_os("DUET_OUT").map_or_else(|| repository().join("out"), PathBuf::from)
}

/// Compares with a golden file; `UPDATE=1` writes it anew, and git shows the difference.
pub fn golden(name: &str, got: &str) {
    let path = repository().join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a golden file stands in a folder"))
            .expect("the folder");
        std::fs::write(&path, got).expect("writing a golden file");
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    if want == got {
        return;
    }
    let same = want.lines().zip(got.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(nothing)").to_string();
    panic!(
        "{} differs at line {}:\n  want {}\n  got  {}\nif this is meant: UPDATE=1 cargo test",
        path.display(),
        same + 1,
        line(&want),
        line(got)
    );
}
