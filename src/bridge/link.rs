//! One connection to the other broker, from the first byte to the last.
//!
//! The bridge is a client there and a session here, and both have the same state: what the other broker has not
//! acknowledged waits in the session, under the packet identifiers that the session gave it, and the QoS 2 identifiers that
//! it has not released are the session's. So all of it is kept as that of any session is, and a message goes over exactly
//! once whichever of the two brokers is killed. What is written waits for the storage as what a client is answered does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::greeting::{self, BridgeBit, Greeted};
use super::local;
use super::options::BridgeOptions;
use super::status::{Tally, count};
use super::unwritten::{Unwritten, WriteError};
use crate::broker::{Attachment, AuthorizationCache, Blocked, Broker, Closing, End, OpenError, Polled};
use crate::client::connector::Connector;
use crate::client::{BoxedStream, DialError};
use crate::hook::{ClientInfo, DisconnectCause, What};
use crate::packet::{
    Connack, DecodeError, Decoder, Disconnect, EncodeError, Packet, PacketIdentifier, PacketType,
    ProtocolVersion, ReasonCode, Subscribe, SubscribeFilter, Unsubscribe, encode,
};
use crate::storage::Promise;
use crate::topic::TopicFilter;

/// Bytes waiting to be written above which nothing more is taken from either side.
pub(super) const HIGH_WATER: usize = 64 * 1024;
/// Of one read, at most and at least.
const READ: usize = 64 * 1024;
const LEAST_READ: usize = 4 * 1024;
/// For each write.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what is said at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Filters of one SUBSCRIBE: some servers take no more.
const FILTERS: usize = 8;

