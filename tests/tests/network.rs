//! The network that other tests stand on does what it says.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use std::net::UdpSocket;
use std::time::Duration;
use tests::network::{Network, inside};

/// How long a datagram that will not come is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

fn reaches(network: &Network, from: usize, to: usize) -> bool {
    let socket = || UdpSocket::bind("0.0.0.0:0").unwrap();
    let (sender, receiver) = (network.hosts[from].on(socket), network.hosts[to].on(socket));
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = (network.hosts[to].address, receiver.local_addr().unwrap().port());
    // While the neighbour is still sought, the first may be lost.
    (0..3).any(|_| sender.send_to(b"?", to).is_ok() && receiver.recv(&mut [0; 8]).is_ok())
}

#[test]
fn a_cut_parts_hosts_and_a_heal_joins_them() {
    if !inside("a_cut_parts_hosts_and_a_heal_joins_them") {
        return;
    }
    let network = Network::new(3);
    assert!(reaches(&network, 0, 1) && reaches(&network, 1, 2));
    network.cut(&[1, 2]);
    assert!(!reaches(&network, 0, 1) && reaches(&network, 1, 2));
    network.heal(&[1, 2]);
    assert!(reaches(&network, 0, 1) && reaches(&network, 2, 0));
}
