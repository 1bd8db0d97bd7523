//! One virtual PC as data, and the QEMU words that make it.
//!
//! Pure: it starts nothing and reads nothing.
//! The machine is what an old PC is: one network card that boots first, a sound card, no disk, no screen.

use serde::Serialize;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address plan below numbers PCs in one byte, and 20 is the shelf that duet is made for.
pub const PCS_MAX: usize = 20;
/// Below this not even the kernel and the initrd fit.
pub const MEMORY_MIB_MIN: u32 = 64;
/// The `pc` machine of QEMU with 32-bit holes left out of account.
pub const MEMORY_MIB_MAX: u32 = 65536;

/// Virtual processors as QEMU names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Processor {
    #[serde(rename = "core2duo")]
    Core2Duo,
    Penryn,
    Conroe,
}

/// Network cards whose drivers the initrd carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Nic {
    #[serde(rename = "e1000")]
    E1000,
    #[serde(rename = "e1000e")]
    E1000e,
    #[serde(rename = "rtl8139")]
    Rtl8139,
    #[serde(rename = "virtio-net-pci")]
    Virtio,
}

/// Who hands out addresses on the virtual wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dhcp {
    Own,
    Proxy,
}

/// What starts the PC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    Bios,
    Uefi,
}

impl Processor {
    pub fn name(self) -> &'static str {
        match self {
            Self::Core2Duo => "core2duo",
            Self::Penryn => "Penryn",
            Self::Conroe => "Conroe",
        }
    }
}

impl Nic {
    pub fn name(self) -> &'static str {
        match self {
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Rtl8139 => "rtl8139",
            Self::Virtio => "virtio-net-pci",
        }
    }
}

impl FromStr for Processor {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Core2Duo, Self::Penryn, Self::Conroe]
            .into_iter()
            .find(|one| one.name() == word)
            .ok_or_else(|| format!("processor {word} is not known: core2duo, Penryn or Conroe"))
    }
}

impl FromStr for Nic {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::E1000, Self::E1000e, Self::Rtl8139, Self::Virtio]
            .into_iter()
            .find(|one| one.name() == word)
            .ok_or_else(|| {
                format!("network card {word} is not known: e1000, e1000e, rtl8139 or virtio-net-pci")
            })
    }
}

impl FromStr for Dhcp {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "own" => Ok(Self::Own),
            "proxy" => Ok(Self::Proxy),
            _ => Err(format!("{word} gives no addresses: own or proxy")),
        }
    }
}

/// One virtual PC.
#[derive(Debug, Clone)]
pub struct Pc {
    pub processor: Processor,
    pub memory_mib: u32,
    pub firmware: Firmware,
    pub nic: Nic,
    /// One core, and QEMU counts every instruction that it executes.
    pub counting: bool,
    /// Words for the kernel command line beside those of the boot server.
    pub words: Vec<String>,
    /// The card's ROM behaves like an old PXE ROM that is no iPXE, so that a first stage comes by TFTP.
    pub plain_rom: bool,
    /// A first-stage file instead of the one the boot server would choose.
    pub first_stage: Option<String>,
    /// A release instead of the promoted one.
    pub release: Option<String>,
    /// iPXE brings the root image.
    pub wrap: bool,
    /// The image of a USB stick that is plugged in, write-protected.
    pub stick: Option<PathBuf>,
    /// The image of a disk inside the PC, which boots from the network all the same.
    pub disk: Option<PathBuf>,
    /// A keyboard that can be unplugged stands beside the one that cannot; it gets the keys that are pressed.
    pub usb_keyboard: bool,
}

/// QEMU's name for the keyboard that can be unplugged.
pub const USB_KEYBOARD: &str = "keyboard";

/// A root shell for tests; and no proof that the clock ticks, which a kernel asks of the machine within a tenth of a
/// second, and a virtual one on a busy host cannot give. A kernel that QEMU let trip over its own patching starts anew.
const WORDS: [&str; 3] = ["duet.shell", "no_timer_check", "panic=1"];

impl Default for Pc {
    fn default() -> Self {
        Self {
            processor: Processor::Core2Duo,
            memory_mib: 1024,
            firmware: Firmware::Bios,
            nic: Nic::E1000,
            counting: false,
            words: WORDS.map(str::to_owned).to_vec(),
            plain_rom: false,
            first_stage: None,
            release: None,
            wrap: false,
            stick: None,
            disk: None,
            usb_keyboard: false,
        }
    }
}

/// The first three bytes of every address on the virtual wire.
const WIRE: [u8; 3] = [10, 77, 0];
/// The boot server on the virtual wire.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The house router of proxy mode.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Whether an address is on the virtual wire.
pub fn on_the_wire(address: Ipv4Addr) -> bool {
    address.octets()[..3] == WIRE
}

/// The network card address of a PC: QEMU's own prefix, then the PC's number.
pub fn mac(pc_idx: usize) -> String {
    format!("52:54:00:77:00:{:02x}", pc_idx + 1)
}

/// What people call the PC.
pub fn name(pc_idx: usize) -> String {
    format!("pc{}", pc_idx + 1)
}

