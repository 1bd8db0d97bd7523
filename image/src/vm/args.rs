//! What `duet vm` can be asked to do: data only, checked once by [`VmArgs::checked`].

use super::machine::{Dhcp, Firmware, MEMORY_MIB_MAX, MEMORY_MIB_MIN, Nic, PCS_MAX, Processor};
use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// The longest that one PC may take, in seconds.
pub const TIMEOUT_S_MAX: u64 = 24 * 3600;

/// run virtual Core 2 Duo PCs that boot from the network.
///
/// The PCs, the boot server and their wire live in a network of their own:
/// nothing of it is seen outside, and everything ends with this command.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "vm",
    example = "Two PCs boot and report healthy:
  {command_name}
One UEFI PC that stays up, to look at its page:
  {command_name} --nodes 1 --uefi --keep
Beside a house router that gives the addresses:
  {command_name} --dhcp proxy
Instructions from power-on to multi-user:
  {command_name} --budget --json"
)]
pub struct VmArgs {
    /// how many PCs, 1 to 20 (default 2)
    #[argh(option, default = "2")]
    pub nodes: usize,

    /// processor: core2duo, Penryn or Conroe (default core2duo)
    #[argh(option, default = "Processor::Core2Duo")]
    pub cpu: Processor,

    /// memory of each PC in MiB (default 1024)
    #[argh(option, default = "1024")]
    pub memory: u32,

    /// boot by UEFI instead of BIOS
    #[argh(switch)]
    pub uefi: bool,

    /// network card: e1000, e1000e, rtl8139 or virtio-net-pci
    /// (default e1000; with --uefi virtio-net-pci, the only one that the firmware drives itself)
    #[argh(option)]
    pub nic: Option<Nic>,

    /// stay up until Ctrl-C and say how to reach pages and shells
    #[argh(switch)]
    pub keep: bool,

    /// who gives the addresses: own (the boot server) or proxy (a house router beside it; default own)
    #[argh(option, default = "Dhcp::Own")]
    pub dhcp: Dhcp,

    /// where releases are and where logs go (default out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,

    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,

    /// one PC that counts its instructions from power-on (about 2 minutes)
    #[argh(switch)]
    pub budget: bool,

    /// seconds that a PC may take to become healthy (default 600)
    #[argh(option, default = "600")]
    pub timeout: u64,

    /// boot this release instead of the promoted one
    #[argh(option)]
    pub release: Option<String>,

    /// let iPXE bring the whole root image (for network cards that the initrd does not know)
    #[argh(switch)]
    pub wrap: bool,

    /// more words for the kernel command line, in quotes
    #[argh(option, default = "String::new()")]
    pub words: String,

    /// open the control shell of a running PC, by number (leave it with Ctrl-])
    #[argh(option)]
    pub shell: Option<usize>,

    /// the inner process that holds the network of the PCs
    #[argh(switch, hidden_help)]
    pub keeper: bool,
}

impl VmArgs {
    /// The same arguments, or the sentence that says what is wrong with them.
    pub fn checked(self) -> Result<Self> {
        ensure!((1..=PCS_MAX).contains(&self.nodes), "--nodes must be 1 to {PCS_MAX}, not {}", self.nodes);
        ensure!(
            (MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&self.memory),
            "--memory must be {MEMORY_MIB_MIN} to {MEMORY_MIB_MAX} MiB, not {}",
            self.memory
        );
        ensure!(
            (1..=TIMEOUT_S_MAX).contains(&self.timeout),
            "--timeout must be 1 to {TIMEOUT_S_MAX} seconds, not {}",
            self.timeout
        );
        Ok(self)
    }

    pub(super) fn firmware(&self) -> Firmware {
        if self.uefi { Firmware::Uefi } else { Firmware::Bios }
    }

    pub(super) fn nic(&self) -> Nic {
        self.nic.unwrap_or(if self.uefi { Nic::Virtio } else { Nic::E1000 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], want: &str) {
        let got = match VmArgs::from_args(&["vm"], words) {
            Err(early) => early.output.trim().to_owned(),
            Ok(args) => match args.checked() {
                Ok(args) => format!("{} {:?} {} MiB", args.nodes, args.cpu, args.memory),
                Err(error) => error.to_string(),
            },
        };
        assert!(got.contains(want), "{got:?} does not contain {want:?}");
    }

    #[test]
    fn without_words_two_core_2_duos_are_made() {
        check(&[], "2 Core2Duo 1024 MiB");
    }

    #[test]
    fn no_pc_at_all_is_refused() {
        check(&["--nodes", "0"], "--nodes must be 1 to 20, not 0");
    }

    #[test]
    fn more_pcs_than_the_limit_are_refused() {
        check(&["--nodes", "21"], "--nodes must be 1 to 20, not 21");
    }

    #[test]
    fn a_pc_without_memory_is_refused() {
        check(&["--memory", "3"], "--memory must be");
    }

    #[test]
    fn a_time_of_zero_is_refused() {
        check(&["--timeout", "0"], "--timeout must be");
    }

    #[test]
    fn an_unknown_processor_is_named_with_the_known_ones() {
        check(&["--cpu", "z80"], "processor z80 is not known: core2duo, Penryn or Conroe");
    }

    #[test]
    fn an_unknown_network_card_is_named_with_the_known_ones() {
        check(&["--nic", "ne2000"], "network card ne2000 is not known");
    }

    #[test]
    fn the_help_shows_examples_and_hides_the_inner_switch() {
        check(&["--help"], "--dhcp proxy");
        let help = VmArgs::from_args(&["duet", "vm"], &["--help"]).unwrap_err().output;
        assert!(!help.contains("--keeper"), "{help}");
    }
}
