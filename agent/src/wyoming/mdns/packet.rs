//! Packets of multicast DNS: questions and known answers out of bytes, records into bytes (RFC 1035, section 4).

use std::net::Ipv4Addr;

/// RFC 6762, section 17.
pub const PACKET_BYTES_MAX: usize = 9000;
/// Questions and records that are read of one packet; what comes after them is passed over.
const QUESTIONS_MAX: usize = 32;
const RECORDS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;
/// Jumps within one name; each must go back, so that this many are never honest.
const JUMPS_MAX: usize = 16;
const HEADER_BYTES: usize = 12;

pub const TYPE_A: u16 = 1;
pub const TYPE_PTR: u16 = 12;
pub const TYPE_TXT: u16 = 16;
pub const TYPE_SRV: u16 = 33;
pub const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// In the class: an answer replaces older ones, a question wants an answer of its own.
const TOP_BIT: u16 = 0x8000;

/// Labels in small letters; names are alike whatever their case.
pub type Name = Vec<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub name: Name,
    pub kind: u16,
    pub wants_unicast: bool,
}

/// What a questioner knows already: that a name points to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: Name,
    pub target: Name,
    pub ttl_s: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub id: u16,
    pub questions: Vec<Question>,
    pub known: Vec<Known>,
}

/// `None` for what is no query, or no packet.
pub fn query(bytes: &[u8]) -> Option<Query> {
    let bytes = &bytes[..bytes.len().min(PACKET_BYTES_MAX)];
    let header = bytes.get(..HEADER_BYTES)?;
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    // A response, or another kind of question than the usual.
    if number(2) & 0xf800 != 0 {
        return None;
    }
    let (n_questions, n_known) = (usize::from(number(4)), usize::from(number(6)));
    let mut at = HEADER_BYTES;
    let mut questions = vec![];
    for _ in 0..n_questions.min(QUESTIONS_MAX) {
        let name = name(bytes, &mut at)?;
        let (kind, class) = (word(bytes, &mut at)?, word(bytes, &mut at)?);
        if matches!(class & !TOP_BIT, CLASS_IN | TYPE_ANY) {
            questions.push(Question { name, kind, wants_unicast: class & TOP_BIT != 0 });
        }
    }
    let mut known = vec![];
    if n_questions <= QUESTIONS_MAX {
        for _ in 0..n_known.min(RECORDS_MAX) {
            // Half a record is as good as none: the questions were whole.
            let Some(record) = record(bytes, &mut at) else { break };
            known.extend(record);
        }
    }
    Some(Query { id: number(0), questions, known })
}

/// `Some(None)` for a record that is none of those that matter.
fn record(bytes: &[u8], at: &mut usize) -> Option<Option<Known>> {
    let name = name(bytes, at)?;
    let (kind, _class) = (word(bytes, at)?, word(bytes, at)?);
    let ttl_s = u32::from(word(bytes, at)?) << 16 | u32::from(word(bytes, at)?);
    let length = usize::from(word(bytes, at)?);
    let (mut inside, end) = (*at, at.checked_add(length).filter(|end| *end <= bytes.len())?);
    *at = end;
    if kind != TYPE_PTR {
        return Some(None);
    }
    let target = self::name(bytes, &mut inside)?;
    Some(Some(Known { name, target, ttl_s }))
}

