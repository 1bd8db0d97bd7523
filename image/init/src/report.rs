//! Tells the boot server how far this boot has come: best effort, and never a reason to wait.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use release::{REPORT_PATH, Report, Server};

/// A server on the same wire answers within a millisecond; one that does not is not worth more.
const CONNECT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(200);

/// A report whose answer has not been read yet.
pub struct Sent(TcpStream);

/// Sends a report. Whoever has something else to do meanwhile does it before `finish`.
pub fn send(server: Server, report: &Report) -> Option<Sent> {
    let address = SocketAddr::from((server.ip, server.port));
    let mut stream = TcpStream::connect_timeout(&address, CONNECT).ok()?;
    stream.set_write_timeout(Some(ANSWER)).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    let body = report.to_json();
    let length = body.len();
    let head = format!(
        "POST {REPORT_PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).ok()?;
    Some(Sent(stream))
}

impl Sent {
    /// Waits a moment for the answer: closing at once could reset the connection before the server has read it.
    pub fn finish(mut self) {
        let mut answer = [0; 64];
        // What it says does not matter, and neither does silence.
        let _ = self.0.read(&mut answer);
    }
}
