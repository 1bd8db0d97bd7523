//! What a boot server says on the wire, as bytes to bytes.
//!
//! Every part here is told what happened and says what should happen.
//! Nothing reads a clock, a socket, a file or dice: the program `duet serve` owns those.
//!
//! | module | what it is | how it is used |
//! |---|---|---|
//! | [`dhcp`] | DHCP and proxyDHCP | [`dhcp::Server`]: `handle` a datagram, `poll` answers and events until `None` |
//! | [`tftp`] | read-only file transfer | [`tftp::parse`] a request, then one [`tftp::Transfer`] with `handle`, `poll`, `deadline` |
//! | [`ra`] | the router advertisement that ends iPXE's long wait | [`ra::solicited_by`], [`ra::advertisement`] |
//! | [`script`] | iPXE scripts | [`script::chain`] for `/boot.ipxe`, [`script::boot`] and [`script::local`] for `/boot/<mac>.ipxe` |
//! | [`gate`] | which release a PC gets | [`gate::Gate`]: `begin` an attempt, tell it `fetched` and `healthy` |
//!
//! Names ([`Mac`] and the others) and the boot line are those of the `release` crate, which init reads them with.
//!
//! Choices made here:
//! * Time is `std::time::Instant`, handed in with every call that needs it.
//! * The DHCP server and the TFTP transfer push into a queue that `poll` drains; drain it after every `handle`.
//! * Leases end by being looked at late, so [`dhcp::Server`] needs no wake-up and has no `deadline`.
//! * A TFTP transfer owns one socket of the caller's (its port is the transfer's name) and one shared file.
//! * [`gate::Gate`] is plain public data, so that the caller stores it as it likes and reads it back at start;
//!   [`gate::Gate::bound`] puts what was read within the limits.
//! * Everything that can be said to a person has `Display` and reads as one sentence.
#![forbid(unsafe_code)]

pub mod dhcp;
pub mod gate;
pub mod ra;
pub mod script;
pub mod tftp;

pub use release::Mac;
