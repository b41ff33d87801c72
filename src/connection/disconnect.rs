//! How a connection ends: what the client is told, what becomes of its session and its Will, and what the
//! observers hear.

use std::time::Duration;

use bytestring::ByteString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Connection;
use super::authenticate::Failure;
use super::output::{legal, texts};
use super::timers::Timer;
use crate::broker::{Closing, Count, End, reason_of};
use crate::hook::{DisconnectCause, Reply};
use crate::packet::{DecodeError, Disconnect, Packet, PacketType, ProtocolVersion, ReasonCode};
use crate::storage::StorageError;

/// How long a client may take to read a farewell, or why it is refused. Nobody else waits for it.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// The end of a connection.
#[derive(Debug)]
pub(super) struct Ended {
    pub cause: DisconnectCause,
    closing: Closing,
    /// What the client is told (MQTT 5.0 only), or what it said.
    reason: Option<ReasonCode>,
    telling: Telling,
    reply: Option<Box<Reply>>,
    /// From the client's DISCONNECT, in seconds.
    expiry_interval: Option<u32>,
    /// The limit that was reached, where one was.
    limit: Option<Count>,
    /// What waits for the storage is not written any more.
    gives_up: bool,
    why: ByteString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    Disconnect,
    /// There is nobody to tell, or the client has said farewell itself.
    Nothing,
}

impl Ended {
    fn new(cause: DisconnectCause, reason: Option<ReasonCode>, why: impl Into<ByteString>) -> Ended {
        Ended {
            cause,
            closing: Closing::WithWill,
            telling: reason.map_or(Telling::Nothing, |_| Telling::Disconnect),
            reason,
            reply: None,
            expiry_interval: None,
            limit: None,
            gives_up: false,
            why: why.into(),
        }
    }

    pub(super) fn decode_error(error: &DecodeError) -> Ended {
        let too_large = matches!(error, DecodeError::PacketTooLarge { .. });
        Ended {
            limit: too_large.then_some(Count::LimitPacketSize),
            ..Ended::new(DisconnectCause::ProtocolError, Some(error.reason_code()), error.to_string())
        }
    }

    pub(super) fn malformed(why: String) -> Ended {
        Ended::new(DisconnectCause::ProtocolError, Some(ReasonCode::MALFORMED_PACKET), why)
    }

    pub(super) fn protocol_error(why: &'static str) -> Ended {
        Ended::new(DisconnectCause::ProtocolError, Some(ReasonCode::PROTOCOL_ERROR), why)
    }

    /// The client did what CONNACK told it not to do.
    pub(super) fn refused(reason: ReasonCode) -> Ended {
        let limit = match reason {
            ReasonCode::QOS_NOT_SUPPORTED => Some(Count::LimitQos),
            ReasonCode::RETAIN_NOT_SUPPORTED => Some(Count::LimitRetain),
            ReasonCode::RECEIVE_MAXIMUM_EXCEEDED => Some(Count::LimitReceiveMaximum),
            ReasonCode::TOPIC_ALIAS_INVALID => Some(Count::LimitTopicAlias),
            _ => None,
        };
        Ended { limit, ..Ended::new(DisconnectCause::ProtocolError, Some(reason), reason.name()) }
    }

    pub(super) fn network(why: &'static str) -> Ended {
        Ended::new(DisconnectCause::Network, None, why)
    }

    /// A write has made no progress for too long.
    fn stalled() -> Ended {
        Ended { limit: Some(Count::LimitWriteTimeout), ..Ended::network("the client does not read") }
    }

