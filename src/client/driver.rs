//! One Network Connection after CONNACK: reads, writes, keeps alive, until it is over.
//!
//! It works in turns: take in all that was read, write all that can go, with one lock and one system call for each
//! direction, however many packets there are.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::BoxedStream;
use super::core::{HIGH_WATER, Shared, Turn};
use super::error::End;
use crate::packet::{Decoder, Disconnect, Packet, ProtocolVersion, encode};
use crate::storage::{Committer, Promise};

/// Turns before others of the runtime have theirs.
const TURNS: usize = 32;

/// What is read at a time, at least and at most.
const CHUNKS: [usize; 2] = [4 * 1024, 64 * 1024];

/// How long a connection that is over may take to say so, or to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) stream: BoxedStream,
    pub(super) version: ProtocolVersion,
    pub(super) decoder: Decoder,
    pub(super) received: BytesMut,
    unwritten: BytesMut,
    /// Zero: never.
    keep_alive: Duration,
    last_sent: Instant,
    last_received: Instant,
    ping_sent: Option<Instant>,
    to_flush: bool,
    /// What is read next.
    chunk: usize,
    /// Writing has failed; what the server said before may still be read.
    unwritable: Option<End>,
    /// Which deadlines are to be looked at, at the latest.
    alarm: Pin<Box<Sleep>>,
}

/// What a turn under the lock has found.
struct Found {
    turn: Turn,
    held: bool,
    /// Who takes messages has time for it, and the server as well.
    patient: bool,
    leaves_by: Option<Instant>,
    room: bool,
    promised: Option<(Arc<Committer>, Promise)>,
}

impl Connection {
    pub(super) fn new(
        stream: BoxedStream,
        decoder: Decoder,
        received: BytesMut,
        version: ProtocolVersion,
        keep_alive: Duration,
    ) -> Connection {
        let now = Instant::now();
        Connection {
            stream,
            version,
            decoder,
            received,
            unwritten: BytesMut::new(),
            keep_alive,
            last_sent: now,
            last_received: now,
            ping_sent: None,
            to_flush: false,
            chunk: CHUNKS[0],
            unwritable: None,
            alarm: Box::pin(sleep_until(now)),
        }
    }

