//! A limit on the memory of one process, and something that uses all of it up.
//!
//! Where this machine lends control groups the kernel itself kills the process, as it does on a node. Elsewhere, as in
//! most containers, its address space is limited, and it ends itself at the next allocation.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the process may have beside what it has.
const BYTES: u64 = 32 << 20;
/// The kernel takes the caged process before whatever else is in the group.
const FIRST_TO_GO: &str = "1000";
/// A body that no heap holds without asking for more.
const BODY_BYTES: usize = 3 << 20;

/// Who is in a group; to write a process there moves it.
const PROCESSES: &str = "cgroup.procs";

/// The limit; gone when dropped.
pub struct Cage {
    pid: Pid,
    group: Option<Group>,
}

struct Group {
    folder: PathBuf,
    version: u8,
}

impl Cage {
    /// From now on the process gets little more memory than it has.
    pub fn around(pid: Pid) -> Cage {
        let group = Group::new(pid);
        if group.is_none() {
            limit_addresses(pid, addresses(pid) + BYTES);
        }
        let cage = Cage { pid, group };
        println!("memory is limited by {}", cage.told());
        cage
    }

    fn told(&self) -> &'static str {
        match &self.group {
            Some(Group { version: 2, .. }) => "a control group of version 2",
            Some(_) => "a control group of version 1",
            None => "the size of its address space: there is no control group that may be used",
        }
    }

    /// Takes the memory that is left. `address` is the process's door.
    pub fn fill(&self, address: SocketAddr) {
        match &self.group {
            Some(group) => {
                fs::write(format!("/proc/{}/oom_score_adj", self.pid), FIRST_TO_GO)
                    .expect("a process of ours");
                // Its one block is larger than the cage. A slower eater let the process finish its work before.
                let script =
                    "echo $$ >\"$0/cgroup.procs\" && exec dd if=/dev/zero of=/dev/null bs=64M count=1";
                let mut command = Command::new("sh");
                command.args(["-c", script]).arg(&group.folder).stdout(Stdio::null()).stderr(Stdio::null());
                // It dies of it too.
                let status = command.status().expect("sh and dd are everywhere");
                assert!(!status.success(), "memory was endless");
            }
            None => {
                limit_addresses(self.pid, 1);
                let body = vec![b' '; BODY_BYTES];
                let head = format!(
                    "POST /v1/completions HTTP/1.1\r\nHost: node\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
                );
                // It may end while it is written to.
                let _ = TcpStream::connect(address)
                    .and_then(|mut stream| stream.write_all(head.as_bytes()).and(stream.write_all(&body)));
            }
        }
    }
}

impl Group {
    /// A group of its own below that of the test, if this machine lends one.
    fn new(pid: Pid) -> Option<Group> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, kinds, path) = (parts.next()?, parts.next()?, parts.next()?);
            let path = path.trim_start_matches('/');
            let (version, mount, limit) = match kinds {
                "" if number == "0" => (2, "/sys/fs/cgroup", "memory.max"),
                "memory" => (1, "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                _ => return None,
            };
            // In namespaces of processes all runs have the same few numbers, but no two have one folder.
            let run = std::env::temp_dir().file_name()?.to_owned().into_string().ok()?;
            let folder = Path::new(mount).join(path).join(format!("duet-{run}-{pid}"));
            fs::create_dir(&folder).ok()?;
            let group = Group { folder, version };
            // Where swap counts apart, it must not help.
            let _ = put(&group.folder.join("memory.swap.max"), "0");
            let limited = put(&group.folder.join(limit), &BYTES.to_string());
            limited
                .and_then(|()| put(&group.folder.join(PROCESSES), &pid.to_string()))
                .is_ok()
                .then_some(group)
        })
    }
}

/// Writes to a file of the kernel's: one that is not there is not made.
fn put(file: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

impl Drop for Group {
    fn drop(&mut self) {
        let processes = fs::read_to_string(self.folder.join(PROCESSES)).unwrap_or_default();
        let above = self.folder.parent().unwrap_or(&self.folder).join(PROCESSES);
        // A group that still holds somebody cannot be removed; what stays is empty and without effect.
        for process in processes.lines() {
            let _ = put(&above, process);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Bytes of address space that a process has.
fn addresses(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn limit_addresses(pid: Pid, bytes: u64) {
    let most = Rlimit { current: Some(bytes), maximum: None };
    prlimit(Some(pid), Resource::As, most).expect("a process of ours");
}
