//! What a bridge is made of, and which topics it carries.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::client::dial::Dialer;
use crate::packet::{ProtocolVersion, QoS};
use crate::session::QueueLimits;
use crate::topic::{TopicFilter, TopicName};

/// A connection of this broker to another.
#[derive(Clone, PartialEq, Eq)]
pub struct BridgeOptions {
    /// Its own name: of its session here, in the log and in figures.
    pub name: String,
    /// Where the other broker is, and how it is reached.
    pub dialer: Dialer,
    pub protocol_version: ProtocolVersion,
    /// By which the other broker knows the session that it keeps for this one: no other client of it may have it.
    pub client_identifier: ByteString,
    pub user_name: Option<ByteString>,
    pub password: Option<Bytes>,
    /// Seconds; 0 turns it off.
    pub keep_alive: u16,
    /// Whether the other broker forgets what it has for this one at each connection.
    pub clean_start: CleanStart,
    pub topics: Vec<BridgedTopic>,
    /// What waits here for the other broker, at most; none: as much as for any session, by `Options` of the broker.
    pub queue: Option<QueueLimits>,
    /// Between two attempts to connect: the first pause, and the longest.
    pub pauses: (Duration, Duration),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleanStart {
    #[default]
    No,
    Yes,
}

/// Topics that go to the other broker, come from it, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgedTopic {
    pub direction: Direction,
    /// At most; what was published with a lower one keeps it.
    pub qos: QoS,
    local_prefix: String,
    remote_prefix: String,
    /// The filter behind either prefix.
    local: TopicFilter,
    remote: TopicFilter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Out,
    In,
    Both,
}

/// Why topics cannot be carried like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBridgedTopic {
    #[error("{0:?} is no Topic Filter")]
    Filter(String),
    #[error("{0:?} begins a shared subscription, which a bridge does not make")]
    Shared(String),
    #[error("the prefix {0:?} has a wildcard")]
    Prefix(String),
}

