//! handshake: from the first byte to CONNACK.
//!
//! The order is the specification's (MQTT 5.0, 3.1.4): the packet is decoded, the credentials are looked
//! at, and only then is a session touched.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::Peer;
use super::arriving::{Arriving, gives_way, login, wipe};
use super::authenticate::{Authentication, Failure, authenticate};
use super::disconnect::{FAREWELL, linger};
use super::foreign;
use super::input::Input;
use super::mount::Mount;
use super::output::{Output, texts};
use super::terms::{Terms, asked_expiry, connack, outbound_window, settle};
use crate::broker::guard::{Pending, Turned};
use crate::broker::{Attachment, Broker, Count, DueWill, OpenError, OpenRequest, Opened, is_system_topic};
use crate::hook::{
    ClientInfo, ConnectContext, ConnectOutcome, ConnectOverrides, ConnectVerdict, DisconnectCause, HookSet,
    Reply, What,
};
use crate::message::{ApplicationMessage, Origin};
use crate::packet::{
    Connack, Connect, DecodeError, Packet, PacketType, ProtocolVersion, PublishProperties, ReasonCode,
    Will as WillPacket,
};
use crate::peer::Remote;
use crate::session::Will;
use crate::topic::{InvalidTopic, TopicName};

/// A client that is in.
pub(super) struct Accepted {
    pub input: Input,
    pub output: Output,
    pub attachment: Attachment,
    pub authentication: Option<Authentication>,
    /// Seconds; 0 for none.
    pub keep_alive: u16,
    pub expires_at: Option<Duration>,
    pub receive_maximum: NonZeroU16,
    pub topic_alias_maximum: u16,
    /// Seconds.
    pub session_expiry_cap: u32,
    /// Whether CONNECT asked for a session that outlives its connection.
    pub asked_to_be_kept: bool,
    pub is_bridge: bool,
    /// Of the connection that had the session before.
    pub due_will: Option<DueWill>,
}

/// What the hook grants.
#[derive(Default)]
pub(super) struct Admission {
    pub overrides: ConnectOverrides,
    pub reply: Option<Box<Reply>>,
    pub authentication_data: Option<Bytes>,
}

/// Why a client is not let in.
pub(super) struct Refused {
    version: ProtocolVersion,
    /// None: close without a word, as the specification asks for.
    reason: Option<ReasonCode>,
    reply: Option<Box<Reply>>,
    /// The client's.
    maximum_packet_size: Option<u32>,
    /// What it is counted as.
    count: Count,
    why: String,
}

/// Lets a client in, or tells it why not; None where the connection is over.
pub(super) async fn shake_hands<S>(stream: &mut S, mut peer: Peer, broker: &Arc<Broker>) -> Option<Accepted>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let pending = peer.pending.take();
    let gives_way = gives_way(pending.as_ref().map(Pending::gives_way));
    let greeted = tokio::select! {
        biased;
        greeted = greet(stream, &peer, pending, broker) => greeted,
        () = broker.shutting_down() => Err(Refused::silently("the server shuts down")),
        () = gives_way => {
            let why = "closed for a newer one: it said nothing, and there were as many as `maximum-pending-connections`";
            Err(Refused::silently(why).counted(Count::LimitPendingConnections))
        }
    };
    match greeted {
        Ok(accepted) => Some(accepted),
        Err(refused) => {
            tracing::debug!(peer = ?peer.address(), reason = ?refused.reason, why = %refused.why, "client refused");
            if refused.count == Count::RefusedForeign {
                broker.warn_of_wrong_port(&peer.listener.name, peer.address(), &refused.why);
            }
            broker.counters().count(Count::ConnectionsRefused);
            broker.counters().count(refused.count);
            // One that does not read is not told.
            let _ = timeout(FAREWELL, refuse(stream, refused, broker)).await;
            None
        }
    }
}

