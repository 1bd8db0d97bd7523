//! Which tools there are, and what the owner says of them: put on the desk once, and followed while the agent runs.

use super::calculator::Calculator;
use super::config::{Config, FILE};
use super::desk::Desk;
use super::documents::Documents;
use super::files::{self, Files};
use super::git::{self, Git};
use super::web::{self, Web};
use super::webhook::Webhook;
use super::workspace::Workspace;
use super::{Tool, acts, hands, mcp, talking};
use crate::answer::Mind;
use crate::io::runtime;
use service::log::{Level, say};
use service::watch::Watch;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use talking::Talking;
use tokio::runtime::Handle;

/// A file is often written in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// A folder that cannot be watched is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What tools read at each call.
#[derive(Clone, Default)]
pub struct Wishes(Arc<RwLock<Arc<Config>>>);

impl Wishes {
    pub fn now(&self) -> Arc<Config> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set(&self, config: Config) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}

/// How a tool becomes one that may run elsewhere.
pub type Placing = Box<dyn Fn(Arc<dyn Tool>) -> Arc<dyn Tool> + Send + Sync>;

pub struct Setup {
    root: PathBuf,
    /// None where there is no cluster: then all run here.
    placing: Option<Placing>,
    pub desk: Arc<Desk>,
    wishes: Wishes,
    /// Servers of others that the owner names.
    servers: Vec<mcp::config::Setup>,
    troubles: Mutex<Vec<String>>,
}

impl Setup {
    /// All tools that need no running agent; the owner's file is not read yet, so none of them runs.
    pub fn new(root: &Path, placing: Option<Placing>) -> Setup {
        let folder = runtime::path("");
        let desk = Arc::new(Desk::open(folder.as_deref()));
        let wishes = Wishes::default();
        let workspace = Workspace::new(wishes.clone(), root);
        let mut all: Vec<Arc<dyn Tool>> = vec![Arc::new(Calculator), Arc::new(Documents(wishes.clone()))];
        all.push(Arc::new(Web { wishes: wishes.clone(), may: web::is_public }));
        for what in files::ALL {
            all.push(Arc::new(Files { what, workspace: workspace.clone() }));
        }
        for what in git::ALL {
            all.push(Arc::new(Git { what, workspace: workspace.clone() }));
        }
        // It asks from the program's own runtime.
        if let Ok(runtime) = Handle::try_current() {
            all.push(Arc::new(Webhook { wishes: wishes.clone(), runtime }));
        }
        all.extend(hands::all(root, &workspace));
        let servers = hands::servers(root);
        let setup =
            Setup { root: root.to_owned(), placing, desk, wishes, servers, troubles: Mutex::default() };
        all.into_iter().for_each(|tool| setup.add(tool));
        setup
    }

    /// The names that a workflow may use, those of a conversation and of a node among them.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.desk.specs().into_iter().map(|(spec, _)| spec.name).collect();
        names.extend(talking::specs().into_iter().chain(acts::specs()).map(|spec| spec.name));
        names.sort();
        names.dedup();
        names
    }

    /// The tools of conversations.
    pub fn talk(&self, mind: &Arc<Mind>) {
        for spec in talking::specs() {
            self.add(Arc::new(Talking { spec, mind: Arc::downgrade(mind) }));
        }
    }

    /// Ours are as they should be; a test adds all.
    pub fn add(&self, tool: Arc<dyn Tool>) {
        let tool = match &self.placing {
            Some(placing) => placing(tool),
            None => tool,
        };
        if let Err(why) = self.desk.add(tool) {
            say(Level::Warning, &format!("duet: a tool is left out: {why}"));
        }
    }

    /// Follows the servers of others, once all tools of ours are on the desk: none of theirs takes the place of one.
    pub fn follow_servers(&self) {
        let ours = self.names();
        let is_good = |server: &mcp::config::Setup| match hands::clash(&server.name, &ours) {
            Some(why) => {
                say(Level::Warning, &format!("duet: {why}"));
                false
            }
            None => true,
        };
        hands::follow_servers(
            &self.desk,
            self.servers.iter().filter(|server| is_good(server)).cloned().collect(),
        );
    }

    /// What is wrong with the owner's file.
    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn read_again(&self) {
        let names = self.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let servers: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match Config::open(&self.root, &names, &servers) {
            Ok((config, policy)) => {
                self.wishes.set(config);
                self.desk.open_with(policy);
                troubles.clear();
            }
            Err(new) => {
                for trouble in new.iter().filter(|trouble| !troubles.contains(trouble)) {
                    say(Level::Warning, &format!("duet: {trouble}"));
                }
                *troubles = new;
            }
        }
    }

    /// Never ends: reads the owner's file again whenever it may have changed.
    pub async fn follow(&self) {
        loop {
            let watch = Watch::new(&self.root.join(FILE));
            self.read_again();
            if let Ok(mut watch) = watch {
                while watch.changed().await.is_ok() {
                    tokio::time::sleep(SETTLE).await;
                    self.read_again();
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_may_speak_of_a_servers_tools_before_it_was_heard() {
        let root = std::env::temp_dir().join(format!("duet-setup-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc/duet-agent")).unwrap();
        let put = |file: &str, text: &str| std::fs::write(root.join(file), text).unwrap();
        put(mcp::config::FILE, "[notes]\nurl = \"http://127.0.0.1:9/mcp\"\n");
        put(FILE, "[risk]\n\"notes.*\" = \"free\"\n\"note.*\" = \"free\"\n");
        let setup = Setup::new(&root, None);
        setup.read_again();
        let troubles = setup.troubles();
        assert!(troubles.len() == 1 && troubles[0].contains("there is no tool \"note.*\""), "{troubles:?}");
        put(FILE, "[risk]\n\"notes.*\" = \"free\"\n");
        setup.read_again();
        assert_eq!(setup.troubles(), [""; 0]);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
