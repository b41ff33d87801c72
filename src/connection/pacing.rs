//! How fast a client publishes, where there is a rate for that.
//!
//! What is read at once is counted first and charged when all of it was acted on: nothing is asked of the clock, and
//! nothing that threads share is touched, for each message.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::guard::{Door, Guard, Meter, PublishLimits, Rate, RateAction};

pub(super) struct Pacing {
    /// Since it was charged last.
    messages: u64,
    bytes: u64,
    limits: PublishLimits,
    message_meter: Meter,
    byte_meter: Meter,
    guard: Arc<Guard>,
    door: Option<Arc<Door>>,
}

/// A client published faster than it may.
pub(super) struct TooFast {
    pub wait: Duration,
    pub action: RateAction,
}

impl Pacing {
    /// None where there is no rate for a client of this listener.
    pub(super) fn of(guard: &Arc<Guard>, door: Option<Arc<Door>>) -> Option<Box<Pacing>> {
        let limits = guard.options().client_publishes;
        let door = door.filter(|door| !door.publishes().is_unlimited());
        let paces = door.is_some() || !limits.is_unlimited();
        let guard = guard.clone();
        let (message_meter, byte_meter) = (Meter::default(), Meter::default());
        paces.then(|| {
            Box::new(Pacing { messages: 0, bytes: 0, limits, message_meter, byte_meter, guard, door })
        })
    }

    pub(super) fn published(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Charges what was published since.
    pub(super) fn charge(&mut self) -> Option<TooFast> {
        let (messages, bytes) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.bytes));
        if messages == 0 {
            return None;
        }
        let now = self.guard.moment();
        let options = self.guard.options();
        let wait = |meter: &mut Meter, limit, amount| {
            let rate = Rate::new(limit, options.publish_burst);
            rate.map_or(Duration::ZERO, |rate| meter.charge(rate, amount, now))
        };
        let own = wait(&mut self.message_meter, self.limits.messages, messages).max(wait(
            &mut self.byte_meter,
            self.limits.bytes,
            bytes,
        ));
        let shared = self.door.as_ref().map(|door| door.charge(messages, bytes, options.publish_burst, now));
        let wait = own.max(shared.unwrap_or_default());
        (!wait.is_zero()).then_some(TooFast { wait, action: options.publish_rate_action })
    }
}
