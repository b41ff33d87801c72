//! CONNECT and its answer: what the two brokers are to each other.

use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::link::LinkError;
use super::options::{BridgeOptions, CleanStart};
use crate::broker::{BRIDGE_PROPERTY, BROKER_PROPERTY, Broker};
use crate::client::BoxedStream;
use crate::packet::{Connack, Connect, Decoder, Packet, ProtocolVersion, QoS, ReasonCode, encode};
use crate::session::NEVER_EXPIRES;

/// What the other broker has granted.
pub struct Greeted {
    pub session_present: bool,
    /// Who it is, where it says so.
    pub identity: Option<ByteString>,
    pub receive_maximum: u16,
    /// Bytes.
    pub maximum_packet_size: u32,
    pub maximum_qos: QoS,
    pub retains: bool,
    /// Zero: no pings.
    pub keep_alive: Duration,
}

/// Whether a CONNECT of MQTT 3.1.1 says that it comes from a bridge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BridgeBit {
    Said,
    Unsaid,
}

/// A decoder for what the other broker sends.
pub fn decoder(options: &BridgeOptions, broker: &Broker) -> Decoder {
    Decoder::client(options.protocol_version, broker.options().maximum_packet_size)
}

/// Says CONNECT and waits for the answer. What came behind it is left in `received`.
pub async fn greet(
    stream: &mut BoxedStream,
    options: &BridgeOptions,
    broker: &Broker,
    bit: BridgeBit,
    decoder: &mut Decoder,
    received: &mut BytesMut,
) -> Result<Greeted, LinkError> {
    let connect = Connect { is_bridge: bit == BridgeBit::Said, ..connect(options, broker) };
    let mut hello = BytesMut::new();
    encode(&Packet::Connect(Box::new(connect.clone())), connect.protocol_version, &mut hello)?;
    let greeting = async {
        stream.write_all(&hello).await?;
        stream.flush().await?;
        receive_connack(stream, decoder, received).await
    };
    let connack = timeout(options.dialer.step_timeout, greeting).await.map_err(|_| LinkError::Silent)??;
    if connack.reason_code.is_error() {
        return Err(LinkError::Refused(Box::new(connack)));
    }
    Ok(Greeted::of(&connack, &connect))
}

fn connect(options: &BridgeOptions, broker: &Broker) -> Connect {
    let mut connect = Connect::new(options.protocol_version, options.client_identifier.clone());
    connect.clean_start = options.clean_start == CleanStart::Yes;
    connect.keep_alive = options.keep_alive;
    connect.user_name.clone_from(&options.user_name);
    connect.password.clone_from(&options.password);
    if options.protocol_version == ProtocolVersion::V5 {
        connect.session_expiry_interval = Some(NEVER_EXPIRES);
        connect.receive_maximum = NonZeroU16::new(broker.options().receive_maximum);
        connect.maximum_packet_size = Some(broker.options().maximum_packet_size);
        connect.user_properties.push((BRIDGE_PROPERTY.into(), broker.identity().into()));
    }
    connect
}

async fn receive_connack(
    stream: &mut BoxedStream,
    decoder: &mut Decoder,
    received: &mut BytesMut,
) -> Result<Connack, LinkError> {
    loop {
        match decoder.decode(received)? {
            Some(Packet::Connack(connack)) => return Ok(*connack),
            Some(other) => return Err(LinkError::Unexpected(other.packet_type())),
            None => {}
        }
        if stream.read_buf(received).await? == 0 {
            return Err(LinkError::Closed);
        }
    }
}

impl Greeted {
    fn of(connack: &Connack, connect: &Connect) -> Greeted {
        let keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
        let identity = connack.user_properties.iter().find(|(name, _)| name == BROKER_PROPERTY);
        Greeted {
            session_present: connack.session_present,
            identity: identity.map(|(_, identity)| identity.clone()),
            receive_maximum: connack.receive_maximum.map_or(u16::MAX, NonZeroU16::get),
            maximum_packet_size: connack.maximum_packet_size.unwrap_or(u32::MAX),
            maximum_qos: connack.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retains: connack.retain_available.unwrap_or(true),
            keep_alive: Duration::from_secs(keep_alive.into()),
        }
    }
}

/// Whether a server may have refused the bit rather than the bridge.
pub fn may_be_for_the_bit(error: &LinkError, version: ProtocolVersion) -> bool {
    let refused = matches!(error, LinkError::Refused(connack)
        if connack.reason_code == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
    version == ProtocolVersion::V311 && (refused || matches!(error, LinkError::Closed | LinkError::Io(_)))
}