impl BridgeOptions {
    /// MQTT 5.0 with a keep-alive of a minute, and no topics.
    pub fn new(
        name: impl Into<String>,
        dialer: Dialer,
        client_identifier: impl Into<ByteString>,
    ) -> BridgeOptions {
        BridgeOptions {
            name: name.into(),
            dialer,
            protocol_version: ProtocolVersion::V5,
            client_identifier: client_identifier.into(),
            user_name: None,
            password: None,
            keep_alive: 60,
            clean_start: CleanStart::No,
            topics: Vec::new(),
            queue: None,
            pauses: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }

    /// Carries these topics too.
    #[must_use]
    pub fn topic(mut self, topic: BridgedTopic) -> BridgeOptions {
        self.topics.push(topic);
        self
    }

    pub(super) fn outgoing(&self) -> impl Iterator<Item = &BridgedTopic> {
        self.topics.iter().filter(|topic| topic.direction != Direction::In)
    }

    pub(super) fn incoming(&self) -> impl Iterator<Item = &BridgedTopic> {
        self.topics.iter().filter(|topic| topic.direction != Direction::Out)
    }

    /// What a topic of ours is called there. None where it is not carried.
    pub(super) fn remote_name(&self, local: &TopicName) -> Option<TopicName> {
        self.outgoing().find(|topic| topic.local.matches(local))?.to_remote(local)
    }

    /// What a topic of theirs is called here.
    pub(super) fn local_name(&self, remote: &TopicName) -> Option<TopicName> {
        self.incoming().find(|topic| topic.remote.matches(remote))?.to_local(remote)
    }
}

/// Without the password.
impl std::fmt::Debug for BridgeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BridgeOptions")
            .field("name", &self.name)
            .field("dialer", &self.dialer)
            .field("client_identifier", &self.client_identifier)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl BridgedTopic {
    /// Topics that match, called the same on both sides.
    ///
    /// # Errors
    /// Where the filter is none.
    pub fn new(filter: &str, direction: Direction, qos: QoS) -> Result<BridgedTopic, InvalidBridgedTopic> {
        BridgedTopic::between("", "", filter, direction, qos)
    }

    /// Topics that match behind a prefix, which is another on either side. A prefix stands before the filter as it is:
    /// where it is to be a level of its own, it ends with a slash.
    ///
    /// # Errors
    /// Where a prefix has a wildcard, or either side's filter is none.
    pub fn between(
        local_prefix: &str,
        remote_prefix: &str,
        filter: &str,
        direction: Direction,
        qos: QoS,
    ) -> Result<BridgedTopic, InvalidBridgedTopic> {
        let side = |prefix: &str| {
            if prefix.contains(['+', '#']) {
                return Err(InvalidBridgedTopic::Prefix(prefix.to_owned()));
            }
            let text = format!("{prefix}{filter}");
            match TopicFilter::try_from(text.as_str()) {
                Err(_) => Err(InvalidBridgedTopic::Filter(text)),
                Ok(filter) if filter.share_name().is_some() => Err(InvalidBridgedTopic::Shared(text)),
                Ok(filter) => Ok(filter),
            }
        };
        Ok(BridgedTopic {
            direction,
            qos,
            local: side(local_prefix)?,
            remote: side(remote_prefix)?,
            local_prefix: local_prefix.to_owned(),
            remote_prefix: remote_prefix.to_owned(),
        })
    }

    /// What is subscribed here.
    pub fn local(&self) -> &TopicFilter {
        &self.local
    }

    /// What is subscribed there.
    pub fn remote(&self) -> &TopicFilter {
        &self.remote
    }

    fn to_remote(&self, local: &TopicName) -> Option<TopicName> {
        renamed(local, &self.local_prefix, &self.remote_prefix)
    }

    fn to_local(&self, remote: &TopicName) -> Option<TopicName> {
        renamed(remote, &self.remote_prefix, &self.local_prefix)
    }
}

/// None where the other name would be none, such as one that is too long.
fn renamed(name: &TopicName, from: &str, to: &str) -> Option<TopicName> {
    if from == to {
        return Some(name.clone());
    }
    let rest = name.as_str().strip_prefix(from)?;
    TopicName::try_from(ByteString::from(format!("{to}{rest}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::dial::ServerUri;

    fn name(text: &str) -> TopicName {
        TopicName::try_from(text).unwrap()
    }

    fn options(topics: &[(&str, &str, &str, Direction)]) -> BridgeOptions {
        let uri: ServerUri = "mqtt://b".parse().unwrap();
        topics.iter().fold(BridgeOptions::new("b", uri.dialer(), "id"), |options, topic| {
            let (local, remote, filter, direction) = *topic;
            options.topic(BridgedTopic::between(local, remote, filter, direction, QoS::AtLeastOnce).unwrap())
        })
    }

    #[test]
    fn a_topic_changes_its_prefix_and_nothing_else() {
        let options = options(&[
            ("", "site-7/", "sensors/#", Direction::Out),
            ("from-cloud/", "commands/7/", "+", Direction::In),
            ("", "", "shared/#", Direction::Both),
        ]);
        for (local, remote) in [
            ("sensors/a/b", Some("site-7/sensors/a/b")),
            ("sensors", Some("site-7/sensors")),
            ("shared/x", Some("shared/x")),
            ("from-cloud/reboot", None),
            ("other", None),
        ] {
            let carried = options.remote_name(&name(local));
            assert_eq!(carried.as_ref().map(TopicName::as_str), remote, "{local}");
        }
        for (remote, local) in [
            ("commands/7/reboot", Some("from-cloud/reboot")),
            ("commands/7/a/b", None),
            ("shared/x", Some("shared/x")),
            ("site-7/sensors/a", None),
        ] {
            let carried = options.local_name(&name(remote));
            assert_eq!(carried.as_ref().map(TopicName::as_str), local, "{remote}");
        }
    }

    #[test]
    fn a_name_that_grows_too_long_is_not_carried() {
        let options = options(&[("", "prefix/", "#", Direction::Out)]);
        assert!(options.remote_name(&name(&"x".repeat(65_528))).is_some());
        assert!(options.remote_name(&name(&"x".repeat(65_529))).is_none());
    }

    #[test]
    fn what_cannot_be_subscribed_on_either_side_is_no_topic_of_a_bridge() {
        for (local, remote, filter) in [
            ("", "", ""),
            ("", "", "a/#/b"),
            ("a", "", "#"),
            ("+/", "", "a"),
            ("", "#", ""),
            ("", "", "$share/g/t"),
        ] {
            let topic = BridgedTopic::between(local, remote, filter, Direction::Both, QoS::AtMostOnce);
            assert!(topic.is_err(), "{local:?} {remote:?} {filter:?}");
        }
    }
}