/// Why there is no connection, or no longer one.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("the other broker refuses: {} (0x{:02X}){}", .0.reason_code, .0.reason_code.value(), text(.0.reason_string.as_deref()))]
    Refused(Box<Connack>),
    #[error("the other broker ended it: {} (0x{:02X}){}", .0.reason_code, .0.reason_code.value(), text(.0.reason_string.as_deref()))]
    Server(Box<Disconnect>),
    #[error("the other broker closed the connection")]
    Closed,
    #[error("the other broker does not answer")]
    Silent,
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("what the other broker sends cannot be understood: {0}")]
    Decode(#[from] DecodeError),
    #[error("the other broker sent {0:?}, which it must not")]
    Unexpected(PacketType),
    #[error("the other broker broke the rules: {0}")]
    Rules(&'static str),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("{0}")]
    Session(#[from] OpenError),
    #[error("a message of the other broker cannot be kept")]
    NotKept,
    #[error("the storage fails: {0}")]
    Storage(#[from] crate::storage::StorageError),
    #[error("the session here was taken: {0:?}")]
    Ended(End),
}

fn text(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

impl From<WriteError> for LinkError {
    fn from(error: WriteError) -> LinkError {
        match error {
            WriteError::Io(error) => LinkError::Io(error),
            WriteError::Storage(error) => LinkError::Storage(error),
        }
    }
}

/// A connection that both sides have agreed upon.
pub(super) struct Link<'b> {
    pub(super) options: &'b BridgeOptions,
    pub(super) broker: &'b Arc<Broker>,
    pub(super) tally: &'b Tally,
    pub(super) attachment: Attachment,
    pub(super) greeted: Greeted,
    pub(super) verdicts: AuthorizationCache,
    pub(super) unwritten: Unwritten,
    /// What packets that are put out from now on stand for.
    pub(super) promised: Promise,
    /// SUBSCRIBE packets that are not answered.
    pub(super) subscribing: Vec<(PacketIdentifier, Vec<TopicFilter>)>,
    /// UNSUBSCRIBE packets that are not answered.
    pub(super) unsubscribing: Vec<PacketIdentifier>,
    /// An UNSUBSCRIBE was refused: the next connection asks again.
    pub(super) still_has: bool,
    /// Until when both have to be answered.
    asked_by: Instant,
    last_received: Instant,
    last_sent: Instant,
    /// A PINGREQ that is not answered.
    pinged: Option<Instant>,
}

/// The other broker's side of a connection, without the session here.
struct Dialled {
    stream: BoxedStream,
    decoder: Decoder,
    received: BytesMut,
    greeted: Greeted,
}

/// Connects, and carries messages until the connection is over or `stop` says so.
///
/// # Errors
/// Why it is over, where that was not asked for.
pub(super) async fn run(
    options: &BridgeOptions,
    broker: &Arc<Broker>,
    tally: &Tally,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), LinkError> {
    let dialled = tokio::select! {
        dialled = dial(options, broker, tally) => dialled?,
        () = stopped(stop) => return Ok(()),
    };
    let Dialled { stream, decoder, received, greeted } = dialled;
    let attachment = local::attach(options, broker, &greeted)?;
    let mut link = Link::new(options, broker, tally, attachment, greeted);
    let ended = link.carry(stream, decoder, received, stop).await;
    tally.connected.store(false, Ordering::Relaxed);
    let cause = match &ended {
        Ok(()) => DisconnectCause::Client,
        Err(LinkError::Ended(End::Takeover)) => DisconnectCause::Takeover,
        Err(LinkError::Ended(End::Kicked(_))) => DisconnectCause::Kicked,
        Err(LinkError::Ended(End::Shutdown)) => DisconnectCause::Shutdown,
        Err(_) => DisconnectCause::Network,
    };
    let _no_will = link.attachment.close(Closing::Normal, cause, None, None);
    match ended {
        Err(LinkError::Ended(End::Shutdown)) => Ok(()),
        ended => ended,
    }
}

async fn dial(options: &BridgeOptions, broker: &Broker, tally: &Tally) -> Result<Dialled, LinkError> {
    if tally.refuses_bit.load(Ordering::Relaxed) {
        return dial_with(options, broker, BridgeBit::Unsaid).await;
    }
    match dial_with(options, broker, BridgeBit::Said).await {
        Err(error) if greeting::may_be_for_the_bit(&error, options.protocol_version) => {
            let dialled = dial_with(options, broker, BridgeBit::Unsaid).await?;
            // A connection that was closed may have been closed for another reason; the next one says it again.
            if matches!(error, LinkError::Refused(_)) {
                tally.refuses_bit.store(true, Ordering::Relaxed);
            }
            Ok(dialled)
        }
        dialled => dialled,
    }
}

async fn dial_with(options: &BridgeOptions, broker: &Broker, bit: BridgeBit) -> Result<Dialled, LinkError> {
    let mut stream = options.dialer.connect().await?;
    let (mut decoder, mut received) = (greeting::decoder(options, broker), BytesMut::new());
    let greeted = greeting::greet(&mut stream, options, broker, bit, &mut decoder, &mut received).await?;
    Ok(Dialled { stream, decoder, received, greeted })
}

impl<'b> Link<'b> {
    fn new(
        options: &'b BridgeOptions,
        broker: &'b Arc<Broker>,
        tally: &'b Tally,
        attachment: Attachment,
        greeted: Greeted,
    ) -> Link<'b> {
        let now = Instant::now();
        let session_present = true;
        broker.event(|| What::ClientConnected { client: attachment.client().clone(), session_present });
        Link {
            options,
            broker,
            tally,
            attachment,
            greeted,
            verdicts: AuthorizationCache::default(),
            unwritten: Unwritten::default(),
            promised: Promise::default(),
            subscribing: Vec::new(),
            unsubscribing: Vec::new(),
            still_has: false,
            asked_by: now + options.dialer.step_timeout,
            last_received: now,
            last_sent: now,
            pinged: None,
        }
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.options.protocol_version
    }

    pub(super) fn client(&self) -> &Arc<ClientInfo> {
        self.attachment.client()
    }

    async fn carry(
        &mut self,
        stream: BoxedStream,
        mut decoder: Decoder,
        mut received: BytesMut,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), LinkError> {
        let (mut reader, mut writer) = split(stream);
        if !self.greeted.session_present {
            self.begin_anew();
        }
        self.subscribe()?;
        self.note_readiness();
        loop {
            while let Some(packet) = decoder.decode(&mut received)? {
                self.take(packet).await?;
            }
            if self.step(&mut reader, &mut writer, &mut received, stop).await? == Step::Stopped {
                return self.say_goodbye(writer).await;
            }
        }
    }

    /// Waits for the first thing that can be done, and does it.
    async fn step(
        &mut self,
        reader: &mut ReadHalf<BoxedStream>,
        writer: &mut WriteHalf<BoxedStream>,
        received: &mut BytesMut,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Step, LinkError> {
        let has_room = self.unwritten.len() < HIGH_WATER;
        let is_answered = self.is_answered();
        let alarm = self.alarm();
        // What came in may wait in queues for long, and keeps its buffer: a small read gets no buffer of its own.
        if received.capacity() - received.len() < LEAST_READ {
            received.reserve(READ);
        }
        tokio::select! {
            read = reader.read_buf(received), if has_room => {
                if read? == 0 {
                    return Err(LinkError::Closed);
                }
                self.last_received = Instant::now();
            }
            written = self.unwritten.write(writer, self.broker.committer()), if !self.unwritten.is_done() => {
                written?;
                self.last_sent = Instant::now();
            }
            // Nothing that the session sends may have the identifier of a SUBSCRIBE or UNSUBSCRIBE.
            polled = work(&self.attachment), if has_room && is_answered => match polled {
                Polled::End(end) => return Err(LinkError::Ended(end)),
                Polled::Work | Polled::Idle => self.collect().await,
            },
            () = sleep_until(alarm) => self.be_alarmed()?,
            () = stopped(stop) => return Ok(Step::Stopped),
        }
        Ok(Step::Done)
    }

    /// When something has to be looked at because nothing has happened.
    fn alarm(&self) -> Instant {
        let keep_alive = self.greeted.keep_alive;
        let far = Instant::now() + Duration::from_secs(3600);
        let of_ping = match self.pinged {
            _ if keep_alive.is_zero() => far,
            Some(at) => at + keep_alive,
            None => self.last_sent.min(self.last_received) + keep_alive,
        };
        let of_writing =
            if self.unwritten.is_done() { far } else { self.last_sent.max(self.last_received) + PATIENCE };
        let of_answers = if self.is_answered() { far } else { self.asked_by };
        of_ping.min(of_writing).min(of_answers)
    }

    fn be_alarmed(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        let is_silent = self.pinged.is_some_and(|at| at + self.greeted.keep_alive <= now);
        let is_stuck = !self.unwritten.is_done() && self.last_sent.max(self.last_received) + PATIENCE <= now;
        let is_unanswered = !self.is_answered() && self.asked_by <= now;
        if is_silent || is_stuck || is_unanswered {
            return Err(LinkError::Silent);
        }
        let keep_alive = self.greeted.keep_alive;
        let is_quiet = self.last_sent.min(self.last_received) + keep_alive <= now;
        if self.pinged.is_none() && is_quiet && !keep_alive.is_zero() {
            self.pinged = Some(now);
            self.put(&Packet::Pingreq)?;
        }
        Ok(())
    }

    pub(super) fn ponged(&mut self) {
        self.pinged = None;
    }

    /// Subscribes what is to come from there and unsubscribes what is not any more, under identifiers that no message in
    /// flight has.
    fn subscribe(&mut self) -> Result<(), LinkError> {
        let abandoned = self.abandoned();
        self.note_asked(&abandoned);
        let in_flight = self.attachment.in_flight();
        let mut free =
            (1..=u16::MAX).rev().filter_map(PacketIdentifier::new).filter(|id| !in_flight.contains(id));
        let topics: Vec<_> = self.options.incoming().cloned().collect();
        for some in topics.chunks(FILTERS) {
            let Some(packet_identifier) = free.next() else { break };
            let subscriptions = some.iter().map(|topic| SubscribeFilter {
                no_local: true,
                retain_as_published: true,
                retain_handling: crate::packet::RetainHandling::SendAtNewSubscribe,
                ..SubscribeFilter::new(topic.remote().as_str().into(), topic.qos)
            });
            let subscribe = Subscribe {
                packet_identifier,
                subscription_identifier: None,
                user_properties: Vec::new(),
                subscriptions: subscriptions.collect(),
            };
            self.put(&Packet::Subscribe(Box::new(subscribe)))?;
            self.subscribing
                .push((packet_identifier, some.iter().map(|topic| topic.remote().clone()).collect()));
        }
        for some in abandoned.chunks(FILTERS) {
            let Some(packet_identifier) = free.next() else { break };
            let filters = some.iter().map(|filter| filter.as_str().into()).collect();
            let unsubscribe = Unsubscribe { packet_identifier, user_properties: Vec::new(), filters };
            self.put(&Packet::Unsubscribe(Box::new(unsubscribe)))?;
            self.unsubscribing.push(packet_identifier);
        }
        Ok(())
    }

    fn is_answered(&self) -> bool {
        self.subscribing.is_empty() && self.unsubscribing.is_empty()
    }

    /// Messages go either way from now on, unless something that was asked is not answered.
    pub(super) fn note_readiness(&self) {
        if self.is_answered() {
            self.tally.connected.store(true, Ordering::Relaxed);
            count(&self.tally.connections);
            let (bridge, server) = (&self.options.name, &self.options.dialer);
            tracing::info!(bridge, %server, "a bridge is connected");
        }
    }

    /// Does something with the session that may promise something.
    pub(super) fn promising<T>(&mut self, act: impl FnOnce(&Attachment) -> T) -> T {
        let outer = Promise::swap(self.promised);
        let done = act(&self.attachment);
        self.promised = Promise::swap(outer);
        done
    }

    pub(super) fn put(&mut self, packet: &Packet) -> Result<(), LinkError> {
        let mut bytes = BytesMut::new();
        encode(packet, self.version(), &mut bytes)?;
        self.unwritten.put(self.promised, bytes);
        Ok(())
    }

    /// Writes what waits, and DISCONNECT.
    async fn say_goodbye(&mut self, mut writer: WriteHalf<BoxedStream>) -> Result<(), LinkError> {
        let disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        self.put(&Packet::Disconnect(Box::new(disconnect)))?;
        let saying = async {
            while !self.unwritten.is_done() {
                self.unwritten.write(&mut writer, self.broker.committer()).await?;
            }
            writer.shutdown().await.map_err(LinkError::from)
        };
        // Who does not hear it finds the connection closed.
        let _ = timeout(FAREWELL, saying).await;
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Step {
    Done,
    Stopped,
}

/// Waits until the session has something to send, or is to end.
async fn work(attachment: &Attachment) -> Polled {
    std::future::poll_fn(|cx| match attachment.poll_work(cx.waker(), Blocked::No) {
        Polled::Idle => std::task::Poll::Pending,
        polled => std::task::Poll::Ready(polled),
    })
    .await
}

/// Waits until the bridge is to end.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whose sender is gone is not wanted any more either.
    let _ = stop.wait_for(|stop| *stop).await;
}
