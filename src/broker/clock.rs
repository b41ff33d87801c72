//! The broker's clock: wall time at the start, carried on by the monotonic clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::message::Timestamp;

/// Never goes back, and follows tokio's paused time in tests.
#[derive(Debug)]
pub struct Clock {
    wall: u64,
    start: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), start: Instant::now() }
    }

    pub fn started(&self) -> Instant {
        self.start
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.wall).after(self.start.elapsed())
    }
}
