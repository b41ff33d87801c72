//! Enhanced authentication (MQTT 5.0, 4.12): as part of the handshake, and again while the connection lasts.
//!
//! ```text
//!   client                  broker             client                  broker
//!     │ CONNECT method, data  │                  │ AUTH 0x19, data       │
//!     │──────────────────────▶│ hook             │──────────────────────▶│ hook
//!     │  AUTH 0x18, challenge │                  │  AUTH 0x18, challenge │
//!     │◀──────────────────────│                  │◀──────────────────────│
//!     │ AUTH 0x18, answer     │                  │ AUTH 0x18, answer     │ other packets flow
//!     │──────────────────────▶│ hook             │──────────────────────▶│ hook, meanwhile
//!     │         CONNACK, data │                  │       AUTH 0x00, data │
//!     │◀──────────────────────│                  │◀──────────────────────│
//! ```
//!
//! What is known here is the order of packets and its limits. What the data mean is the hook's business.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::arriving::Arriving;
use super::disconnect::Ended;
use super::handshake::{Admission, Refused};
use super::output::{Output, texts};
use super::{Connection, wait};
use crate::broker::{AuthorizationCache, Broker, Count};
use crate::hook::{
    Answer, AuthenticateContext, AuthenticateOutcome, AuthenticateVerdict, ClientInfo, ConnectOverrides,
    DisconnectCause, Exchange, HookSet, Reply,
};
use crate::packet::{Auth, Connect, Packet, ReasonCode};

/// Bytes of the longest Binary Data [MQTT-1.5.6].
const LONGEST_DATA: usize = 65_535;

/// What a connection whose CONNECT had an Authentication Method knows of it.
pub(super) struct Authentication {
    method: ByteString,
    /// The re-authentication.
    under_way: Option<UnderWay>,
}

/// An exchange that has begun and has no end yet.
struct UnderWay {
    /// None before the first challenge.
    exchange: Option<Exchange>,
    challenges: u32,
    challenged_at: Instant,
    /// What the client has for its part, between challenge and answer.
    left: Duration,
    overrides: ConnectOverrides,
}

/// What the hook said.
enum Step {
    Challenge(Option<Bytes>, Option<Box<Reply>>),
    Success(Option<Bytes>, Option<Box<Reply>>),
}

/// Why an exchange comes to nothing.
pub(super) struct Failure {
    pub cause: DisconnectCause,
    pub reason: ReasonCode,
    pub reply: Option<Box<Reply>>,
    pub why: &'static str,
}

/// The exchange that CONNECT has begun. The client has the time that is `left` for its part.
pub(super) async fn authenticate<S>(
    stream: &mut S,
    arriving: &mut Arriving,
    client: &Arc<ClientInfo>,
    connect: &Connect,
    method: &ByteString,
    left: Duration,
    broker: &Arc<Broker>,
) -> Result<Admission, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut output = Output::new(connect.protocol_version, broker.clone());
    output.set_limits(connect.maximum_packet_size, connect.request_problem_information);
    let mut under_way = UnderWay::new(left);
    let mut data = connect.authentication_data.clone();
    loop {
        let exchange = under_way.exchange.as_ref();
        let context =
            AuthenticateContext { client, connect: Some(connect), method, data: data.as_ref(), exchange };
        let outcome = ask(broker, context).get().await;
        match under_way.take(outcome, broker)? {
            Step::Success(authentication_data, reply) => {
                return Ok(Admission { overrides: under_way.overrides, reply, authentication_data });
            }
            Step::Challenge(challenge, reply) => {
                // [MQTT-4.12.0-2]
                output.packet(&auth(ReasonCode::CONTINUE_AUTHENTICATION, method, challenge, reply));
                let answer = timeout(under_way.left, converse(stream, arriving, &mut output, method, broker));
                data = answer.await.unwrap_or_else(|_| Err(Failure::late().into()))?;
                under_way.answered();
            }
        }
    }
}

