//! The dangerous tools, as the desk knows them: code behind bars, ssh, the camera, and servers of others.

use super::desk::Desk;
use super::mcp::{self, OutsideTool, Server};
use super::sandbox::{self, Language};
use super::workspace::Workspace;
use super::{Call, Field, Limits, Spec, Tool, camera, ssh};
use service::log::{Level, say};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Where the key for ssh lies, in the agent's own folder.
const SSH_FOLDER: &str = "run/duet-agent/ssh";
/// A server that is not there is looked for again so soon, and one that is, so seldom.
const AWAY_EVERY: Duration = Duration::from_secs(30);
const THERE_EVERY: Duration = Duration::from_secs(300);
/// A server that is asked for its tools.
const LIST_MAX: Duration = Duration::from_secs(30);

/// Those of this node; what the owner's files have wrong is told, and leaves its tools out.
pub fn all(root: &Path, workspace: &Workspace) -> Vec<Arc<dyn Tool>> {
    let (shell, python) = (Code { language: Language::Shell }, Code { language: Language::Python });
    let picture = Picture { root: root.into(), workspace: workspace.clone() };
    let cameras: [Arc<dyn Tool>; 2] = [Arc::new(Cameras { root: root.into() }), Arc::new(picture)];
    let mut tools: Vec<Arc<dyn Tool>> = vec![Arc::new(shell), Arc::new(python)];
    tools.extend(cameras);
    if let Some(hosts) = read(root, ssh::FILE, ssh::FILE_BYTES_MAX, ssh::parse) {
        let ssh = Arc::new(ssh::Ssh::new(&root.join(SSH_FOLDER), hosts));
        tools.push(Arc::new(Key { ssh: ssh.clone() }));
        tools.push(Arc::new(Command { ssh }));
    }
    tools
}

/// The servers of others that the owner names.
pub fn servers(root: &Path) -> Vec<mcp::config::Setup> {
    read(root, mcp::config::FILE, mcp::config::FILE_BYTES_MAX, mcp::config::parse).unwrap_or_default()
}

/// Why a server of this name is left out: its tools would take the place of ours. `ours` are the names of all our tools.
pub fn clash(server: &str, ours: &[String]) -> Option<String> {
    let group = |name: &String| name.split('.').next() == Some(server);
    let of = ours.iter().find(|name| group(name))?;
    Some(format!(
        "the tool server {server} is left out: this node has a tool {of} of its own; give the server another name in /{}",
        mcp::config::FILE
    ))
}

/// Follows servers of others, each on a thread of its own, for as long as the program runs.
pub fn follow_servers(desk: &Arc<Desk>, servers: Vec<mcp::config::Setup>) {
    for setup in servers {
        let (name, desk) = (setup.name.clone(), desk.clone());
        let following = Server::start(setup).and_then(|server| {
            std::thread::Builder::new()
                .name(format!("tools-{name}"))
                .spawn(move || follow(&desk, Arc::new(server)))
        });
        if let Err(error) = following {
            say(Level::Warning, &format!("duet: the tool server {name} is left out: {error}"));
        }
    }
}

/// Never ends: what the server offers is what the desk has of it.
fn follow(desk: &Desk, server: Arc<Server>) {
    let never = AtomicBool::new(false);
    let (mut known, mut was_told) = (Vec::<String>::new(), String::new());
    loop {
        let limits = Limits { deadline: Instant::now() + LIST_MAX, output_max: usize::MAX, stop: &never };
        let (offers, news) = match server.offers(&limits) {
            Ok(offers) => {
                let news = format!("the tool server {} offers {} tools", server.name, offers.len());
                (Some(offers), news)
            }
            Err(why) => (None, format!("the tool server {why}")),
        };
        if news != was_told {
            say(Level::Info, &format!("duet: {news}"));
            was_told = news;
        }
        let Some(offers) = offers else {
            // Its tools stay: a call says why it cannot be made.
            std::thread::sleep(AWAY_EVERY);
            continue;
        };
        let names: Vec<String> = offers.iter().map(|offer| offer.spec.name.clone()).collect();
        for gone in known.iter().filter(|name| !names.contains(name)) {
            desk.remove(gone);
        }
        for offer in offers {
            if let Err(why) = desk.add(Arc::new(OutsideTool { server: server.clone(), offer })) {
                say(Level::Info, &format!("duet: {why}"));
            }
        }
        known = names;
        std::thread::sleep(THERE_EVERY);
    }
}