/// The tap device of a PC.
pub fn tap(pc_idx: usize) -> String {
    format!("tap{pc_idx}")
}

/// Where a PC keeps its files: logs to read afterwards, sockets only while it runs.
#[derive(Debug, Clone)]
pub struct Places {
    pub serial_log: PathBuf,
    pub speaker: PathBuf,
    pub vars: PathBuf,
    /// What stands for a plain ROM: all network ROMs that Debian has are iPXE, which asks for the boot script at once.
    /// This one is told by a script to hide what it is.
    pub rom: PathBuf,
    /// What [`Pc::plain_rom`] says to the network.
    pub rom_script: PathBuf,
    /// The record that a counting PC makes of its inputs; only the counting is wanted.
    pub record: PathBuf,
    pub console: PathBuf,
    pub shell: PathBuf,
    pub qmp: PathBuf,
}

impl Places {
    /// `logs` may be any path; `sockets` must be short, a socket's path ends at 107 bytes.
    pub fn new(logs: &Path, sockets: &Path, pc_idx: usize) -> Self {
        let rom = logs.join("server/ipxe/ipxe.lkrn");
        let logs = logs.join((pc_idx + 1).to_string());
        Self {
            serial_log: logs.join("serial.log"),
            speaker: logs.join("speaker.wav"),
            vars: logs.join("uefi-vars.fd"),
            rom,
            rom_script: logs.join("plain.ipxe"),
            record: logs.join("record.bin"),
            console: sockets.join(format!("console{}", pc_idx + 1)),
            shell: sockets.join(format!("shell{}", pc_idx + 1)),
            qmp: sockets.join(format!("qmp{}", pc_idx + 1)),
        }
    }
}

/// Says to DHCP what a plain PXE ROM says, then loads what it is offered.
pub const ROM_SCRIPT: &str = "#!ipxe
set net0/user-class plain
dhcp net0 || reboot
echo plain ROM loads ${net0/filename} from ${net0/next-server}
clear net0/user-class
chain tftp://${net0/next-server}/${net0/filename} || reboot
";

/// The whole command line of QEMU for one PC. `uefi` is the read-only firmware image.
pub fn command(pc: &Pc, pc_idx: usize, places: &Places, uefi: Option<&Path>) -> Vec<String> {
    let mut words = Words(vec!["qemu-system-x86_64".to_owned()]);
    // Without -nodefaults QEMU adds a floppy, a CD drive and a monitor.
    words.add("-nodefaults -no-user-config -vga none -display none");
    words.pair("-name", name(pc_idx));
    words.pair("-cpu", pc.processor.name().to_owned());
    words.pair("-m", pc.memory_mib.to_string());
    add_time(&mut words, pc, places);
    add_firmware(&mut words, pc, places, uefi);
    add_network(&mut words, pc, pc_idx);
    if pc.plain_rom {
        words.pair("-kernel", comma_safe(&places.rom));
        words.pair("-initrd", comma_safe(&places.rom_script));
    }
    words.pair("-audiodev", format!("wav,id=speaker,path={}", comma_safe(&places.speaker)));
    words.add("-device intel-hda -device hda-duplex,audiodev=speaker");
    if let Some(stick) = &pc.stick {
        let file = comma_safe(stick);
        words.pair("-drive", format!("if=none,id=stick,format=raw,readonly=on,file={file}"));
        words.add("-device usb-ehci,id=usb -device usb-storage,bus=usb.0,drive=stick,removable=on");
    }
    if let Some(disk) = &pc.disk {
        words.pair("-drive", format!("if=none,id=disk,format=raw,file={}", comma_safe(disk)));
        words.add("-device ide-hd,drive=disk");
    }
    if pc.usb_keyboard {
        words.add("-device piix3-usb-uhci,id=keys");
        words.pair("-device", format!("usb-kbd,bus=keys.0,id={USB_KEYBOARD}"));
    }
    let log = comma_safe(&places.serial_log);
    let console = comma_safe(&places.console);
    words.pair(
        "-chardev",
        format!("socket,id=console,path={console},server=on,wait=off,logfile={log},logappend=on"),
    );
    words.add("-serial chardev:console");
    words.pair("-serial", format!("unix:{},server=on,wait=off", comma_safe(&places.shell)));
    words.pair("-qmp", format!("unix:{},server=on,wait=off", comma_safe(&places.qmp)));
    words.0
}

fn add_time(words: &mut Words, pc: &Pc, places: &Places) {
    if !pc.counting {
        words.add("-accel tcg,thread=multi -smp 2");
        return;
    }
    // Each instruction takes one nanosecond of guest time, and waiting takes none of the host's.
    // The time stamp counter so counts waiting as well; recording makes QEMU tell the executed ones apart.
    words.add("-accel tcg,thread=single -smp 1 -rtc base=2026-01-01,clock=vm");
    let record = comma_safe(&places.record);
    words.pair("-icount", format!("shift=0,sleep=off,rr=record,rrfile={record}"));
    // A recording QEMU looks at its network only when one of the guest's timers ends, in iPXE every 55 ms,
    // and iPXE would turn in circles for all that time. This filter's timer ends every millisecond.
    words.pair("-object", "filter-buffer,id=pace,netdev=wire,queue=rx,interval=1000".to_owned());
}

