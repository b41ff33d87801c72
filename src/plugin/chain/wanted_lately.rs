//! Which plugins wanted a topic lately, remembered by each thread: a walk through the index of their filters costs more
//! than a look at a topic that came before, and most clients publish to few topics.

use std::cell::RefCell;
use std::sync::LazyLock;

use crate::topic::Seed;

/// Topics that a thread remembers at most.
const PLACES: usize = 64;
/// The longest topic that is remembered.
const LONGEST: usize = 64;

/// Clients choose the topics: they must not choose them to fall into one place.
static SEED: LazyLock<Seed> = LazyLock::new(|| Seed::new(fastrand::u64(..)));

thread_local! {
    static LATELY: RefCell<[Place; PLACES]> = const { RefCell::new([const { Place::EMPTY }; PLACES]) };
}

/// Those of the first 64 plugins that want a topic, as bits, and the first behind them.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub window: u64,
    pub beyond: Option<u32>,
}

struct Place {
    /// Of which index; 0: none.
    index: u64,
    topic: [u8; LONGEST],
    length: u8,
    wanted: Wanted,
    /// The hash of the topic that was looked for here last in vain: what comes once is not remembered.
    missed: u64,
}

impl Place {
    const EMPTY: Place = Place {
        index: 0,
        topic: [0; LONGEST],
        length: 0,
        wanted: Wanted { window: 0, beyond: None },
        missed: 0,
    };

    fn is_of(&self, index: u64, topic: &[u8]) -> bool {
        self.index == index && self.topic[..usize::from(self.length)] == *topic
    }
}

/// What this thread remembers of the index with this number, or what `find` finds there.
#[inline]
pub(super) fn wanted(index: u64, topic: &str, find: impl FnOnce() -> Wanted) -> Wanted {
    let topic = topic.as_bytes();
    if topic.len() > LONGEST {
        return find();
    }
    let hash = SEED.hash_bytes(topic);
    LATELY.with_borrow_mut(|places| {
        let place = &mut places[hash as usize % PLACES];
        if place.is_of(index, topic) {
            return place.wanted;
        }
        let wanted = find();
        if std::mem::replace(&mut place.missed, hash) == hash {
            place.topic[..topic.len()].copy_from_slice(topic);
            (place.index, place.length, place.wanted) = (index, topic.len() as u8, wanted);
        }
        wanted
    })
}
