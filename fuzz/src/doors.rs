//! The targets of the doors to the voice: Wyoming, WebSockets, multicast DNS, and what callers say in JSON.

use crate::{mdns_packet as dns, session_frame as frame, session_words as words, wyoming_codec as wyoming};

/// The same bytes in pieces of three sizes: the same messages and the same end, and never more held than allowed.
const PIECES: [usize; 3] = [1, 13, 4096];

/// A client of Wyoming. What was read is written and read again.
pub fn wyoming(bytes: &[u8]) {
    let read = |bytes: &[u8], piece: usize| {
        let (mut reader, mut events) = (wyoming::Reader::default(), vec![]);
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.poll() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Some(error)),
                }
            }
        }
        (events, None)
    };
    let first = read(bytes, PIECES[0]);
    for piece in &PIECES[1..] {
        assert_eq!(read(bytes, *piece), first, "pieces of {piece}");
    }
    for event in first.0 {
        let again = read(&event.to_bytes(), 4096);
        // A name of many escaped letters may not fit the line again.
        assert!(again == (vec![event.clone()], None) || again.1.is_some(), "{event:?}");
    }
}

/// A client of the WebSocket. A message never exceeds its limit.
pub fn websocket(bytes: &[u8]) {
    let read = |piece: usize| {
        let (mut reader, mut messages) = (frame::Reader::default(), vec![]);
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.poll() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
        (messages, None)
    };
    let first = read(PIECES[0]);
    for piece in &PIECES[1..] {
        assert_eq!(read(*piece), first, "pieces of {piece}");
    }
    for message in &first.0 {
        let n = match message {
            frame::Message::Text(text) => text.len(),
            frame::Message::Binary(bytes) | frame::Message::Ping(bytes) => bytes.len(),
            frame::Message::Pong | frame::Message::Close => 0,
        };
        assert!(n <= frame::MESSAGE_BYTES_MAX);
    }
    if let Some(error) = first.1 {
        let closed = frame::close(error.status(), &error.to_string());
        assert!(closed.len() <= 127 && (1002..=1009).contains(&error.status()));
    }
}

/// A datagram from the wire. An answer to what was asked is no question itself.
pub fn mdns(bytes: &[u8]) {
    let Some(query) = dns::query(bytes) else { return };
    for name in
        query.questions.iter().map(|question| &question.name).chain(query.known.iter().map(|k| &k.name))
    {
        // A label that was no UTF-8 may have grown by its marks.
        assert!(name.iter().map(|label| label.len() + 1).sum::<usize>() <= 3 * 255);
    }
    let record =
        |name: &dns::Name| dns::Record { name: name.clone(), ttl_s: 10, data: dns::Data::Ptr(name.clone()) };
    let answers: Vec<_> = query.questions.iter().map(|question| record(&question.name)).collect();
    assert_eq!(dns::query(&dns::response(query.id, &query.questions, &answers, &answers)), None);
}

/// The JSON of callers.
pub fn session_words(bytes: &[u8]) {
    if let Ok(start) = words::Start::parse(bytes) {
        assert!(start.name.len() <= 40 && !start.name.contains(char::is_control));
    }
    if let Ok(end) = words::End::parse(bytes) {
        assert!(end.id.len() <= words::WORDS_BYTES_MAX);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(command) = words::Command::parse(text)
    {
        let again = serde_json::to_string(&command).expect("a command is JSON");
        assert_eq!(words::Command::parse(&again), Ok(command));
    }
}
