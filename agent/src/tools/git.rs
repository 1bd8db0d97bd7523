//! Git in the workspace: what changed, and a commit of all of it.
//!
//! What git keeps lies in a folder beside the workspace, where no tool writes, and no settings but those here are read: a file
//! that a model wrote must not become a program that git starts.

use super::files::{DEPTH_MAX, ENTRIES_MAX};
use super::program::Program;
use super::workspace::{Found, Workspace};
use super::{Call, Field, Limits, Spec, Tool};
use std::path::{Path, PathBuf};
use std::process::Command;

const MESSAGE_BYTES_MAX: usize = 500;
const GIT: Program<'static> = Program { path: "/usr/bin/git", profile: "git", bytes_max: 64 << 10 };
/// What a setting could start is off.
const SETTINGS: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.attributesFile=/dev/null",
    "core.symlinks=false",
    "protocol.allow=never",
    "commit.gpgSign=false",
    "gc.auto=0",
    "diff.ignoreSubmodules=all",
    "safe.directory=*",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Status,
    Log,
    Diff,
    Commit,
}

pub const ALL: [What; 4] = [What::Status, What::Log, What::Diff, What::Commit];

pub struct Git {
    pub what: What,
    pub workspace: Workspace,
}

impl Tool for Git {
    fn spec(&self) -> Spec {
        let spec = match self.what {
            What::Status => {
                Spec::new("git.status", "Shows which files of the workspace changed since the last commit.")
            }
            What::Log => Spec::new("git.log", "Shows the last commits of the workspace."),
            What::Diff => Spec::new("git.diff", "Shows what changed in the workspace since the last commit."),
            What::Commit => Spec::new("git.commit", "Keeps the workspace as it is now.")
                .field(Field::text("message", "what was changed, in one line", MESSAGE_BYTES_MAX))
                .ask(),
        };
        spec.seconds(20).output(12 << 10)
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let found = self.workspace.find()?;
        no_repository_within(&found.folder, 0, &mut 0)?;
        let place = Place::open(&found, limits)?;
        let said = match self.what {
            What::Status => place.git(
                &["status", "--short", "--no-renames", "--ignore-submodules=all", "--untracked-files=all"],
                limits,
            )?,
            What::Log => place.git(&["log", "--max-count=20", "--format=%h %cI %s"], limits)?,
            What::Diff => place.git(
                &[
                    "diff",
                    "--no-ext-diff",
                    "--no-textconv",
                    "--no-color",
                    "--ignore-submodules=all",
                    "HEAD",
                    "--",
                ],
                limits,
            )?,
            What::Commit => {
                place.git(&["add", "--all", "--", "."], limits)?;
                let message = call.text("message").unwrap_or_default();
                place.git(
                    &["commit", "--no-verify", "--quiet", "--cleanup=whitespace", "-m", message],
                    limits,
                )?;
                place.git(&["log", "--max-count=1", "--format=committed %h %s"], limits)?
            }
        };
        Ok(if said.trim().is_empty() { "nothing changed".into() } else { said })
    }
}

struct Place {
    tree: PathBuf,
    kept: PathBuf,
}

impl Place {
    /// Where git has not kept anything yet it begins to.
    fn open(found: &Found, limits: &Limits<'_>) -> Result<Place, String> {
        let kept = found.kept.clone();
        let kept = kept.ok_or("the agent has no folder in which git could keep anything")?;
        let place = Place { tree: found.folder.clone(), kept };
        if !place.kept.join("HEAD").is_file() {
            place.git(&["init", "--quiet", "--template=", "--initial-branch=main"], limits)?;
            place.git(
                &["commit", "--quiet", "--allow-empty", "--no-verify", "-m", "the workspace begins"],
                limits,
            )?;
        }
        Ok(place)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = GIT.command();
        command.current_dir(&self.tree);
        command.env("GIT_DIR", &self.kept).env("GIT_WORK_TREE", &self.tree).env("HOME", "/nonexistent");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_ATTR_NOSYSTEM", "1");
        for side in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{side}_NAME"), "duet")
                .env(format!("GIT_{side}_EMAIL"), "duet@localhost");
        }
        SETTINGS.iter().for_each(|setting| _ = command.args(["-c", setting]));
        command.arg("--no-pager").args(arguments);
        command
    }

    fn git(&self, arguments: &[&str], limits: &Limits<'_>) -> Result<String, String> {
        let said = GIT.run(self.command(arguments), limits)?;
        let output = String::from_utf8_lossy(&said.output).into_owned();
        match said.is_good {
            true => Ok(output),
            false => {
                Err(format!("git {}: {} {}", arguments[0], output.trim(), said.trouble).trim().to_owned())
            }
        }
    }
}

