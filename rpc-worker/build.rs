//! Asks the linker to put our kernels in ggml's place.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for symbol in kernels::WRAPPED {
        println!("cargo::rustc-link-arg=-Wl,--wrap={symbol}");
    }
}
