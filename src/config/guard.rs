//! `[guard]`: who may come in, how often, and how fast; and the same of one listener.

use std::time::Duration;

use super::section::{Entry, Section};
use crate::broker::guard::{DoorLimits, GuardOptions, Network, PublishLimits, RateAction};

const MAXIMUM_COUNT: u64 = 1 << 32;
const LARGEST_SIZE: u64 = 1 << 40;
const SHORTEST: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const RANGES: usize = 1000;

/// What the section says, and defaults for the rest.
pub(super) fn read(mut section: Section<'_, '_>) -> GuardOptions {
    let mut o = GuardOptions::default();
    let count = |v: &Entry<'_, '_>| v.integer(0..=MAXIMUM_COUNT);
    section.set("exempt", &mut o.exempt, read_networks);
    section.set("maximum-connections-per-address", &mut o.connections_per_address, |v| {
        v.integer(0..=MAXIMUM_COUNT)
    });
    section.set("connection-rate-per-address", &mut o.connection_rate_per_address, count);
    section.set("connection-burst", &mut o.connection_burst, |v| v.duration(SHORTEST..=HOUR));
    section.set("maximum-pending-connections", &mut o.pending_connections, |v| v.integer(1..=MAXIMUM_COUNT));
    section.set("maximum-pending-bytes", &mut o.pending_bytes, |v| v.size(1024..=LARGEST_SIZE));
    section.set("maximum-remembered", &mut o.remembered, |v| v.integer(1..=MAXIMUM_COUNT));
    read_bans(&mut section, &mut o);
    section.set("packet-timeout", &mut o.packet_timeout, |v| v.duration(SHORTEST..=HOUR));
    section.set("minimum-packet-rate", &mut o.minimum_packet_rate, |v| v.size(0..=LARGEST_SIZE));
    section.set("maximum-incomplete-bytes", &mut o.incomplete_bytes, |v| v.size(1024..=LARGEST_SIZE));
    let publishes = ["client-publish-rate", "client-publish-bytes"];
    o.client_publishes = read_publishes(&mut section, publishes, o.client_publishes);
    section.set("publish-burst", &mut o.publish_burst, |v| v.duration(SHORTEST..=HOUR));
    section.set("publish-rate-action", &mut o.publish_rate_action, |v| {
        v.choice(&[("delay", RateAction::Delay), ("disconnect", RateAction::Disconnect)])
    });
    section.finish();
    o
}

fn read_bans(section: &mut Section<'_, '_>, o: &mut GuardOptions) {
    let count = |v: &Entry<'_, '_>| v.integer(0..=1_000_000);
    section.set("failed-logins", &mut o.failed_logins, count);
    section.set("failed-logins-per-address", &mut o.failed_logins_per_address, count);
    section.set("failed-login-window", &mut o.failed_login_window, |v| v.duration(SECOND..=LONGEST));
    section.set("ban", &mut o.ban, |v| v.duration(SECOND..=LONGEST));
    let shortest = o.ban;
    o.longest_ban = o.longest_ban.max(shortest);
    section.set("longest-ban", &mut o.longest_ban, |v| match v.duration(SECOND..=LONGEST)? {
        longest if longest < shortest => v.problem("must not be shorter than `ban`"),
        longest => Some(longest),
    });
    section.set("flapping-connects", &mut o.flapping_connects, count);
    section.set("flapping-window", &mut o.flapping_window, |v| v.duration(SECOND..=LONGEST));
    section.set("flapping-ban", &mut o.flapping_ban, |v| v.duration(SECOND..=LONGEST));
}

/// The keys of a `[[listener]]`.
pub(super) fn read_door(section: &mut Section<'_, '_>) -> DoorLimits {
    let mut limits = DoorLimits::default();
    section.set("maximum-connections", &mut limits.connections, |v| v.integer(0..=MAXIMUM_COUNT));
    section.set("connection-rate", &mut limits.connection_rate, |v| v.integer(0..=MAXIMUM_COUNT));
    limits.publishes = read_publishes(section, ["publish-rate", "publish-bytes"], limits.publishes);
    limits
}

fn read_publishes(
    section: &mut Section<'_, '_>,
    [messages, bytes]: [&'static str; 2],
    mut limits: PublishLimits,
) -> PublishLimits {
    section.set(messages, &mut limits.messages, |v| v.integer(0..=MAXIMUM_COUNT));
    section.set(bytes, &mut limits.bytes, |v| v.size(0..=LARGEST_SIZE));
    limits
}

fn read_networks(entry: &Entry<'_, '_>) -> Option<Vec<Network>> {
    let list = entry.list()?;
    if list.len() > RANGES {
        return entry.problem("must have at most 1000 entries");
    }
    // Each that is wrong is told.
    let read: Vec<Option<Network>> = list.iter().map(read_network).collect();
    read.into_iter().collect()
}

fn read_network(entry: &Entry<'_, '_>) -> Option<Network> {
    let text = entry.text()?;
    let shown = super::section::shortened(text);
    text.parse().map_or_else(|error| entry.problem(format!("`{shown}` {error}")), Some)
}