/// Sends the challenge and waits for the client's answer to it.
async fn converse<S>(
    stream: &mut S,
    arriving: &mut Arriving,
    output: &mut Output,
    method: &ByteString,
    broker: &Broker,
) -> Result<Option<Bytes>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if output.is_unanswerable() {
        return Err(Failure::challenge_too_large().into());
    }
    output.write_all(stream).await.map_err(|_| Refused::gone("the connection broke"))?;
    loop {
        match arriving.next_packet(broker) {
            Ok(Some(Packet::Auth(auth))) => {
                expect(&auth, ReasonCode::CONTINUE_AUTHENTICATION, method)?;
                return Ok(auth.authentication_data);
            }
            Ok(Some(Packet::Disconnect(_))) => return Err(Refused::gone("the client gave up")),
            Ok(Some(_)) => {
                let why = "a packet other than AUTH and DISCONNECT before CONNACK [MQTT-3.1.2-30]";
                return Err(Failure::protocol_error(why).into());
            }
            Err(error) => return Err(Refused::of_exchange(&error)),
            Ok(None) => {}
        }
        arriving.read(stream, broker).await?;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// The client authenticates itself again, or goes on with it.
    pub(super) async fn authenticate(&mut self, packet: Auth) -> Result<(), Ended> {
        let Some(authentication) = self.seldom.as_mut().and_then(|it| it.authentication.as_mut()) else {
            return Err(
                Failure::protocol_error("AUTH without an Authentication Method [MQTT-4.12.0-7]").into()
            );
        };
        let broker = self.attachment.broker().clone();
        let mut under_way = authentication.next(&packet, broker.options().connect_timeout)?;
        self.io.timers.authenticate_within(None);
        let context = AuthenticateContext {
            client: self.attachment.client(),
            connect: None,
            method: &authentication.method,
            data: packet.authentication_data.as_ref(),
            exchange: under_way.exchange.as_ref(),
        };
        let answer = pin!(ask(&broker, context).get());
        let outcome = wait(&mut self.io, &self.attachment, answer).await;
        match under_way.take(outcome, &broker)? {
            Step::Challenge(data, reply) => {
                let reason = ReasonCode::CONTINUE_AUTHENTICATION;
                self.io.output.packet(&auth(reason, &authentication.method, data, reply));
                self.io.timers.authenticate_within(Some(under_way.left));
                authentication.under_way = Some(under_way);
                Ok(())
            }
            Step::Success(data, reply) => self.authenticated_again(data, reply, under_way.overrides),
        }
    }

    fn authenticated_again(
        &mut self,
        data: Option<Bytes>,
        reply: Option<Box<Reply>>,
        overrides: ConnectOverrides,
    ) -> Result<(), Ended> {
        let Some(authentication) = self.seldom.as_ref().and_then(|it| it.authentication.as_ref()) else {
            return Ok(());
        };
        if let Some(at) = overrides.expires_at {
            self.io.timers.expire_in(self.attachment.broker().now().until(at));
        }
        // What was allowed before may not be what the client may do now.
        self.verdicts = AuthorizationCache::default();
        let close = reply.as_ref().and_then(|reply| reply.close);
        let ended = close.map(|reason| Ended::by_hook(reason, reply.clone()));
        self.io.output.packet(&auth(ReasonCode::SUCCESS, &authentication.method, data, reply));
        ended.map_or(Ok(()), Err)
    }
}

impl Authentication {
    /// For a connection that will outlive the packet which names the method.
    pub(super) fn new(method: &ByteString) -> Authentication {
        Authentication { method: method.to_string().into(), under_way: None }
    }

    /// The exchange that this packet belongs to: a new one, which gets so much `time`, or the one that is
    /// under way.
    fn next(&mut self, packet: &Auth, time: Duration) -> Result<UnderWay, Failure> {
        match self.under_way.take() {
            // [MQTT-4.12.1-1]
            None => expect(packet, ReasonCode::RE_AUTHENTICATE, &self.method).map(|()| UnderWay::new(time)),
            Some(mut under_way) => {
                expect(packet, ReasonCode::CONTINUE_AUTHENTICATION, &self.method)?;
                under_way.answered();
                Ok(under_way)
            }
        }
    }
}

impl UnderWay {
    fn new(left: Duration) -> UnderWay {
        UnderWay {
            exchange: None,
            challenges: 0,
            challenged_at: Instant::now(),
            left,
            overrides: ConnectOverrides::default(),
        }
    }