    /// Serves until the connection is over, at the latest after `longest`, and says why it is.
    pub(super) async fn run(mut self, shared: &Arc<Shared>, longest: Option<Duration>) -> End {
        let serving = poll_fn(|cx| self.poll_serve(cx, shared));
        let end = match longest {
            Some(longest) => timeout(longest, serving).await.unwrap_or(End::Renewal),
            None => serving.await,
        };
        self.close(&end, shared).await;
        end
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<End> {
        for _ in 0..TURNS {
            match self.take_turn(cx, shared) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Says whether there may be more to do at once.
    fn take_turn(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Result<bool, End> {
        let found = self.exchange(cx, shared)?;
        if found.room {
            shared.room.notify_waiters();
        }
        let wrote = self.is_kept(cx, &found)? && self.write(cx)?;
        if found.turn == Turn::Leaves {
            return self.leave(cx, shared);
        }
        // What comes may ask for answers: a server that takes none is not to be heard without end.
        let held = found.held || self.unwritten.len() >= HIGH_WATER;
        let read = !held && self.read(cx)?;
        // Also a server that always has something to say has its deadlines.
        let is_due = self.last_sent.max(self.last_received) >= self.alarm.deadline();
        if (wrote || read) && !is_due {
            return Ok(true);
        }
        Ok(self.keep_time(cx, shared, &found)? || wrote || read)
    }

    /// All that is done under the lock.
    fn exchange(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Result<Found, End> {
        let now = shared.now();
        shared.with(|core| {
            core.take_in(&mut self.decoder, &mut self.received, &mut self.unwritten, now)?;
            let turn = match self.unwritable {
                None => core.fill(&mut self.unwritten, now)?,
                Some(_) => Turn::Served,
            };
            core.park_driver(cx.waker());
            let (held, patient, leaves_by) = (core.is_held(), core.is_held_by_taker(), core.leaves_by());
            Ok(Found { turn, held, patient, leaves_by, room: core.takes_room(), promised: core.promised() })
        })
    }

    /// Whether all is kept that has to be before it is written.
    fn is_kept(&mut self, cx: &mut Context<'_>, found: &Found) -> Result<bool, End> {
        let Some((committer, promised)) = &found.promised else { return Ok(true) };
        match committer.poll_kept(*promised, cx) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes as much as goes. Says whether there is room for more.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let was_full = self.unwritten.len() >= HIGH_WATER;
        while !self.unwritten.is_empty() && self.unwritable.is_none() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unwritten) {
                Poll::Ready(Ok(0)) => self.cannot_write(End::Closed),
                Poll::Ready(Ok(count)) => {
                    self.unwritten.advance(count);
                    self.last_sent = Instant::now();
                    self.to_flush = true;
                }
                Poll::Ready(Err(error)) => self.cannot_write(error.into()),
                Poll::Pending => break,
            }
        }
        if self.to_flush && self.unwritable.is_none() {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.to_flush = false,
                Poll::Ready(Err(error)) => self.cannot_write(error.into()),
                Poll::Pending => {}
            }
        }
        Ok(was_full && self.unwritten.len() < HIGH_WATER)
    }

    /// A server that closes while we write may have said why before; that is still to be read.
    fn cannot_write(&mut self, end: End) {
        self.unwritten.clear();
        self.unwritable = Some(end);
        self.alarm.as_mut().reset(Instant::now() + LAST_WORDS);
    }

    /// Reads once. Says whether something came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.received.capacity() - self.received.len() < self.chunk / 2 {
            self.received.reserve(self.chunk);
        }
        let reading = pin!(self.stream.read_buf(&mut self.received));
        let count = match reading.poll(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(count)) if count > 0 => count,
            Poll::Ready(result) => {
                let end = result.map_or_else(End::from, |_| End::Closed);
                return Err(self.unwritable.take().unwrap_or(end));
            }
        };
        self.last_received = Instant::now();
        self.ping_sent = None;
        self.chunk = if count >= self.chunk { CHUNKS[1].min(self.chunk * 4) } else { self.chunk };
        Ok(true)
    }

    /// DISCONNECT is the last that is written.
    fn leave(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Result<bool, End> {
        if self.unwritable.is_some() {
            return Err(End::Client);
        }
        if self.unwritten.is_empty()
            && !self.to_flush
            && Pin::new(&mut self.stream).poll_shutdown(cx).is_ready()
        {
            return Err(End::Client);
        }
        let leaves_by = shared.with(|core| core.leaves_by()).unwrap_or_else(Instant::now);
        self.alarm.as_mut().reset(leaves_by.max(self.last_sent) + LAST_WORDS);
        if self.alarm.as_mut().poll(cx).is_ready() { Err(End::Client) } else { Ok(false) }
    }

    /// Nothing is left to do but to wait. Says whether a time has come at which there is more.
    fn keep_time(&mut self, cx: &mut Context<'_>, shared: &Shared, found: &Found) -> Result<bool, End> {
        if let Some(leaves_by) = found.leaves_by.filter(|by| *by < self.alarm.deadline()) {
            self.alarm.as_mut().reset(leaves_by);
        }
        if self.alarm.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        if let Some(end) = self.unwritable.take() {
            return Err(end);
        }
        let now = Instant::now();
        let next = self.next_ping(now, found.patient)?.min(self.next_answer(shared, now, found.patient)?);
        let next = found.leaves_by.filter(|by| *by > now).map_or(next, |by| next.min(by));
        self.alarm.as_mut().reset(next);
        Ok(true)
    }

    /// Sends a ping where it is time [MQTT-3.1.2-20], and says when to look again.
    fn next_ping(&mut self, now: Instant, held: bool) -> Result<Instant, End> {
        if self.keep_alive.is_zero() {
            return Ok(now + LONG);
        }
        if held {
            // The answer cannot be read now.
            self.ping_sent = self.ping_sent.map(|_| now);
        }
        // It takes nothing, not even the ping, whatever it says meanwhile. One that is not heard may be waiting for that.
        if !held && !self.unwritten.is_empty() && now >= self.last_sent + self.keep_alive * 2 {
            return Err(End::KeepAlive);
        }
        match self.ping_sent {
            Some(sent) if now >= sent + self.keep_alive => return Err(End::KeepAlive),
            Some(sent) => return Ok(sent + self.keep_alive),
            None => {}
        }
        let silent_since = if held { self.last_sent } else { self.last_sent.min(self.last_received) };
        if now < silent_since + self.keep_alive {
            return Ok(silent_since + self.keep_alive);
        }
        self.ping_sent = Some(now);
        encode(&Packet::Pingreq, self.version, &mut self.unwritten)?;
        Ok(now + self.keep_alive)
    }

    /// Looks whether the server owes an answer for too long, and says when to look again.
    fn next_answer(&mut self, shared: &Shared, now: Instant, held: bool) -> Result<Instant, End> {
        let Some(limit) = shared.options.acknowledgement_timeout else { return Ok(now + LONG) };
        let Some((since, packet)) = shared.with(|core| core.unanswered()) else { return Ok(now + limit / 2) };
        let waited = since.until(shared.now());
        if held || waited < limit {
            return Ok(now + limit.saturating_sub(waited).clamp(Duration::from_millis(1), limit / 2));
        }
        shared.with(|core| core.give_unanswered_up());
        Err(End::Unanswered(packet))
    }

    /// Tells a server that is left why it is. What is not kept is not said here either: then it hears nothing.
    async fn close(&mut self, end: &End, shared: &Shared) {
        let Some(reason) = end.disconnect_reason() else { return };
        // 3.1.1 has no reasons: there a DISCONNECT says that the Will is not wanted.
        if self.version == ProtocolVersion::V5 || !reason.is_error() {
            let disconnect = Packet::Disconnect(Box::new(Disconnect::new(reason)));
            // A DISCONNECT without properties can be encoded.
            let _ = encode(&disconnect, self.version, &mut self.unwritten);
        }
        let promised = shared.with(|core| core.promised());
        let closing = async {
            if let Some((committer, promised)) = promised
                && poll_fn(|cx| committer.poll_kept(promised, cx)).await.is_err()
            {
                return self.stream.shutdown().await;
            }
            self.stream.write_all_buf(&mut self.unwritten).await?;
            self.stream.shutdown().await
        };
        // The connection is over, whether the server hears of it or not.
        let _ = timeout(LAST_WORDS, closing).await;
    }
}

/// Where no deadline is known.
const LONG: Duration = Duration::from_secs(3600);
