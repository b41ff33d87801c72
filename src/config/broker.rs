//! `[broker]`: its limits and defaults.

use std::time::Duration;

use bytestring::ByteString;

use super::section::{Entry, Section};
use crate::broker::{Options, SharedStrategy};
use crate::packet::QoS;
use crate::session::{LARGEST_WINDOW, Overflow, QueueLimits};
use crate::topic::MAX_TOPIC_BYTES;

/// The fixed header and the largest remaining length that MQTT can express [MQTT-1.5.5].
const LARGEST_PACKET: u64 = 268_435_455 + 5;
const MAXIMUM_COUNT: u64 = 1 << 32;
const LARGEST_SIZE: u64 = 1 << 40;

const SHARED: [(&str, SharedStrategy); 4] = [
    ("round-robin", SharedStrategy::RoundRobin),
    ("random", SharedStrategy::Random),
    ("sticky", SharedStrategy::Sticky),
    ("least-in-flight", SharedStrategy::LeastInFlight),
];

/// What the section says, and defaults for the rest.
pub(super) fn read(mut section: Section<'_, '_>) -> Options {
    let mut o = Options::default();
    section.set("maximum-qos", &mut o.maximum_qos, |v| match v.integer(0..=2)? {
        0u8 => Some(QoS::AtMostOnce),
        1 => Some(QoS::AtLeastOnce),
        _ => Some(QoS::ExactlyOnce),
    });
    section.set("retain-available", &mut o.retain_available, |v| v.boolean());
    section.set("wildcard-subscription-available", &mut o.wildcard_subscription_available, |v| v.boolean());
    section.set("shared-subscription-available", &mut o.shared_subscription_available, |v| v.boolean());
    section.set("subscription-identifiers-available", &mut o.subscription_identifiers_available, |v| {
        v.boolean()
    });
    section.set("maximum-packet-size", &mut o.maximum_packet_size, |v| v.size(128..=LARGEST_PACKET));
    section.set("maximum-connect-size", &mut o.maximum_connect_size, |v| v.size(128..=LARGEST_PACKET));
    section.set("receive-maximum", &mut o.receive_maximum, |v| v.integer(1..=65_535));
    section.set("topic-alias-maximum", &mut o.topic_alias_maximum, |v| v.integer(0..=65_535));
    section
        .set("outgoing-topic-alias-maximum", &mut o.outgoing_topic_alias_maximum, |v| v.integer(0..=65_535));
    section.set("maximum-keep-alive", &mut o.maximum_keep_alive, |v| v.seconds(0..=65_535));
    let longest = o.maximum_keep_alive;
    section.set("minimum-keep-alive", &mut o.minimum_keep_alive, |v| match v.seconds(0..=65_535)? {
        shortest if longest > 0 && shortest > longest => {
            v.problem("must not be longer than `maximum-keep-alive`")
        }
        shortest => Some(shortest),
    });
    section
        .set("maximum-session-expiry", &mut o.maximum_session_expiry, |v| v.seconds(0..=u64::from(u32::MAX)));
    let mut queue = o.queue_limits();
    read_queue(&mut section, &mut queue);
    (o.maximum_queued_messages, o.maximum_queued_bytes, o.overflow) =
        (queue.messages, queue.bytes, queue.overflow);
    section.set("maximum-total-queued-bytes", &mut o.maximum_total_queued_bytes, |v| {
        v.size(1024..=LARGEST_SIZE)
    });
    section.set("maximum-total-output-bytes", &mut o.maximum_total_output_bytes, |v| {
        v.size(64 * 1024..=LARGEST_SIZE)
    });
    section.set("maximum-inflight", &mut o.maximum_inflight, |v| v.integer(1..=u64::from(LARGEST_WINDOW)));
    section.set("maximum-subscriptions", &mut o.maximum_subscriptions, |v| v.integer(1..=MAXIMUM_COUNT));
    section.set("maximum-topic-length", &mut o.maximum_topic_length, |v| v.size(1..=MAX_TOPIC_BYTES as u64));
    section.set("maximum-topic-levels", &mut o.maximum_topic_levels, |v| v.integer(1..=65_536));
    section.set("maximum-wildcard-levels", &mut o.maximum_wildcard_levels, |v| v.integer(1..=65_536));
    section.set("shared-subscription-strategy", &mut o.shared_subscription_strategy, |v| v.choice(&SHARED));
    section
        .set("maximum-retained-messages", &mut o.maximum_retained_messages, |v| v.integer(0..=MAXIMUM_COUNT));
    section.set("maximum-retained-bytes", &mut o.maximum_retained_bytes, |v| v.size(0..=LARGEST_SIZE));
    section.set("maximum-sessions", &mut o.maximum_sessions, |v| v.integer(1..=MAXIMUM_COUNT));
    section.set("maximum-connections", &mut o.maximum_connections, |v| v.integer(1..=MAXIMUM_COUNT));
    section.set("response-information", &mut o.response_information, |v| response_information(v).map(Some));
    section.set("validate-payload-format", &mut o.validate_payload_format, |v| v.boolean());
    section.set("sys-interval", &mut o.sys_interval, |v| v.seconds(0..=3600).map(Duration::from_secs));
    section
        .set("maximum-authentication-rounds", &mut o.maximum_authentication_rounds, |v| v.integer(1..=1000));
    section.set("connect-timeout", &mut o.connect_timeout, |v| v.duration(SHORTEST..=LONGEST));
    section.set("write-timeout", &mut o.write_timeout, |v| v.duration(SHORTEST..=LONGEST));
    section.finish();
    o
}

/// The limits of a queue.
pub(super) fn read_queue(section: &mut Section<'_, '_>, queue: &mut QueueLimits) {
    section.set("maximum-queued-messages", &mut queue.messages, |v| v.integer(1..=MAXIMUM_COUNT));
    section.set("maximum-queued-bytes", &mut queue.bytes, |v| v.size(1024..=LARGEST_SIZE));
    section.set("overflow", &mut queue.overflow, |v| {
        v.choice(&[("drop-newest", Overflow::DropNewest), ("drop-oldest", Overflow::DropOldest)])
    });
}

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);

/// What fits into a UTF-8 Encoded String [MQTT-1.5.4-2].
fn response_information(entry: &Entry<'_, '_>) -> Option<ByteString> {
    let text = entry.text()?;
    if text.contains('\0') {
        return entry.problem("must not contain the null character");
    }
    if text.len() > usize::from(u16::MAX) {
        return entry.problem("must have at most 65535 bytes");
    }
    Some(text.to_owned().into())
}
