//! A command on a real sshd of this PC: with the right keys, with wrong ones, and with one that hangs.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent::tools::Limits;
use agent::tools::ssh::{Ssh, parse};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

#[path = "../../tests/src/skip.rs"]
mod skip;

const SSHD: &str = "/usr/sbin/sshd";
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Server {
    folder: PathBuf,
    port: u16,
    program: Child,
}

impl Server {
    /// None where there is no sshd, which is told.
    fn start(name: &str) -> Option<Server> {
        if !Path::new(SSHD).exists() {
            skip::skip(name, "openssh-server is not installed");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("duet-ssh-{name}-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        for key in ["host", "other"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(key))
                .status();
            assert!(made.unwrap().success());
        }
        // sshd wants this folder even where nobody is caged in it.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        fs::write(folder.join("authorized"), "").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = [
            format!("HostKey={}", folder.join("host").display()),
            format!("AuthorizedKeysFile={}", folder.join("authorized").display()),
            "ListenAddress=127.0.0.1".into(),
            format!("Port={port}"),
            "PidFile=none".into(),
            "StrictModes=no".into(),
            "UsePAM=no".into(),
            "PermitRootLogin=yes".into(),
        ];
        let mut command = Command::new(SSHD);
        command.args(["-D", "-e", "-f", "/dev/null"]).stderr(Stdio::null());
        for option in options {
            command.arg("-o").arg(option);
        }
        let server = Server { folder, port, program: command.spawn().unwrap() };
        let by = Instant::now() + WAIT_MAX;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < by, "sshd does not listen");
            std::thread::yield_now();
        }
        Some(server)
    }

    fn hosts(&self, key: &str) -> Ssh {
        let key = fs::read_to_string(self.folder.join(key).with_extension("pub")).unwrap();
        let host_key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        let text = format!(
            "[nas]\naddress = \"127.0.0.1\"\nport = {}\nuser = \"{}\"\nhost_key = \"{host_key}\"\n",
            self.port,
            user.trim()
        );
        Ssh::new(&self.folder.join("own"), parse(&text).unwrap())
    }

    fn admit(&self, ssh: &Ssh) {
        let key = within(60, |limits| ssh.public_key(limits)).unwrap();
        fs::write(self.folder.join("authorized"), key + "\n").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn within<T>(seconds: u64, work: impl FnOnce(&Limits<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(&Limits { deadline: Instant::now() + Duration::from_secs(seconds), output_max: 4096, stop: &stop })
}

#[test]
fn a_command_runs_at_a_listed_host() {
    let Some(server) = Server::start("runs") else { return };
    let ssh = server.hosts("host");
    server.admit(&ssh);
    assert_eq!(within(60, |limits| ssh.run("nas", "echo $((6 * 7))", limits)), Ok("42".into()));
    let failed = within(60, |limits| ssh.run("nas", "echo no >&2; exit 3", limits));
    assert_eq!(failed, Err("it ended with status 3: no".into()));
    let stranger = within(60, |limits| ssh.run("127.0.0.1", "id", limits));
    assert_eq!(stranger, Err("127.0.0.1 is not one of the listed hosts".into()));
}

#[test]
fn a_host_with_another_key_hears_nothing() {
    let Some(server) = Server::start("other") else { return };
    let ssh = server.hosts("other");
    server.admit(&ssh);
    let marker = server.folder.join("heard");
    let told = within(60, |limits| ssh.run("nas", &format!("touch {}", marker.display()), limits));
    assert!(told.unwrap_err().contains("Host key verification failed"));
    assert!(!marker.exists());
}

#[test]
fn a_host_that_does_not_know_this_node_refuses_it() {
    let Some(server) = Server::start("unknown") else { return };
    let told = within(60, |limits| server.hosts("host").run("nas", "id", limits));
    assert!(told.unwrap_err().contains("Permission denied"));
}

#[test]
fn a_command_that_hangs_is_stopped() {
    let Some(server) = Server::start("hangs") else { return };
    let ssh = server.hosts("host");
    server.admit(&ssh);
    let told = within(3, |limits| ssh.run("nas", "echo begun; sleep 300", limits));
    assert_eq!(told, Err("it was stopped: begun".into()));
}