fn word(bytes: &[u8], at: &mut usize) -> Option<u16> {
    let pair = bytes.get(*at..at.checked_add(2)?)?;
    *at += 2;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// A name, which may end in a jump to an earlier place.
fn name(bytes: &[u8], at: &mut usize) -> Option<Name> {
    let (mut place, mut behind) = (*at, None);
    let (mut labels, mut n_bytes, mut n_jumps) = (vec![], 0, 0);
    loop {
        let length = usize::from(*bytes.get(place)?);
        match length {
            0 => break,
            1..=LABEL_BYTES_MAX => {
                let label = bytes.get(place + 1..place + 1 + length)?;
                n_bytes += length + 1;
                if n_bytes > NAME_BYTES_MAX {
                    return None;
                }
                labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
                place += 1 + length;
            }
            0xc0.. => {
                let target = (length & 0x3f) << 8 | usize::from(*bytes.get(place + 1)?);
                n_jumps += 1;
                if target >= place || n_jumps > JUMPS_MAX {
                    return None;
                }
                behind.get_or_insert(place + 2);
                place = target;
            }
            _ => return None,
        }
    }
    *at = behind.unwrap_or(place + 1);
    Some(labels)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Ptr(Name),
    Srv { port: u16, host: Name },
    Txt(Vec<String>),
    A(Ipv4Addr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: Name,
    pub ttl_s: u32,
    pub data: Data,
}

/// A response. `asked` is repeated for questioners of the old kind, which know only what answers their question.
pub fn response(id: u16, asked: &[Question], answers: &[Record], additional: &[Record]) -> Vec<u8> {
    let mut bytes = vec![];
    let counts = [asked.len(), answers.len(), 0, additional.len()];
    bytes.extend(id.to_be_bytes());
    // A response, with authority.
    bytes.extend(0x8400_u16.to_be_bytes());
    counts.iter().for_each(|n| bytes.extend((*n as u16).to_be_bytes()));
    for question in asked {
        put_name(&mut bytes, &question.name);
        bytes.extend(question.kind.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
    }
    for record in answers.iter().chain(additional) {
        put_name(&mut bytes, &record.name);
        let (kind, data) = data(&record.data);
        // Many may point to theirs; the rest is this node's alone. The old kind knows no such bit.
        let is_shared = kind == TYPE_PTR || !asked.is_empty();
        let class = if is_shared { CLASS_IN } else { CLASS_IN | TOP_BIT };
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
        bytes.extend(record.ttl_s.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

fn data(data: &Data) -> (u16, Vec<u8>) {
    let mut bytes = vec![];
    let kind = match data {
        Data::Ptr(target) => {
            put_name(&mut bytes, target);
            TYPE_PTR
        }
        Data::Srv { port, host } => {
            // Priority and weight say nothing where there is one.
            bytes.extend([0; 4]);
            bytes.extend(port.to_be_bytes());
            put_name(&mut bytes, host);
            TYPE_SRV
        }
        Data::Txt(texts) => {
            texts.iter().for_each(|text| put_label(&mut bytes, text, 255));
            if texts.is_empty() {
                bytes.push(0);
            }
            TYPE_TXT
        }
        Data::A(address) => {
            bytes.extend(address.octets());
            TYPE_A
        }
    };
    (kind, bytes)
}

fn put_name(bytes: &mut Vec<u8>, name: &Name) {
    name.iter().filter(|label| !label.is_empty()).for_each(|label| put_label(bytes, label, LABEL_BYTES_MAX));
    bytes.push(0);
}

fn put_label(bytes: &mut Vec<u8>, label: &str, bytes_max: usize) {
    let label = &label.as_bytes()[..label.len().min(bytes_max)];
    bytes.push(label.len() as u8);
    bytes.extend(label);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(text: &str) -> Name {
        text.split('.').map(String::from).collect()
    }

    #[test]
    fn a_question_with_a_known_answer_is_read() {
        let mut bytes = vec![0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        put_name(&mut bytes, &name_of("_Wyoming._tcp.local"));
        bytes.extend([0, 12, 0x80, 1]);
        // The name again, as a jump to the first; its target ends in a jump too.
        bytes.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0x11, 0x94, 0, 10, 7]);
        bytes.extend(b"kitchen");
        bytes.extend([0xc0, 12]);
        let name = name_of("_wyoming._tcp.local");
        let target = name_of("kitchen._wyoming._tcp.local");
        let question = Question { name: name.clone(), kind: TYPE_PTR, wants_unicast: true };
        let known = Known { name, target, ttl_s: 4500 };
        assert_eq!(query(&bytes), Some(Query { id: 7, questions: vec![question], known: vec![known] }));
        for n in 0..bytes.len() {
            // Cut anywhere it is a question, or nothing.
            let _ = query(&bytes[..n]);
        }
    }

    #[test]
    fn a_name_that_jumps_forward_or_in_circles_is_no_name() {
        for jump in [12_u8, 13, 14, 200] {
            let bytes = [&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0xc0, jump, 0, 12, 0, 1]].concat();
            assert_eq!(query(&bytes), None);
        }
    }

    #[test]
    fn a_response_is_no_question() {
        let name = name_of("a.local");
        let record = Record { name, ttl_s: 120, data: Data::A(Ipv4Addr::new(10, 0, 0, 7)) };
        let bytes = response(0, &[], &[record], &[]);
        assert_eq!(query(&bytes), None);
        assert!(bytes.ends_with(&[
            1, 0x61, 5, 0x6c, 0x6f, 0x63, 0x61, 0x6c, 0, 0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 10, 0, 0, 7
        ]));
    }
}
