//! The same call at another node: two desks, and a real connection between them.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::ToolSettings;
use agent::talk::parts::Stop;
use agent::tools::calculator::Calculator;
use agent::tools::desk::{Brought, Desk, Job, Yes};
use agent::tools::remote::door::{self, Sender};
use agent::tools::remote::rules::Rules;
use agent::tools::remote::{Other, Others, PATH, Placed};
use agent::tools::{Call, Limits, Spec, Tool};
use cluster::Tier;
use service::door::{Limits as DoorLimits, Reply};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tools::{Asker, Origin, Policy, Wanted};

/// A tool that says where it ran.
struct Where {
    place: &'static str,
    n_runs: Arc<AtomicUsize>,
    is_slow: bool,
}

impl Tool for Where {
    fn spec(&self) -> Spec {
        let spec =
            Spec::new("where", "Says where it ran.").heavy().seconds(if self.is_slow { 2 } else { 60 });
        if self.place == "careful" { spec.ask() } else { spec }
    }

    fn run(&self, _: &Call, limits: &Limits<'_>) -> Result<String, String> {
        self.n_runs.fetch_add(1, Ordering::Relaxed);
        while self.is_slow && !limits.is_over() {
            std::thread::yield_now();
        }
        Ok(self.place.into())
    }
}

#[derive(Default)]
struct Cluster {
    others: Vec<Other>,
    lost: Mutex<Vec<String>>,
}

impl Others for Cluster {
    fn best(&self) -> Vec<Other> {
        self.others.clone()
    }

    fn unreachable(&self, other: &Other) {
        self.lost.lock().unwrap().push(other.name.clone());
    }
}

/// A node with its door, on a thread that ends with the test program.
fn node(place: &'static str, is_slow: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let n_runs = Arc::new(AtomicUsize::new(0));
    let desk = desk(Arc::new(Where { place, n_runs: n_runs.clone(), is_slow }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            service::door::serve_gated(DoorLimits::default(), listener, door::gate, move |ask| {
                let desk = desk.clone();
                async move { Reply::from(door::answer(desk, &ask, &Sender::Node("attic".into())).await) }
            })
            .await;
        });
    });
    (address, n_runs)
}

fn desk(tool: Arc<dyn Tool>) -> Arc<Desk> {
    let desk = Arc::new(Desk::open(None));
    desk.add(Arc::new(Calculator)).unwrap();
    desk.add(tool).unwrap();
    desk.open_with(Policy::default());
    desk
}

fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A small node beside others by name and address: what comes of a call, how often it ran here, and who was lost.
fn call(words: &str, others: &[(&str, SocketAddr)]) -> (Result<String, String>, usize, Vec<String>) {
    let other =
        |(name, address): &(&str, SocketAddr)| Other { name: (*name).into(), address: *address, key: None };
    let cluster = Arc::new(Cluster { others: others.iter().map(other).collect(), ..Cluster::default() });
    let rules = Rules::new(toml::from_str(words).unwrap(), None, Tier::Edge);
    let n_here = Arc::new(AtomicUsize::new(0));
    let here = Arc::new(Where { place: "here", n_runs: n_here.clone(), is_slow: false });
    let placed = Placed { here, rules: Arc::new(move || rules.clone()), others: cluster.clone() };
    let desk = desk(Arc::new(placed));
    let asker = Asker { origin: Origin::Person, who: "a test".into(), talk: None };
    let wanted = Wanted { tool: "where".into(), arguments: serde_json::Map::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told =
        runtime.block_on(desk.call(Job { wanted, asker, stop: Stop::default(), asks: Box::new(|_| {}) }));
    let lost = cluster.lost.lock().unwrap().clone();
    (told, n_here.load(Ordering::Relaxed), lost)
}

#[test]
fn a_small_node_leaves_what_is_heavy_to_another() {
    let (attic, n_there) = node("there", false);
    let (told, n_here, lost) = call("", &[("attic", attic)]);
    assert_eq!((told, n_here, lost), (Ok("there".into()), 0, vec![]));
    assert_eq!(n_there.load(Ordering::Relaxed), 1);
    let (told, n_here, _) = call("mode = 'local'", &[("attic", attic)]);
    assert_eq!((told, n_here), (Ok("here".into()), 1));
}

#[test]
fn the_owners_address_is_asked_instead_of_the_cluster() {
    let (attic, _) = node("there", false);
    let (told, _, _) = call(&format!("url = '{attic}'"), &[("cellar", nowhere())]);
    assert_eq!(told, Ok("there".into()));
}

#[test]
fn a_node_that_cannot_be_reached_is_passed_over() {
    let (attic, _) = node("there", false);
    let (told, n_here, lost) = call("", &[("cellar", nowhere()), ("attic", attic)]);
    assert_eq!((told, n_here, lost), (Ok("there".into()), 0, vec!["cellar".into()]));
    let (told, n_here, _) = call("", &[("cellar", nowhere())]);
    assert_eq!((told, n_here), (Ok("here".into()), 1), "nothing had begun anywhere");
    let (told, n_here, _) = call("never_here = true", &[]);
    assert_eq!((told, n_here), (Err("no other node that runs where for this one can be reached".into()), 0));
}

#[test]
fn what_may_have_begun_there_is_not_done_again() {
    let (slow, n_there) = node("slow", true);
    let cluster = Arc::new(Cluster::default());
    let other = Other { name: "slow".into(), address: slow, key: None };
    let mut rules = Rules::new(ToolSettings::default(), None, Tier::Edge);
    rules.url = Some(other);
    let n_here = Arc::new(AtomicUsize::new(0));
    let here = Arc::new(Where { place: "here", n_runs: n_here.clone(), is_slow: false });
    let placed = Placed { here: here.clone(), rules: Arc::new(move || rules.clone()), others: cluster };
    let asker = Asker { origin: Origin::Person, who: "a test".into(), talk: None };
    let call = Call { tool: "where".into(), arguments: Default::default(), asker, yes: None, stays: false };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let deadline = std::time::Instant::now() + Duration::from_millis(700);
    let told = placed.run(&call, &Limits { deadline, output_max: 100, stop: &stop });
    assert!(told.unwrap_err().contains("may have done it"));
    assert_eq!((n_there.load(Ordering::Relaxed), n_here.load(Ordering::Relaxed)), (1, 0));
}

#[test]
fn the_other_nodes_own_policy_holds_there() {
    let (careful, n_there) = node("careful", false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // It waits for its own person, and whoever asked hangs up.
    let asking = runtime.block_on(async {
        let body = bytes::Bytes::from_static(br#"{"tool":"where","arguments":{}}"#);
        let ask = service::upstream::Ask { address: careful, path: PATH, fields: &[], body: Some(body) };
        service::upstream::ask(ask, Duration::from_millis(500)).await.err()
    });
    assert_eq!(asking, Some(service::upstream::UpstreamError::Late));
    assert_eq!(n_there.load(Ordering::Relaxed), 0);
}

#[test]
fn the_door_takes_calls_of_known_tools_from_programs_alone() {
    let (attic, n_there) = node("there", false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = |body: &'static [u8], fields: &'static [(&'static str, &'static str)]| {
        runtime.block_on(async {
            let body = Some(bytes::Bytes::from_static(body));
            let ask = service::upstream::Ask { address: attic, path: PATH, fields, body };
            service::upstream::ask(ask, Duration::from_secs(60)).await.unwrap().status
        })
    };
    assert_eq!(status(br#"{"tool":"none.such","arguments":{}}"#, &[]), 404);
    assert_eq!(status(b"[]", &[]), 400);
    assert_eq!(status(br#"{"tool":"where","arguments":{}}"#, &[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(n_there.load(Ordering::Relaxed), 0);
    assert_eq!(status(br#"{"tool":"where","arguments":{}}"#, &[]), 200);
}

/// What the careful node answers to a letter with this yes, with its status.
fn with_yes(careful: SocketAddr, yes: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let body = format!(r#"{{"tool":"where","arguments":{{}},"yes":{yes}}}"#).into_bytes();
        let ask =
            service::upstream::Ask { address: careful, path: PATH, fields: &[], body: Some(body.into()) };
        // Who waits for its own person does not answer so soon.
        let answer = service::upstream::ask(ask, Duration::from_secs(2)).await.ok()?;
        let body = answer.whole(1 << 16, Duration::from_secs(60)).await.unwrap();
        Some(String::from_utf8_lossy(&body).into_owned())
    })
}

#[test]
fn a_persons_yes_travels_with_what_was_shown_and_counts_for_nothing_else() {
    let (careful, n_there) = node("careful", false);
    assert_eq!(with_yes(careful, r#"{"by":"Ann","will_run":"where {\"x\":1}"}"#), None);
    assert_eq!(n_there.load(Ordering::Relaxed), 0);
    let told = with_yes(careful, r#"{"by":"Ann","will_run":"where {}"}"#);
    assert_eq!((told.as_deref(), n_there.load(Ordering::Relaxed)), (Some(r#"{"ok":"careful"}"#), 1));
}

#[test]
fn what_the_other_node_forbids_stays_forbidden_whoever_said_yes() {
    let n_runs = Arc::new(AtomicUsize::new(0));
    let desk = desk(Arc::new(Where { place: "careful", n_runs: n_runs.clone(), is_slow: false }));
    let rule = tools::policy::Rule { line: 1, tool: "where".into(), risk: "forbidden".into() };
    desk.open_with(Policy::new(&[rule], &["where"], &[]).unwrap());
    let wanted = Wanted { tool: "where".into(), arguments: serde_json::Map::new() };
    let asker = Asker { origin: Origin::Model, who: "the node attic".into(), talk: None };
    let job = Job { wanted, asker, stop: Stop::default(), asks: Box::new(|_| {}) };
    let yes = Some(Yes { by: "Ann".into(), will_run: "where {}".into() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(desk.call_with(job, Brought { yes, stays: true }));
    assert_eq!(told, Err("where is forbidden on this node".into()));
    assert_eq!(n_runs.load(Ordering::Relaxed), 0);
}

#[test]
fn nodes_that_send_each_call_on_do_not_send_it_round() {
    let (attic, n_there) = node("there", false);
    let other = Other { name: "attic".into(), address: attic, key: None };
    let cluster = Arc::new(Cluster { others: vec![other], ..Cluster::default() });
    let rules = Rules::new(toml::from_str("mode = 'remote'").unwrap(), None, Tier::Mid);
    let n_here = Arc::new(AtomicUsize::new(0));
    let here = Arc::new(Where { place: "here", n_runs: n_here.clone(), is_slow: false });
    let desk = desk(Arc::new(Placed { here, rules: Arc::new(move || rules.clone()), others: cluster }));
    let wanted = Wanted { tool: "where".into(), arguments: serde_json::Map::new() };
    let asker = Asker { origin: Origin::Model, who: "the node cellar".into(), talk: None };
    let job = Job { wanted, asker, stop: Stop::default(), asks: Box::new(|_| {}) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(desk.call_with(job, Brought { yes: None, stays: true }));
    assert_eq!(
        (told, n_here.load(Ordering::Relaxed), n_there.load(Ordering::Relaxed)),
        (Ok("here".into()), 1, 0)
    );
}