fn add_firmware(words: &mut Words, pc: &Pc, places: &Places, uefi: Option<&Path>) {
    match (pc.firmware, uefi) {
        // graphics=off makes SeaBIOS and iPXE speak on the serial line.
        (Firmware::Bios, _) | (Firmware::Uefi, None) => words.add("-machine pc,graphics=off"),
        (Firmware::Uefi, Some(code)) => {
            words.add("-machine q35,graphics=off");
            let code = comma_safe(code);
            let vars = comma_safe(&places.vars);
            words.pair("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
            words.pair("-drive", format!("if=pflash,unit=1,format=raw,file={vars}"));
            // Newer EDK2 has no network boot without a source of randomness, and a Core 2 has no RDRAND.
            words.add("-device virtio-rng-pci");
        }
    }
}

fn add_network(words: &mut Words, pc: &Pc, pc_idx: usize) {
    words.pair("-netdev", format!("tap,id=wire,ifname={},script=no,downscript=no", tap(pc_idx)));
    // EDK2 has a driver of its own for virtio only. Without the card's ROM it does the first stage itself,
    // by PXE and TFTP as on a real PC; the other cards bring iPXE in their ROM.
    let firmware_drives = pc.firmware == Firmware::Uefi && pc.nic == Nic::Virtio;
    let rom = if firmware_drives { ",romfile=" } else { "" };
    let card = pc.nic.name();
    words.pair("-device", format!("{card},netdev=wire,mac={},bootindex=1{rom}", mac(pc_idx)));
}

struct Words(Vec<String>);

impl Words {
    fn add(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(str::to_owned));
    }

    fn pair(&mut self, option: &str, value: String) {
        self.0.extend([option.to_owned(), value]);
    }
}

/// QEMU ends a value at a comma; two commas mean one.
fn comma_safe(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pc: &Pc, logs: &str, wanted: &[&str], unwanted: &[&str]) {
        let places = Places::new(Path::new(logs), Path::new("/run/x"), 0);
        let uefi = (pc.firmware == Firmware::Uefi).then_some(Path::new("/fw.fd"));
        let line = command(pc, 0, &places, uefi).join(" ");
        for part in wanted {
            assert!(line.contains(part), "{part:?} is missing in {line}");
        }
        for part in unwanted {
            assert!(!line.contains(part), "{part:?} is in {line}");
        }
    }

    #[test]
    fn a_plain_pc_is_a_core_2_duo_on_a_tap_with_sound() {
        check(
            &Pc::default(),
            "out/vm",
            &[
                "-machine pc,graphics=off",
                "-cpu core2duo",
                "-smp 2",
                "ifname=tap0",
                "e1000,netdev=wire,mac=52:54:00:77:00:01,bootindex=1",
                "path=out/vm/1/speaker.wav",
                "logfile=out/vm/1/serial.log",
            ],
            &["romfile", "icount"],
        );
    }

    #[test]
    fn a_uefi_pc_boots_with_the_firmwares_own_network_client() {
        let pc = Pc { firmware: Firmware::Uefi, nic: Nic::Virtio, ..Pc::default() };
        check(&pc, "o", &["-machine q35", "file=/fw.fd", "romfile=", "virtio-rng-pci"], &["-machine pc"]);
    }

    #[test]
    fn a_counting_pc_has_one_core_and_no_host_clock() {
        let pc = Pc { counting: true, ..Pc::default() };
        check(
            &pc,
            "o",
            &["thread=single", "-smp 1", "shift=0,sleep=off,rr=record,rrfile=o/1/record.bin", "clock=vm"],
            &["thread=multi"],
        );
    }

    #[test]
    fn a_plain_rom_is_ipxe_with_a_script() {
        let pc = Pc { plain_rom: true, ..Pc::default() };
        check(&pc, "o", &["-kernel o/server/ipxe/ipxe.lkrn -initrd o/1/plain.ipxe"], &[]);
        check(&Pc::default(), "o", &[], &["-kernel"]);
    }

    #[test]
    fn a_keyboard_that_can_be_unplugged_hangs_on_usb() {
        let pc = Pc { usb_keyboard: true, ..Pc::default() };
        check(&pc, "o", &["piix3-usb-uhci,id=keys", "usb-kbd,bus=keys.0,id=keyboard"], &[]);
        check(&Pc::default(), "o", &[], &["usb-kbd"]);
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_the_value() {
        check(&Pc::default(), "a,b", &["path=a,,b/1/speaker.wav"], &["path=a,b"]);
    }

    #[test]
    fn only_addresses_of_the_virtual_wire_are_on_it() {
        assert!(on_the_wire(SERVER) && on_the_wire(ROUTER));
        assert!(!on_the_wire(Ipv4Addr::new(10, 77, 1, 1)));
    }

    #[test]
    fn every_pc_of_a_full_shelf_has_its_own_card() {
        let all: std::collections::BTreeSet<_> = (0..PCS_MAX).map(mac).collect();
        assert_eq!(all.len(), PCS_MAX);
    }
}
