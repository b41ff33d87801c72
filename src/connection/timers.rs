//! The times of a connection: keep-alive, a client that does not read, a packet that takes too long to come,
//! credentials that end, a re-authentication that does not come to its end, a client that published too fast.
//!
//! The alarm is not moved with every packet. The times are looked at when it rings, and it is set again where none
//! has come after all.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;
use super::incomplete::Incomplete;
use super::pacing::Pacing;
use crate::broker::guard::Guard;
use crate::broker::{Attachment, Stuck};
use crate::hook::ListenerPolicy;

pub(super) struct Timers {
    last_received: Instant,
    /// Seconds; 0 for none.
    keep_alive: u16,
    /// Most connections have none of them, which saves each of them 40 bytes.
    others: Option<Box<Others>>,
    alarm: Option<Alarm>,
}

#[derive(Default)]
struct Others {
    expires_at: Option<Instant>,
    /// When the client must have answered the challenge of its re-authentication.
    authenticates_until: Option<Instant>,
    /// When the socket must have taken something of what waits.
    writes_until: Option<Instant>,
    /// While it does not.
    stuck: Option<Stuck>,
    /// The packet of which only the beginning came.
    incomplete: Option<Incomplete>,
    /// Until when the client is not read from.
    rests_until: Option<Instant>,
    /// Where there is a rate for what it publishes.
    pacing: Option<Box<Pacing>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    KeepAlive,
    Expired,
    Authentication,
    WriteStalled,
    SlowPacket,
    /// The client is read from again: no end.
    Rested,
}

impl Timers {
    /// `keep_alive` in seconds, 0 for none.
    pub(super) fn new(keep_alive: u16, expires_in: Option<Duration>, pacing: Option<Box<Pacing>>) -> Timers {
        let mut timers = Timers { last_received: Instant::now(), keep_alive, others: None, alarm: None };
        if let Some(left) = expires_in {
            timers.expire_in(left);
        }
        if pacing.is_some() {
            timers.others().pacing = pacing;
        }
        timers
    }

    /// For another thread, whose alarms are others.
    pub(super) fn without_alarm(self) -> Timers {
        Timers { alarm: None, ..self }
    }

    /// What ends the connection however busy it is: the timer only fires while it has nothing to do.
    pub(super) fn overdue(&self) -> Option<Timer> {
        let others = self.others.as_ref()?;
        let now = Instant::now();
        let over = |at: Option<Instant>, timer| at.filter(|&at| at <= now).map(|_| timer);
        let slow = || over(others.incomplete.as_ref().map(Incomplete::until), Timer::SlowPacket);
        let late = || over(others.authenticates_until, Timer::Authentication);
        over(others.expires_at, Timer::Expired).or_else(late).or_else(slow)
    }

    /// The credentials are new, and end then.
    pub(super) fn expire_in(&mut self, left: Duration) {
        self.others().expires_at = after(left);
    }

    /// How long the client may take to answer a challenge; None: there is none to answer.
    pub(super) fn authenticate_within(&mut self, left: Option<Duration>) {
        self.others().authenticates_until = left.and_then(after);
    }

    /// A packet came.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
        if let Some(others) = &mut self.others {
            others.incomplete = None;
        }
    }

    /// The packet that is there in part, and must be there in whole in time.
    pub(super) fn incomplete(&mut self) -> &mut Option<Incomplete> {
        &mut self.others().incomplete
    }

    /// A message came.
    pub(super) fn published(&mut self, bytes: usize) {
        if let Some(others) = &mut self.others
            && let Some(pacing) = &mut others.pacing
        {
            pacing.published(bytes);
        }
    }

    /// Whether as much was published as there may be at once.
    pub(super) fn has_spent(&self) -> bool {
        let pacing = self.others.as_ref().and_then(|others| others.pacing.as_ref());
        pacing.is_some_and(|pacing| pacing.is_spent())
    }

    /// What was published, where there is a rate for it. One that came while the client was connected holds from its next
    /// message on.
    pub(super) fn pacing(
        &mut self,
        guard: &Arc<Guard>,
        listener: &Arc<ListenerPolicy>,
    ) -> Option<&mut Pacing> {
        if guard.paces() {
            let pacing = &mut self.others().pacing;
            if pacing.is_none() {
                *pacing = Pacing::of(guard, listener);
            }
        }
        self.others.as_mut()?.pacing.as_deref_mut()
    }

    /// The client is not read from for so long, and so cannot show that it lives [MQTT-3.1.2-22].
    pub(super) fn rest(&mut self, time: Duration) {
        let now = Instant::now();
        self.last_received = now.checked_add(time).unwrap_or(now);
        let others = self.others();
        others.rests_until = after(time);
        others.incomplete.iter_mut().for_each(|it| it.put_off(time));
    }

    /// Whether the client is not read from now.
    pub(super) fn is_resting(&mut self) -> bool {
        let Some(others) = &mut self.others else { return false };
        others.rests_until = others.rests_until.filter(|&at| Instant::now() < at);
        others.rests_until.is_some()
    }

    /// The socket took something. A client for which so much waits that it is not read from cannot show otherwise
    /// that it lives. One that is read from can, though its socket takes nothing for a moment, as each does that was
    /// just registered with another thread's runtime [MQTT-3.1.2-22].
    pub(super) fn written(&mut self, was_blocked: bool) {
        let Some(others) = &mut self.others else { return };
        let waited = others.writes_until.take();
        others.stuck = None;
        if waited.is_some() && was_blocked {
            let now = Instant::now();
            self.last_received = now;
            // The client could not go on with a packet while it was not read from.
            self.others().incomplete.iter_mut().for_each(|it| it.begin_again(now));
        }
    }

    /// The socket takes nothing now. The connection ends where it still does not after the time-out.
    pub(super) fn write_waits(&mut self, timeout: Duration, attachment: &Attachment) -> &mut Stuck {
        let others = self.others();
        others.writes_until = others.writes_until.or_else(|| after(timeout));
        others.stuck.get_or_insert_with(|| attachment.is_stuck())
    }

    /// Whether the socket took nothing when it was tried last.
    pub(super) fn write_is_waiting(&self) -> bool {
        self.others.as_ref().is_some_and(|others| others.stuck.is_some())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        while let Some((at, timer)) = self.next() {
            let alarm = self.alarm.get_or_insert_with(Alarm::new);
            ready!(alarm.poll_until(at, cx.waker()));
            if Instant::now() >= at {
                return Poll::Ready(timer);
            }
        }
        Poll::Pending
    }

    fn next(&self) -> Option<(Instant, Timer)> {
        let keep_alive = self.keep_alive_ends().map(|at| (at, Timer::KeepAlive));
        let Some(others) = &self.others else { return keep_alive };
        [
            keep_alive,
            others.expires_at.map(|at| (at, Timer::Expired)),
            others.authenticates_until.map(|at| (at, Timer::Authentication)),
            others.writes_until.map(|at| (at, Timer::WriteStalled)),
            others.incomplete.as_ref().map(|it| (it.until(), Timer::SlowPacket)),
            others.rests_until.map(|at| (at, Timer::Rested)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }

    /// After one and a half times the keep-alive [MQTT-3.1.2-22].
    fn keep_alive_ends(&self) -> Option<Instant> {
        let keep_alive = Duration::from_secs(self.keep_alive.into());
        if self.keep_alive == 0 { None } else { self.last_received.checked_add(keep_alive * 3 / 2) }
    }

    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }
}

/// None for a time that never comes.
fn after(left: Duration) -> Option<Instant> {
    Instant::now().checked_add(left)
}
