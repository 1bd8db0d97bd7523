//! The processor's time stamp counter, raw.
//!
//! On a virtual PC that counts instructions it is the number of instructions since power-on, and on a real one a
//! fine clock since power-on: the one measure that firmware, init and agent share. It is not a time of day.

#![allow(unsafe_code)] // one instruction that has no safe form

pub fn now() -> u64 {
    // SAFETY: every x86_64 processor has RDTSC, and Linux leaves it enabled for programs (`prctl(2)`, PR_SET_TSC).
    unsafe { core::arch::x86_64::_rdtsc() }
}
