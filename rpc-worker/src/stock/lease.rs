//! One client's time with its server: bytes between the two and the gate, until one of them ends or is late.

use super::child::Child;
use rpcgate::{Fault, Gate, Lease, Out, Refusal};
use service::door::Carried;
use service::log::{self, Level};
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};

/// A message that has begun goes on within this time.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(60);
/// The client takes what it asked for within this time.
const TAKE_TIME_MAX: Duration = Duration::from_secs(60);
/// The server answers within this time: a long prompt on an old PC.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20 * 60);
/// A client says something within this time.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// Bytes of the client's that wait for the gate. They are read all the time, so that its end is seen at once.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// Why it is over.
enum End {
    Client,
    Server,
    TakenBack,
    Late(&'static str),
    Refused(Refusal),
    Fault(Fault),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Client => f.write_str("it went"),
            End::Server => f.write_str("its server ended"),
            End::TakenBack => f.write_str("the owner took it back"),
            End::Late(what) => f.write_str(what),
            End::Refused(refusal) => write!(f, "refused: {refusal}"),
            End::Fault(fault) => write!(f, "{fault}"),
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> End {
        End::Fault(fault)
    }
}

/// Until it is over; then both connections are closed and the server is gone.
pub async fn serve(
    client: Carried,
    mut child: Child,
    bytes_max: u64,
    time_max: Duration,
    taken_back: impl Future<Output = ()>,
) {
    let start = Instant::now();
    let end = match child.connection.take() {
        Some(server) => tokio::select! {
            end = carry(client, server, Gate::new(Lease { bytes_max }), start + time_max) => end,
            () = taken_back => End::TakenBack,
        },
        None => End::Server,
    };
    let died = child.end(matches!(end, End::Server)).await;
    let level = match &end {
        End::Client => Level::Info,
        _ => Level::Warning,
    };
    let died = died.map(|died| format!("; {died}")).unwrap_or_default();
    let seconds = start.elapsed().as_secs();
    log::say(level, &format!("rpc-worker: a stock client's lease ended after {seconds} s: {end}{died}"));
}

async fn carry(
    client: impl AsyncRead + AsyncWrite,
    mut server: UnixStream,
    mut gate: Gate,
    lease_end: Instant,
) -> End {
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut server_read, mut server_write) = server.split();
    let (mut pending, mut out) = (Vec::new(), Out::default());
    let (mut from_client, mut from_server) = (vec![0; PENDING_BYTES_MAX], vec![0; PENDING_BYTES_MAX]);
    let (mut client_moved, mut server_moved) = (Instant::now(), Instant::now());
    loop {
        if let Err(end) = judge(&mut gate, &mut pending, &mut out) {
            return end;
        }
        let server_owes = gate.is_waiting() || !out.to_server.is_empty();
        let (deadline, late) = if !out.to_client.is_empty() {
            (client_moved + TAKE_TIME_MAX, "it takes no answer")
        } else if server_owes {
            (server_moved + ANSWER_TIME_MAX, "its server is late")
        } else if gate.is_within_message() {
            (client_moved + MESSAGE_TIME_MAX, "a message of its stopped in the middle")
        } else {
            (client_moved + IDLE_TIME_MAX, "it said nothing for half an hour")
        };
        let (deadline, late) =
            if lease_end < deadline { (lease_end, "its time is over") } else { (deadline, late) };
        tokio::select! {
            read = client_read.read(&mut from_client), if pending.len() < PENDING_BYTES_MAX => {
                let Some(n) = some(read) else { return End::Client };
                pending.extend_from_slice(&from_client[..n]);
                client_moved = Instant::now();
                if !server_owes {
                    server_moved = client_moved;
                }
            }
            read = server_read.read(&mut from_server), if out.to_client.is_empty() => {
                let Some(n) = some(read) else { return End::Server };
                if let Err(fault) = gate.from_server(&from_server[..n], &mut out) {
                    return fault.into();
                }
                (client_moved, server_moved) = (Instant::now(), Instant::now());
            }
            wrote = server_write.write(&out.to_server), if !out.to_server.is_empty() => {
                let Some(n) = some(wrote) else { return End::Server };
                out.to_server.drain(..n);
                server_moved = Instant::now();
            }
            wrote = client_write.write(&out.to_client), if !out.to_client.is_empty() => {
                let Some(n) = some(wrote) else { return End::Client };
                out.to_client.drain(..n);
                client_moved = Instant::now();
            }
            () = sleep_until(deadline) => return End::Late(late),
        }
        if out.to_client.is_empty() && client_write.flush().await.is_err() {
            return End::Client;
        }
    }
}

