//! Tells the linker to send ggml's calls to our kernels.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "hear")]
    for symbol in kernels::WRAPPED {
        println!("cargo:rustc-link-arg=-Wl,--wrap={symbol}");
    }
}
