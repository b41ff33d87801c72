//! `validating-connection`: may this client come in?

use std::sync::Arc;

use bytestring::ByteString;

use super::{ClientInfo, Reply};
use crate::message::Timestamp;
use crate::packet::{Connect, ReasonCode};

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

/// What an allowed client gets in place of what it asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectOverrides {
    pub client_identifier: Option<ByteString>,
    /// Seconds, at most.
    pub session_expiry_cap: Option<u32>,
    /// Seconds.
    pub server_keep_alive: Option<u16>,
    /// How many QoS 1 and 2 messages the client may have in flight towards the broker.
    pub receive_maximum: Option<u16>,
    /// Bytes, of packets that the client sends.
    pub maximum_packet_size: Option<u32>,
    /// The connection ends then.
    pub expires_at: Option<Timestamp>,
}