/// Tells a client why it does not come in.
pub(super) async fn turn_away<S>(stream: &mut S, turned: Turned, broker: &Arc<Broker>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let refused = tokio::select! {
        biased;
        said = receive_connect(stream, broker.options().connect_timeout, None, broker) => {
            said.map_or_else(|refused| refused, |(connect, arriving)| {
                drop(arriving);
                let refused = Refused::turned(connect.protocol_version, turned);
                let maximum_packet_size = connect.maximum_packet_size;
                wipe(connect);
                Refused { maximum_packet_size, ..refused }
            })
        }
        () = broker.shutting_down() => Refused::silently("the server shuts down"),
    };
    let _ = timeout(FAREWELL, refuse(stream, refused, broker)).await;
}

async fn greet<S>(
    stream: &mut S,
    peer: &Peer,
    pending: Option<Pending>,
    broker: &Arc<Broker>,
) -> Result<Accepted, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let timeout = broker.options().connect_timeout;
    let left = || timeout.saturating_sub(peer.since.elapsed());
    let (connect, arriving) = receive_connect(stream, left(), pending, broker).await?;
    let left = left();
    let maximum_packet_size = connect.maximum_packet_size;
    let refused = |refused| Refused { maximum_packet_size, ..refused };
    let admitted = admit(stream, &connect, arriving, peer, left, broker).await.map_err(refused);
    wipe(connect);
    admitted
}

/// Only the client's part has a time-out: hooks have deadlines of their own.
async fn receive_connect<S>(
    stream: &mut S,
    left: Duration,
    pending: Option<Pending>,
    broker: &Broker,
) -> Result<(Connect, Arriving), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut arriving = Arriving::new(Input::new(broker.options().maximum_connect_size), pending);
    let connect = timeout(left, read_connect(stream, &mut arriving, broker)).await.unwrap_or_else(|_| {
        Err(Refused::silently("no CONNECT in time").counted(Count::LimitConnectTimeout))
    })?;
    arriving.end_silence();
    broker.counters().count(Count::ConnectsReceived);
    Ok((connect, arriving))
}

/// Hook, session; CONNACK stands in the output. The client has the time that is `left` for its part.
async fn admit<S>(
    stream: &mut S,
    connect: &Connect,
    mut arriving: Arriving,
    peer: &Peer,
    left: Duration,
    broker: &Arc<Broker>,
) -> Result<Accepted, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let version = connect.protocol_version;
    let refuse = |reason, why: &str| Refused::with(version, reason, why);
    check_client_identifier(connect)?;
    check_will(connect, broker)?;
    let login = login(connect, peer.address(), broker)?;
    let client = Arc::new(client_info(connect, peer, broker));
    let method = connect.authentication_method.as_ref();
    let admission = match method {
        None => validate(&client, connect, broker).await,
        Some(method) => authenticate(stream, &mut arriving, &client, connect, method, left, broker).await,
    };
    if let (Err(refused), Some(login)) = (&admission, login)
        && refused.is_failed_login()
    {
        broker.guard().login_failed(login);
    }
    let terms = settle(client, connect, admission?, broker);
    let mut output = Output::new(version, broker.clone());
    output.set_limits(connect.maximum_packet_size, connect.request_problem_information);
    output.set_topic_alias_maximum(
        connect.topic_alias_maximum.min(broker.options().outgoing_topic_alias_maximum),
    );
    output.set_mount(terms.mount.clone());
    let mut connack = Box::new(connack(connect, &terms, broker));
    // Before a session is touched; Session Present does not change the length.
    if !output.can_say(&Packet::Connack(connack.clone())) {
        // It may be sent, where nothing else would be lost for it (MQTT 5.0, 3.1.2.11.6).
        connack.response_information = None;
    }
    if !output.can_say(&Packet::Connack(connack.clone())) {
        let why = "its Maximum Packet Size does not take CONNACK";
        return Err(refuse(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR, why));
    }
    let will = connect.will.as_deref().map(|will| session_will(will, &terms)).transpose();
    let will = will.map_err(|error| refuse(ReasonCode::TOPIC_NAME_INVALID, &error.to_string()))?;
    let request = OpenRequest {
        client: terms.client.clone(),
        clean_start: connect.clean_start,
        expiry_interval: terms.session_expiry,
        receive_maximum: outbound_window(connect, broker),
        queue_limits: None,
        will,
    };
    let Opened { attachment, session_present, due_will } = broker.open(request).map_err(|error| {
        let why = error.to_string();
        match error {
            OpenError::TooManySessions => {
                refuse(ReasonCode::QUOTA_EXCEEDED, &why).counted(Count::LimitSessions)
            }
            OpenError::Reserved => refuse(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, &why),
            OpenError::StorageFails(reason) => refuse(reason, &why).counted(Count::RefusedByStorage),
        }
    })?;
    attachment.keep_items(terms.session_items);
    connack.session_present = session_present;
    output.set_ungreeted();
    output.packet(&Packet::Connack(connack));
    // It does not wait for what the messages behind it do.
    output.seal();
    let client = &terms.client;
    tracing::debug!(client = %client.client_identifier, key = client.key.0, peer = ?peer.address(), %version, session_present, "client connected");
    broker.event(|| What::ClientConnected { client: client.clone(), session_present });
    login.into_iter().for_each(|login| broker.guard().login_succeeded(login));
    let mut input = arriving.admit();
    input.decoder().set_maximum_packet_size(terms.maximum_packet_size);
    Ok(Accepted {
        input,
        output,
        attachment,
        authentication: method.map(Authentication::new),
        keep_alive: terms.keep_alive,
        expires_at: terms.expires_at,
        receive_maximum: terms.receive_maximum,
        topic_alias_maximum: terms.topic_alias_maximum,
        session_expiry_cap: terms.session_expiry_cap,
        asked_to_be_kept: asked_expiry(connect) > 0,
        is_bridge: connect.is_bridge,
        due_will,
    })
}

