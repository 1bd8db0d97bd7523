//! Process 1 of the initramfs, and the kernel's module loader while the initramfs lives.

use init::boot::boot;
use init::machine::{Machine, restart};
use init::modules::answer_kernel;

fn main() -> std::process::ExitCode {
    if std::process::id() == 1 {
        let mut machine = Machine::start();
        let reason = boot(&mut machine);
        machine.tell_servers(&reason);
        restart(&reason)
    }
    // The kernel calls `/init -q -- NAME`.
    let name = std::env::args().nth(3).unwrap_or_default();
    if answer_kernel(&name) { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
