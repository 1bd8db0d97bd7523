//! Asks the linker to put our kernels in ggml's place, for this crate's own tests.
//! A program that links this crate needs the same lines in its own build script: cargo hands none on.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for symbol in kernels::WRAPPED {
        println!("cargo::rustc-link-arg=-Wl,--wrap={symbol}");
    }
}