/// The first packet, which must be CONNECT [MQTT-3.1.0-1].
async fn read_connect<S>(stream: &mut S, arriving: &mut Arriving, broker: &Broker) -> Result<Connect, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match arriving.next_packet(broker) {
            Ok(Some(Packet::Connect(connect))) => return Ok(*connect),
            Ok(Some(_)) => {
                let refused = Refused::silently("the first packet is not CONNECT");
                return Err(refused.counted(Count::RefusedMalformed));
            }
            Err(error) => return Err(Refused::decode_error(&error, arriving.input())),
            Ok(None) => {}
        }
        arriving.read(stream, broker).await?;
    }
}

/// [MQTT-3.1.3-8] of MQTT 3.1.1: a session that is to be kept needs a name that the client knows.
fn check_client_identifier(connect: &Connect) -> Result<(), Refused> {
    let nameless = connect.client_identifier.is_empty();
    if nameless && connect.protocol_version == ProtocolVersion::V311 && !connect.clean_start {
        return Err(Refused::with(
            ProtocolVersion::V311,
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            "an empty Client Identifier without Clean Session",
        ));
    }
    Ok(())
}

fn check_will(connect: &Connect, broker: &Broker) -> Result<(), Refused> {
    let Some(will) = &connect.will else { return Ok(()) };
    let refuse = |reason: ReasonCode| Err(Refused::with(connect.protocol_version, reason, reason.name()));
    if is_system_topic(&will.topic) {
        // Well formed and not accepted here (MQTT 5.0, 4.7.2); MQTT 3.1.1 has no better word for it.
        return refuse(match connect.protocol_version {
            ProtocolVersion::V5 => ReasonCode::TOPIC_NAME_INVALID,
            ProtocolVersion::V311 => ReasonCode::NOT_AUTHORIZED,
        });
    }
    let Ok(topic) = TopicName::try_from(will.topic.clone()) else {
        return refuse(ReasonCode::TOPIC_NAME_INVALID);
    };
    if let Some(limit) = broker.options().limit_of_name(&topic) {
        broker.counters().count(limit);
        return refuse(ReasonCode::TOPIC_NAME_INVALID);
    }
    if !broker.options().accepts_payload(&will.payload, will.properties.as_deref()) {
        // MQTT 5.0, 3.1.3.2.3
        broker.counters().count(Count::PayloadsRefused);
        return refuse(ReasonCode::PAYLOAD_FORMAT_INVALID);
    }
    if will.qos > broker.options().maximum_qos {
        // [MQTT-3.2.2-12]
        broker.counters().count(Count::LimitQos);
        return refuse(ReasonCode::QOS_NOT_SUPPORTED);
    }
    if will.retain && !broker.options().retain_available {
        // [MQTT-3.2.2-13]
        broker.counters().count(Count::LimitRetain);
        return refuse(ReasonCode::RETAIN_NOT_SUPPORTED);
    }
    Ok(())
}

