//! The times of a connection: keep-alive, a client that does not read, credentials that end.
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
    write_timeout: Duration,
    /// Since when the socket has taken nothing of what waits.
    write_waits: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    KeepAlive,
    Expired,
    WriteStalled,
}

impl Timers {
    /// `keep_alive` in seconds, 0 for none.
    pub(super) fn new(keep_alive: u16, expires_in: Option<Duration>, write_timeout: Duration) -> Timers {
        let now = Instant::now();
        Timers {
            keep_alive: (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2),
            last_received: now,
            expires_at: expires_in.and_then(|left| now.checked_add(left)),
            write_timeout,
            write_waits: None,
            sleep: None,
        }
    }

    /// Whether the credentials' time is over. The timer only fires while the connection has nothing to do.
    pub(super) fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Instant::now())
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
            stalled.map(|at| (at, Timer::WriteStalled)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}
