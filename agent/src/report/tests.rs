//! A day in the life of the reporter: a script of inputs, and the story that comes out.

use super::*;

/// Runs the script against a node and servers that answer as told, for `seconds`, and writes down what was done.
fn story(n_servers: usize, seconds: u64, world: impl Fn(Duration, &Output) -> Input) -> Vec<String> {
    let mut reporter = Reporter::new(n_servers);
    let mut told = vec![];
    let mut now = Duration::ZERO;
    reporter.handle(now, Input::Woken);
    while now <= Duration::from_secs(seconds) {
        while let Some(wish) = reporter.poll() {
            let line = line(now, &wish);
            if matches!(wish, Output::Announce(_)) {
                told.extend(line);
                continue;
            }
            told.extend(line);
            reporter.handle(now, world(now, &wish));
        }
        now = reporter.deadline().expect("a reporter always has something to wait for").max(now);
        reporter.handle(now, Input::Woken);
    }
    told
}

fn line(now: Duration, wish: &Output) -> Option<String> {
    let at = now.as_millis();
    match wish {
        Output::Announce(n) => Some(format!("{at} says {}", n.stage.as_str())),
        Output::Post { server_idx, notice: n } => {
            Some(format!("{at} tells {server_idx} {}", n.stage.as_str()))
        }
        _ => None,
    }
}

fn judged(state: HealthState, sentence: &str) -> Input {
    Input::Judged { health: Health { state, sentence: sentence.into() }, clock: 9 }
}

/// Multi-user after 1 s, healthy after 4 s.
fn good_node(now: Duration, wish: &Output, server_takes: bool) -> Input {
    match wish {
        Output::LookForBoot => Input::Reached((now >= Duration::from_secs(1)).then_some(7)),
        Output::LookForHealth if now < Duration::from_secs(4) => judged(HealthState::Starting, "no address"),
        Output::LookForHealth => judged(HealthState::Healthy, "well"),
        _ => Input::Posted(server_takes),
    }
}

#[test]
fn a_good_boot_is_told_in_two_reports() {
    let got = story(1, 300, |now, wish| good_node(now, wish, true));
    assert_eq!(got, ["1000 says booted", "1000 tells 0 booted", "5000 says healthy", "5000 tells 0 healthy"]);
}

#[test]
fn a_node_without_boot_servers_still_announces_its_stages() {
    let got = story(0, 300, |now, wish| good_node(now, wish, true));
    assert_eq!(got, ["1000 says booted", "5000 says healthy"]);
}

#[test]
fn every_server_is_tried_before_a_pause_and_pauses_double() {
    let got = story(2, 4, |now, wish| good_node(now, wish, false));
    let want = ["1000 says booted", "1000 tells 0 booted", "1000 tells 1 booted", "1500 tells 0 booted"];
    assert_eq!(got[..4], want);
    assert_eq!(got[4..], ["1500 tells 1 booted", "2500 tells 0 booted", "2500 tells 1 booted"]);
}

#[test]
fn pauses_do_not_grow_beyond_their_limit() {
    let got = story(1, 1000, |now, wish| good_node(now, wish, false));
    let times: Vec<u64> = got
        .iter()
        .filter(|l| l.contains("tells"))
        .filter_map(|l| l.split(' ').next()?.parse().ok())
        .collect();
    let longest = times.windows(2).map(|w| w[1] - w[0]).max();
    assert_eq!(longest, Some(PAUSE_MAX.as_millis() as u64));
}

#[test]
fn what_waited_is_told_when_a_server_comes_back() {
    let down = |now: Duration, wish: &Output| good_node(now, wish, now >= Duration::from_secs(8));
    let got = story(1, 60, down);
    assert_eq!(
        got.iter().find(|l| l.contains("tells 0 healthy")).map(String::as_str),
        Some("8500 tells 0 healthy")
    );
    assert_eq!(got.iter().rfind(|l| l.ends_with("booted")).map(String::as_str), Some("8500 tells 0 booted"));
}

#[test]
fn news_that_nobody_takes_gives_way_to_newer_news() {
    let got = story(1, 200, |now, wish| good_node(now, wish, false));
    let last_booted = got.iter().rposition(|l| l.ends_with("tells 0 booted"));
    let first_healthy = got.iter().position(|l| l.ends_with("tells 0 healthy"));
    assert!(last_booted < first_healthy && first_healthy.is_some(), "{got:?}");
}

#[test]
fn each_server_in_turn_hears_the_stages_in_their_order() {
    let got = story(2, 60, |_, wish| match wish {
        Output::LookForBoot => Input::Reached(Some(7)),
        Output::LookForHealth => judged(HealthState::Healthy, "well"),
        Output::Post { server_idx, .. } => Input::Posted(*server_idx == 1),
        Output::Announce(_) => Input::Woken,
    });
    let told: Vec<&str> = got.iter().filter_map(|l| l.split_once(" tells ")).map(|(_, what)| what).collect();
    assert_eq!(told, ["0 booted", "1 booted", "0 healthy", "1 healthy"]);
}

#[test]
fn a_failed_unit_is_told_at_once_and_its_recovery_too() {
    let got = story(1, 20, |now, wish| match wish {
        Output::LookForBoot => Input::Reached(Some(7)),
        Output::LookForHealth if now < Duration::from_secs(9) => {
            judged(HealthState::Failed, "rpc-worker.service failed")
        }
        Output::LookForHealth => judged(HealthState::Healthy, "well"),
        _ => Input::Posted(true),
    });
    assert!(got.contains(&"0 tells 0 failed".to_string()), "{got:?}");
    assert_eq!(got.iter().filter(|l| l.ends_with("failed")).count(), 2, "said once and told once: {got:?}");
    assert_eq!(got.last().map(String::as_str), Some("10000 tells 0 healthy"));
}

#[test]
fn a_node_that_never_gets_well_fails_after_the_longest_wait() {
    let got = story(1, 300, |_, wish| match wish {
        Output::LookForBoot => Input::Reached(Some(7)),
        Output::LookForHealth => judged(HealthState::Starting, "no address"),
        _ => Input::Posted(true),
    });
    assert_eq!(got.last().map(String::as_str), Some("180000 tells 0 failed"));
}

#[test]
fn a_node_that_never_reaches_multi_user_says_nothing() {
    let got = story(1, 100, |_, wish| match wish {
        Output::LookForBoot => Input::Reached(None),
        _ => Input::Posted(true),
    });
    assert_eq!(got, [] as [&str; 0]);
}
