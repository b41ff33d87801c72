//! From a connector to CONNACK.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::BoxedStream;
use super::authentication::Exchange;
use super::core::{Terms, continued};
use super::driver::Connection;
use super::error::{ConnectError, End};
use super::options::Options;
use crate::packet::{
    Auth, Connack, Connect, Decoder, Packet, PacketType, ProtocolVersion, QoS, ReasonCode, encode,
};

/// A connection whose client was let in.
pub(super) struct Accepted {
    pub(super) connection: Connection,
    pub(super) terms: Terms,
    pub(super) connack: Arc<Connack>,
}

/// Connects once, within the connect time-out.
pub(super) async fn connect(options: &Options, connect: Connect) -> Result<Accepted, ConnectError> {
    let limit = options.connect_timeout;
    let connecting = connect_unbounded(options, connect);
    tokio::time::timeout(limit, connecting).await.unwrap_or(Err(ConnectError::TimedOut(limit)))
}

async fn connect_unbounded(options: &Options, mut connect: Connect) -> Result<Accepted, ConnectError> {
    if let Some(credentials) = &options.credentials {
        let provided = credentials.provide(&mut connect).await;
        provided.map_err(|error| ConnectError::Credentials(Arc::from(error)))?;
    }
    let exchange = begin_exchange(options, &mut connect).await?;
    connect.check_texts()?;
    let stream = options.connector.connect().await?;
    let mut handshake = Handshake {
        stream,
        version: connect.protocol_version,
        decoder: Decoder::client(connect.protocol_version, options.accepted_packet_size()),
        received: BytesMut::new(),
        exchange,
    };
    handshake.send(&Packet::Connect(Box::new(connect.clone()))).await?;
    let connack = handshake.receive_connack().await?;
    require_sensible(&connect, &connack)?;
    Ok(handshake.accepted(&connect, connack, options))
}

async fn begin_exchange(options: &Options, connect: &mut Connect) -> Result<Option<Running>, ConnectError> {
    let Some(authentication) = &options.authentication else { return Ok(None) };
    let begun = authentication.begin().await;
    let mut exchange = begun.map_err(|error| ConnectError::Authentication(Arc::from(error)))?;
    let method = authentication.method();
    connect.authentication_method = Some(method.clone());
    connect.authentication_data = exchange.initial();
    Ok(Some(Running { method, exchange }))
}

/// An exchange of enhanced authentication.
struct Running {
    method: ByteString,
    exchange: Box<dyn Exchange>,
}

struct Handshake {
    stream: BoxedStream,
    version: ProtocolVersion,
    decoder: Decoder,
    received: BytesMut,
    exchange: Option<Running>,
}

impl Handshake {
    async fn send(&mut self, packet: &Packet) -> Result<(), ConnectError> {
        let mut out = BytesMut::new();
        encode(packet, self.version, &mut out)?;
        self.stream.write_all(&out).await.map_err(End::from)?;
        self.stream.flush().await.map_err(End::from)?;
        Ok(())
    }

    async fn receive(&mut self) -> Result<Packet, End> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.received)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(End::Closed);
            }
        }
    }

    async fn receive_connack(&mut self) -> Result<Connack, ConnectError> {
        loop {
            match self.receive().await? {
                Packet::Connack(connack) if connack.reason_code.is_error() => {
                    return Err(ConnectError::Refused(connack));
                }
                Packet::Connack(connack) => return self.trusted(*connack),
                Packet::Auth(auth) => self.proceed(*auth).await?,
                Packet::Disconnect(disconnect) => return Err(End::Server(disconnect).into()),
                other => return Err(End::Unexpected(other.packet_type()).into()),
            }
        }
    }

    async fn proceed(&mut self, auth: Auth) -> Result<(), ConnectError> {
        let unexpected = End::Unexpected(PacketType::Auth);
        let Some(running) = &mut self.exchange else { return Err(unexpected.into()) };
        if auth.reason_code != ReasonCode::CONTINUE_AUTHENTICATION {
            return Err(unexpected.into());
        }
        let answer = continued(running.exchange.as_mut(), &running.method, auth.authentication_data);
        let answer = answer.map_err(|error| ConnectError::Authentication(Arc::from(error)))?;
        self.send(&Packet::Auth(Box::new(answer))).await
    }

    /// The server's last data may be its proof.
    fn trusted(&mut self, connack: Connack) -> Result<Connack, ConnectError> {
        if let Some(running) = &mut self.exchange {
            let finished = running.exchange.finish(connack.authentication_data.clone());
            finished.map_err(|error| ConnectError::Authentication(Arc::from(error)))?;
        }
        Ok(connack)
    }

    fn accepted(self, connect: &Connect, connack: Connack, options: &Options) -> Accepted {
        let terms = terms(connect, &connack, options);
        let Handshake { stream, version, decoder, received, .. } = self;
        let connection = Connection::new(stream, decoder, received, version, terms.keep_alive);
        Accepted { connection, terms, connack: Arc::new(connack) }
    }
}

/// Bytes of an acknowledgement with a Reason Code: who takes less cannot be answered.
const SMALLEST_LIMIT: u32 = 5;

/// Who began a new session has none [MQTT-3.2.2-2]. That a server knows a session of which this client knows nothing
/// is no fault: messages that came while a device restarted are what such a session is for.
fn require_sensible(connect: &Connect, connack: &Connack) -> Result<(), ConnectError> {
    if connect.clean_start && connack.session_present {
        return Err(End::Unexpected(PacketType::Connack).into());
    }
    if let Some(limit) = connack.maximum_packet_size.filter(|limit| *limit < SMALLEST_LIMIT) {
        let size = SMALLEST_LIMIT as usize;
        return Err(End::TooLarge { packet: PacketType::Pubcomp, size, limit }.into());
    }
    Ok(())
}

fn terms(connect: &Connect, connack: &Connack, options: &Options) -> Terms {
    let version = connect.protocol_version;
    let receive_maximum = connack.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
    let keep_alive = connack.server_keep_alive.unwrap_or(connect.keep_alive);
    let given = connack.topic_alias_maximum.unwrap_or(0).min(options.topic_aliases);
    Terms {
        version,
        receive_maximum: receive_maximum.min(options.maximum_in_flight).max(1),
        own_receive_maximum: connect.receive_maximum.map_or(u16::MAX, |maximum| maximum.get()),
        maximum_packet_size: connack.maximum_packet_size.unwrap_or(u32::MAX),
        maximum_qos: connack.maximum_qos.unwrap_or(QoS::ExactlyOnce),
        retain_available: connack.retain_available.unwrap_or(true),
        subscription_identifiers: version == ProtocolVersion::V5
            && connack.subscription_identifiers_available.unwrap_or(true),
        topic_aliases: [given, connect.topic_alias_maximum],
        keep_alive: Duration::from_secs(keep_alive.into()),
    }
}
