//! The crates that are linked into one of our programs.
//!
//! `cargo metadata` knows the graph and each crate's licence and folder,
//! `Cargo.lock` the hashes. Crates that only build or test, and macros, which run
//! in the compiler, are not in the program and are left out.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One crate, as the bill of materials names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    pub name: String,
    pub version: String,
    pub licence: Option<String>,
    pub sha256: Option<String>,
}

/// The output of `cargo metadata --format-version 1`, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Metadata {
    pub fn parse(json: &str) -> Result<Metadata, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The crates in `program`, without itself, and the folder of each one's source.
    ///
    /// `None` if no package has that name.
    pub fn crates_of(&self, program: &str, cargo_lock: &str) -> Option<Vec<(Crate, PathBuf)>> {
        let by_id: BTreeMap<&str, &Package> = self.packages.iter().map(|p| (p.id.as_str(), p)).collect();
        let deps: BTreeMap<&str, &[Dependency]> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node.deps.as_slice())).collect();
        let sums = checksums(cargo_lock);
        let start = self.packages.iter().find(|package| package.name == program)?;
        let mut seen = BTreeSet::from([start.id.as_str()]);
        let mut todo = vec![start.id.as_str()];
        let mut found = Vec::new();
        while let Some(id) = todo.pop() {
            for dep in deps.get(id).copied().unwrap_or_default() {
                let Some(package) = by_id.get(dep.pkg.as_str()) else { continue };
                let is_linked = dep.dep_kinds.iter().any(|kind| kind.kind.is_none()) && !package.is_macro();
                if is_linked && seen.insert(&package.id) {
                    todo.push(&package.id);
                    found.push((package.describe(&sums), package.folder()));
                }
            }
        }
        found.sort();
        Some(found)
    }

    /// The version and licence of one package.
    pub fn describe(&self, name: &str) -> Option<(String, String)> {
        let package = self.packages.iter().find(|package| package.name == name)?;
        Some((package.version.clone(), package.license.clone().unwrap_or_default()))
    }
}

impl Package {
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }

    fn describe(&self, sums: &BTreeMap<(String, String), String>) -> Crate {
        Crate {
            name: self.name.clone(),
            version: self.version.clone(),
            licence: self.license.clone(),
            sha256: sums.get(&(self.name.clone(), self.version.clone())).cloned(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.manifest_path.parent().map(PathBuf::from).unwrap_or_default()
    }
}

/// Hashes by name and version; packages of the workspace have none.
fn checksums(cargo_lock: &str) -> BTreeMap<(String, String), String> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let lock = toml::from_str(cargo_lock).unwrap_or(Lock { package: Vec::new() });
    lock.package.into_iter().filter_map(|p| Some(((p.name, p.version), p.checksum?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [
            {"id":"agent","name":"agent","version":"0.1.0","license":"GPL-3.0-or-later","manifest_path":"/w/agent/Cargo.toml","targets":[{"kind":["bin"]}]},
            {"id":"a","name":"a","version":"1.0.0","license":"MIT","manifest_path":"/r/a/Cargo.toml","targets":[{"kind":["lib"]}]},
            {"id":"b","name":"b","version":"2.0.0","license":null,"manifest_path":"/r/b/Cargo.toml","targets":[{"kind":["lib"]}]},
            {"id":"m","name":"m","version":"1.0.0","license":"MIT","manifest_path":"/r/m/Cargo.toml","targets":[{"kind":["proc-macro"]}]},
            {"id":"t","name":"t","version":"1.0.0","license":"MIT","manifest_path":"/r/t/Cargo.toml","targets":[{"kind":["lib"]}]}],
        "resolve": {"nodes": [
            {"id":"agent","deps":[{"pkg":"a","dep_kinds":[{"kind":null}]},{"pkg":"m","dep_kinds":[{"kind":null}]},
                                  {"pkg":"t","dep_kinds":[{"kind":"dev"},{"kind":"build"}]}]},
            {"id":"a","deps":[{"pkg":"b","dep_kinds":[{"kind":"build"},{"kind":null}]}]},
            {"id":"b","deps":[{"pkg":"a","dep_kinds":[{"kind":null}]}]},
            {"id":"m","deps":[]},{"id":"t","deps":[]}]}}"#;

    fn check(program: &str, want: &str) {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n";
        let got = match Metadata::parse(METADATA).unwrap().crates_of(program, lock) {
            Some(all) => all
                .iter()
                .map(|(c, _)| format!("{} {} ", c.name, c.sha256.as_deref().unwrap_or("-")))
                .collect(),
            None => "unknown".to_string(),
        };
        assert_eq!(got.trim_end(), want);
    }

    #[test]
    fn a_program_holds_what_is_linked_and_neither_macros_nor_tests() {
        check("agent", "a ff b -");
    }

    #[test]
    fn a_program_that_is_not_there_is_unknown() {
        check("nobody", "unknown");
    }
}
