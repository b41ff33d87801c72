//! `$SYS`: what the broker says about itself, under the names and in the form that users of Mosquitto know.
//!
//! These messages are the broker's own. Nobody else publishes below `$SYS` (MQTT 5.0, 4.7.2), the hooks that
//! change or refuse what is published are not asked about them, and they are kept apart from what clients have
//! retained: no limit counts them and no storage gets them. To who subscribes they are messages like others: the
//! authorizer is asked, and so are the hooks before a delivery.
//!
//! They have QoS 0, since the next one makes up for any that is lost: a session without a connection does not
//! collect them.

mod load;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::statistics::Statistics;
use super::{Broker, write};
use crate::message::{ApplicationMessage, Origin};
use crate::topic::TopicName;
use load::{Load, PERIODS};

const VERSION: &str = concat!("tidegate version ", env!("CARGO_PKG_VERSION"));

/// A name, and what is shown under it.
type Number = (&'static str, fn(&Statistics) -> u64);

/// A topic, and what it says.
type Line = (String, String);

/// What has been said, and what the averages need to be brought forward.
#[derive(Default)]
struct Report {
    loads: [Load; LOADS.len()],
    said: Vec<Line>,
}

/// What is averaged, by its name below `$SYS/broker/load/`.
const LOADS: [Number; 9] = [
    ("messages/received", |s| s.packets_received),
    ("messages/sent", |s| s.packets_sent),
    ("publish/dropped", |s| s.dropped_queue_full),
    ("publish/received", |s| s.publishes_received),
    ("publish/sent", |s| s.messages_sent),
    ("bytes/received", |s| s.bytes_received),
    ("bytes/sent", |s| s.bytes_sent),
    ("sockets", |s| s.connections_accepted),
    ("connections", |s| s.connects_received),
];

/// Numbers, by their name below `$SYS/broker/`.
const NUMBERS: [Number; 23] = [
    ("clients/total", |s| s.sessions),
    ("clients/maximum", |s| s.connected_maximum),
    ("clients/connected", |s| s.connected),
    ("clients/active", |s| s.connected),
    ("clients/disconnected", disconnected),
    ("clients/inactive", disconnected),
    ("clients/expired", |s| s.sessions_expired),
    ("messages/received", |s| s.packets_received),
    ("messages/sent", |s| s.packets_sent),
    ("messages/stored", stored),
    ("messages/inflight", |s| s.in_flight_messages),
    ("store/messages/count", stored),
    ("store/messages/bytes", |s| s.retained_bytes + s.queued_bytes + s.in_flight_bytes),
    ("retained messages/count", |s| s.retained_messages),
    ("subscriptions/count", |s| s.subscriptions.saturating_sub(s.shared_subscriptions)),
    ("shared_subscriptions/count", |s| s.shared_subscriptions),
    ("publish/messages/dropped", |s| s.dropped_queue_full),
    ("publish/messages/received", |s| s.publishes_received),
    ("publish/messages/sent", |s| s.messages_sent),
    ("publish/bytes/received", |s| s.payload_bytes_received),
    ("publish/bytes/sent", |s| s.payload_bytes_sent),
    ("bytes/received", |s| s.bytes_received),
    ("bytes/sent", |s| s.bytes_sent),
];

fn disconnected(statistics: &Statistics) -> u64 {
    statistics.sessions.saturating_sub(statistics.connected)
}

fn stored(statistics: &Statistics) -> u64 {
    statistics.retained_messages + statistics.queued_messages + statistics.in_flight_messages
}

/// Whether only the broker publishes to a topic.
pub(crate) fn is_system_topic(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Broker {
    /// Publishes `$SYS` at its interval, for as long as it is polled.
    pub async fn publish_system_topics(&self) {
        let (mut report, mut last, mut next) = (Report::default(), self.clock.started(), Instant::now());
        loop {
            let is_off = self.options().sys_interval.is_zero();
            tokio::select! {
                () = sleep_until(next), if !is_off => {}
                () = self.options_changed.notified() => {
                    next = Instant::now();
                    continue;
                }
            }
            let now = Instant::now();
            let elapsed = now.saturating_duration_since(last);
            (last, next) = (now, now + self.options().sys_interval);
            for line in report.news(&self.statistics(), self.uptime(), elapsed) {
                self.publish_line(line).await;
            }
        }
    }

    async fn publish_line(&self, (topic, text): Line) {
        let Ok(topic) = TopicName::try_from(topic.as_str()) else { return };
        let message = ApplicationMessage::new(topic.clone(), text).with_retain(true);
        let kept = ApplicationMessage { origin: Origin::Retained, ..message.clone() };
        write(&self.retained.system).insert(topic, Arc::new(kept));
        self.fan_out_here(None, Arc::new(message), self.now()).await;
    }
}

impl Report {
    /// What is not as it was said last.
    fn news(&mut self, statistics: &Statistics, uptime: Duration, elapsed: Duration) -> Vec<Line> {
        let lines = self.lines(statistics, uptime, elapsed);
        let is_new = |(at, line): &(usize, &Line)| self.said.get(*at) != Some(line);
        let news = lines.iter().enumerate().filter(is_new).map(|(_, line)| line.clone()).collect();
        self.said = lines;
        news
    }

    /// Always the same topics in the same order.
    fn lines(&mut self, statistics: &Statistics, uptime: Duration, elapsed: Duration) -> Vec<Line> {
        let line = |name: &str, text: String| (format!("$SYS/broker/{name}"), text);
        let mut lines = vec![
            line("version", VERSION.to_owned()),
            line("uptime", format!("{} seconds", uptime.as_secs())),
        ];
        lines.extend(NUMBERS.iter().map(|(name, number)| line(name, number(statistics).to_string())));
        for (load, (name, count)) in self.loads.iter_mut().zip(LOADS) {
            let averages = load.advance(count(statistics), elapsed).into_iter().zip(PERIODS);
            lines.extend(averages.map(|(average, (_, period))| {
                line(&format!("load/{name}/{period}"), format!("{average:.2}"))
            }));
        }
        lines
    }
}
