//! A program whose output nobody reads any more ends quietly, as `cat big | head` does.
//!
//! Rust starts programs with SIGPIPE ignored, so `println!` into a closed pipe panics, and `agent --help | head -1`
//! would end in a trace of calls. Setting the signal back needs unsafe code; a look at the panic does not.

/// What a shell tells of a program that a closed pipe ended: 128 and the number of SIGPIPE.
const ENDED_BY_PIPE: i32 = 141;

/// From now on a closed stdout ends the program without a word. The first line of every `main`.
pub fn ends_the_program() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>();
        if words.is_some_and(|words| is_about_a_closed_pipe(words)) {
            std::process::exit(ENDED_BY_PIPE);
        }
        told(panic);
    }));
}

/// The words are the standard library's own, and a test of the agent's program holds them.
fn is_about_a_closed_pipe(words: &str) -> bool {
    words.starts_with("failed printing to stdout") && words.contains("Broken pipe")
}
