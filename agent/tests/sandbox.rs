//! Code that tries to get out of its cage, in the real one: each way is stopped.
//!
//! As systemd does for `duet-sandbox.socket`, a program is started for each connection as a user of its own, for which
//! these tests must be root.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent::tools::Limits;
use agent::tools::sandbox::{Language, run};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[path = "../../tests/src/skip.rs"]
mod skip;

/// Users nobody else is; each cage has one, so that none counts another's processes.
static NEXT_USER: AtomicU32 = AtomicU32::new(64_000);
const WAIT_MAX: Duration = Duration::from_secs(60);

struct Cage {
    folder: PathBuf,
}

impl Cage {
    /// None where cages cannot be built, which is told.
    fn new(name: &str) -> Option<Cage> {
        if let Some(why) = missing() {
            skip::skip(name, why);
            return None;
        }
        let folder = std::env::temp_dir().join(format!("duet-sandbox-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("work")).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(folder.join("work"), Permissions::from_mode(0o777)).unwrap();
        let cage = Cage { folder };
        let (listener, work) = (UnixListener::bind(cage.socket()).unwrap(), cage.folder.join("work"));
        let user = NEXT_USER.fetch_add(1, Ordering::Relaxed);
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (question, answer) = (OwnedFd::from(stream.try_clone().unwrap()), OwnedFd::from(stream));
                let mut program = Command::new(program());
                program.arg("sandbox").arg("--workspace").arg(&work).uid(user).gid(user).current_dir("/");
                program
                    .env("DUET_SECRET", "swordfish")
                    .stdin(question)
                    .stdout(answer)
                    .stderr(Stdio::inherit());
                let mut child = program.spawn().unwrap();
                // What it held of the connection is the child's alone now.
                drop(program);
                std::thread::spawn(move || child.wait());
            }
        });
        Some(cage)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn run_for(&self, seconds: u64, language: Language, code: &str) -> Result<String, String> {
        let stop = AtomicBool::new(false);
        // A second is lost in counting whole ones.
        let deadline = Instant::now() + Duration::from_millis(1000 * seconds + 900);
        run(&self.socket(), language, code, &Limits { deadline, output_max: 64 << 10, stop: &stop })
    }

    fn shell(&self, code: &str) -> Result<String, String> {
        self.run_for(20, Language::Shell, code)
    }

