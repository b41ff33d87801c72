//! `events`: a bounded queue, and one thread that passes on what is in it, in batches. Observers that may wait
//! have threads of their own, see `aside`.

mod aside;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use self::aside::ObserverAside;
use super::core::Core;
use super::error::CallError;
use super::event_batch::EventBatch;
use super::instance::Instance;
use super::options::Hook;
use super::policy::Admission;
use super::version::Version;
use crate::hook::Event;

const BATCH: usize = 64;

pub(super) struct EventQueue {
    queue: SyncSender<Item>,
    dropped: AtomicU64,
}

pub(super) enum Item {
    Event(Event),
    Stop,
}

impl EventQueue {
    pub(super) fn new(capacity: usize) -> (EventQueue, Receiver<Item>) {
        let (queue, receiver) = sync_channel(capacity.max(1));
        (EventQueue { queue, dropped: AtomicU64::new(0) }, receiver)
    }

    /// Never waits.
    pub(super) fn push(&self, event: Event) {
        if self.queue.try_send(Item::Event(event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The thread ends once it has passed on what is before this.
    pub(super) fn stop(&self) {
        let _ = self.queue.send(Item::Stop);
    }

    /// How many found no place in the queue.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

pub(super) fn start(core: Weak<Core>, events: Receiver<Item>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("plugin-events".into()).spawn(move || {
        let mut observers = Observers::default();
        let mut batch = EventBatch::default();
        let mut going_on = true;
        while going_on {
            batch.clear();
            going_on = fill(&mut batch, &events);
            let Some(core) = core.upgrade() else { return };
            if batch.len() > 0 {
                observers.pass_on(&core, &batch);
            }
        }
        observers.end();
    })
}

/// Waits for an event, and takes what else is there. Says whether there may be more.
fn fill(batch: &mut EventBatch, events: &Receiver<Item>) -> bool {
    let mut next = events.recv().ok();
    while let Some(Item::Event(event)) = next {
        batch.push(&event);
        if batch.len() == BATCH {
            return true;
        }
        match events.try_recv() {
            Ok(item) => next = Some(item),
            Err(_) => return true,
        }
    }
    false
}

/// An instance for each plugin that observes.
#[derive(Default)]
struct Observers {
    here: HashMap<String, (Arc<Version>, Instance)>,
    aside: HashMap<String, ObserverAside>,
}

impl Observers {
    fn pass_on(&mut self, core: &Core, batch: &EventBatch) {
        let chain = core.chain();
        for plugin in chain.of(Hook::Events) {
            if plugin.waiting().is_some() {
                self.pass_aside(plugin, batch);
                continue;
            }
            if plugin.health.admission() == Admission::Refuse {
                plugin.lasting.counters.refused[Hook::Events.index()].fetch_add(1, Ordering::Relaxed);
                count_dropped(plugin, batch);
                continue;
            }
            if let Err(error) = self.call(plugin, batch) {
                self.here.remove(plugin.name());
                count_dropped(plugin, batch);
                plugin.failed(Hook::Events, &error);
            }
        }
        self.forget_replaced(chain.of(Hook::Events));
    }

    fn pass_aside(&mut self, plugin: &Arc<Version>, batch: &EventBatch) {
        let is_current = |observer: &ObserverAside| Arc::ptr_eq(&observer.version, plugin);
        if !self.aside.get(plugin.name()).is_some_and(is_current) {
            match ObserverAside::start(plugin) {
                Ok(observer) => drop(self.aside.insert(plugin.name().to_owned(), observer)),
                Err(error) => {
                    tracing::error!(plugin = plugin.name(), %error, "no thread for events");
                    return count_dropped(plugin, batch);
                }
            }
        }
        if let Some(observer) = self.aside.get(plugin.name()) {
            observer.pass_on(batch);
        }
    }

    fn call(&mut self, plugin: &Arc<Version>, batch: &EventBatch) -> Result<(), CallError> {
        let is_old = |(version, _): &(Arc<Version>, Instance)| !Arc::ptr_eq(version, plugin);
        if self.here.get(plugin.name()).is_some_and(is_old)
            && let Some((old, instance)) = self.here.remove(plugin.name())
        {
            old.drain_one(instance, None);
        }
        let (_, instance) = match self.here.entry(plugin.name().to_owned()) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert((Arc::clone(plugin), plugin.own_instance()?))
            }
        };
        hand_over(plugin, instance, batch)
    }

    fn forget_replaced(&mut self, observing: &[Arc<Version>]) {
        let is_current = |old: &Arc<Version>| observing.iter().any(|plugin| Arc::ptr_eq(plugin, old));
        for (_, (version, instance)) in self.here.extract_if(|_, (version, _)| !is_current(version)) {
            version.drain_one(instance, None);
        }
        self.aside.retain(|_, observer| is_current(&observer.version));
    }

    fn end(self) {
        for (version, instance) in self.here.into_values() {
            version.drain_one(instance, None);
        }
    }
}

/// Passes the batch to an instance of its own.
pub(super) fn hand_over(
    plugin: &Version,
    instance: &mut Instance,
    batch: &EventBatch,
) -> Result<(), CallError> {
    plugin.call_own(Hook::Events, instance, |instance| {
        let Some(guest) = &instance.exports.events else { return Ok(()) };
        Ok(guest.call_handle(&mut instance.store, &batch.words, &batch.texts)?)
    })
}

fn count_dropped(plugin: &Version, batch: &EventBatch) {
    plugin.lasting.counters.dropped_events.fetch_add(batch.len() as u64, Ordering::Relaxed);
}
