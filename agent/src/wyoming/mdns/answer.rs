//! What a node answers to those who look for voices: four records, and to whom.

use super::packet::{
    self, Data, Name, Query, Question, Record, TYPE_A, TYPE_ANY, TYPE_PTR, TYPE_SRV, TYPE_TXT,
};
use std::net::Ipv4Addr;

pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub const PORT: u16 = 5353;
/// RFC 6762, section 10: what names a host lives for two minutes, the rest for 75.
const HOST_TTL_S: u32 = 120;
const OTHER_TTL_S: u32 = 4500;
/// What the old kind of questioner may keep (section 6.7).
const OLD_TTL_S: u32 = 10;
/// Addresses that are told.
const ADDRESSES_MAX: usize = 4;

/// What is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub node: String,
    pub port: u16,
    pub addresses: Vec<Ipv4Addr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Group,
    Asker,
}

impl Service {
    fn kind() -> Name {
        ["_wyoming", "_tcp", "local"].map(String::from).into()
    }

    fn instance(&self) -> Name {
        [vec![self.node.to_ascii_lowercase()], Service::kind()].concat()
    }

    fn host(&self) -> Name {
        vec![self.node.to_ascii_lowercase(), "local".into()]
    }

    fn pointer(&self) -> Record {
        Record { name: Service::kind(), ttl_s: OTHER_TTL_S, data: Data::Ptr(self.instance()) }
    }

    /// That there is this kind of service at all (RFC 6763, section 9).
    fn listing() -> Record {
        let name = ["_services", "_dns-sd", "_udp", "local"].map(String::from).into();
        Record { name, ttl_s: OTHER_TTL_S, data: Data::Ptr(Service::kind()) }
    }

    fn place(&self) -> Record {
        let data = Data::Srv { port: self.port, host: self.host() };
        Record { name: self.instance(), ttl_s: HOST_TTL_S, data }
    }

    fn text(&self) -> Record {
        Record { name: self.instance(), ttl_s: OTHER_TTL_S, data: Data::Txt(vec![]) }
    }

    fn addresses(&self) -> Vec<Record> {
        let record =
            |address: &Ipv4Addr| Record { name: self.host(), ttl_s: HOST_TTL_S, data: Data::A(*address) };
        self.addresses.iter().take(ADDRESSES_MAX).map(record).collect()
    }

    fn all(&self) -> Vec<Record> {
        [vec![self.pointer(), self.place(), self.text()], self.addresses()].concat()
    }
}

pub fn announcement(service: &Service) -> Vec<u8> {
    packet::response(0, &[], &service.all(), &[])
}

/// Nobody is here any more.
pub fn farewell(service: &Service) -> Vec<u8> {
    let gone: Vec<Record> = service.all().into_iter().map(|record| Record { ttl_s: 0, ..record }).collect();
    packet::response(0, &[], &gone, &[])
}

/// What to say to these bytes, and to whom; mostly nothing.
pub fn answer(service: &Service, bytes: &[u8], from_port: u16) -> Option<(To, Vec<u8>)> {
    let Query { id, questions, known } = packet::query(bytes)?;
    let is_old = from_port != PORT;
    let mut answers: Vec<Record> = vec![];
    let mut asked: Vec<Question> = vec![];
    for question in questions {
        let all = [service.all(), vec![Service::listing()]].concat();
        let fitting = all.into_iter().filter(|record| fits(&question, record));
        // Who knows it already, and for long enough, is not told again.
        let is_known = |record: &Record| {
            let same = |known: &&packet::Known| {
                known.name == record.name && record.data == Data::Ptr(known.target.clone())
            };
            known.iter().find(same).is_some_and(|known| known.ttl_s >= record.ttl_s / 2)
        };
        let news: Vec<Record> =
            fitting.filter(|record| !is_known(record) && !answers.contains(record)).collect();
        if !news.is_empty() {
            answers.extend(news);
            asked.push(question);
        }
    }
    if answers.is_empty() {
        return None;
    }
    let mut additional: Vec<Record> = vec![];
    if answers.iter().any(|record| matches!(record.data, Data::Ptr(_) | Data::Srv { .. })) {
        let rest = service.all().into_iter().filter(|record| !matches!(record.data, Data::Ptr(_)));
        additional.extend(rest.filter(|record| !answers.contains(record)));
    }
    if is_old {
        for record in answers.iter_mut().chain(&mut additional) {
            record.ttl_s = record.ttl_s.min(OLD_TTL_S);
        }
        return Some((To::Asker, packet::response(id, &asked, &answers, &additional)));
    }
    let to = if asked.iter().all(|question| question.wants_unicast) { To::Asker } else { To::Group };
    Some((to, packet::response(0, &[], &answers, &additional)))
}