/// Lets the gate read, unless something is still to be sent on.
fn judge(gate: &mut Gate, pending: &mut Vec<u8>, out: &mut Out) -> Result<(), End> {
    while !pending.is_empty() && !gate.is_waiting() && out.to_server.is_empty() && out.to_client.is_empty() {
        let n = gate.from_client(pending, out)?;
        pending.drain(..n);
    }
    Ok(())
}

/// Bytes that moved; nothing at the end and after an error, which are the same here.
fn some(moved: io::Result<usize>) -> Option<usize> {
    moved.ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    const LONG: Duration = Duration::from_secs(12 * 3600);

    /// How a lease ends whose client says this and then nothing; the clock runs as fast as it can.
    async fn ended(said: &[u8], time_max: Duration, answers: usize) -> (String, Duration) {
        let ((mut client, inside), (ours, mut its)) = (duplex(1 << 16), UnixStream::pair().unwrap());
        let start = Instant::now();
        let gate = Gate::new(Lease { bytes_max: 1 << 20 });
        let carrying = tokio::spawn(carry(inside, ours, gate, start + time_max));
        client.write_all(said).await.unwrap();
        for _ in 0..answers {
            greet(&mut client, &mut its).await;
        }
        (carrying.await.unwrap().to_string(), start.elapsed())
    }

    /// The server's part of a greeting, which the client takes.
    async fn greet(client: &mut DuplexStream, its: &mut UnixStream) {
        let mut heard = [0; 33];
        its.read_exact(&mut heard).await.unwrap();
        its.write_all(&[&28u64.to_le_bytes()[..], &[0; 28]].concat()).await.unwrap();
        client.read_exact(&mut [0; 36]).await.unwrap();
    }

    fn hello() -> Vec<u8> {
        [&[14][..], &24u64.to_le_bytes(), &[0; 24]].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_late_after_half_an_hour() {
        let late = ("it said nothing for half an hour".to_owned(), IDLE_TIME_MAX);
        assert_eq!(ended(&[], LONG, 0).await, late);
        assert_eq!(ended(&hello(), LONG, 1).await.0, late.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_stops_in_the_middle_is_late_after_a_minute() {
        let late = ("a message of its stopped in the middle".to_owned(), MESSAGE_TIME_MAX);
        assert_eq!(ended(&hello()[..20], LONG, 0).await, late);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_late() {
        assert_eq!(ended(&hello(), LONG, 0).await.0, "its server is late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_has_an_end() {
        let over = ("its time is over".to_owned(), Duration::from_secs(9));
        assert_eq!(ended(&[], Duration::from_secs(9), 0).await, over);
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_it_while_its_server_computes() {
        let ((mut client, inside), (ours, mut its)) = (duplex(1 << 16), UnixStream::pair().unwrap());
        let gate = Gate::new(Lease { bytes_max: 1 << 20 });
        let carrying = tokio::spawn(carry(inside, ours, gate, Instant::now() + LONG));
        client.write_all(&hello()).await.unwrap();
        its.read_exact(&mut [0; 33]).await.unwrap();
        drop(client);
        assert_eq!(carrying.await.unwrap().to_string(), "it went");
        // The server's connection is closed too.
        assert_eq!(its.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
