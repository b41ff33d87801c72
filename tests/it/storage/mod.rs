//! What every storage has to do (`contract`, `random`), and what each backend does with bad input.

mod changes;
mod contract;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "sqlite", feature = "mysql"))]
mod random;
#[cfg(feature = "sqlite")]
mod sqlite;
mod survey;
#[cfg(all(feature = "daemon", feature = "sqlite"))]
mod transfer;
#[cfg(feature = "daemon")]
mod transfer_mqttnet;
#[cfg(feature = "sqlite")]
mod versions;

use std::sync::Arc;

use tidegate::storage::memory::MemoryStorage;
use tidegate::storage::{Change, Storage};

/// A place for state, empty at first.
trait Place {
    /// The storage there. The one that was opened before is gone by now.
    fn open(&self) -> Arc<dyn Storage>;
}

#[derive(Default)]
struct Memory(Arc<MemoryStorage>);

impl Place for Memory {
    fn open(&self) -> Arc<dyn Storage> {
        self.0.clone()
    }
}

/// All that is held, in the order in which it is handed over.
fn loaded(storage: &dyn Storage) -> Vec<Change> {
    let mut all = Vec::new();
    storage.load(&mut |change| all.push(change)).unwrap();
    all
}

/// The same without an order.
fn sorted(changes: impl IntoIterator<Item = Change>) -> Vec<String> {
    let mut all: Vec<_> = changes.into_iter().map(|change| format!("{change:?}")).collect();
    all.sort();
    all
}

#[test]
fn memory_keeps_the_contract_of_storages() {
    contract::holds(|| Box::new(Memory::default()));
}
