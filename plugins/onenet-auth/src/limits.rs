//! The limits of the platform. Counters are in the plugin's state, because several instances serve one
//! device. Only CONNECTs with right credentials are counted: nobody can get another's device banned.

use std::time::Duration;

use tidegate_plugin::prelude::*;

use crate::credentials::{Identity, Refusal};

/// Where devices publish; other topics the authorizer denies.
pub(crate) const TOPICS: [&str; 3] = ["$sys/#", "$dp", "$crsp/#"];

/// What is registered where there are no limits: no device can publish it, so no message makes a call
/// for nothing.
pub(crate) const NO_TOPIC: &str = "$onenet-auth/without-limits";

const KEEP_ALIVE: std::ops::RangeInclusive<u16> = 10..=1800;
const MAXIMUM_PAYLOAD: usize = 256 * 1024;
const MAXIMUM_FILTERS: usize = 8;
const FIRST_WILDCARD_LEVEL: usize = 5;
const WINDOW: Duration = Duration::from_secs(5);
const CONNECTS: i64 = 10;
const PUBLISHES_QOS_0: i64 = 300;
const PUBLISHES_QOS_1: i64 = 100;
const BAN: Duration = Duration::from_secs(300);

pub(crate) fn check_connect(connect: &Connect, identity: &Identity) -> Result<(), Refusal> {
    let device = format!("{}/{}", identity.product, identity.device);
    if state::get(&ban_key(&device)).is_some() {
        return Err(Refusal::Banned);
    }
    if count(&format!("connects/{device}")) > CONNECTS {
        ban(&device);
        return Err(Refusal::Banned);
    }
    if !KEEP_ALIVE.contains(&connect.keep_alive()) {
        return Err(Refusal::KeepAlive);
    }
    if connect.will().is_some() {
        return Err(Refusal::Will);
    }
    Ok(())
}

pub(crate) fn check_publish(publish: &Publish) -> PublishVerdict {
    let (limit, kind) = match publish.qos() {
        Qos::AtMostOnce => (PUBLISHES_QOS_0, "qos0"),
        Qos::AtLeastOnce => (PUBLISHES_QOS_1, "qos1"),
        Qos::ExactlyOnce => return unsupported("QoS 2 is not supported"),
    };
    if publish.retain() {
        return unsupported("RETAIN is not supported");
    }
    if publish.payload_length() > MAXIMUM_PAYLOAD {
        return PublishVerdict::Reject(reason::QUOTA_EXCEEDED).reason_string("the payload is over 256 KB");
    }
    if count(&format!("{kind}/{}", publish.client())) > limit {
        ban(&format!("{}/{}", client::user_name().unwrap_or_default(), client::identifier()));
        return PublishVerdict::Reject(reason::QUOTA_EXCEEDED)
            .reason_string(Refusal::Banned.public())
            .close(reason::MESSAGE_RATE_TOO_HIGH);
    }
    PublishVerdict::Continue
}

fn unsupported(what: &str) -> PublishVerdict {
    PublishVerdict::Reject(reason::IMPLEMENTATION_SPECIFIC_ERROR).reason_string(what)
}

pub(crate) fn check_subscribe(subscribe: &Subscribe) -> Vec<SubscriptionVerdict> {
    if subscribe.subscriptions().len() > MAXIMUM_FILTERS {
        reply::reason_string("more than 8 topics");
        return subscribe.each(|_| SubscriptionVerdict::Deny(reason::QUOTA_EXCEEDED));
    }
    subscribe.each(|subscription| {
        if has_early_wildcard(&subscription.filter) {
            return SubscriptionVerdict::Deny(reason::TOPIC_FILTER_INVALID)
                .reason_string("wildcards only from the 5th level");
        }
        SubscriptionVerdict::Next
    })
}

/// The limit is about `$sys/…`; the old platform's `$creq/…` has only two levels.
fn has_early_wildcard(filter: &str) -> bool {
    let filter = topic::without_share(filter);
    filter.starts_with("$sys/")
        && filter.split('/').take(FIRST_WILDCARD_LEVEL - 1).any(|level| level == "+" || level == "#")
}

fn ban_key(device: &str) -> String {
    format!("banned/{device}")
}

fn ban(device: &str) {
    log::warn!("device banned for 5 minutes", device = device);
    if state::set_for(&ban_key(device), b"", BAN).is_err() {
        log::error!("ban not recorded: raise its `state-keys` or `state-bytes`");
    }
}

/// How often in this window, this time included.
fn count(key: &str) -> i64 {
    state::count_within(key, WINDOW).unwrap_or_else(|_| {
        log::error!("packets are not counted: raise its `state-keys` or `state-bytes`");
        0
    })
}
