//! The desk with tools of the test's own: good ones, slow ones, and such that must not run.

use super::calculator::Calculator;
use super::desk::{Desk, Job};
use super::*;
use crate::talk::parts::Stop;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex};
use tokio::sync::oneshot;
use tools::policy::Rule;
use tools::{Asker, Origin, Outcome, Pending, Policy, Wanted};

type Body = Box<dyn Fn(&Call, &Limits<'_>) -> Result<String, String> + Send + Sync>;

struct Own(Spec, Body);

impl Tool for Own {
    fn spec(&self) -> Spec {
        self.0.clone()
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        (self.1)(call, limits)
    }
}

fn own(
    spec: Spec,
    body: impl Fn(&Call, &Limits<'_>) -> Result<String, String> + Send + Sync + 'static,
) -> Arc<dyn Tool> {
    Arc::new(Own(spec, Box::new(body)))
}

fn desk(tools: Vec<Arc<dyn Tool>>) -> Arc<Desk> {
    let desk = Desk::open(None);
    tools.into_iter().for_each(|tool| desk.add(tool).unwrap());
    desk.open_with(Policy::default());
    Arc::new(desk)
}

fn job(call: &str) -> Job {
    let asker = Asker { origin: Origin::Model, who: "a test".into(), talk: Some(3) };
    Job { wanted: Wanted::read(call).unwrap(), asker, stop: Stop::default(), asks: Box::new(|_| {}) }
}

/// A job, and what a person is shown of it.
fn asking(call: &str) -> (Job, oneshot::Receiver<Pending>) {
    let (sender, asked) = oneshot::channel();
    let asks = move |pending: &Pending| _ = sender.send(pending.clone());
    (Job { asks: Box::new(asks), ..job(call) }, asked)
}

fn outcomes(desk: &Desk) -> Vec<Outcome> {
    desk.audit(100).iter().map(|record| record.outcome).collect()
}

fn danger() -> Arc<dyn Tool> {
    let spec =
        Spec::new("danger", "Deletes.").field(Field::text("what", "what to delete", 50_000).optional());
    own(spec.ask(), |call, _| Ok(format!("deleted {}", call.text("what").unwrap_or("all"))))
}

#[tokio::test]
async fn a_free_tool_runs_and_both_ends_of_its_call_are_in_the_book() {
    let desk = desk(vec![Arc::new(Calculator)]);
    let told = desk.call(job(r#"{"tool":"calculator","arguments":{"sum":"0.1+0.2"}}"#)).await;
    assert_eq!(told.as_deref(), Ok("0.1+0.2 = 0.3"));
    assert_eq!(outcomes(&desk), [Outcome::Began, Outcome::Done]);
    assert_eq!(desk.audit(1)[0].arguments, r#"{"sum":"0.1+0.2"}"#);
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_with_a_reason_and_in_the_book() {
    let desk = desk(vec![Arc::new(Calculator), danger()]);
    let rule = Rule { line: 1, tool: "danger".into(), risk: "forbidden".into() };
    desk.open_with(Policy::new(&[rule], &["danger"], &[]).unwrap());
    let why = async |call: &str| desk.call(job(call)).await.unwrap_err();
    assert_eq!(why(r#"{"tool":"launch"}"#).await, "there is no tool \"launch\"");
    assert!(why(r#"{"tool":"calculator"}"#).await.starts_with("calculator: `sum` is missing"));
    assert_eq!(why(r#"{"tool":"danger"}"#).await, "danger is forbidden on this node");
    assert_eq!(outcomes(&desk), [Outcome::Refused; 3]);
    // Before the owner's word was read nothing is allowed.
    let closed = Desk::open(None);
    closed.add(Arc::new(Calculator)).unwrap();
    let call = r#"{"tool":"calculator","arguments":{"sum":"1"}}"#;
    assert_eq!(closed.call(job(call)).await.unwrap_err(), "calculator is forbidden on this node");
}

#[tokio::test]
async fn a_risky_call_runs_only_after_a_yes_to_exactly_it() {
    let desk = desk(vec![danger()]);
    for is_yes in [true, false] {
        let (job, asked) = asking(r#"{"tool":"danger","arguments":{"what":"x"}}"#);
        let person = async {
            let pending = asked.await.unwrap();
            assert_eq!(pending.will_run, r#"danger {"what":"x"}"#);
            assert_eq!(desk.pending().len(), 1);
            assert!(desk.is_pending(pending.id));
            desk.answer(pending.id, is_yes, "the page").unwrap();
            assert!(desk.answer(pending.id, true, "the page").is_err(), "a second answer counted");
        };
        let (told, ()) = tokio::join!(desk.call(job), person);
        match is_yes {
            true => assert_eq!(told.as_deref(), Ok("deleted x")),
            false => assert_eq!(told.unwrap_err(), "danger did not run: a person said no"),
        }
    }
    use Outcome::{Asked, Began, Denied, Done};
    assert_eq!(outcomes(&desk), [Asked, Began, Done, Asked, Denied]);
    assert_eq!(desk.audit(100)[2].by.as_deref(), Some("the page"));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_no_more() {
    let desk = desk(vec![danger()]);
    let (job, asked) = asking(r#"{"tool":"danger"}"#);
    let stop = job.stop.clone();
    let person = async {
        let pending = asked.await.unwrap();
        stop.stop();
        pending.id
    };
    let (told, id) = tokio::join!(desk.call(job), person);
    assert!(told.is_err() && desk.pending().is_empty() && desk.answer(id, true, "late").is_err());
    assert_eq!(outcomes(&desk), [Outcome::Asked, Outcome::Stopped]);
}

#[tokio::test]
async fn what_no_person_can_read_is_not_asked_for() {
    let desk = desk(vec![danger()]);
    let call = format!(r#"{{"tool":"danger","arguments":{{"what":"{}"}}}}"#, "x".repeat(20_000));
    let why = desk.call(job(&call)).await.unwrap_err();
    assert!(why.contains("a person must see all of it"), "{why}");
}

#[tokio::test]
async fn a_tool_that_passes_over_its_time_is_not_waited_for_and_keeps_its_place() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let its_gate = gate.clone();
    let n_told = Arc::new(AtomicUsize::new(0));
    let its_n_told = n_told.clone();
    let stuck = own(Spec::new("stuck", "Never ends.").seconds(1), move |_, limits| {
        let mut is_open = its_gate.0.lock().unwrap();
        while !*is_open {
            is_open = its_gate.1.wait(is_open).unwrap();
        }
        its_n_told.fetch_add(limits.is_over().into(), Ordering::Relaxed);
        Ok("at last".into())
    });
    let desk = desk(vec![stuck, Arc::new(Calculator)]);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let desk = desk.clone();
            tokio::spawn(async move { desk.call(job(r#"{"tool":"stuck"}"#)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err(), "stuck took longer than 1 seconds");
    }
    let sum = r#"{"tool":"calculator","arguments":{"sum":"1"}}"#;
    assert_eq!(desk.call(job(sum)).await.unwrap_err(), "4 tools run already; try again soon");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    // Their places are given back by threads of their own.
    while desk.call(job(sum)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(n_told.load(Ordering::Relaxed) > 0, "a stop was not told");
}

#[tokio::test]
async fn a_tool_that_breaks_or_says_too_much_harms_nobody() {
    let desk = desk(vec![
        own(Spec::new("broken", "Breaks."), |_, _| panic!("on purpose")),
        own(Spec::new("long", "Says much.").output(10), |_, _| Ok("ä\x1b[2J".repeat(10))),
    ]);
    assert_eq!(desk.call(job(r#"{"tool":"broken"}"#)).await.unwrap_err(), "broken broke");
    let told = desk.call(job(r#"{"tool":"long"}"#)).await.unwrap();
    assert_eq!(told, "ä[2Jä[2J\n[cut here; 40 bytes more]");
    assert!(desk.add(own(Spec::new("No name", "x"), |_, _| Ok(String::new()))).is_err());
}