fn fits(question: &Question, record: &Record) -> bool {
    let kind = match record.data {
        Data::Ptr(_) => TYPE_PTR,
        Data::Srv { .. } => TYPE_SRV,
        Data::Txt(_) => TYPE_TXT,
        Data::A(_) => TYPE_A,
    };
    question.name == record.name && (question.kind == kind || question.kind == TYPE_ANY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service { node: "Kitchen".into(), port: 10300, addresses: vec![Ipv4Addr::new(10, 0, 0, 7)] }
    }

    /// A question for `name`, with what is known of it.
    fn question(name: &str, kind: u16, unicast: bool, known_ttl_s: Option<u32>) -> Vec<u8> {
        let mut bytes = vec![0, 9, 0, 0, 0, 1, 0, known_ttl_s.is_some() as u8, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(if unicast { [0x80, 1] } else { [0, 1] });
        if let Some(ttl_s) = known_ttl_s {
            bytes.extend([0xc0, 12, 0, 12, 0, 1]);
            bytes.extend(ttl_s.to_be_bytes());
            bytes.extend([0, 10, 7]);
            bytes.extend(b"kitchen");
            bytes.extend([0xc0, 12]);
        }
        bytes
    }

    /// To whom the answer goes, and how many answers and other records it has.
    fn check(bytes: &[u8], from_port: u16, want: Option<(To, u8, u8)>) {
        let got = answer(&service(), bytes, from_port);
        assert_eq!(got.map(|(to, bytes)| (to, bytes[7], bytes[11])), want);
    }

    #[test]
    fn who_looks_for_voices_is_told_all_of_it_at_once() {
        let voices = "_wyoming._tcp.local";
        check(&question(voices, TYPE_PTR, false, None), PORT, Some((To::Group, 1, 3)));
        check(&question(voices, TYPE_PTR, true, None), PORT, Some((To::Asker, 1, 3)));
        check(
            &question("_services._dns-sd._udp.local", TYPE_PTR, false, None),
            PORT,
            Some((To::Group, 1, 3)),
        );
        check(&question("kitchen._wyoming._tcp.local", TYPE_ANY, false, None), PORT, Some((To::Group, 2, 1)));
        check(&question("KITCHEN.local", TYPE_A, false, None), PORT, Some((To::Group, 1, 0)));
    }

    #[test]
    fn who_knows_it_for_long_is_not_told_again() {
        let known = |ttl_s| question("_wyoming._tcp.local", TYPE_PTR, false, Some(ttl_s));
        check(&known(4000), PORT, None);
        check(&known(1000), PORT, Some((To::Group, 1, 3)));
    }

    #[test]
    fn an_old_questioner_gets_its_question_back_and_short_lives() {
        let bytes = question("_wyoming._tcp.local", TYPE_PTR, false, None);
        let (to, reply) = answer(&service(), &bytes, 40_000).unwrap();
        assert_eq!((to, &reply[..6]), (To::Asker, &[0, 9, 0x84, 0, 0, 1][..]));
        assert!(!reply.windows(4).any(|word| word == OTHER_TTL_S.to_be_bytes()));
    }

    #[test]
    fn questions_for_others_are_not_answered() {
        check(&question("_http._tcp.local", TYPE_PTR, false, None), PORT, None);
        check(&question("bedroom.local", TYPE_A, false, None), PORT, None);
        check(&announcement(&service()), PORT, None);
        check(&[0; 3], PORT, None);
    }
}
