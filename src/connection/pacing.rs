//! How fast a client publishes, where there is a rate for that. Rates that come or change while it is connected hold for
//! it too.
//!
//! What is read at once is counted first and charged when all of it was acted on: nothing is asked of the clock, and
//! nothing that threads share is touched, for each message.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::guard::{Door, Guard, Meter, Moment, Rate, RateAction};
use crate::hook::ListenerPolicy;

pub(super) struct Pacing {
    /// Since it was charged last.
    messages: u64,
    bytes: u64,
    /// As much as the rates allow before it is charged.
    most: (u64, u64),
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
    /// None where there is no rate for anybody.
    pub(super) fn of(guard: &Arc<Guard>, listener: &Arc<ListenerPolicy>) -> Option<Box<Pacing>> {
        guard.paces().then(|| {
            let mut pacing = Pacing {
                messages: 0,
                bytes: 0,
                most: (0, 0),
                message_meter: Meter::default(),
                byte_meter: Meter::default(),
                guard: guard.clone(),
                door: guard.door_of(listener),
            };
            pacing.most = pacing.left(guard.moment());
            Box::new(pacing)
        })
    }

    /// Messages and bytes that may be published at once.
    fn left(&self, now: Moment) -> (u64, u64) {
        let options = self.guard.options();
        let burst = options.publish_burst;
        let own = options.client_publishes;
        let left =
            |meter: Meter, limit| Rate::new(limit, burst).map_or(u64::MAX, |rate| meter.left(rate, now));
        let shared = self.door.as_ref().map_or((u64::MAX, u64::MAX), |door| door.left(burst, now));
        (left(self.message_meter, own.messages).min(shared.0), left(self.byte_meter, own.bytes).min(shared.1))
    }

    /// Whether it is time to charge: what was read may be much more than the rates allow.
    pub(super) fn is_spent(&self) -> bool {
        self.messages >= self.most.0 || self.bytes >= self.most.1
    }

    pub(super) fn published(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Charges what was published since.
    pub(super) fn charge(&mut self) -> Option<TooFast> {
        let (messages, bytes) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.bytes));
        let own = self.guard.options().client_publishes;
        let door = self.door.as_ref().filter(|door| !door.publishes().is_unlimited());
        if own.is_unlimited() && door.is_none() {
            self.most = (u64::MAX, u64::MAX);
            return None;
        }
        if messages == 0 {
            return None;
        }
        let now = self.guard.moment();
        let options = self.guard.options();
        let wait = |meter: &mut Meter, limit, amount| {
            let rate = Rate::new(limit, options.publish_burst);
            rate.map_or(Duration::ZERO, |rate| meter.charge(rate, amount, now))
        };
        let alone = wait(&mut self.message_meter, own.messages, messages).max(wait(
            &mut self.byte_meter,
            own.bytes,
            bytes,
        ));
        let shared = door.map(|door| door.charge(messages, bytes, options.publish_burst, now));
        let wait = alone.max(shared.unwrap_or_default());
        self.most = self.left(now);
        (!wait.is_zero()).then_some(TooFast { wait, action: options.publish_rate_action })
    }
}
