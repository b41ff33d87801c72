//! One Network Connection from accept to close.
//!
//! One task reads packets, acts on them and writes what its session holds ready, in turns: what came in
//! one read is acted on before anything is written, and what is to be written goes out in one write.
//! While a hook keeps a packet waiting, the task goes on writing. Start at [`serve`].

mod acknowledge;
mod alarm;
mod arriving;
mod authenticate;
mod disconnect;
mod effort;
mod foreign;
mod handshake;
mod held_back;
mod incomplete;
mod input;
mod intercept;
mod mount;
mod outgoing_alias;
mod output;
mod pace;
mod pacing;
mod peer;
mod publish;
mod read_buffers;
mod serve;
mod subscribe;
mod terms;
mod thread;
mod timers;
mod topic_alias;
mod unwritten;

use std::future::poll_fn;
use std::num::NonZeroU16;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::broker::guard::RateAction;
use crate::broker::{Attachment, AuthorizationCache, Batch, Blocked, Count, Polled};
use crate::message::Timestamp;
use crate::packet::{Packet, PacketType, ReasonCode};
use authenticate::Authentication;
use disconnect::Ended;
pub use effort::take_effort;
use incomplete::Incomplete;
use input::Input;
use intercept::{Held, Together};
use output::Output;
use pace::Pace;
use pacing::{Pacing, TooFast};
pub use peer::Peer;
use serve::Waiting;
pub use serve::{Moving, Serve, serve, turn_away};
use thread::Seen;
pub use thread::Thread;
use timers::Timers;
use topic_alias::TopicAliases;

/// Bytes waiting to be written above which nothing more is taken from the client or the session.
const HIGH_WATER: usize = 64 * 1024;
/// Turns of a connection for which there is always something, before others of its thread get theirs.
const FAIR_TURNS: u32 = 32;
/// Milliseconds of a connection's turns in which a further one may begin: what it publishes may be for thousands.
const FAIR_TIME: u64 = 1;

struct Connection<S> {
    io: Io<S>,
    attachment: Attachment,
    verdicts: AuthorizationCache,
    /// Where there is something of it.
    seldom: Option<Box<Seldom>>,
    /// How many QoS 1 and 2 messages the client may have in flight.
    receive_maximum: NonZeroU16,
    /// QoS 2 messages of this connection that it has not released. Those of QoS 1 are answered one by one.
    unreleased: u16,
    /// Seconds; also for what DISCONNECT asks for.
    session_expiry_cap: u32,
    /// Whether CONNECT asked for a session that outlives its connection.
    asked_to_be_kept: bool,
    /// To which nothing is sent of what it has published.
    is_bridge: bool,
    thread: Seen,
    /// Before anything is waited for, there is to be acted on what was read.
    acts_next: bool,
    /// A hook was asked about the last message: the next ones are asked about together.
    was_asked: bool,
}

/// What most connections have nothing of.
#[derive(Default)]
struct Seldom {
    /// Where CONNECT had an Authentication Method.
    authentication: Option<Authentication>,
    aliases: TopicAliases,
    /// Why a message could not be kept, while the client may not have been told.
    refused_with: Option<ReasonCode>,
}

/// What comes after some turns.
enum Next {
    /// Acting on packets, of which one has to wait. The message, where one was read already.
    Acts(Option<Held>),
    /// Taking retained messages.
    Replays,
    /// Going on with the thread that has this number.
    Moves(u32),
    Ends(Box<Ended>),
}

/// How a turn went.
enum Turn {
    Over,
    /// Others of its thread get their turn.
    Interrupted,
    Waits(Next),
}

/// What is apart from the session: bytes and time.
struct Io<S> {
    stream: S,
    input: Input,
    output: Output,
    timers: Timers,
    now: Timestamp,
    /// Packets that were read wait until the client takes what it was answered.
    more_to_decode: bool,
    /// As CONNACK said, whatever the broker's options are by now. It is here since there is room.
    topic_alias_maximum: u16,
}

