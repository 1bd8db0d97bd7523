//! `duet serve`: the boot server. DHCP, TFTP, router advertisements and HTTP around one desk.
//!
//! Each of them is a pair of hands with its sockets and limits; what is known lives at the [`desk`].
//! One thread does everything: a boot server waits, and sendfile does the carrying.
//! Only what a disk or a terminal can hold up has threads of its own.

pub mod args;
mod desk;
mod dhcp;
mod elsewhere;
pub mod enrol;
mod events;
#[doc(hidden)]
pub mod example;
mod files;
#[cfg(test)]
mod fixture;
pub mod head;
mod http;
mod models;
pub mod page;
mod pages;
mod pcs;
mod ra;
pub mod report;
mod send;
pub mod settings;
mod show;
#[cfg(test)]
mod siege;
mod store;
mod table;
mod text;
mod tftp;
mod tftp_places;
mod trouble;
pub mod view;
mod watch;
mod wire;
mod zone;

use anyhow::{Context, Result, bail, ensure};
pub use args::{DhcpMode, ServeArgs, Switch};
use desk::Desk;
pub use show::Show;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use trouble::{port_trouble, ra_trouble};

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: i32 = 1024;
/// Where this machine's own connections arrive, also those to its other addresses.
const LOOPBACK: &str = "lo";
/// At the end, writes that hang are waited for so long.
const END: Duration = Duration::from_secs(2);

/// How to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    pub out: PathBuf,
    /// The one with the default route when `None`.
    pub interface: Option<String>,
    pub dhcp: DhcpMode,
    /// First and last address to give; with `DhcpMode::Own` only.
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    pub http_port: u16,
    /// Where PCs call home.
    pub enrol_port: u16,
    pub tftp_root: Option<PathBuf>,
    pub ra: bool,
    pub show: Show,
}

impl Serve {
    pub fn from_args(args: ServeArgs) -> Result<Serve> {
        let range = args.range.as_deref().map(parse_range).transpose()?;
        match (args.dhcp, range) {
            (DhcpMode::Own, None) => {
                bail!("--dhcp own needs --range, for example --range 10.77.0.100-10.77.0.199")
            }
            (DhcpMode::Proxy | DhcpMode::Off, Some(_)) => bail!("--range is only for --dhcp own"),
            _ => {}
        }
        Ok(Serve {
            out: args.out,
            interface: args.interface,
            dhcp: args.dhcp,
            range,
            http_port: args.http_port,
            enrol_port: args.enrol_port,
            tftp_root: args.tftp_root,
            ra: args.ra == Switch::On,
            show: Show::choose(args.json, args.plain),
        })
    }
}

fn parse_range(text: &str) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let range =
        text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    range.with_context(|| format!("--range is FIRST-LAST, for example 10.77.0.100-10.77.0.199, not '{text}'"))
}

/// What all hands share.
#[derive(Debug)]
pub(crate) struct Shared {
    started: Instant,
    /// Held while the state is written: an older one must not come last.
    saving: Mutex<()>,
    desk: Mutex<Desk>,
    /// The first stages, for TFTP and for UEFI that boots over HTTP.
    stages: tftp::Stages,
}

impl Shared {
    fn new(desk: Desk, stages: tftp::Stages) -> Shared {
        Shared { started: Instant::now(), saving: Mutex::default(), desk: Mutex::new(desk), stages }
    }

    /// The desk, for a short while: the lock is never held while waiting for anything.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// `duet serve`.
pub fn command(args: ServeArgs) -> Result<()> {
    // A newer checkout may have newer models of our own; without a checkout those of the last build stay. Where no build
    // made a shelf, as under virtual PCs that are to come up without models, none is made.
    if args.out.join(crate::models::SHELF).is_dir()
        && let Ok(repository) = crate::build::repository()
        && let Err(error) = crate::models::own::place(&repository, &args.out)
    {
        eprintln!("duet: the models of our own stay as they are on the shelf: {error:#}");
    }
    run(Serve::from_args(args)?)
}

/// Serves until SIGINT or SIGTERM, then keeps the state and returns.
pub fn run(serve: Serve) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the event loop")?;
    let ended = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for the stop signal")?;
        let stop = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        run_until(serve, stop).await
    });
    runtime.shutdown_timeout(END);
    ended
}

/// Serves until `stop`, then keeps the state and returns.
pub async fn run_until(serve: Serve, stop: impl Future<Output = ()>) -> Result<()> {
    watch::prepare(&serve.out)?;
    let wire = wire::find(serve.interface.as_deref())?;
    let stages = match serve.dhcp {
        DhcpMode::Off => tftp::read_stages(serve.tftp_root.as_deref(), &serve.out).unwrap_or_default(),
        _ => tftp::read_stages(serve.tftp_root.as_deref(), &serve.out)?,
    };
    let server = std::net::SocketAddrV4::new(wire.address, serve.http_port);
    let desk = Desk::new(server, &wire.name, serve.dhcp.name());
    let shared = Arc::new(Shared::new(desk, stages));
    let watch = read_everything(&serve, &shared)?;

    // Everything is opened before anything is served: a server with half its ports is worse than none.
    let listeners = listen(&wire, serve.http_port, "HTTP")?;
    let mut hands = JoinSet::new();
    if serve.dhcp != DhcpMode::Off {
        let tftp = tftp::open(&wire)?;
        let dhcp = dhcp::open(&wire, serve.http_port, serve.range).await?;
        hands.spawn(tftp::serve(tftp, wire.clone(), shared.clone()));
        hands.spawn(dhcp.serve(shared.clone()));
    }
    if serve.ra {
        open_ra(&wire, &shared, &mut hands)?;
    }
    let admission = enrol::open(&serve.out, listen(&wire, serve.enrol_port, "admission")?)?;
    hands.spawn(http::serve(listeners, shared.clone()));
    let enrolment = match admission {
        Ok(opened) => Some(opened.serve(&shared, wire.address, &mut hands)),
        Err(sentence) => {
            shared.desk().note(sentence, 0);
            None
        }
    };
    hands.spawn(watch::serve(watch, serve.out.clone(), shared.clone()));
    announce(&shared);
    let writer = Arc::new(show::Writer::new(io::stdout()));
    hands.spawn(show::serve(serve.show, shared.clone(), writer.clone()));

    let ended = tokio::select! {
        () = stop => Ok(()),
        // Hands work for ever; one that ended has panicked.
        _ = hands.join_next() => Err(anyhow::anyhow!("a part of the server failed; this is a bug in duet")),
    };
    hands.shutdown().await;
    watch::save(&serve.out, &shared);
    if let Some(Err(error)) = enrolment.map(|enrolment| enrolment.save()) {
        shared.desk().note(format!("{error:#}"), shared.now_ms());
    }
    if !matches!(serve.show, Show::Table { .. }) {
        // The last events; the table simply stays as it was drawn.
        show::turn(serve.show, &shared, &mut show::Screen::default(), &writer);
    }
    writer.finish();
    ended
}

