//! A model without a model: answers the OpenAI API as an expert does, with words that are counted, and fails on wish.

use crate::node::WAIT_MAX;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// Words of an answer, unless the request asks for fewer.
pub const WORDS: u64 = 5;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Well,
    /// 503, and come back in 10 ms.
    Full,
    /// The first request is refused like this, the others are answered.
    FullOnce,
    /// It begins a stream and closes before the first token.
    BreaksEarly,
    /// It closes after two tokens.
    BreaksLate,
    /// It says nothing until it is told to go on.
    Slow,
    /// Tokens without an end, until the client is gone.
    Endless,
}

/// A running one.
pub struct Model {
    pub address: SocketAddr,
    /// Head and body of each request.
    pub heard: Arc<Mutex<Vec<(String, Value)>>>,
    /// A word for each client that was gone before its answer was.
    pub gone: Receiver<()>,
    go_on: Sender<()>,
}

struct Hands {
    heard: Arc<Mutex<Vec<(String, Value)>>>,
    gone: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Model {
    pub fn new(manner: Manner) -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let ((gone_to, gone), (go_on, wait)) = (channel(), channel());
        let heard = Arc::new(Mutex::new(vec![]));
        let hands = Arc::new(Hands { heard: heard.clone(), gone: gone_to, go_on: Mutex::new(wait) });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hands = hands.clone();
                std::thread::spawn(move || {
                    if answer(stream, manner, &hands).is_err() {
                        let _ = hands.gone.send(());
                    }
                });
            }
        });
        Model { address, heard, gone, go_on }
    }

    /// A slow one answers its next request.
    pub fn go_on(&self) {
        self.go_on.send(()).expect("it still runs");
    }

    pub fn n_heard(&self) -> usize {
        self.heard.lock().expect("no panic").len()
    }

    pub fn last(&self) -> (String, Value) {
        self.heard.lock().expect("no panic").last().expect("a request").clone()
    }
}

/// `Err` means that the client is gone.
fn answer(mut stream: TcpStream, manner: Manner, hands: &Hands) -> std::io::Result<()> {
    stream.set_read_timeout(Some(WAIT_MAX))?;
    let (head, body) = request(&mut stream)?;
    let n = {
        let mut heard = hands.heard.lock().expect("no panic");
        heard.push((head.clone(), body.clone()));
        heard.len()
    };
    if manner == Manner::Full || (manner == Manner::FullOnce && n == 1) {
        let error = json!({"error": {"message": "all slots are taken", "type": "overloaded_error", "param": null, "code": "overloaded"}});
        return whole(&mut stream, "503 Busy\r\nretry-after-ms: 10", &error);
    }
    if manner == Manner::Slow {
        let _ = hands.go_on.lock().expect("no panic").recv_timeout(WAIT_MAX);
    }
    if head.starts_with("GET ") {
        let model = json!({"id": "calm", "object": "model", "created": 0, "owned_by": "duet"});
        let list = json!({"object": "list", "data": [model.clone()]});
        return whole(
            &mut stream,
            "200 OK",
            if head.starts_with("GET /v1/models ") { &list } else { &model },
        );
    }
    if head.starts_with("POST /v1/embeddings") {
        return embeddings(&mut stream, &body);
    }
    if body["messages"] == json!([]) {
        let error = json!({"error": {"message": "there is no message", "type": "invalid_request_error", "param": "messages", "code": null}});
        return whole(&mut stream, "400 Bad", &error);
    }
    if body["stream"] == json!(true) { events(&mut stream, manner, &body) } else { text(&mut stream, &body) }
}

