//! Something else that wants the processor: what a node's other program does while it listens.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// One busy thread, until it is dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn start() -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut n: u64 = 1;
            while !seen.load(Ordering::Relaxed) {
                n = black_box(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        });
        Load { stop, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that only counts cannot fail.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_ends_when_it_is_dropped() {
        let load = Load::start();
        let stop = Arc::clone(&load.stop);
        drop(load);
        // The thread held the other end, and is gone.
        assert_eq!(Arc::strong_count(&stop), 1);
    }
}