/// How far a connection came with what it has read.
enum Acted {
    All,
    /// Others of its thread get their turn.
    UntilNow,
    /// For a hook, or another connection. The message, where one was read already.
    UntilOneWaits(Option<Held>),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Takes turns until something has to wait that is not here: for a hook, another thread, or the end.
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut begun = None;
        for _ in 0..FAIR_TURNS {
            if !std::mem::take(&mut self.acts_next)
                && let Err(ended) = ready!(self.io.poll_turn(cx, &self.attachment))
            {
                return Poll::Ready(Next::Ends(Box::new(ended)));
            }
            match self.take_turn() {
                // The turn has read the clock when it began.
                Ok(Turn::Over) if self.io.now.0 <= begun.get_or_insert(self.io.now).0 + FAIR_TIME => {}
                Ok(Turn::Over) => break,
                Ok(Turn::Interrupted) => {
                    effort::was_interrupted();
                    self.acts_next = true;
                    break;
                }
                Ok(Turn::Waits(next)) => return Poll::Ready(next),
                Err(ended) => return Poll::Ready(Next::Ends(Box::new(ended))),
            }
        }
        // Asked once, it wakes the task when others have had their turn.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }

    fn take_turn(&mut self) -> Result<Turn, Ended> {
        if let Some(to) = self.thread.is_busy() {
            self.acts_next = true;
            return Ok(Turn::Waits(Next::Moves(to)));
        }
        self.io.now = self.attachment.broker().now();
        if let Some(timer) = self.io.timers.overdue() {
            return Ended::by_timer(timer).map_or(Ok(Turn::Over), Err);
        }
        match self.act_at_once()? {
            Acted::All => self.finish_turn(),
            Acted::UntilNow => Ok(Turn::Interrupted),
            Acted::UntilOneWaits(message) => Ok(Turn::Waits(Next::Acts(message))),
        }
    }

    /// Takes what the session has ready, once all was acted on that had been read.
    fn finish_turn(&mut self) -> Result<Turn, Ended> {
        if self.io.output.is_unanswerable() {
            return Err(Ended::refused(ReasonCode::PACKET_TOO_LARGE));
        }
        self.keep_pace()?;
        let wants_replay = self.io.collect(&self.attachment);
        Ok(if wants_replay { Turn::Waits(Next::Replays) } else { Turn::Over })
    }

    /// Has a client that published too fast wait, or ends its connection.
    fn keep_pace(&mut self) -> Result<(), Ended> {
        let Some(too_fast) = self.charge() else { return Ok(()) };
        if too_fast.action == RateAction::Disconnect {
            return Err(Ended::too_fast());
        }
        self.attachment.broker().counters().count(Count::LimitPublishRate);
        self.io.timers.rest(too_fast.wait);
        // What it has read waits for long.
        self.io.input.move_chunk();
        Ok(())
    }

    /// Counts what it has published against the rates.
    fn charge(&mut self) -> Option<TooFast> {
        let (guard, listener) = (self.attachment.broker().guard(), &self.attachment.client().listener);
        self.io.timers.pacing(guard, listener).and_then(Pacing::charge)
    }

    /// The rest of a turn in which a packet has to wait.
    fn go_on_acting(mut self, message: Option<Held>) -> Waiting<S>
    where
        S: 'static,
    {
        Box::pin(async move {
            let acted = self.act_on_packets(message).await;
            let finished = acted.and_then(|()| self.finish_turn());
            if let Ok(Turn::Waits(Next::Replays)) = finished {
                self.replay().await;
            }
            (self, finished.map(|_| ()))
        })
    }

    /// The rest of a turn in which retained messages are taken.
    fn go_on_replaying(mut self) -> Waiting<S>
    where
        S: 'static,
    {
        Box::pin(async move {
            self.replay().await;
            (self, Ok(()))
        })
    }

    async fn replay(&mut self) {
        let replayed = pin!(self.attachment.replay_retained(self.io.now));
        wait(&mut self.io, &self.attachment, replayed).await;
        self.io.collect(&self.attachment);
    }

