//! The hands of TFTP: port 69, and one socket for each transfer.
//!
//! Only the four first stages are sent; they are read once at start and held in memory.
//! What to send next is decided in `netboot::tftp`.

use super::Shared;
use super::dhcp::udp;
use super::tftp_places::{Place, Running};
use super::trouble::port_trouble;
use super::wire::{self, Wire};
use anyhow::{Result, bail};
use netboot::Mac;
use netboot::dhcp::FIRST_STAGES;
use netboot::tftp::{self, Input, Output, REQUEST_BYTES_MAX, Refusal, Request, Transfer};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// A transfer that nobody acknowledged ends so soon: its address may be invented. ROMs ask again by then.
const FIRST_ANSWER_SECONDS_MAX: u64 = 8;
/// No iPXE is longer.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const PORT: u16 = 69;
/// A datagram of a transfer is an acknowledgement or an error; longer ones are cut.
const ANSWER_BYTES_MAX: usize = 600;
const PAUSE: Duration = Duration::from_secs(1);

/// The first stages that are there, by name.
pub type Stages = BTreeMap<String, Arc<[u8]>>;

/// Reads the first stages from `root`, or from `OUT/ipxe`, or from Debian's package.
pub fn read_stages(root: Option<&Path>, out: &Path) -> Result<Stages> {
    let places: Vec<PathBuf> = match root {
        Some(root) => vec![root.to_owned()],
        None => vec![out.join("ipxe"), PathBuf::from("/usr/lib/ipxe")],
    };
    for place in &places {
        let stages: Stages =
            FIRST_STAGES.iter().filter_map(|name| Some(((*name).to_owned(), read(place, name)?))).collect();
        if !stages.is_empty() {
            return Ok(stages);
        }
    }
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    bail!(
        "there is no first stage ({}) in {}; install Debian's package ipxe, or name a folder with --tftp-root",
        FIRST_STAGES.join(", "),
        places.join(" or ")
    );
}

fn read(place: &Path, name: &str) -> Option<Arc<[u8]>> {
    let file = std::fs::File::open(place.join(name)).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty() && bytes.len() as u64 <= FILE_BYTES_MAX).then(|| bytes.into())
}

pub fn open(wire: &Wire) -> Result<UdpSocket> {
    udp(wire, PORT, false).map_err(|error| port_trouble(error, PORT, "TFTP"))
}

/// Takes requests for ever.
pub async fn serve(socket: UdpSocket, wire: Wire, shared: Arc<Shared>) {
    let running = Running::default();
    let mut buffer = [0; REQUEST_BYTES_MAX + 1];
    loop {
        let Ok((n, client)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        match wanted(&buffer[..n], &shared.stages) {
            Ok((request, file)) => {
                let Some((place, stop)) = Place::take(&running, client, Instant::now()) else { continue };
                let (wire, shared) = (wire.clone(), shared.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        // A transfer that fails is begun again by its client.
                        _ = transfer(&wire, &place, &request, file, &shared) => {}
                        // Its place was taken.
                        _ = stop => {}
                    }
                });
            }
            Err(refusal) => {
                if let Some(answer) = refusal.bytes() {
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        }
    }
}

fn wanted(datagram: &[u8], stages: &Stages) -> Result<(Request, Arc<[u8]>), Refusal> {
    let request = tftp::parse(datagram)?;
    let file = stages.get(&request.name).ok_or(Refusal::NotFound)?.clone();
    Ok((request, file))
}

async fn transfer(
    wire: &Wire,
    place: &Place,
    request: &Request,
    file: Arc<[u8]>,
    shared: &Shared,
) -> std::io::Result<()> {
    let socket = udp(wire, 0, false)?;
    socket.connect(place.client).await?;
    let mac = pc_at(place.client.ip(), shared);
    let begun = Instant::now();
    let patience = begun + Duration::from_secs(FIRST_ANSWER_SECONDS_MAX);
    let mut answered = false;
    let mut transfer = Transfer::new(begun, request, file);
    let mut buffer = [0; ANSWER_BYTES_MAX];
    let mut told = 0;
    loop {
        while let Some(output) = transfer.poll() {
            match output {
                Output::Send(bytes) => drop(socket.send(&bytes).await?),
                Output::End(tftp::End::Done) => {}
                Output::End(_) => return Ok(()),
            }
        }
        if let Some(mac) = mac {
            told = tell(mac, request, &transfer, told, shared);
        }
        let Some(deadline) = transfer.deadline() else { return Ok(()) };
        let deadline = if answered { deadline } else { deadline.min(patience) };
        match tokio::time::timeout_at(deadline.into(), socket.recv(&mut buffer)).await {
            Ok(n) => {
                answered = true;
                let now = Instant::now();
                place.heard(now);
                transfer.handle(now, Input::Datagram(&buffer[..n?]));
            }
            Err(_) if !answered && Instant::now() >= patience => return Ok(()),
            Err(_) => transfer.handle(Instant::now(), Input::Time),
        }
    }
}

/// Tells the desk of new bytes; returns the place told.
fn tell(mac: Mac, request: &Request, transfer: &Transfer, told: usize, shared: &Shared) -> usize {
    let (place, of) = transfer.progress();
    if place > told {
        let now_ms = shared.now_ms();
        shared.desk().sent_first_stage(
            mac,
            &request.name,
            (place - told) as u64,
            place as u64,
            of as u64,
            now_ms,
        );
    }
    place
}

/// Which PC has this address: as DHCP or a script taught, else as the kernel knows its neighbours.
fn pc_at(address: IpAddr, shared: &Shared) -> Option<Mac> {
    let (known, interface) = {
        let desk = shared.desk();
        (desk.pcs.by_address(&address), desk.interface.clone())
    };
    let mac = known.or_else(|| wire::neighbour(address, &interface))?;
    shared.desk().pcs.has_address(mac, address);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_stages_are_sent() {
        let stages = Stages::from([("undionly.kpxe".to_owned(), Arc::from(&b"x"[..]))]);
        let ask = |name: &str| {
            wanted(&[b"\0\x01", name.as_bytes(), b"\0octet\0"].concat(), &stages).map(|(_, file)| file)
        };
        assert_eq!(ask("undionly.kpxe").as_deref(), Ok(&b"x"[..]));
        for name in ["../undionly.kpxe", "/etc/passwd", "undionly.kpxe/..", "ipxe.pxe"] {
            assert!(ask(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_without_first_stages_is_told() {
        let error = read_stages(Some(Path::new("/nonexistent")), Path::new("/")).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "in /nonexistent; install Debian's package ipxe, or name a folder with --tftp-root"
            ),
            "{error}"
        );
    }
}
