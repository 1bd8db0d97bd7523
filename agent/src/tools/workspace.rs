//! Where the files lie that tools may change: one folder for all of them.
//!
//! It is the owner's, else the one that code behind bars has as `/work`, so that what `file.write` wrote can be run and what
//! was run can be read; on an image without bars it is the agent's own. What git keeps never lies in it.
//! Whoever runs behind bars is a user of its own, so what the agent puts into the common folder is everybody's.

use super::setup::Wishes;
use crate::io::runtime;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Of code behind bars, below the machine's root.
const COMMON: &str = "run/duet/workspace";
/// The agent's own, and what git keeps of it or of the common one.
const OWN: &str = "workspace";
const KEPT: &str = "workspace.git";

/// Finds the folder anew for each call: the owner may name another.
#[derive(Clone)]
pub struct Workspace {
    pub wishes: Wishes,
    common: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub folder: PathBuf,
    /// Others than the agent must be able to read and change what it puts there.
    pub is_common: bool,
    /// What git keeps; where systemd gives the agent no folder there is no place for it.
    pub kept: Option<PathBuf>,
}

impl Workspace {
    pub fn new(wishes: Wishes, root: &Path) -> Workspace {
        Workspace { wishes, common: root.join(COMMON) }
    }

    /// The owner's folder is not made, ours is.
    pub fn find(&self) -> Result<Found, String> {
        let own = self.wishes.now().workspace.folder.clone();
        if let Some(folder) = own.filter(|folder| *folder != self.common) {
            let name = folder.file_name().ok_or("the workspace in tools.toml has no name")?;
            let kept = Some(folder.with_file_name(format!("{}.git", name.to_string_lossy())));
            return Ok(Found { folder, is_common: false, kept });
        }
        let kept = runtime::path(KEPT);
        if self.common.is_dir() {
            // Beside it nobody but root may write.
            return Ok(Found { folder: self.common.clone(), is_common: true, kept });
        }
        let folder = runtime::path(OWN)
            .ok_or("there is no workspace; name a folder in tools.toml: [workspace] folder = \"...\"")?;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| format!("the workspace cannot be made: {error}"))?;
        Ok(Found { folder, is_common: false, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::config::Config;

    #[test]
    fn the_folder_of_code_behind_bars_is_that_of_all_tools_unless_the_owner_names_another() {
        let root = std::env::temp_dir().join(format!("duet-workspace-{}", std::process::id()));
        let wishes = Wishes::default();
        let workspace = Workspace::new(wishes.clone(), &root);
        std::fs::create_dir_all(root.join(COMMON)).unwrap();
        let found = workspace.find().unwrap();
        assert_eq!((found.folder, found.is_common), (root.join(COMMON), true));
        let text = "[workspace]\nfolder = \"/srv/space\"\n";
        wishes.set(Config::read("tools.toml", text, &[], &[]).unwrap().0);
        let kept = Some("/srv/space.git".into());
        assert_eq!(workspace.find(), Ok(Found { folder: "/srv/space".into(), is_common: false, kept }));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
