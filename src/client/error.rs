//! Why there is no connection, or no longer one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::DialError;
use crate::packet::{Connack, DecodeError, Disconnect, EncodeError, PacketType};

/// Why a connection was not made.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("connect within {0:?}: no answer")]
    TimedOut(Duration),
    #[error("connect: the server refused: {} (0x{:02X}){}", .0.reason_code, .0.reason_code.value(), detail(.0))]
    Refused(Box<Connack>),
    #[error("connect: {0}")]
    Ended(#[from] End),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why something that was asked of a connection was not done.
#[derive(Clone, Debug, Error)]
pub enum Error {
    #[error("use the connection: {0}")]
    Ended(#[from] End),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("send a packet of {size} bytes: the server accepts {limit}")]
    TooLarge { size: usize, limit: u32 },
    #[error("use another packet identifier: all are in use")]
    Busy,
}

/// Why a connection is over.
#[derive(Clone, Debug, Error)]
pub enum End {
    #[error("it was ended here")]
    Client,
    #[error("the server closed it without a word")]
    Closed,
    #[error("the network failed: {0}")]
    Network(Arc<io::Error>),
    #[error("the server ended it: {} (0x{:02X}){}", .0.reason_code, .0.reason_code.value(), reason(.0))]
    Server(Box<Disconnect>),
    #[error("the server did not answer a ping in time")]
    KeepAlive,
    #[error("the server sent what is no MQTT: {0}")]
    Decode(#[from] DecodeError),
    #[error("the server sent an unexpected {0}")]
    Unexpected(PacketType),
    #[error("the server used a topic alias that it had not set")]
    TopicAlias,
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Network(Arc::new(error))
    }
}

fn detail(connack: &Connack) -> String {
    let text = connack.reason_string.as_ref().map(|text| format!(": {text}"));
    let server = connack.server_reference.as_ref().map(|server| format!("; use {server}"));
    text.unwrap_or_default() + &server.unwrap_or_default()
}

fn reason(disconnect: &Disconnect) -> String {
    disconnect.reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}
