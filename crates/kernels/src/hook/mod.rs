//! What `-Wl,--wrap=SYMBOL` puts in place of ggml's own functions.
//!
//! | file | functions |
//! |---|---|
//! | `attention` | flash attention |
//! | `rotation` | the turn before a quantised cache |
//! | `products` | matrix products |
//! | `blocks` | ggml's own activations: quantisers, products of two rows |
//! | `onebit` | products of two rows, the first of one or two bits |
//! | `vectors` | products of two rows of floats, halves to floats and back |
//!
//! Every hook begins alike: in [`Mode::Stock`] it hands its arguments to `__real_*`, else it counts and does the work.
//! What a hook cannot do goes to `__real_*` too, uncounted.
//! A name in [`WRAPPED`] without a hook does not link, a hook without its name there does not compile.

pub mod attention;
mod blocks;
mod onebit;
mod products;
mod rotation;
mod vectors;

use crate::WRAPPED;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// ggml's own function `$name`, or nothing where the linked ggml is older than it.
///
/// The linker is asked weakly: where there is no such function the address is null, and nobody calls our side either.
macro_rules! weak {
    ($name:literal $real:ident: $function:ty) => {
        core::arch::global_asm!(
            concat!(".weak __real_", $name),
            ".pushsection .data.rel.ro, \"aw\"",
            ".p2align 3",
            concat!(".hidden kernels_real_", $name),
            concat!(".globl kernels_real_", $name),
            concat!("kernels_real_", $name, ": .quad __real_", $name),
            ".popsection",
        );

        unsafe extern "C" {
            #[link_name = concat!("kernels_real_", $name)]
            static $real: Option<$function>;
        }
    };
}
use weak;

/// Whose code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    Ours = 0,
    /// ggml's own, so that one program can measure both.
    Stock = 1,
}

static MODE: AtomicU8 = AtomicU8::new(Mode::Ours as u8);

pub fn set_mode(mode: Mode) {
    MODE.store(mode as u8, Ordering::Relaxed);
}

#[inline(always)]
fn is_stock() -> bool {
    MODE.load(Ordering::Relaxed) == Mode::Stock as u8
}

/// How often each hook did the work, in the order of [`WRAPPED`].
static CALLS: [AtomicU64; WRAPPED.len()] = [const { AtomicU64::new(0) }; WRAPPED.len()];

/// The counter of one wrapped symbol.
#[derive(Clone, Copy)]
struct Hook(usize);

impl Hook {
    /// # Panics
    /// When `WRAPPED` does not name the symbol: at compile time, in a constant.
    const fn of(symbol: &str) -> Hook {
        let mut i = 0;
        while !same(WRAPPED[i].as_bytes(), symbol.as_bytes()) {
            i += 1;
        }
        Hook(i)
    }

    /// For hooks that do a whole tensor at a time.
    #[inline(always)]
    fn count(self) {
        CALLS[self.0].fetch_add(1, Ordering::Relaxed);
    }

    /// For hooks inside ggml's loops: 1 stands for any number.
    /// A counter that two cores write a million times a second would cost more than the work.
    #[inline(always)]
    fn mark(self) {
        if CALLS[self.0].load(Ordering::Relaxed) == 0 {
            CALLS[self.0].store(1, Ordering::Relaxed);
        }
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Every wrapped symbol with the number of times its hook did the work since [`forget`], over all threads.
/// A hook that works on less than a whole tensor shows 1 for any number.
pub fn report() -> impl Iterator<Item = (&'static str, u64)> {
    WRAPPED.iter().zip(&CALLS).map(|(symbol, calls)| (*symbol, calls.load(Ordering::Relaxed)))
}

/// Sets the counts of [`report`] to zero.
pub fn forget() {
    CALLS.iter().for_each(|calls| calls.store(0, Ordering::Relaxed));
}

/// Matrix products taken over so far, once for each thread.
pub fn n_products() -> u64 {
    CALLS[products::SGEMM.0].load(Ordering::Relaxed)
}