/// What a file of the owner's says; nothing where there is none.
fn read<T>(
    root: &Path,
    file: &str,
    bytes_max: usize,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let mut text = String::new();
    let opened = std::fs::File::open(root.join(file));
    let read = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        opened => opened.and_then(|file| file.take(bytes_max as u64 + 1).read_to_string(&mut text)),
    };
    let parsed = read.map_err(|error| error.to_string()).and_then(|_| parse(&text));
    parsed.map_err(|why| say(Level::Warning, &format!("duet: /{file} is left out: {why}"))).ok()
}

struct Code {
    language: Language,
}

impl Tool for Code {
    fn spec(&self) -> Spec {
        let (name, about) = match self.language {
            Language::Shell => {
                ("shell", "Runs lines of shell without network, in the workspace, which is /work there.")
            }
            Language::Python => (
                "python",
                "Runs a small Python program without network, in the workspace, which is /work there.",
            ),
        };
        let code = Field::text("code", "what is to run", sandbox::CODE_BYTES_MAX);
        Spec::new(name, about).field(code).ask().heavy().seconds(60).output(16 << 10)
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        sandbox::run(Path::new(sandbox::SOCKET), self.language, call.text("code").unwrap_or_default(), limits)
    }
}

struct Command {
    ssh: Arc<ssh::Ssh>,
}

impl Tool for Command {
    fn spec(&self) -> Spec {
        let host = Field::choice("host", "one of the owner's hosts", &self.ssh.names());
        let command = Field::text("command", "for the shell of that host", ssh::COMMAND_BYTES_MAX);
        let about = "Runs a command on another computer of the owner's.";
        Spec::new("ssh", about).field(host).field(command).ask().heavy().seconds(60).output(16 << 10)
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        self.ssh.run(call.text("host").unwrap_or_default(), call.text("command").unwrap_or_default(), limits)
    }
}

struct Key {
    ssh: Arc<ssh::Ssh>,
}

impl Tool for Key {
    fn spec(&self) -> Spec {
        // Where `ssh` runs is where its key is.
        Spec::new("ssh.key", "Tells the public key by which `ssh` calls on hosts.").heavy().seconds(20)
    }

    fn run(&self, _: &Call, limits: &Limits<'_>) -> Result<String, String> {
        self.ssh.public_key(limits)
    }
}

struct Cameras {
    root: PathBuf,
}

impl Tool for Cameras {
    fn spec(&self) -> Spec {
        Spec::new("camera.list", "Tells which cameras this node has.")
    }

    fn run(&self, _: &Call, _: &Limits<'_>) -> Result<String, String> {
        camera::list(&self.root)
    }
}

struct Picture {
    root: PathBuf,
    workspace: Workspace,
}

impl Tool for Picture {
    fn spec(&self) -> Spec {
        let device = Field::text("camera", "which one, such as video0", 16).optional();
        Spec::new("camera.picture", "Takes a picture and keeps it as a file in the workspace.")
            .field(device)
            .ask()
            .seconds(20)
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        camera::take(&self.root, call.text("camera"), &self.workspace.find()?.folder, limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_the_name_of_a_group_of_ours_is_left_out() {
        let ours = ["git.log", "calculator", "memory.recall"].map(String::from);
        for server in ["git", "calculator", "memory"] {
            let why = clash(server, &ours).unwrap();
            assert!(
                why.starts_with(&format!("the tool server {server} is left out: this node has")),
                "{why}"
            );
        }
        for server in ["gi", "git-2", "notes", "log"] {
            assert_eq!(clash(server, &ours), None);
        }
    }
}
