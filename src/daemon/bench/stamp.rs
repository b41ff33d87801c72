//! What a payload says about itself: when it was sent, by whom, and the how-manieth it is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a stamp, which a payload begins with.
pub(super) const SIZE: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Since the run began.
    pub(super) sent: Duration,
    pub(super) publisher: u32,
    pub(super) number: u64,
}

impl Stamp {
    /// The payload, filled up with zeros.
    pub(super) fn payload(self, size: usize) -> Bytes {
        let mut payload = BytesMut::with_capacity(size.max(SIZE));
        payload.put_u64(u64::try_from(self.sent.as_nanos()).unwrap_or(u64::MAX));
        payload.put_u32(self.publisher);
        payload.put_u64(self.number);
        payload.put_bytes(0, size.saturating_sub(SIZE));
        payload.freeze()
    }

    /// None where somebody else published to the topic.
    pub(super) fn read(payload: &[u8]) -> Option<Stamp> {
        let (sent, rest) = payload.split_first_chunk::<8>()?;
        let (publisher, rest) = rest.split_first_chunk::<4>()?;
        let (number, _) = rest.split_first_chunk::<8>()?;
        Some(Stamp {
            sent: Duration::from_nanos(u64::from_be_bytes(*sent)),
            publisher: u32::from_be_bytes(*publisher),
            number: u64::from_be_bytes(*number),
        })
    }
}

/// Whether it came before: messages of one publisher come in their order, so what is not above the last did.
pub(super) fn is_double(seen: &mut HashMap<u32, u64>, stamp: Stamp) -> bool {
    match seen.entry(stamp.publisher) {
        Entry::Occupied(last) if stamp.number <= *last.get() => true,
        entry => {
            entry.insert_entry(stamp.number);
            false
        }
    }
}

/// The clock of a run, which all of its threads share.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    begun: Instant,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { begun: Instant::now() }
    }

    pub(super) fn now(self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn at(self, instant: tokio::time::Instant) -> Duration {
        instant.into_std().saturating_duration_since(self.begun)
    }

    pub(super) fn instant(self, at: Duration) -> tokio::time::Instant {
        (self.begun + at).into()
    }
}