    /// Acts on what has been read, for as long as nothing has to wait and the client takes what it is answered.
    fn act_at_once(&mut self) -> Result<Acted, Ended> {
        if !self.io.has_to_decode() {
            return Ok(Acted::All);
        }
        let acted = Batch::of(|| self.act_until_one_waits());
        self.attachment.broker().deliver_gathered();
        acted.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn act_until_one_waits(&mut self) -> Result<Acted, Ended> {
        let mut pace = Pace::begin();
        let together = self.publishes_together();
        while self.io.has_to_decode() {
            if self.next_may_wait() {
                return Ok(Acted::UntilOneWaits(None));
            }
            if together && self.next_goes_together() {
                match self.publish_together(&mut pace)? {
                    Together::Done => {}
                    Together::Partial => break,
                    Together::Waits(message, rest) => return Ok(Acted::UntilOneWaits(Some((message, rest)))),
                }
            } else {
                match self.io.next_packet(&pace)? {
                    None => break,
                    Some(Packet::Publish(publish)) => {
                        if let Some(message) = self.publish_at_once(publish)? {
                            return Ok(Acted::UntilOneWaits(Some((message, None))));
                        }
                    }
                    Some(packet) => self.act_on_at_once(packet, &mut pace)?,
                }
                pace.counts(1);
            }
            if pace.is_over() {
                return Ok(Acted::UntilNow);
            }
        }
        Ok(Acted::All)
    }

    /// Whether hooks are asked about the next packet whatever is in it, or those that had the session before come
    /// first.
    fn next_may_wait(&self) -> bool {
        match self.io.input.next_type() {
            Some(PacketType::Publish) => self.attachment.has_former(),
            Some(PacketType::Subscribe | PacketType::Unsubscribe | PacketType::Auth) => true,
            _ => false,
        }
    }

    fn act_on_at_once(&mut self, packet: Packet, pace: &mut Pace) -> Result<(), Ended> {
        match packet {
            Packet::Puback(ack) => self.pubacks(ack, pace)?,
            Packet::Pubrec(ack) => self.pubrec(&ack),
            Packet::Pubrel(ack) => self.pubrel(&ack)?,
            Packet::Pubcomp(ack) => self.pubcomp(&ack),
            Packet::Pingreq => self.io.output.packet(&Packet::Pingresp),
            Packet::Disconnect(disconnect) => return Err(self.disconnected(&disconnect)),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => return Err(Ended::protocol_error("a second CONNECT [MQTT-3.1.0-2]")),
            // The client's others may wait, and are not given to this.
            _ => return Err(Ended::protocol_error("a packet that only a server sends")),
        }
        Ok(())
    }

    /// The same where something may have to wait.
    async fn act_on_packets(&mut self, first: Option<Held>) -> Result<(), Ended> {
        let broker = self.attachment.broker().clone();
        let acting = pin!(self.act_on_each(first));
        broker.in_one_go(acting).await
    }

    async fn act_on_each(&mut self, first: Option<Held>) -> Result<(), Ended> {
        if let Some((message, rest)) = first {
            self.go_on_together(message, rest).await?;
        }
        let mut pace = Pace::begin();
        while self.io.has_to_decode() {
            let Some(packet) = self.io.next_packet(&pace)? else { break };
            self.act_on(packet, &mut pace).await?;
            pace.counts(1);
            if pace.is_over() {
                tokio::task::yield_now().await;
                pace = Pace::begin();
            }
        }
        Ok(())
    }

    async fn act_on(&mut self, packet: Packet, pace: &mut Pace) -> Result<(), Ended> {
        match packet {
            Packet::Publish(publish) => self.publish(publish).await,
            Packet::Subscribe(subscribe) => self.subscribe(*subscribe).await,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(*unsubscribe).await,
            // In a box: it is rare, and each PUBLISH that a hook is asked about would have to make room for it.
            Packet::Auth(auth) => Box::pin(self.authenticate(*auth)).await,
            packet => self.act_on_at_once(packet, pace),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Io<S> {
    /// Waits until there is something to do, writing meanwhile. Reading comes before sending: a client for whom there is always something must still be heard.
    fn poll_turn(&mut self, cx: &mut Context<'_>, attachment: &Attachment) -> Poll<Result<(), Ended>> {
        self.poll_write(cx, attachment)?;
        let blocked = if self.is_blocked() { Blocked::Yes } else { Blocked::No };
        let polled = attachment.poll_work(cx.waker(), blocked);
        if let Polled::End(end) = &polled {
            return Poll::Ready(Err(Ended::by_broker(end)));
        }
        let reads = blocked == Blocked::No && !self.timers.is_resting();
        if reads && self.more_to_decode {
            return Poll::Ready(Ok(()));
        }
        if reads && let Poll::Ready(read) = self.input.poll_read(cx, &mut self.stream, self.output.counters())
        {
            return Poll::Ready(read.map_err(Ended::network));
        }
        if matches!(polled, Polled::Work) {
            return Poll::Ready(Ok(()));
        }
        self.timers.poll(cx).map(|timer| Ended::by_timer(timer).map_or(Ok(()), Err))
    }

    /// Writes until everything is written or the socket takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>, attachment: &Attachment) -> Result<(), Ended> {
        while !self.output.is_empty() {
            // The socket is not to blame for what waits for the storage.
            let Poll::Ready(writable) = self.output.poll_writable(cx) else { break };
            let writable = writable.map_err(|error| Ended::by_storage(&error))?;
            let was_blocked = self.is_blocked();
            match self.output.poll_write(cx, &mut self.stream, writable) {
                Poll::Ready(Ok(())) => self.timers.written(was_blocked),
                Poll::Ready(Err(_)) => return Err(Ended::network("the connection broke")),
                Poll::Pending => {
                    let held = self.output.held();
                    self.timers.write_waits(self.output.write_timeout(), attachment).hold(held);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether there are packets to be acted on, and the client takes what it is answered.
    fn has_to_decode(&mut self) -> bool {
        // What the rates allow at once is charged before there is more.
        let has_to_wait = self.is_blocked() || self.timers.is_resting() || self.timers.has_spent();
        let has_unread = self.input.has_unread();
        self.more_to_decode = has_to_wait && has_unread;
        has_unread && !has_to_wait
    }

    /// The next packet of those that were read.
    #[inline(always)]
    fn next_packet(&mut self, pace: &Pace) -> Result<Option<Packet>, Ended> {
        let packet =
            self.input.next_packet(self.output.counters()).map_err(|error| Ended::decode_error(&error))?;
        // Packets count, not bytes: one that never ends is no sign of life [MQTT-3.1.2-22].
        match &packet {
            Some(_) if pace.packets == 0 => self.timers.received(pace.begun),
            None => self.watch_beginning(pace)?,
            Some(_) => {}
        }
        Ok(packet)
    }

    /// A packet that has begun has a time in which it must be there.
    fn watch_beginning(&mut self, pace: &Pace) -> Result<(), Ended> {
        let Some(beginning) = self.input.beginning() else { return Ok(()) };
        let guard = self.output.guard();
        let incomplete = self.timers.incomplete().get_or_insert_with(|| Incomplete::new(pace.begun, guard));
        if incomplete.grow(beginning) { Ok(()) } else { Err(Ended::too_much_incomplete()) }
    }

    fn is_blocked(&self) -> bool {
        self.output.len() >= HIGH_WATER
            || self.output.holds_refusal()
            || self.timers.write_is_waiting() && self.output.is_scarce()
    }

    /// Takes what the session has ready, as far as the output has room. Says whether retained messages wait then.
    fn collect(&mut self, attachment: &Attachment) -> bool {
        if self.is_blocked() {
            return attachment.wants_replay();
        }
        let (now, output) = (self.now, &mut self.output);
        let size = output.size();
        attachment.take_outgoing(
            now,
            |delivery, now| size.fits(delivery, now),
            |outgoing| {
                output.outgoing(outgoing, now);
                output.len() < HIGH_WATER
            },
        )
    }
}

/// Waits for a hook, and goes on sending the client what it is to receive meanwhile.
///
/// `answer` is pinned by who asks: given by value it would be there twice, as an argument and in its place.
async fn wait<S, T>(
    io: &mut Io<S>,
    attachment: &Attachment,
    mut answer: Pin<&mut impl Future<Output = T>>,
) -> T
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    poll_fn(|cx| {
        if let Poll::Ready(value) = answer.as_mut().poll(cx) {
            return Poll::Ready(value);
        }
        // What was acted on before has been answered, and an answer is not written before what it acknowledges is
        // in the queues.
        attachment.broker().deliver_gathered();
        io.now = attachment.broker().now();
        // A broken connection is noticed in the next turn.
        while io.poll_write(cx, attachment).is_ok()
            && !io.is_blocked()
            && matches!(attachment.poll_work(cx.waker(), Blocked::No), Polled::Work)
        {
            let before = io.output.len();
            io.collect(attachment);
            if io.output.len() == before {
                break;
            }
        }
        Poll::Pending
    })
    .await
}