fn client_info(connect: &Connect, peer: &Peer, broker: &Broker) -> ClientInfo {
    // The session may live long: its name must not keep the read buffer.
    let own = |text: &ByteString| ByteString::from(text.to_string());
    let certificate =
        peer.remote.as_ref().and_then(Remote::known).and_then(|known| known.certificate.as_deref());
    let certified = peer.listener.user_name(certificate).map(Box::from);
    ClientInfo {
        key: broker.next_client_key(),
        client_identifier: Arc::from(&*connect.client_identifier),
        user_name: certified.or_else(|| connect.user_name.as_deref().map(Box::from)),
        remote: peer.remote.clone(),
        protocol_version: connect.protocol_version,
        listener: peer.listener.clone(),
        user_properties: connect.user_properties.iter().map(|(k, v)| (own(k), own(v))).collect(),
    }
}

/// validating-connection, and what holds where nobody decided.
async fn validate(
    client: &Arc<ClientInfo>,
    connect: &Connect,
    broker: &Broker,
) -> Result<Admission, Refused> {
    let hooks = broker.hooks();
    let outcome = if hooks.wanted().contains(HookSet::VALIDATING_CONNECTION) {
        hooks.validating_connection(ConnectContext { client, connect }).get().await
    } else {
        ConnectOutcome::default()
    };
    let ConnectOutcome { verdict, overrides, reply } = outcome;
    let (reason, why) = match verdict {
        ConnectVerdict::Next if !client.listener.anonymous && !is_certified(client) => {
            (ReasonCode::NOT_AUTHORIZED, "no hook allowed it, and anonymous clients are not")
        }
        ConnectVerdict::Allow | ConnectVerdict::Next => {
            return Ok(Admission { overrides, reply, authentication_data: None });
        }
        ConnectVerdict::Deny(reason) => (reason, "a hook denied it"),
    };
    Err(Refused { reply, ..Refused::with(connect.protocol_version, reason, why) }
        .counted(Count::RefusedNotAuthorized))
}

/// Whether a verified certificate gives the client its User Name: who proves to be somebody is not anonymous.
fn is_certified(client: &ClientInfo) -> bool {
    client.listener.user_name(client.certificate()).is_some()
}

fn session_will(will: &WillPacket, terms: &Terms) -> Result<Box<Will>, InvalidTopic> {
    let (topic, properties) = whole_will(will, terms.mount.as_ref())?;
    let message = ApplicationMessage {
        topic,
        payload: will.payload.clone(),
        qos: will.qos,
        retain: will.retain,
        properties,
        origin: Origin::Will,
        publisher: terms.client.key,
        // Set when it is published.
        expires_at: None,
        depth: 0,
    };
    Ok(Box::new(Will { message: message.to_detached(), delay_interval: will.delay_interval, number: 0 }))
}