    /// What the hook's outcome means for the exchange.
    fn take(&mut self, outcome: AuthenticateOutcome, broker: &Broker) -> Result<Step, Failure> {
        self.overrides.merge(outcome.overrides);
        let reply = outcome.reply;
        match outcome.verdict {
            // [MQTT-4.12.0-1]
            AuthenticateVerdict::Next => Err(Failure::unknown_method(reply)),
            // [MQTT-4.12.0-4], [MQTT-4.12.1-2]
            AuthenticateVerdict::Deny(reason) => Err(Failure::denied(reason, reply)),
            AuthenticateVerdict::Allow(data) => Ok(Step::Success(sendable(data)?, reply)),
            AuthenticateVerdict::Challenge(challenge) => {
                self.challenges += 1;
                if self.challenges > broker.options().maximum_authentication_rounds {
                    broker.counters().count(Count::LimitAuthenticationRounds);
                    return Err(Failure::endless());
                }
                self.exchange = Some(challenge.exchange);
                self.challenged_at = Instant::now();
                Ok(Step::Challenge(sendable(challenge.data)?, reply))
            }
        }
    }

    fn answered(&mut self) {
        self.left = self.left.saturating_sub(self.challenged_at.elapsed());
    }
}

impl Failure {
    fn protocol_error(why: &'static str) -> Failure {
        let reason = ReasonCode::PROTOCOL_ERROR;
        Failure { cause: DisconnectCause::ProtocolError, reason, reply: None, why }
    }

    fn by_hook(reason: ReasonCode, why: &'static str) -> Failure {
        Failure { cause: DisconnectCause::Hook, reason, reply: None, why }
    }

    fn denied(reason: ReasonCode, reply: Option<Box<Reply>>) -> Failure {
        Failure { reply, ..Failure::by_hook(reason, "a hook denied it") }
    }

    fn unknown_method(reply: Option<Box<Reply>>) -> Failure {
        let why = "the authentication method is not supported";
        Failure { reply, ..Failure::by_hook(ReasonCode::BAD_AUTHENTICATION_METHOD, why) }
    }

    fn endless() -> Failure {
        Failure::by_hook(ReasonCode::QUOTA_EXCEEDED, "the authentication takes too many rounds")
    }

    fn data_too_long() -> Failure {
        let reason = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;
        Failure::by_hook(reason, "a hook gave more Authentication Data than a packet can carry")
    }

    fn challenge_too_large() -> Failure {
        Failure::by_hook(ReasonCode::PACKET_TOO_LARGE, "the challenge is larger than the client takes")
    }

    pub(super) fn late() -> Failure {
        Failure {
            cause: DisconnectCause::AuthenticationExpired,
            ..Failure::by_hook(ReasonCode::NOT_AUTHORIZED, "the authentication was not completed in time")
        }
    }
}

/// Whether AUTH is the one that is due.
fn expect(packet: &Auth, reason: ReasonCode, method: &ByteString) -> Result<(), Failure> {
    if packet.reason_code != reason {
        // [MQTT-4.12.0-3]
        return Err(Failure::protocol_error(match reason {
            ReasonCode::RE_AUTHENTICATE => "AUTH goes on with an exchange that nobody began",
            _ => "AUTH begins an exchange while one is under way [MQTT-4.12.0-3]",
        }));
    }
    if packet.authentication_method.as_ref() != Some(method) {
        let why = "AUTH with another Authentication Method than CONNECT [MQTT-4.12.0-5]";
        return Err(Failure::protocol_error(why));
    }
    Ok(())
}

fn ask(broker: &Broker, context: AuthenticateContext<'_>) -> Answer<AuthenticateOutcome> {
    let hooks = broker.hooks();
    if hooks.wanted().contains(HookSet::VALIDATING_CONNECTION) {
        hooks.authenticate(context)
    } else {
        AuthenticateOutcome::default().into()
    }
}

/// Each AUTH of the broker has the method of CONNECT [MQTT-4.12.0-5].
fn auth(
    reason_code: ReasonCode,
    method: &ByteString,
    data: Option<Bytes>,
    reply: Option<Box<Reply>>,
) -> Packet {
    let (reason_string, user_properties, _) = texts(reply, reason_code);
    let authentication_method = Some(method.clone());
    let authentication_data = data;
    let auth =
        Auth { reason_code, authentication_method, authentication_data, reason_string, user_properties };
    Packet::Auth(Box::new(auth))
}

fn sendable(data: Option<Bytes>) -> Result<Option<Bytes>, Failure> {
    match &data {
        Some(bytes) if bytes.len() > LONGEST_DATA => Err(Failure::data_too_long()),
        _ => Ok(data),
    }
}
