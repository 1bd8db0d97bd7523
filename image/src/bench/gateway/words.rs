//! The model of the bench: it writes words at a pace, and in each the time at which it was sent.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub struct Words {
    pub address: SocketAddr,
    /// What times are counted from.
    pub start: Instant,
}

impl Words {
    /// Serves until the program ends.
    pub fn serve(pace: Duration) -> Result<Words> {
        let listener = TcpListener::bind("127.0.0.1:0").context("the bench needs a port")?;
        let (address, start) = (listener.local_addr().context("the bench's own port")?, Instant::now());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that leaves ends its own thread.
                std::thread::spawn(move || answer(stream, pace, start));
            }
        });
        Ok(Words { address, start })
    }
}

fn answer(mut stream: TcpStream, pace: Duration, start: Instant) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let body = request(&mut stream)?;
    let number = |name: &str| {
        let (_, rest) = body.split_once(&format!("\"{name}\":"))?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let n_tokens = number("max_tokens").unwrap_or(1);
    if !body.contains("\"stream\":true") {
        let text = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
        let length = text.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
        );
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    for _ in 0..n_tokens {
        std::thread::sleep(pace);
        let sent_ns = start.elapsed().as_nanos();
        let event = format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"sent {sent_ns} \"}},\"finish_reason\":null}}]}}\n\n"
        );
        stream.write_all(event.as_bytes())?;
    }
    stream.write_all(b"data: [DONE]\n\n")
}

fn request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length.min(BODY_BYTES_MAX)];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