/// Reads state, settings and releases; without a release there is nothing to serve.
fn read_everything(serve: &Serve, shared: &Shared) -> Result<watch::Watch> {
    let (kept, trouble) = store::load(&serve.out)?;
    let mut watch = watch::Watch::default();
    // At the start a folder that cannot be read is an error, and not a note.
    let table = files::Table::read(&serve.out)?;
    if table.promoted.is_empty() {
        let folder = crate::releases::folder(&serve.out);
        ensure!(table.refused.is_empty(), "{}", table.refused.join("; "));
        ensure!(table.ids().next().is_none(), "no release is promoted; run `duet release promote ID`");
        bail!("there is no release in {} yet; run `duet build`", folder.display());
    }
    watch.turn(&serve.out, shared);
    let mut desk = shared.desk();
    desk.restore(kept);
    if let Some(sentence) = trouble {
        desk.note(sentence, 0);
    }
    Ok(watch)
}

/// One listener for the served interface and one for this machine itself; no other interface is heard.
fn listen(wire: &wire::Wire, port: u16, purpose: &str) -> Result<Vec<TcpListener>> {
    let own = (LOOPBACK, Ipv4Addr::LOCALHOST);
    let served = (wire.name.as_str(), wire.address);
    let places = if wire.name == LOOPBACK { vec![own] } else { vec![served, own] };
    let open = |(device, address)| listen_at(device, address, port);
    places
        .into_iter()
        .map(open)
        .collect::<io::Result<_>>()
        .map_err(|error| port_trouble(error, port, purpose))
}

/// Listens on a device, whatever its addresses are or become. Linux before 5.7 lets only root do that;
/// anyone else listens on the address that the device has now.
fn listen_at(device: &str, address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Only connections that have ended are passed over by this; a running server still holds its port.
    socket.set_reuse_address(true)?;
    let address = match socket.bind_device(Some(device.as_bytes())) {
        Ok(()) => Ipv4Addr::UNSPECIFIED,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => address,
        Err(error) => return Err(error),
    };
    socket.bind(&std::net::SocketAddr::from((address, port)).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Without IPv6 on the interface iPXE only waits longer; without permission the owner should know.
fn open_ra(wire: &wire::Wire, shared: &Arc<Shared>, hands: &mut JoinSet<()>) -> Result<()> {
    match ra::open(wire) {
        Ok(socket) => drop(hands.spawn(ra::serve(socket, wire.clone(), shared.clone()))),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Err(ra_trouble(error)),
        Err(error) => {
            let sentence = format!("{}, so iPXE waits 13 s longer in each boot", ra_trouble(error));
            shared.desk().note(sentence, 0);
        }
    }
    Ok(())
}

fn announce(shared: &Shared) {
    let now_ms = shared.now_ms();
    let mut desk = shared.desk();
    let event = events::Event::Serving {
        url: desk.url(),
        interface: desk.interface.clone(),
        dhcp: desk.dhcp,
        release: desk.table.promoted.first().cloned(),
    };
    desk.tell(event, now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::FromArgs;

    fn check(args: &str, want: &str) {
        let words: Vec<&str> = args.split_whitespace().collect();
        let got = match ServeArgs::from_args(&["duet", "serve"], &words) {
            Ok(args) => match Serve::from_args(args) {
                Ok(serve) => format!("{} {:?}", serve.dhcp.name(), serve.range),
                Err(error) => format!("error: {error}"),
            },
            Err(exit) => format!("usage: {}", exit.output.trim()),
        };
        assert!(got.starts_with(want), "{args}\n got: {got}\nwant: {want}");
    }

    #[test]
    fn the_default_is_beside_the_router() {
        check("", "proxy None");
    }

    #[test]
    fn own_addresses_need_a_range_and_only_they() {
        check("--dhcp own --range 10.0.0.5-10.0.0.9", "own Some((10.0.0.5, 10.0.0.9))");
        check("--dhcp own", "error: --dhcp own needs --range");
        check("--range 10.0.0.5-10.0.0.9", "error: --range is only for --dhcp own");
        check("--dhcp own --range 10.0.0.5", "error: --range is FIRST-LAST");
    }

    #[test]
    fn a_wrong_word_is_told() {
        check(
            "--dhcp both",
            "usage: Error parsing option '--dhcp' with value 'both': --dhcp is proxy, own or off",
        );
    }
}
