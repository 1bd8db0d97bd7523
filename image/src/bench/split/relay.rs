//! Hands bytes on between two places, as a node in the middle would; where it leads to can change.

use super::links::Links;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

const PIECE_BYTES: usize = 1 << 16;

/// It lives as long as the program.
pub struct Relay {
    to: Arc<Mutex<SocketAddr>>,
}

impl Relay {
    /// Listens on a host, and connects from there.
    pub fn start(links: &Links, host_idx: usize, port: u16, to: SocketAddr) -> Result<Relay> {
        let at = links.address(host_idx, port);
        let to = Arc::new(Mutex::new(to));
        let lead = Arc::clone(&to);
        let listener = links.on(host_idx, move || TcpListener::bind(at))?;
        let listener = listener.with_context(|| format!("cannot listen on {at}"))?;
        // A thread stays on its host, and so do those that it starts.
        links.stay(host_idx, move || {
            for near in listener.incoming().flatten() {
                let to = *lead.lock().unwrap_or_else(PoisonError::into_inner);
                if let Ok(far) = TcpStream::connect(to) {
                    // If it fails, both ends see a connection that closes.
                    let _ = join(near, far);
                }
            }
        })?;
        Ok(Relay { to })
    }

    /// New connections go there.
    pub fn lead_to(&self, to: SocketAddr) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

fn join(near: TcpStream, far: TcpStream) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (other_near, other_far) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || carry(near, far));
    std::thread::spawn(move || carry(other_far, other_near));
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(n) = from.read(&mut piece) {
        if n == 0 || to.write_all(&piece[..n]).is_err() {
            break;
        }
    }
    // Either end may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says its name to whoever comes.
    fn server(links: &Links, host_idx: usize, port: u16, name: &'static [u8]) -> SocketAddr {
        let at = links.address(host_idx, port);
        let listener = TcpListener::bind(at).unwrap();
        std::thread::spawn(move || {
            listener.incoming().flatten().for_each(|mut s| s.write_all(name).unwrap())
        });
        at
    }

    #[test]
    fn new_connections_go_where_the_relay_leads_now() {
        let links = Links::new(true).unwrap();
        let one = server(&links, 1, 20009, b"one");
        let two = server(&links, 2, 20009, b"two");
        let relay = Relay::start(&links, 0, 20009, one).unwrap();
        let ask = || {
            let mut text = String::new();
            TcpStream::connect(links.address(0, 20009)).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(ask(), "one");
        relay.lead_to(two);
        assert_eq!(ask(), "two");
    }
}
