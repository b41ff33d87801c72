//! `validating-connection`: may this client come in?

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::{ClientInfo, Reply};
use crate::message::Timestamp;
use crate::packet::{Connect, ReasonCode};
use crate::topic::TopicName;

pub struct ConnectContext<'a> {
    /// Its Client Identifier is empty where the client left it to the broker.
    pub client: &'a Arc<ClientInfo>,
    pub connect: &'a Connect,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOutcome {
    pub verdict: ConnectVerdict,
    pub overrides: ConnectOverrides,
    pub reply: Option<Box<Reply>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectVerdict {
    /// The listener's `anonymous` decides.
    #[default]
    Next,
    Allow,
    Deny(ReasonCode),
}

/// What is to be kept with a session, by key.
pub type SessionItems = BTreeMap<String, Bytes>;

/// What an allowed client gets in place of what it asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOverrides {
    pub client_identifier: Option<ByteString>,
    /// What authorizers and observers see, where it is not User Name that says who the client is.
    pub user_name: Option<ByteString>,
    /// Seconds, at most.
    pub session_expiry_cap: Option<u32>,
    /// Seconds.
    pub server_keep_alive: Option<u16>,
    /// How many QoS 1 and 2 messages the client may have in flight towards the broker. MQTT 3.1.1 clients cannot be
    /// told of it, nor of a keep-alive: for them neither changes anything.
    pub receive_maximum: Option<u16>,
    /// Bytes, of packets that the client sends.
    pub maximum_packet_size: Option<u32>,
    /// The connection ends then.
    pub expires_at: Option<Timestamp>,
    /// Stands before every topic and filter of the client, which does not see it.
    pub mount_prefix: Option<TopicName>,
    /// To be kept with the session.
    pub session_items: SessionItems,
}

impl ConnectOverrides {
    /// Adds what is said later. The later word holds, but nobody lifts what was limited before.
    pub fn merge(&mut self, later: ConnectOverrides) {
        fn lower<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        self.client_identifier = later.client_identifier.or(self.client_identifier.take());
        self.user_name = later.user_name.or(self.user_name.take());
        self.server_keep_alive = later.server_keep_alive.or(self.server_keep_alive);
        self.session_expiry_cap = lower(self.session_expiry_cap, later.session_expiry_cap);
        self.receive_maximum = lower(self.receive_maximum, later.receive_maximum);
        self.maximum_packet_size = lower(self.maximum_packet_size, later.maximum_packet_size);
        self.expires_at = lower(self.expires_at, later.expires_at);
        self.mount_prefix = later.mount_prefix.or(self.mount_prefix.take());
        self.session_items.extend(later.session_items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_lifts_what_another_one_limited() {
        let mut overrides = ConnectOverrides {
            client_identifier: Some("first".into()),
            session_expiry_cap: Some(10),
            ..ConnectOverrides::default()
        };
        overrides.merge(ConnectOverrides {
            client_identifier: Some("second".into()),
            session_expiry_cap: Some(99),
            receive_maximum: Some(5),
            ..ConnectOverrides::default()
        });
        assert_eq!(overrides.client_identifier, Some("second".into()));
        assert_eq!((overrides.session_expiry_cap, overrides.receive_maximum), (Some(10), Some(5)));
    }
}
