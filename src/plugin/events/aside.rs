//! An observer that may wait has a thread of its own, so that the others see their events meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{count_dropped, hand_over};
use crate::plugin::error::CallError;
use crate::plugin::event_batch::EventBatch;
use crate::plugin::instance::Instance;
use crate::plugin::options::Hook;
use crate::plugin::policy::Admission;
use crate::plugin::version::Version;

/// More batches than this do not wait for one observer.
const MOST_WAITING: usize = 64;

pub(super) struct ObserverAside {
    pub(super) version: Arc<Version>,
    batches: SyncSender<EventBatch>,
}

impl ObserverAside {
    /// The thread ends once this is dropped, and what waits is passed on.
    pub(super) fn start(version: &Arc<Version>) -> io::Result<ObserverAside> {
        let (batches, waiting) = sync_channel(MOST_WAITING);
        let theirs = Arc::clone(version);
        let name = format!("events-{}", version.name());
        thread::Builder::new().name(name).spawn(move || observe(&theirs, &waiting))?;
        Ok(ObserverAside { version: Arc::clone(version), batches })
    }

    /// Never waits.
    pub(super) fn pass_on(&self, batch: &EventBatch) {
        if self.batches.try_send(batch.clone()).is_err() {
            count_dropped(&self.version, batch);
        }
    }
}

fn observe(version: &Version, batches: &Receiver<EventBatch>) {
    let mut instance = None;
    while let Ok(batch) = batches.recv() {
        if version.health.admission() == Admission::Refuse {
            count_dropped(version, &batch);
        } else if let Err(error) = call(version, &mut instance, &batch) {
            instance = None;
            count_dropped(version, &batch);
            version.failed(Hook::Events, &error);
        }
    }
    if let Some(instance) = instance {
        version.drain_one(instance, None);
    }
}

fn call(version: &Version, place: &mut Option<Instance>, batch: &EventBatch) -> Result<(), CallError> {
    let instance = match place {
        Some(instance) => instance,
        empty => empty.insert(version.own_instance()?),
    };
    hand_over(version, instance, batch)
}
