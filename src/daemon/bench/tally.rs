//! What was counted and measured.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::Scenario;
use crate::packet::QoS;

/// Times in microseconds, to three digits.
#[derive(Clone)]
pub(super) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        // Three digits is one of the precisions that there are.
        Times(Histogram::new(3).expect("a histogram of three digits"))
    }
}

impl Times {
    pub(super) fn record(&mut self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        // It grows as needed; what does not fit was no time that a run takes.
        let _ = self.0.record(time);
    }

    pub(super) fn add(&mut self, other: &Times) {
        let _ = self.0.add(&other.0);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    pub(super) fn max(&self) -> u64 {
        self.0.max()
    }
}

#[derive(Clone, Default)]
pub(super) struct Tally {
    /// From the first byte of the connection to CONNACK.
    pub(super) connect: Times,
    /// From publishing to PUBACK or PUBCOMP.
    pub(super) acknowledge: Times,
    /// From publishing to the subscriber.
    pub(super) deliver: Times,
    pub(super) connected: u64,
    /// Clients that could not connect, and why the first could not.
    pub(super) refused: u64,
    pub(super) first_refusal: Option<String>,
    /// Messages of the whole run, and of the time that is counted.
    pub(super) sent: u64,
    pub(super) sent_counted: u64,
    pub(super) received: u64,
    pub(super) received_counted: u64,
    /// Messages that the broker refused or a connection was lost with, and why the first was.
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    /// Those that were to come.
    pub(super) expected: u64,
    pub(super) doubled: u64,
    /// How long connecting, queueing and draining took.
    pub(super) connecting: Duration,
    pub(super) queueing: Duration,
    pub(super) draining: Duration,
}

impl Tally {
    /// Takes in what another thread has; what they do side by side takes as long as the longest.
    pub(super) fn add(&mut self, other: &Tally) {
        self.connect.add(&other.connect);
        self.acknowledge.add(&other.acknowledge);
        self.deliver.add(&other.deliver);
        for (sum, further) in [
            (&mut self.connected, other.connected),
            (&mut self.refused, other.refused),
            (&mut self.sent, other.sent),
            (&mut self.sent_counted, other.sent_counted),
            (&mut self.received, other.received),
            (&mut self.received_counted, other.received_counted),
            (&mut self.failed, other.failed),
            (&mut self.expected, other.expected),
            (&mut self.doubled, other.doubled),
        ] {
            *sum += further;
        }
        self.first_refusal = self.first_refusal.take().or_else(|| other.first_refusal.clone());
        self.first_failure = self.first_failure.take().or_else(|| other.first_failure.clone());
        self.connecting = self.connecting.max(other.connecting);
        self.queueing = self.queueing.max(other.queueing);
        self.draining = self.draining.max(other.draining);
    }

    pub(super) fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.first_refusal.get_or_insert(why);
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }

    pub(super) fn lost(&self) -> u64 {
        (self.expected + self.doubled).saturating_sub(self.received)
    }

    /// What the broker should not have done. At QoS 0 messages may get lost, and at QoS 1 doubled.
    pub(super) fn fault(&self, scenario: Scenario, qos: QoS) -> Option<String> {
        if let Some(why) = &self.first_refusal {
            return Some(format!("{} clients could not connect; the first: {why}", self.refused));
        }
        if let Some(why) = &self.first_failure {
            return Some(format!("{} messages failed; the first: {why}", self.failed));
        }
        let subscribed = !matches!(scenario, Scenario::Connect | Scenario::Publish);
        if subscribed && qos != QoS::AtMostOnce && self.lost() > 0 {
            return Some(format!("{} messages that were acknowledged did not come", self.lost()));
        }
        (qos == QoS::ExactlyOnce && self.doubled > 0)
            .then(|| format!("{} messages of QoS 2 came more than once", self.doubled))
    }
}