/// Topic and properties as they are beyond the client's mount prefix.
fn whole_will(
    will: &WillPacket,
    mount: Option<&Mount>,
) -> Result<(TopicName, Option<Box<PublishProperties>>), InvalidTopic> {
    let mut properties = will.properties.clone();
    let Some(mount) = mount else { return Ok((TopicName::try_from(will.topic.clone())?, properties)) };
    properties.as_deref_mut().map_or(Ok(()), |all| mount.whole_properties(all))?;
    Ok((mount.whole(&will.topic)?, properties))
}

impl Refused {
    fn with(version: ProtocolVersion, reason: ReasonCode, why: &str) -> Refused {
        Refused { reason: Some(reason), version, ..Refused::silently(why) }
    }

    /// By a guard.
    pub(super) fn turned(version: ProtocolVersion, turned: Turned) -> Refused {
        Refused::with(version, turned.reason, turned.why).counted(turned.counted())
    }

    /// Whether it has shown that it does not know a password.
    fn is_failed_login(&self) -> bool {
        let reasons = [ReasonCode::BAD_USER_NAME_OR_PASSWORD, ReasonCode::NOT_AUTHORIZED];
        self.count == Count::RefusedNotAuthorized && self.reason.is_some_and(|it| reasons.contains(&it))
    }

    pub(super) fn silently(why: &str) -> Refused {
        Refused {
            version: ProtocolVersion::V311,
            reason: None,
            reply: None,
            maximum_packet_size: None,
            count: Count::RefusedOther,
            why: why.to_string(),
        }
    }

    pub(super) fn counted(self, count: Count) -> Refused {
        Refused { count, ..self }
    }

    /// The client is not there any more.
    pub(super) fn gone(why: &str) -> Refused {
        Refused::silently(why).counted(Count::RefusedGone)
    }

    /// In the exchange that CONNECT began, where every packet is answered by CONNACK: DISCONNECT must not
    /// come before it [MQTT-3.14.0-1].
    pub(super) fn of_exchange(error: &DecodeError) -> Refused {
        Refused::with(ProtocolVersion::V5, error.reason_code(), &error.to_string())
            .counted(foreign::cause_of(error))
    }

    /// Only CONNECT can be answered, and MQTT 3.1.1 has no answer to a malformed one [MQTT-3.1.4-1].
    fn decode_error(error: &DecodeError, input: &mut Input) -> Refused {
        if let Some(foreign) = foreign::recognized(input) {
            return Refused::silently(foreign).counted(Count::RefusedForeign);
        }
        let version = foreign::answered_version(error, input);
        let refused = match version {
            Some(version) if error.packet_type() == PacketType::Connect => {
                Refused::with(version, error.reason_code(), &error.to_string())
            }
            _ => Refused::silently(&error.to_string()),
        };
        refused.counted(foreign::cause_of(error))
    }
}

/// The exchange that CONNECT began fails [MQTT-4.12.0-4].
impl From<Failure> for Refused {
    fn from(Failure { cause, reason, reply, why }: Failure) -> Refused {
        let count = match cause {
            DisconnectCause::ProtocolError => Count::RefusedMalformed,
            DisconnectCause::AuthenticationExpired => Count::LimitConnectTimeout,
            _ => Count::RefusedNotAuthorized,
        };
        Refused { reply, ..Refused::with(ProtocolVersion::V5, reason, why).counted(count) }
    }
}

async fn refuse<S>(stream: &mut S, refused: Refused, broker: &Arc<Broker>) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(reason) = refused.reason {
        let legal = reason.is_error() && reason.is_allowed_in(PacketType::Connack);
        let reason = if legal { reason } else { ReasonCode::NOT_AUTHORIZED };
        let (reason_string, user_properties, server_reference) = texts(refused.reply, reason);
        let connack = Connack {
            reason_string: Some(reason_string.unwrap_or_else(|| refused.why.into())),
            user_properties,
            server_reference,
            ..Connack::refused(reason)
        };
        let mut output = Output::new(refused.version, broker.clone());
        output.set_limits(refused.maximum_packet_size, true);
        output.packet(&Packet::Connack(Box::new(connack)));
        output.write_all(stream).await?;
    }
    linger(stream).await
}
