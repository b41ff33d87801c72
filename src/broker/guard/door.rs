//! The guard of one listener, and the places of its connections.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::statistics::Count;
use super::options::{DoorLimits, PublishLimits};
use super::rate::{Moment, Rate, SharedMeter};
use super::source::Source;
use super::{Guard, Turned};
use crate::current::Current;
use crate::packet::ReasonCode;

/// A listener, as far as guards know it.
#[derive(Debug)]
pub struct Door {
    state: Arc<State>,
    /// That of all connections whose address does not count.
    anywhere: Arc<Visit>,
}

struct State {
    guard: Arc<Guard>,
    limits: Current<DoorLimits>,
    connections: AtomicUsize,
    rate: SharedMeter,
    messages: SharedMeter,
    bytes: SharedMeter,
}

/// One pointer, since each idle connection holds one.
#[derive(Debug)]
struct Visit {
    door: Arc<State>,
    source: Option<Source>,
}

/// A connection that is counted for as long as this lives.
#[derive(Debug)]
pub struct Place(Arc<Visit>);

impl Door {
    pub fn new(guard: Arc<Guard>, limits: DoorLimits) -> Door {
        guard.note_rates(limits.publishes);
        let state = State {
            guard,
            limits: Current::new(limits),
            connections: AtomicUsize::new(0),
            rate: SharedMeter::default(),
            messages: SharedMeter::default(),
            bytes: SharedMeter::default(),
        };
        let state = Arc::new(state);
        Door { anywhere: Arc::new(Visit { door: state.clone(), source: None }), state }
    }

    /// Holds for connections that are made, and messages that are published, from now on.
    pub fn set_limits(&self, limits: DoorLimits) {
        let publishes = limits.publishes;
        self.state.limits.replace(limits);
        self.state.guard.note_rates(publishes);
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// A connection from there, where `maximum` are allowed over all listeners. Without an address, or before it is
    /// known, nothing counts that counts per address, and no rate.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn enter(&self, address: Option<IpAddr>, maximum: usize) -> Result<Place, Turned> {
        let mut place = self.count(maximum)?;
        if let Some(address) = address {
            place.comes_from(address)?;
        }
        Ok(place)
    }

    /// What all its clients together may publish.
    pub fn publishes(&self) -> PublishLimits {
        self.state.limits.get().publishes
    }

    /// So much was published. Says for how long the rates are not kept.
    pub(crate) fn charge(&self, messages: u64, bytes: u64, burst: Duration, now: Moment) -> Duration {
        let limits = self.publishes();
        let wait = |meter: &SharedMeter, limit, amount| {
            Rate::new(limit, burst).map_or(Duration::ZERO, |rate| meter.charge(rate, amount, now))
        };
        let messages = wait(&self.state.messages, limits.messages, messages);
        messages.max(wait(&self.state.bytes, limits.bytes, bytes))
    }

    /// How many messages and bytes the rates allow now, and one at least.
    pub(crate) fn left(&self, burst: Duration, now: Moment) -> (u64, u64) {
        let limits = self.publishes();
        let left = |meter: &SharedMeter, limit| {
            Rate::new(limit, burst).map_or(u64::MAX, |rate| meter.left(rate, now))
        };
        (left(&self.state.messages, limits.messages), left(&self.state.bytes, limits.bytes))
    }

    fn count(&self, maximum: usize) -> Result<Place, Turned> {
        let all = self.state.guard.connections.fetch_add(1, Ordering::AcqRel);
        let here = self.state.connections.fetch_add(1, Ordering::AcqRel);
        // Also where there are too many: dropping it counts back.
        let place = Place(self.anywhere.clone());
        let most = self.state.limits.get().connections;
        if all >= maximum {
            return Err(Turned::too_many(
                Count::LimitConnections,
                "as many connections as `maximum-connections` allows",
            ));
        }
        if most > 0 && here >= most {
            let why = "as many connections as the listener's `maximum-connections` allows";
            return Err(Turned::too_many(Count::LimitListenerConnections, why));
        }
        Ok(place)
    }
}

impl Place {
    /// The client's address, now that it is known. To be called once.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn comes_from(&mut self, address: IpAddr) -> Result<(), Turned> {
        let door = &self.0.door;
        let guard = &door.guard;
        let Some(source) = guard.source_of(address) else { return Ok(()) };
        let now = guard.moment();
        guard.enter_from(source, now)?;
        self.0 = Arc::new(Visit { door: door.clone(), source: Some(source) });
        let door = &self.0.door;
        let burst = door.guard.options().connection_burst;
        match Rate::new(door.limits.get().connection_rate, burst) {
            Some(rate) if !door.rate.take(rate, now) => Err(Turned {
                reason: ReasonCode::CONNECTION_RATE_EXCEEDED,
                counted: Count::LimitListenerConnectionRate,
                why: "more connections per second than the listener's `connection-rate` allows",
            }),
            _ => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Visit { door, source } = &*self.0;
        door.connections.fetch_sub(1, Ordering::AcqRel);
        door.guard.connections.fetch_sub(1, Ordering::AcqRel);
        if let Some(source) = source {
            door.guard.leave(*source);
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("connections", &self.connections).finish_non_exhaustive()
    }
}