/// Code behind bars can leave a repository with settings of its own in the common folder, and git would look into it.
fn no_repository_within(folder: &Path, depth: usize, n_entries: &mut usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("{} lies too deep for git in the workspace; remove it first", folder.display()));
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        *n_entries += 1;
        if *n_entries > ENTRIES_MAX {
            return Err(format!("the workspace has more than {ENTRIES_MAX} files and folders"));
        }
        let path = entry.path();
        if entry.file_name().eq_ignore_ascii_case(".git") {
            return Err(format!(
                "{} is in the workspace, and git would follow it; remove it first",
                path.display()
            ));
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            no_repository_within(&path, depth + 1, n_entries)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    #[test]
    fn changes_are_shown_and_kept_and_no_file_of_the_workspace_is_started() {
        let room = std::env::temp_dir().join(format!("duet-git-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&room);
        let tree = room.join("space");
        std::fs::create_dir_all(&tree).unwrap();
        let stop = AtomicBool::new(false);
        let limits =
            Limits { deadline: Instant::now() + Duration::from_secs(300), output_max: 1 << 16, stop: &stop };
        let found = Found { folder: tree.clone(), is_common: false, kept: Some(room.join("space.git")) };
        let place = Place::open(&found, &limits).unwrap();
        // A filter and a diff program, as a stranger's repository would bring them.
        std::fs::write(tree.join(".gitattributes"), "* filter=evil diff=evil\n").unwrap();
        let evil = format!(
            "[filter \"evil\"]\nclean = touch {0}/ran\n[diff \"evil\"]\ncommand = touch {0}/ran\n[core]\nhooksPath = .\n",
            room.display()
        );
        std::fs::write(tree.join(".gitconfig"), &evil).unwrap();
        std::fs::create_dir(tree.join(".git")).unwrap();
        std::fs::write(tree.join(".git/config"), &evil).unwrap();
        let within = no_repository_within(&tree, 0, &mut 0).unwrap_err();
        assert!(within.contains("/space/.git is in the workspace"), "{within}");
        std::fs::write(tree.join("pre-commit"), format!("#!/bin/sh\ntouch {}/ran\n", room.display()))
            .unwrap();
        std::fs::write(tree.join("a.txt"), "one\n").unwrap();
        let status = place.git(&["status", "--short", "--untracked-files=all"], &limits).unwrap();
        assert!(status.contains("?? a.txt"), "{status}");
        place.git(&["add", "--all", "--", "."], &limits).unwrap();
        place.git(&["commit", "--no-verify", "--quiet", "-m", "--amend"], &limits).unwrap();
        std::fs::write(tree.join("a.txt"), "two\n").unwrap();
        let diff = place.git(&["diff", "--no-ext-diff", "--no-textconv", "HEAD", "--"], &limits).unwrap();
        assert!(diff.contains("-one\n+two"), "{diff}");
        let log = place.git(&["log", "--format=%s"], &limits).unwrap();
        assert_eq!(log, "--amend\nthe workspace begins\n");
        assert!(!room.join("ran").exists(), "a program of the workspace ran");
        std::fs::remove_dir_all(&room).unwrap();
    }
}
