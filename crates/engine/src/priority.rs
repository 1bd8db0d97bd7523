//! Who gets the processor first.

use std::io;

/// From now on this thread, and the threads that it starts, run when nobody else wants to: whoever waits for speech to
/// be heard must not wait for a text to be written. Linux gives such a thread 3 parts of the time where an ordinary
/// one gets 1024, so it never stands still either. It needs no right, and cannot be taken back without one.
pub fn let_others_first() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 means the calling thread; the struct is read only.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_modest_thread_are_modest_too() {
        let policy = || {
            // SAFETY: 0 means the calling thread.
            unsafe { libc::sched_getscheduler(0) }
        };
        let seen = std::thread::spawn(move || {
            let_others_first().unwrap();
            [policy(), std::thread::spawn(policy).join().unwrap()]
        });
        assert_eq!(seen.join().unwrap(), [libc::SCHED_IDLE; 2]);
        assert_eq!(policy(), libc::SCHED_OTHER);
    }
}