    /// Every line of code ends with an error.
    fn each_fails(&self, lines: &[&str]) {
        let told =
            self.shell(&lines.iter().map(|line| format!("({line}) && echo DONE\n")).collect::<String>());
        let told = told.unwrap_or_else(|error| error);
        assert!(!told.contains("DONE"), "{told}");
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The program at a place that every user can reach.
fn program() -> PathBuf {
    static MADE: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap();
    made.get_or_insert_with(|| {
        let folder = std::env::temp_dir().join("duet-sandbox-program");
        let path = folder.join("agent");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let built = env!("CARGO_BIN_EXE_agent");
        fs::hard_link(built, &path).or_else(|_| fs::copy(built, &path).map(|_| ())).unwrap();
        path
    })
    .clone()
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can be a user of its own");
    }
    (!Path::new("/usr/bin/bwrap").exists()).then_some("bubblewrap is not installed")
}

/// Processes whose command line has the mark.
fn n_alive(mark: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

fn all_die(mark: &str) {
    let by = Instant::now() + WAIT_MAX;
    while n_alive(mark) > 0 {
        assert!(Instant::now() < by, "{} live on", n_alive(mark));
        std::thread::yield_now();
    }
}

#[test]
fn a_shell_counts_and_keeps_files_in_its_workspace() {
    let Some(cage) = Cage::new("counts") else { return };
    assert_eq!(cage.shell("echo $((6 * 7))"), Ok("42".into()));
    assert_eq!(cage.shell("echo kept > note; pwd"), Ok("/work".into()));
    assert_eq!(cage.shell("cat note"), Ok("kept".into()));
    assert_eq!(fs::read_to_string(cage.folder.join("work/note")).unwrap(), "kept\n");
    assert_eq!(cage.shell("exit 3"), Err("it ended with status 3".into()));
}

#[test]
fn python_counts_or_says_what_adds_it() {
    let Some(cage) = Cage::new("python") else { return };
    match cage.run_for(20, Language::Python, "print(sum(range(101)))") {
        Ok(text) => assert_eq!(text, "5050"),
        Err(error) => assert!(error.contains("--profile sandbox"), "{error}"),
    }
}

#[test]
fn no_network_is_inside() {
    let Some(cage) = Cage::new("network") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let call = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    // The same words reach it from outside.
    assert!(Command::new("bash").args(["-c", &call]).status().unwrap().success());
    listener.accept().unwrap();
    cage.each_fails(&[&format!("bash -c '{call}'"), "bash -c 'echo hi >/dev/udp/192.0.2.1/53'"]);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody called");
}

#[test]
fn nothing_secret_can_be_read() {
    let Some(cage) = Cage::new("secrets") else { return };
    let secret = cage.folder.join("secret");
    fs::write(&secret, "swordfish").unwrap();
    symlink(&secret, cage.folder.join("work/link")).unwrap();
    cage.each_fails(&[
        "cat /etc/shadow",
        "cat /etc/passwd",
        "ls /proc/1",
        "ls /run",
        "ls /sys",
        "ls /root",
        "cat link",
        &format!("cat {}", secret.display()),
        "cat ../secret",
        "env | grep -i swordfish",
    ]);
}

#[test]
fn nothing_outside_can_be_written() {
    let Some(cage) = Cage::new("writes") else { return };
    symlink("/tmp", cage.folder.join("work/away")).unwrap();
    let mark = format!("duet-escaped-{}", std::process::id());
    let told = cage.shell(&format!("echo x > /tmp/{mark}; echo x > away/{mark}; cat /tmp/{mark}"));
    assert_eq!(told, Ok("x".into()), "its own /tmp is writable");
    assert!(!Path::new("/tmp").join(&mark).exists());
    cage.each_fails(&[
        &format!("echo x > /{mark}"),
        &format!("echo x > /usr/{mark}"),
        &format!("echo x > /dev/{mark}"),
        &format!("mkdir /etc/{mark}"),
        &format!("echo x > ../{mark}"),
        "chmod 777 /usr",
        "mount -o remount,rw /usr",
        "mount -t tmpfs x /tmp",
        "mknod disk b 8 0",
    ]);
}

#[test]
fn no_further_namespace_can_be_made() {
    let Some(cage) = Cage::new("namespaces") else { return };
    assert!(Command::new("unshare").args(["-n", "true"]).status().unwrap().success());
    cage.each_fails(&["unshare -U true", "unshare -n true", "unshare -m true", "unshare -Urm true"]);
}

#[test]
fn a_fork_bomb_goes_off_inside_alone() {
    let Some(cage) = Cage::new("bomb") else { return };
    let mark = format!("bomb-{}", std::process::id());
    let told = cage.run_for(3, Language::Shell, &format!(": {mark}; f() {{ f | f & }}; f; wait; sleep 60"));
    let told = told.unwrap_err();
    assert!(told.to_lowercase().contains("fork"), "{told}");
    all_die(&mark);
    assert_eq!(cage.shell("echo well"), Ok("well".into()));
}

#[test]
fn memory_has_an_end() {
    let Some(cage) = Cage::new("memory") else { return };
    // The last line of this is all of it.
    let hog = "head -c 600000000 /dev/zero | tail -n 1 | wc -c";
    let told = cage.shell(hog).unwrap_or_else(|error| error);
    assert!(!told.contains("600000000"), "{told}");
    assert!(told.contains("memory"), "{told}");
}

#[test]
fn files_have_an_end() {
    let Some(cage) = Cage::new("files") else { return };
    cage.each_fails(&[
        "head -c 20000000 /dev/zero > big",
        "head -c 10000000 /dev/zero | tee /tmp/a > /tmp/b",
    ]);
    assert_eq!(fs::metadata(cage.folder.join("work/big")).unwrap().len(), 16 << 20);
}

#[test]
fn who_writes_without_end_is_stopped() {
    let Some(cage) = Cage::new("output") else { return };
    let mark = format!("endless-{}", std::process::id());
    let told = cage.shell(&format!("yes {mark}")).unwrap_err();
    assert!(told.starts_with("it was stopped because it wrote too much"), "{told}");
    assert!(told.len() <= (64 << 10) + 100, "{} bytes", told.len());
    all_die(&mark);
}

#[test]
fn time_ends_who_ignores_signals() {
    let Some(cage) = Cage::new("time") else { return };
    let mark = format!("deaf-{}", std::process::id());
    let code = format!("trap '' TERM INT HUP QUIT; echo begun; while :; do : {mark}; done");
    let told = cage.run_for(1, Language::Shell, &code);
    assert_eq!(told, Err("it was stopped after 1 s; until then it wrote:\nbegun".into()));
    all_die(&mark);
}

#[test]
fn time_ends_who_closes_his_output_and_sleeps() {
    let Some(cage) = Cage::new("quiet") else { return };
    let told = cage.run_for(1, Language::Shell, "exec >&- 2>&-; sleep 300");
    assert_eq!(told, Err("it was stopped after 1 s".into()));
}

#[test]
fn nobody_outlives_the_first_process() {
    let Some(cage) = Cage::new("outlives") else { return };
    let mark = format!("301.{}", std::process::id());
    let code = format!(
        "setsid setsid sh -c 'trap \"\" HUP TERM; sleep {mark}' & setsid sleep {mark} >/dev/null 2>&1 & echo done"
    );
    assert_eq!(cage.shell(&code), Ok("done".into()));
    all_die(&mark);
}

#[test]
fn who_hangs_up_ends_it() {
    let Some(cage) = Cage::new("stop") else { return };
    let (stop, mark) = (AtomicBool::new(false), format!("302.{}", std::process::id()));
    let begun = cage.folder.join("work/begun");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let deadline = Instant::now() + WAIT_MAX;
            let limits = Limits { deadline, output_max: 1000, stop: &stop };
            run(&cage.socket(), Language::Shell, &format!("touch begun; sleep {mark}"), &limits)
        });
        while !begun.exists() && !running.is_finished() {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(running.join().unwrap(), Err("it was stopped".into()));
    });
    all_die(&mark);
}

#[test]
fn a_cage_is_never_roots() {
    if let Some(why) = missing() {
        return skip::skip("a_cage_is_never_roots", why);
    }
    let folder = std::env::temp_dir().join(format!("duet-sandbox-root-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let wish = folder.join("wish");
    fs::write(&wish, r#"{"language":"shell","code":"id","seconds":5,"output_max":100}"#).unwrap();
    let told = Command::new(env!("CARGO_BIN_EXE_agent"))
        .args(["sandbox", "--workspace"])
        .arg(&folder)
        .stdin(fs::File::open(&wish).unwrap())
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("the sandbox does not run as root"), "{told}");
    fs::remove_dir_all(&folder).unwrap();
}
