//! The times of a connection: keep-alive, a client that does not read, credentials that end, a
//! re-authentication that does not come to its end.
//!
//! The timer is not moved with every packet. It is looked at when it fires, and set again where the time
//! has not come after all.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct Timers {
    last_received: Instant,
    /// Seconds; 0 for none.
    keep_alive: u16,
    /// Milliseconds.
    write_timeout: u32,
    /// Most connections have none of them, which saves each of them 40 bytes.
    others: Option<Box<Others>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Default)]
struct Others {
    expires_at: Option<Instant>,
    /// When the client must have answered the challenge of its re-authentication.
    authenticates_until: Option<Instant>,
    /// When the socket must have taken something of what waits.
    writes_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    KeepAlive,
    Expired,
    Authentication,
    WriteStalled,
}

impl Timers {
    /// `keep_alive` in seconds, 0 for none.
    pub(super) fn new(keep_alive: u16, expires_in: Option<Duration>, write_timeout: Duration) -> Timers {
        let mut timers = Timers {
            last_received: Instant::now(),
            keep_alive,
            write_timeout: u32::try_from(write_timeout.as_millis()).unwrap_or(u32::MAX),
            others: None,
            sleep: None,
        };
        if let Some(left) = expires_in {
            timers.expire_in(left);
        }
        timers
    }

    /// For another runtime, whose clock is another one.
    pub(super) fn without_runtime(self) -> Timers {
        Timers { sleep: None, ..self }
    }

    /// What ends the connection however busy it is: the timer only fires while it has nothing to do.
    pub(super) fn overdue(&self) -> Option<Timer> {
        let others = self.others.as_ref()?;
        let now = Instant::now();
        let over = |at: Option<Instant>, timer| at.filter(|&at| at <= now).map(|_| timer);
        over(others.expires_at, Timer::Expired).or(over(others.authenticates_until, Timer::Authentication))
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
    }

    /// The socket took something. A client for which so much waits that it is not read from cannot show otherwise
    /// that it lives. One that is read from can, though its socket takes nothing for a moment, as each does that was
    /// just registered with another thread's runtime [MQTT-3.1.2-22].
    pub(super) fn written(&mut self, was_blocked: bool) {
        let waited = self.others.as_mut().and_then(|others| others.writes_until.take());
        if waited.is_some() && was_blocked {
            self.received(Instant::now());
        }
    }

    pub(super) fn write_waits(&mut self) {
        let timeout = Duration::from_millis(self.write_timeout.into());
        let others = self.others();
        others.writes_until = others.writes_until.or_else(|| after(timeout));
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        while let Some((at, timer)) = self.next() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if sleep.deadline() > at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= at {
                return Poll::Ready(timer);
            }
            sleep.as_mut().reset(at);
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
