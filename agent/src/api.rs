//! All paths of a node, in one table: the router refuses by it what there is not, and the document that says how each is
//! asked (`api/openapi.json`, OpenAPI 3.1) names neither more nor less.

use service::door::Answer;

/// The document for programs.
pub const DOCUMENT: &str = include_str!("api/openapi.json");
pub const DOCUMENT_PATH: &str = "/api/openapi.json";

/// What a path is asked with. HEAD is GET without the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    Get,
    Post,
    Both,
}

use Methods::{Both, Get, Post};

/// A part in braces is any one part.
pub const ROUTES: [(&str, Methods); 52] = [
    ("/", Get),
    ("/api/approvals", Both),
    ("/api/edit", Post),
    ("/api/events", Get),
    ("/api/keys", Post),
    ("/api/level", Get),
    ("/api/log", Both),
    ("/api/log/journal", Get),
    ("/api/login", Both),
    ("/api/logout", Post),
    ("/api/memory", Both),
    ("/api/memory/forget", Post),
    ("/api/memory/search", Post),
    ("/api/message", Post),
    ("/api/openapi.json", Get),
    ("/api/order", Post),
    ("/api/personas", Get),
    ("/api/personas/{name}", Post),
    ("/api/plan", Get),
    ("/api/plan/{id}", Get),
    ("/api/rpc", Get),
    ("/api/say", Post),
    ("/api/session/end", Post),
    ("/api/session/start", Post),
    ("/api/session/{id}", Get),
    ("/api/session/{id}/audio", Get),
    ("/api/settings", Post),
    ("/api/state/load", Post),
    ("/api/state/save", Get),
    ("/api/status", Get),
    ("/api/status.txt", Get),
    ("/api/talk", Get),
    ("/api/talk/events", Get),
    ("/api/talk/start", Post),
    ("/api/talk/stop", Post),
    ("/api/timers", Get),
    ("/api/timers/cancel", Post),
    ("/api/tools", Get),
    ("/api/tools/audit", Get),
    ("/api/tools/run", Post),
    ("/api/turns", Get),
    ("/api/voice", Both),
    ("/api/workflows", Get),
    ("/api/workflows/{name}", Post),
    ("/healthz", Get),
    ("/metrics", Get),
    ("/v1/chat/completions", Post),
    ("/v1/completions", Post),
    ("/v1/embeddings", Post),
    ("/v1/models", Get),
    ("/v1/models/{id}", Get),
    ("/worklet.js", Get),
];

/// The refusal of what is in no line of the table.
pub fn judge(path: &str, is_posted: bool) -> Result<(), Answer> {
    // A line without braces goes before one with them.
    let plain = ROUTES.iter().find(|(route, _)| *route == path);
    let found = plain.or_else(|| ROUTES.iter().find(|(route, _)| is_like(route, path)));
    match found {
        None => Err(Answer::text(
            404,
            &format!("there is no {path} here; GET {DOCUMENT_PATH} lists all there is\n"),
        )),
        Some((_, Get)) if is_posted => {
            Err(Answer { fields: &[("allow", "GET, HEAD")], ..Answer::text(405, "this is only got\n") })
        }
        Some((_, Post)) if !is_posted => {
            Err(Answer { fields: &[("allow", "POST")], ..Answer::text(405, "this is only posted\n") })
        }
        Some(_) => Ok(()),
    }
}

/// Whether this node has a path at all.
pub fn has(path: &str) -> bool {
    ROUTES.iter().any(|(route, _)| *route == path)
}

pub fn document() -> Answer {
    Answer::json(200, DOCUMENT.into())
}

fn is_like(route: &str, path: &str) -> bool {
    let (mut want, mut got) = (route.split('/'), path.split('/'));
    loop {
        match (want.next(), got.next()) {
            (None, None) => return true,
            (Some(want), Some(got)) if want == got || (want.starts_with('{') && !got.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn check(path: &str, is_posted: bool, want: u16) {
        let got = judge(path, is_posted).map_or_else(|refused| refused.status, |()| 200);
        assert_eq!(got, want, "{path}");
    }

    #[test]
    fn a_path_is_asked_as_its_line_says() {
        check("/", false, 200);
        check("/", true, 405);
        check("/api/session/start", false, 405);
        check("/api/session/abc", false, 200);
        check("/api/session/abc/audio", false, 200);
        check("/api/session//audio", false, 404);
        check("/api/voice", true, 200);
        check("/api/nothing", false, 404);
    }

    #[test]
    fn the_document_names_every_path_of_the_table_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        let documented: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(|method| (path.clone(), method.clone()))
            })
            .collect();
        let routed = ROUTES.iter().flat_map(|(path, methods)| {
            let methods: &[&str] = match methods {
                Get => &["get"],
                Post => &["post"],
                Both => &["get", "post"],
            };
            methods.iter().map(move |method| ((*path).to_owned(), (*method).to_owned()))
        });
        assert_eq!(documented, routed.collect::<BTreeSet<_>>());
    }
}
