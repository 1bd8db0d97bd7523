//! What the child of a stock client may still do: compute, and speak on the one connection that it has.
//!
//! A kernel that lacks a part of this loses that part, with a line that says so: the gate stands before it all the same.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

/// Addresses beside the client's memory: the program, the threads' stacks, one graph, and work space of attention.
const ADDRESSES_SPARE: u64 = 1 << 30;
/// Open files: the three standard ones and the connection, and few more for a while.
const FILES_MAX: u64 = 16;

/// Limits that need no help of the kernel's, before anything else.
pub fn limit(memory_mib: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie its life to its parent's")?;
    // A parent that is gone already sends nothing any more.
    anyhow::ensure!(getppid().is_some_and(|parent| parent.as_raw_nonzero().get() > 1), "its parent is gone");
    let most = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    let memory = (u64::from(memory_mib) << 20) + ADDRESSES_SPARE;
    let limits = [
        (Resource::Core, 0),
        (Resource::As, memory),
        (Resource::Fsize, 0),
        (Resource::Nofile, FILES_MAX),
        (Resource::Memlock, 0),
    ];
    for (resource, n) in limits {
        setrlimit(resource, most(n)).with_context(|| format!("cannot limit {resource:?}"))?;
    }
    rustix::thread::set_no_new_privs(true).context("cannot give up new privileges")?;
    // When memory is short this process goes first. Where the file is not there, the unit's own score holds.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// The system calls of computing and of a connection that is there. All others fail, and are not deadly: a library that
/// asks for something it can do without goes on.
const CALLS: [i64; 36] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// From now on only [`CALLS`].
pub fn close() {
    if let Err(why) = filter() {
        eprintln!("the kernel filters no system calls of this process: {why}");
    }
}

fn filter() -> Result<(), seccompiler::Error> {
    let rules = CALLS.into_iter().map(|call| (call, vec![])).collect();
    let (otherwise, listed) = (SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow);
    let filter = SeccompFilter::new(rules, otherwise, listed, TargetArch::x86_64)?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)
}
