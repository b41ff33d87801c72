//! A storage that fails as disks and databases do.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidegate::storage::{Change, Storage, StorageError, StorageFault};

/// In random turns it works, hesitates, fails before it has done anything and after it has done all, and is full.
pub struct Faulty {
    storage: Arc<dyn Storage>,
    turn: Mutex<(Turn, Instant, Rng)>,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Works,
    /// For up to so many milliseconds at each commit.
    Hesitates(u64),
    Fails,
    /// After it has carried out what it was to.
    FailsLate,
    Full,
}

impl Faulty {
    pub fn new(storage: Arc<dyn Storage>, seed: u64) -> Faulty {
        Faulty { storage, turn: Mutex::new((Turn::Works, Instant::now(), Rng::with_seed(seed))) }
    }

    /// The turn it is, and for how long it hesitates.
    fn turn(&self) -> (Turn, Duration) {
        let mut all = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (turn, until, rng) = &mut *all;
        if Instant::now() >= *until {
            *turn = match rng.u32(0..8) {
                0..3 => Turn::Works,
                3 | 4 => Turn::Hesitates(rng.u64(1..60)),
                5 => Turn::Fails,
                6 => Turn::FailsLate,
                _ => Turn::Full,
            };
            *until = Instant::now() + Duration::from_millis(rng.u64(10..250));
        }
        let pause = if let Turn::Hesitates(most) = turn { rng.u64(0..*most) } else { 0 };
        (*turn, Duration::from_millis(pause))
    }
}

impl Storage for Faulty {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        let (turn, pause) = self.turn();
        sleep(pause);
        match turn {
            Turn::Works | Turn::Hesitates(_) => self.storage.commit(changes),
            Turn::Fails => Err(StorageError::new("commit", "it failed")),
            Turn::FailsLate => {
                self.storage.commit(changes)?;
                Err(StorageError::new("commit", "the answer was lost"))
            }
            Turn::Full => Err(StorageError::new("commit", "it is full").with_fault(StorageFault::Full)),
        }
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        self.storage.load(each)
    }
}