    /// A packet that has begun does not come to its end.
    fn slow_packet() -> Ended {
        let reason = Some(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
        Ended {
            limit: Some(Count::LimitPacketTime),
            ..Ended::new(DisconnectCause::Network, reason, "a packet took too long to come")
        }
    }

    /// All packets that are not complete hold as much as they may.
    pub(super) fn too_much_incomplete() -> Ended {
        Ended {
            limit: Some(Count::LimitIncompleteBytes),
            ..Ended::new(
                DisconnectCause::Kicked,
                Some(ReasonCode::QUOTA_EXCEEDED),
                "as many bytes of incomplete packets as `maximum-incomplete-bytes` allows",
            )
        }
    }

    /// Connections hold as much as they may that their sockets do not take, and this one has been stuck longest.
    fn too_much_unsent() -> Ended {
        Ended {
            limit: Some(Count::LimitTotalOutputBytes),
            ..Ended::new(
                DisconnectCause::Kicked,
                Some(ReasonCode::QUOTA_EXCEEDED),
                "connections hold as many unsent bytes as `maximum-total-output-bytes` allows",
            )
        }
    }

    /// The client published faster than it may.
    pub(super) fn too_fast() -> Ended {
        let reason = ReasonCode::MESSAGE_RATE_TOO_HIGH;
        Ended {
            limit: Some(Count::LimitPublishRate),
            ..Ended::new(DisconnectCause::ProtocolError, Some(reason), reason.name())
        }
    }

    /// None where it is no end.
    pub(super) fn by_timer(timer: Timer) -> Option<Ended> {
        Some(match timer {
            Timer::KeepAlive => Ended::keep_alive(),
            Timer::Expired => Ended::expired(),
            Timer::Authentication => Failure::late().into(),
            Timer::WriteStalled => Ended::stalled(),
            Timer::SlowPacket => Ended::slow_packet(),
            Timer::Rested => return None,
        })
    }

    fn keep_alive() -> Ended {
        Ended::new(
            DisconnectCause::KeepAlive,
            Some(ReasonCode::KEEP_ALIVE_TIMEOUT),
            "nothing came within one and a half times the keep-alive",
        )
    }

    fn expired() -> Ended {
        Ended::new(
            DisconnectCause::AuthenticationExpired,
            Some(ReasonCode::NOT_AUTHORIZED),
            "the credentials have expired",
        )
    }

    /// What was answered is not kept: it must not be said.
    pub(super) fn by_storage(error: &StorageError) -> Ended {
        let reason = reason_of(error);
        let why = "the storage fails: nothing can be acknowledged";
        Ended {
            limit: Some(Count::EndedByStorage),
            gives_up: true,
            ..Ended::new(DisconnectCause::Kicked, Some(reason), why)
        }
    }

    pub(super) fn by_hook(reason: ReasonCode, reply: Option<Box<Reply>>) -> Ended {
        Ended { reply, ..Ended::new(DisconnectCause::Hook, Some(reason), "a hook closed the connection") }
    }

    pub(super) fn by_broker(end: &End) -> Ended {
        let (cause, reason, why) = match end {
            End::Takeover => (
                DisconnectCause::Takeover,
                ReasonCode::SESSION_TAKEN_OVER,
                "another connection has the same Client Identifier",
            ),
            End::Kicked(reason) => (DisconnectCause::Kicked, *reason, "disconnected on request"),
            End::TooMuchUnsent => return Ended::too_much_unsent(),
            End::Shutdown => {
                (DisconnectCause::Shutdown, ReasonCode::SERVER_SHUTTING_DOWN, "the server shuts down")
            }
        };
        Ended::new(cause, Some(reason), why)
    }
}

/// A re-authentication failed [MQTT-4.12.1-2].
impl From<Failure> for Ended {
    fn from(Failure { cause, reason, reply, why }: Failure) -> Ended {
        // Several codes that refuse a CONNECT have no place in DISCONNECT.
        let legal = reason.is_error() && reason.is_allowed_in(PacketType::Disconnect);
        let reason = if legal { reason } else { ReasonCode::NOT_AUTHORIZED };
        Ended { reply, ..Ended::new(cause, Some(reason), why) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// The client said DISCONNECT.
    pub(super) fn disconnected(&self, disconnect: &Disconnect) -> Ended {
        let wanted = disconnect.session_expiry_interval;
        // MQTT 5.0, 3.14.2.2.2: a session that was to end with its connection cannot be kept after all.
        if !self.asked_to_be_kept && wanted.is_some_and(|seconds| seconds > 0) {
            return Ended::protocol_error("DISCONNECT sets a Session Expiry Interval after CONNECT set 0");
        }
        let closing = match disconnect.reason_code {
            ReasonCode::NORMAL_DISCONNECTION => Closing::Normal,
            _ => Closing::WithWill,
        };
        Ended {
            closing,
            telling: Telling::Nothing,
            expiry_interval: wanted.map(|seconds| seconds.min(self.session_expiry_cap)),
            ..Ended::new(DisconnectCause::Client, Some(disconnect.reason_code), "the client said DISCONNECT")
        }
    }

    /// Gives the session back, publishes the Will where it is due, and says farewell.
    pub(super) async fn end(mut self, mut ended: Ended) {
        self.count(&ended);
        // What was published in its last turn counts for those of its listener who come after it.
        let _ = self.charge();
        if !ended.gives_up && matches!(ended.cause, DisconnectCause::Shutdown | DisconnectCause::Kicked) {
            // What has been queued goes out before the farewell, as far as one write takes it.
            self.io.collect(&self.attachment);
        }
        if ended.gives_up {
            self.io.output.give_up_held_back();
            // What the client waits for may be CONNACK.
            ended.telling = if self.io.output.is_greeted() { ended.telling } else { Telling::Nothing };
        }
        // A second is too long where what it holds is too much.
        if ended.limit == Some(Count::LimitTotalOutputBytes)
            && self.attachment.broker().unsent().is_in_a_hurry()
        {
            ended.telling = Telling::Nothing;
        }
        let client = self.attachment.client_identifier().clone();
        tracing::debug!(%client, cause = ?ended.cause, reason = ?ended.reason, why = %ended.why, "client disconnected");
        let broker = self.attachment.broker().clone();
        let due_will = self.attachment.close(ended.closing, ended.cause, ended.reason, ended.expiry_interval);
        let io = &mut self.io;
        let is_told = ended.telling == Telling::Disconnect;
        // It may have said all at once, and waits for its answers; by WebSocket and TLS also for the end of these.
        let is_answered = is_told || ended.cause == DisconnectCause::Client;
        let say_farewell = async {
            if is_told && io.output.version() == ProtocolVersion::V5 {
                io.output.packet(&Packet::Disconnect(Box::new(farewell(ended))));
            }
            if is_answered {
                // A client that does not read gets no farewell.
                let _ = timeout(FAREWELL, io.drain()).await;
            }
        };
        let publish_will = async {
            if let Some(will) = due_will {
                broker.publish_will(will).await;
            }
        };
        tokio::join!(publish_will, say_farewell);
    }

    fn count(&self, ended: &Ended) {
        let cause = match ended.cause {
            DisconnectCause::Client => Some(Count::EndedByClient),
            DisconnectCause::Network => Some(Count::EndedByNetwork),
            DisconnectCause::KeepAlive => Some(Count::KeepAliveTimeouts),
            // Who took the session has counted it.
            DisconnectCause::Takeover => None,
            DisconnectCause::Kicked => Some(Count::EndedByRequest),
            DisconnectCause::ProtocolError => Some(Count::ProtocolErrors),
            DisconnectCause::AuthenticationExpired => Some(Count::EndedByExpiry),
            DisconnectCause::Shutdown => Some(Count::EndedByShutdown),
            DisconnectCause::Hook => Some(Count::EndedByHook),
        };
        let counters = self.attachment.broker().counters();
        cause.into_iter().chain(ended.limit).for_each(|count| counters.count(count));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> super::Io<S> {
    async fn drain(&mut self) -> std::io::Result<()> {
        self.output.write_all(&mut self.stream).await?;
        linger(&mut self.stream).await
    }
}

/// Closes the sending side and reads what the client still sends: a socket that is closed with unread
/// bytes resets the connection, and the client may lose the last packet it was sent.
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut bin = [0; 1024];
    let mut reads = 0u32;
    while stream.read(&mut bin).await? > 0 {
        reads += 1;
        // Who goes on sending keeps neither the others of this thread waiting nor the end of this, which is looked for
        // only where something waits.
        if reads.is_multiple_of(16) {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn farewell(ended: Ended) -> Disconnect {
    let reason = legal(ended.reason.unwrap_or(ReasonCode::UNSPECIFIED_ERROR), PacketType::Disconnect);
    let (reason_string, user_properties, server_reference) = texts(ended.reply, reason);
    Disconnect {
        reason_string: Some(reason_string.unwrap_or(ended.why)),
        user_properties,
        server_reference,
        ..Disconnect::new(reason)
    }
}
