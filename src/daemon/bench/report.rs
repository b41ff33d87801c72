//! What was measured, as a table and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::Scenario;
use super::plan::Plan;
use super::tally::{Tally, Times};
use crate::packet::{ProtocolVersion, QoS};

/// Microseconds.
#[derive(Serialize)]
struct Percentiles {
    count: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Percentiles {
    fn of(times: &Times) -> Option<Percentiles> {
        (times.count() > 0).then(|| Percentiles {
            count: times.count(),
            p50: times.at(0.5),
            p90: times.at(0.9),
            p99: times.at(0.99),
            p999: times.at(0.999),
            max: times.max(),
        })
    }
}

/// One line of JSON. Times are in microseconds where the name says so, else in seconds.
#[derive(Serialize)]
pub(super) struct Report {
    scenario: &'static str,
    server: String,
    protocol: &'static str,
    clients: u64,
    publishers: u32,
    subscribers: u32,
    qos: u8,
    payload_bytes: usize,
    window: u32,
    rate_per_publisher: Option<f64>,
    threads: u32,
    refused_clients: u64,
    connecting_seconds: f64,
    connect_us: Option<Percentiles>,
    /// That are counted.
    seconds: f64,
    sent: u64,
    sent_per_second: f64,
    received: u64,
    received_per_second: f64,
    acknowledge_us: Option<Percentiles>,
    deliver_us: Option<Percentiles>,
    failed: u64,
    lost: u64,
    doubled: u64,
    queueing_seconds: Option<f64>,
    draining_seconds: Option<f64>,
}

impl Report {
    pub(super) fn new(plan: &Plan, tally: &Tally) -> Report {
        let offline = plan.scenario == Scenario::Offline;
        let (sending, receiving) =
            if offline { (tally.queueing, tally.draining) } else { (plan.seconds, plan.seconds) };
        Report {
            scenario: name(plan.scenario),
            server: plan.server(),
            protocol: match plan.version() {
                ProtocolVersion::V311 => "3.1.1",
                ProtocolVersion::V5 => "5.0",
            },
            clients: tally.connected,
            publishers: plan.publishers,
            subscribers: plan.subscribers,
            qos: u8::from(plan.qos),
            payload_bytes: plan.size,
            window: plan.window,
            rate_per_publisher: plan.rate,
            threads: plan.threads,
            refused_clients: tally.refused,
            connecting_seconds: tally.connecting.as_secs_f64(),
            connect_us: Percentiles::of(&tally.connect),
            seconds: sending.as_secs_f64(),
            sent: tally.sent_counted,
            sent_per_second: per_second(tally.sent_counted, sending),
            received: tally.received_counted,
            received_per_second: per_second(tally.received_counted, receiving),
            acknowledge_us: Percentiles::of(&tally.acknowledge),
            deliver_us: Percentiles::of(&tally.deliver),
            failed: tally.failed,
            lost: tally.lost(),
            doubled: tally.doubled,
            queueing_seconds: offline.then_some(tally.queueing.as_secs_f64()),
            draining_seconds: offline.then_some(tally.draining.as_secs_f64()),
        }
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |what: &str, figure: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{what:<22}{figure}");
        };
        let connects = per_second(self.clients, Duration::from_secs_f64(self.connecting_seconds));
        row("clients", format!("{} in {:.2} s, {connects:.0} per s", self.clients, self.connecting_seconds));
        if self.refused_clients > 0 {
            row("could not connect", self.refused_clients.to_string());
        }
        if self.sent > 0 {
            row("sent", format!("{} in {:.2} s, {:.0} per s", self.sent, self.seconds, self.sent_per_second));
        }
        if self.subscribers > 0 {
            let draining = self.draining_seconds.unwrap_or(self.seconds);
            let figure =
                format!("{} in {draining:.2} s, {:.0} per s", self.received, self.received_per_second);
            row("received", figure);
        }
        row("failed", self.failed.to_string());
        row("lost", self.lost.to_string());
        row("doubled", self.doubled.to_string());
        let times = [
            ("connect", &self.connect_us),
            ("acknowledge", &self.acknowledge_us),
            ("deliver", &self.deliver_us),
        ];
        let _ = writeln!(
            text,
            "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "microseconds", "p50", "p90", "p99", "p99.9", "most"
        );
        for (what, percentiles) in times {
            let Some(it) = percentiles else { continue };
            let Percentiles { p50, p90, p99, p999, max, .. } = it;
            let _ = writeln!(text, "{what:<14}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}");
        }
        text.trim_end().to_owned()
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

fn name(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Connect => "connect",
        Scenario::Publish => "publish",
        Scenario::Subscribe => "subscribe",
        Scenario::Pairs => "pairs",
        Scenario::Shared => "shared",
        Scenario::Offline => "offline",
    }
}

/// A line before it begins.
pub(super) fn intention(plan: &Plan) -> String {
    let server = plan.server();
    let (publishers, subscribers) = (plan.publishers, plan.subscribers);
    let what = match plan.scenario {
        Scenario::Connect => format!("{} clients connect", plan.clients),
        Scenario::Publish => format!("{publishers} clients publish"),
        Scenario::Subscribe => format!("{publishers} clients publish to {subscribers}, each to all"),
        Scenario::Pairs => format!("{publishers} clients publish to one each"),
        Scenario::Shared => format!("{publishers} clients publish to {subscribers} that share them"),
        Scenario::Offline => {
            format!("{} messages each for {subscribers} sessions that are away", plan.messages)
        }
    };
    let qos = match plan.qos {
        QoS::AtMostOnce => "QoS 0",
        QoS::AtLeastOnce => "QoS 1",
        QoS::ExactlyOnce => "QoS 2",
    };
    format!("{server}: {what}; {qos}, {} bytes, {} threads", plan.size, plan.threads)
}