fn request(stream: &mut TcpStream) -> std::io::Result<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok((head, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

fn whole(stream: &mut TcpStream, status: &str, value: &Value) -> std::io::Result<()> {
    let body = value.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn n_words_asked(body: &Value) -> u64 {
    body["max_tokens"].as_u64().unwrap_or(WORDS)
}

fn usage(body: &Value) -> Value {
    let n = n_words_asked(body);
    json!({"prompt_tokens": 3, "completion_tokens": n, "total_tokens": n + 3})
}

/// What a model says: words, or a call of the first tool, or JSON where a schema is given.
fn said(body: &Value) -> (Value, &'static str) {
    let tool = &body["tools"][0]["function"]["name"];
    if let Some(name) = tool.as_str() {
        let call = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": "{\"city\":\"Bonn\"}"}}]);
        return (json!({"role": "assistant", "content": null, "tool_calls": call}), "tool_calls");
    }
    let text = match body["response_format"]["type"].as_str() {
        Some("json_schema") => "{\"city\":\"Bonn\"}".to_owned(),
        _ => (0..n_words_asked(body)).map(|n| format!("word{n} ")).collect(),
    };
    (json!({"role": "assistant", "content": text}), "stop")
}

fn text(stream: &mut TcpStream, body: &Value) -> std::io::Result<()> {
    let model = &body["model"];
    let (message, finish) = said(body);
    let choice = match body.get("prompt") {
        Some(_) => json!({"index": 0, "text": message["content"], "finish_reason": finish, "logprobs": null}),
        None => json!({"index": 0, "message": message, "finish_reason": finish, "logprobs": null}),
    };
    let object = if body.get("prompt").is_some() { "text_completion" } else { "chat.completion" };
    let answer = json!({"id": "chatcmpl-1", "object": object, "created": 1, "model": model, "choices": [choice], "usage": usage(body)});
    whole(stream, "200 OK", &answer)
}

fn events(stream: &mut TcpStream, manner: Manner, body: &Value) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    let is_chat = body.get("prompt").is_none();
    let object = if is_chat { "chat.completion.chunk" } else { "text_completion" };
    let event = |choices: Value, usage: Value| {
        let piece = json!({"id": "chatcmpl-1", "object": object, "created": 1, "model": body["model"], "choices": choices, "usage": usage});
        format!("data: {piece}\n\n")
    };
    let delta = |delta: Value, finish: Value| {
        let choice = match is_chat {
            true => json!({"index": 0, "delta": delta, "finish_reason": finish}),
            false => {
                json!({"index": 0, "text": delta["content"].as_str().unwrap_or_default(), "finish_reason": finish})
            }
        };
        event(json!([choice]), Value::Null)
    };
    if is_chat {
        stream.write_all(delta(json!({"role": "assistant", "content": ""}), Value::Null).as_bytes())?;
    }
    let n_words = match manner {
        Manner::BreaksEarly => return Ok(()),
        Manner::BreaksLate => 2,
        _ => u64::MAX,
    };
    let (message, finish) = said(body);
    if message["tool_calls"].is_array() {
        stream.write_all(delta(json!({"tool_calls": message["tool_calls"]}), Value::Null).as_bytes())?;
    } else {
        // What it says as a whole, too, however many words a fault lets through.
        let said = message["content"].as_str().unwrap_or_default().split_inclusive(' ').map(str::to_owned);
        let more = (n_words_asked(body)..).map(|n| format!("word{n} "));
        let words = said.chain(more.take_while(|_| manner == Manner::Endless));
        for word in words.take(usize::try_from(n_words).unwrap_or(usize::MAX)) {
            stream.write_all(delta(json!({"content": word}), Value::Null).as_bytes())?;
        }
    }
    if manner == Manner::BreaksLate {
        return Ok(());
    }
    stream.write_all(delta(json!({}), json!(finish)).as_bytes())?;
    if body["stream_options"]["include_usage"] == json!(true) {
        stream.write_all(event(json!([]), usage(body)).as_bytes())?;
    }
    stream.write_all(b"data: [DONE]\n\n")
}

/// The vector 1, 2, 3: as numbers, or in base64 as the libraries wish.
fn embeddings(stream: &mut TcpStream, body: &Value) -> std::io::Result<()> {
    let vector = match body["encoding_format"].as_str() {
        Some("base64") => json!("AACAPwAAAEAAAEBA"),
        _ => json!([1.0, 2.0, 3.0]),
    };
    let data = json!([{"object": "embedding", "index": 0, "embedding": vector}]);
    let usage = json!({"prompt_tokens": 2, "total_tokens": 2});
    whole(stream, "200 OK", &json!({"object": "list", "data": data, "model": body["model"], "usage": usage}))
}
