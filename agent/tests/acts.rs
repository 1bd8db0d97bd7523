//! `agent acts` as systemd starts it: one line on a socket, and what systemctl is told then.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A machine whose systemctl says that this process is the agent, and writes down what else it is told.
fn machine(test: &str, agent: u32) -> PathBuf {
    let root = std::env::temp_dir().join(format!("duet-acts-{test}-{}", std::process::id()));
    std::fs::create_dir_all(root.join("usr/bin")).unwrap();
    let told = root.join("told");
    let script = format!(
        "#!/bin/sh\nif test \"$1\" = show; then echo {agent}; exit 0; fi\necho \"$@\" >>{}\n\
         case \"$*\" in *overlay*) echo 'Job failed.' >&2; exit 1;; esac\n",
        told.display()
    );
    let path = root.join("usr/bin/systemctl");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    root
}

/// The answer, and what systemctl was told by the end of the program.
fn ask(root: &Path, wish: &str) -> (String, String) {
    let (mut own, its) = UnixStream::pair().unwrap();
    let output = its.try_clone().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.arg("acts").arg("--root").arg(root);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(its)));
    command.stdout(Stdio::from(std::os::fd::OwnedFd::from(output))).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    own.write_all(wish.as_bytes()).unwrap();
    own.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    own.read_to_string(&mut answer).unwrap();
    child.wait().unwrap();
    (answer, std::fs::read_to_string(root.join("told")).unwrap_or_default())
}

#[test]
fn the_agent_has_a_unit_started_anew_or_the_power_switched_off_and_hears_what_systemd_refuses() {
    let root = machine("does", std::process::id());
    assert_eq!(
        ask(&root, "restart rpc-worker.service\n"),
        ("ok\n".into(), "restart rpc-worker.service\n".into())
    );
    std::fs::remove_file(root.join("told")).unwrap();
    let (answer, told) = ask(&root, "power off\n");
    assert_eq!(answer, "ok\n");
    assert_eq!(told, "--no-block --job-mode=replace-irreversibly start poweroff.target\n");
    assert_eq!(ask(&root, "restart duet-overlay.service\n").0, "no Job failed.\n");
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn whoever_is_not_the_agent_and_whoever_says_something_else_has_nothing_done() {
    let root = machine("refuses", std::process::id() + 1);
    let (answer, told) = ask(&root, "power off\n");
    assert_eq!((answer.as_str(), told.as_str()), ("no only the agent itself may ask\n", ""));
    std::fs::remove_dir_all(&root).unwrap();
    let root = machine("strange", std::process::id());
    for wish in ["", "restart sshd.service\n", "power off; id\n", &"x".repeat(4096)] {
        let (answer, told) = ask(&root, wish);
        assert!(
            answer.starts_with("no this can be asked: power off, ") && told.is_empty(),
            "{wish:?}: {answer}"
        );
    }
    std::fs::remove_dir_all(&root).unwrap();
}
