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
    /// One and a half times the keep-alive [MQTT-3.1.2-22].
    keep_alive: Option<Duration>,
    last_received: Instant,
    expires_at: Option<Instant>,
    /// When the client must have answered the challenge of its re-authentication.
    authenticates_until: Option<Instant>,
    write_timeout: Duration,
    /// Since when the socket has taken nothing of what waits.
    write_waits: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
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
        Timers {
            keep_alive: (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2),
            last_received: Instant::now(),
            expires_at: expires_in.and_then(after),
            authenticates_until: None,
            write_timeout,
            write_waits: None,
            sleep: None,
        }
    }

    /// For another runtime, whose clock is another one.
    pub(super) fn without_runtime(self) -> Timers {
        Timers { sleep: None, ..self }
    }

    /// What ends the connection however busy it is: the timer only fires while it has nothing to do.
    pub(super) fn overdue(&self) -> Option<Timer> {
        if self.expires_at.is_none() && self.authenticates_until.is_none() {
            return None;
        }
        let now = Instant::now();
        let over = |at: Option<Instant>, timer| at.filter(|&at| at <= now).map(|_| timer);
        over(self.expires_at, Timer::Expired).or(over(self.authenticates_until, Timer::Authentication))
    }

    /// The credentials are new, and end then.
    pub(super) fn expire_in(&mut self, left: Duration) {
        self.expires_at = after(left);
    }

    /// How long the client may take to answer a challenge; None: there is none to answer.
    pub(super) fn authenticate_within(&mut self, left: Option<Duration>) {
        self.authenticates_until = left.and_then(after);
    }

    /// A packet came.
    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// The socket took something. A client that reads slowly is not read from while much waits for it,
    /// so that this has to count as a sign of life.
    pub(super) fn written(&mut self) {
        if self.write_waits.take().is_some() {
            self.received(Instant::now());
        }
    }

    pub(super) fn write_waits(&mut self) {
        self.write_waits.get_or_insert_with(Instant::now);
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
        let keep_alive = self.keep_alive.and_then(|after| self.last_received.checked_add(after));
        let stalled = self.write_waits.and_then(|since| since.checked_add(self.write_timeout));
        [
            keep_alive.map(|at| (at, Timer::KeepAlive)),
            self.expires_at.map(|at| (at, Timer::Expired)),
            self.authenticates_until.map(|at| (at, Timer::Authentication)),
            stalled.map(|at| (at, Timer::WriteStalled)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}

/// None for a time that never comes.
fn after(left: Duration) -> Option<Instant> {
    Instant::now().checked_add(left)
}
