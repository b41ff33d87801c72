//! `tidegate bench` against `tidegate run`: what it says is what has happened.
#![cfg(feature = "daemon")]

#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;

use cli_support::{Daemon, run};
use serde_json::Value;

/// One line of JSON, of a run that went well.
fn bench(daemon: &Daemon, arguments: &[&str]) -> Value {
    let port = daemon.port.to_string();
    let all: Vec<&str> =
        ["bench"].iter().chain(arguments).copied().chain(["-p", &port, "--json", "-"]).collect();
    let outcome = run(&all);
    assert_eq!(outcome.code, 0, "{arguments:?}: {}{}", outcome.out, outcome.err);
    serde_json::from_str(&outcome.out).unwrap_or_else(|error| panic!("{error}: {}", outcome.out))
}

const SHORT: [&str; 4] = ["--seconds", "0.3", "--warm-up", "0"];

fn with_short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.iter().copied().chain(SHORT).collect()
}

#[test]
fn bench_counts_what_flows_and_nothing_is_lost() {
    let daemon = Daemon::start(&[]);
    for arguments in [
        &["pairs", "--publishers", "3", "-q", "1"][..],
        &["subscribe", "--publishers", "2", "--subscribers", "5", "-q", "2", "-V", "mqttv5"],
        &["shared", "--subscribers", "3", "-q", "1", "-V", "mqttv5", "--threads", "2"],
    ] {
        let report = bench(&daemon, &with_short(arguments));
        let copies = if arguments[0] == "subscribe" { 5 } else { 1 };
        let sent = report["sent"].as_u64().unwrap();
        assert!(sent > 0, "{report}");
        assert_eq!(report["received"], sent * copies, "{report}");
        assert_eq!(report["acknowledge_us"]["count"], sent, "{report}");
        assert_eq!(report["deliver_us"]["count"], sent * copies, "{report}");
        for none in ["failed", "lost", "doubled", "refused_clients"] {
            assert_eq!(report[none], 0, "{report}");
        }
    }
}

#[test]
fn bench_sends_at_the_rate_that_was_asked_for() {
    let daemon = Daemon::start(&[]);
    let arguments =
        ["publish", "--publishers", "2", "--rate", "50", "--seconds", "1", "--warm-up", "0", "-q", "1"];
    let report = bench(&daemon, &arguments);
    // Each of two publishers is due 50 times; a broker that is late makes none fewer.
    assert_eq!(report["sent"], 100, "{report}");
}

#[test]
fn bench_connects_clients_and_queues_for_sessions_that_are_away() {
    let daemon = Daemon::start(&[]);
    let report = bench(&daemon, &with_short(&["connect", "--clients", "50"]));
    assert_eq!((&report["clients"], &report["connect_us"]["count"]), (&50.into(), &50.into()), "{report}");
    let report =
        bench(&daemon, &["offline", "--subscribers", "20", "--messages", "7", "-q", "1", "-V", "mqttv5"]);
    assert_eq!((&report["sent"], &report["received"]), (&140.into(), &140.into()), "{report}");
    assert!(report["draining_seconds"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn bench_without_a_broker_ends_with_69_and_says_why() {
    let outcome = run(&["bench", "pairs", "-p", "1", "--seconds", "60"]);
    assert_eq!(outcome.code, 69, "{}", outcome.err);
    assert!(outcome.err.contains("20 clients could not connect"), "{}", outcome.err);
}
