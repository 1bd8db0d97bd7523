//! The few calls to kernel and processor that no safe crate offers: addresses, the loop device, exec, the clock.
//!
//! Every function is small, takes checked values and gives an `io::Result`.
#![allow(unsafe_code, reason = "ioctl, execv and rdtsc have no safe form")]

use std::ffi::{CStr, c_int, c_ulong};
use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use release::{Address, Word};

const LOOP_CTL_GET_FREE: c_ulong = 0x4C82;
const LOOP_CONFIGURE: c_ulong = 0x4C0A;
const BLKRASET: c_ulong = 0x1262;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The processor's time stamp counter, as it is.
pub fn clock() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and Linux leaves it open to programs.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Brings an interface up; its address may follow later.
pub fn bring_up(interface: &Word) -> Result<()> {
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    set(libc::SIOCSIFFLAGS, interface, libc::__c_anonymous_ifr_ifru { ifru_flags: flags })
}

/// Gives an interface its address, mask and default route.
pub fn set_address(interface: &Word, address: &Address) -> Result<()> {
    for (request, ip) in [(libc::SIOCSIFADDR, address.ip), (libc::SIOCSIFNETMASK, address.mask)] {
        set(request, interface, libc::__c_anonymous_ifr_ifru { ifru_addr: socket_address(ip) })?;
    }
    address.gateway.map_or(Ok(()), add_default_route)
}

fn set(request: c_ulong, interface: &Word, value: libc::__c_anonymous_ifr_ifru) -> Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    let bytes = interface.as_str().as_bytes();
    // The last byte of the name stays zero.
    if bytes.len() >= name.len() {
        return Err(Error::from_raw_os_error(libc::ENODEV));
    }
    for (place, &byte) in name.iter_mut().zip(bytes) {
        *place = byte as _;
    }
    let wish = libc::ifreq { ifr_name: name, ifr_ifru: value };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: the kernel reads one `ifreq` for these requests, `wish` is one and outlives the call.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), request as _, &raw const wish) }).map(|_| ())
}

fn add_default_route(gateway: Ipv4Addr) -> Result<()> {
    // SAFETY: `rtentry` is plain data of C, for which all zero bytes are a valid value.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_gateway = socket_address(gateway);
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: the kernel reads one `rtentry`, whose only pointer (`rt_dev`) is null, which means "any".
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) }).map(|_| ())
}

/// A `sockaddr_in` laid out in the bytes of a `sockaddr`: two bytes of port, then the address.
fn socket_address(ip: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (place, byte) in data[2..6].iter_mut().zip(ip.octets()) {
        *place = byte as _;
    }
    libc::sockaddr { sa_family: libc::AF_INET as _, sa_data: data }
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 304, "the kernel's own size");

/// Puts a read-only loop device over a file. It lives as long as it is open or mounted.
pub fn loop_over(file: &File) -> Result<(String, File)> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    // SAFETY: this request takes no argument and gives a number.
    let number = checked(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) })?;
    let path = format!("/dev/loop{number}");
    let device = OpenOptions::new().read(true).write(true).open(&path)?;
    // SAFETY: `LoopConfig` is plain data, for which all zero bytes are a valid value.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = file.as_raw_fd() as u32;
    config.flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    // SAFETY: the kernel reads one `loop_config`, `config` has its layout and size and outlives the call.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) })?;
    // The file lies in memory: reading ahead gains nothing, and what was read ahead fills memory. A node that goes on
    // reading ahead boots as well.
    // SAFETY: this request takes a number, and touches no memory of this process.
    let _ = unsafe { libc::ioctl(device.as_raw_fd(), BLKRASET as _, 0 as c_ulong) };
    Ok((path, device))
}

/// Becomes another program; returns only when that failed.
pub fn exec(path: &CStr) -> Error {
    let arguments = [path.as_ptr(), std::ptr::null()];
    // SAFETY: `path` and the list of arguments end with a null and live until the call is over.
    unsafe { libc::execv(path.as_ptr(), arguments.as_ptr()) };
    Error::last_os_error()
}

fn checked(result: c_int) -> Result<c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}
