//! Calls of a plugin that imports a service that waits: on threads of its own, several at a time, each on an
//! instance that is free. Logins have threads apart, so that what clients do who are in waits for none of them.
//!
//! Nothing here is held while a call waits but the call's place among those that run, so that a version can
//! be replaced meanwhile: its calls end on it, and their instances after them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Version, lock};
use crate::plugin::aside::Aside;
use crate::plugin::error::CallError;
use crate::plugin::host::{Call, Effects};
use crate::plugin::instance::{Handover, Instance};
use crate::plugin::options::Hook;
use crate::plugin::tally::Verdict;

pub(in crate::plugin) struct Waiting {
    logins: Lane,
    others: Lane,
    /// The version is out of force: instances whose calls end are not kept. Changed while the spares are
    /// locked.
    ended: AtomicBool,
}

struct Lane {
    aside: Aside,
    most: usize,
    /// Guards the number of calls that run.
    running: Mutex<usize>,
    one_ended: Condvar,
}

/// A place among the calls that run.
struct Turn<'a>(&'a Lane);

impl Waiting {
    /// For this many logins at once, and as many other calls.
    pub(super) fn new(plugin: &str, most: usize) -> io::Result<Waiting> {
        let name = format!("wait-{plugin}");
        let (logins, others) = (Lane::new(&name, most)?, Lane::new(&name, most)?);
        Ok(Waiting { logins, others, ended: AtomicBool::new(false) })
    }

    pub(in crate::plugin) fn threads(&self, hook: Hook) -> &Aside {
        &self.lane(hook).aside
    }

    fn lane(&self, hook: Hook) -> &Lane {
        if hook == Hook::ValidatingConnection { &self.logins } else { &self.others }
    }
}

impl Lane {
    fn new(name: &str, most: usize) -> io::Result<Lane> {
        let aside = Aside::start(name, most)?;
        Ok(Lane { aside, most, running: Mutex::new(0), one_ended: Condvar::new() })
    }

    /// As a rule there is a place, as there are no more threads than places; threads of another plugin come
    /// here where two that wait stand in one chain.
    fn turn(&self) -> Turn<'_> {
        let running = lock(&self.running);
        let waited = self.one_ended.wait_while(running, |running| *running >= self.most);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.running) -= 1;
        self.0.one_ended.notify_one();
    }
}

impl Version {
    #[cold]
    pub(super) fn call_waiting<T: Verdict>(
        &self,
        hook: Hook,
        waiting: &Waiting,
        about: impl FnOnce(&mut Call),
        work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
    ) -> Result<(T, Option<Box<Effects>>), CallError> {
        let _turn = waiting.lane(hook).turn();
        self.clock.touch();
        let mut instance = self.spare_or_new()?;
        let outcome = self.run_counted(hook, &mut instance, about, work)?;
        self.give_back(waiting, instance);
        Ok(outcome)
    }

    fn give_back(&self, waiting: &Waiting, instance: Instance) {
        let mut spares = self.spares();
        if waiting.ended.load(Ordering::Relaxed) {
            drop(spares);
            self.drain_one(instance, None);
        } else if spares.len() < waiting.logins.most + waiting.others.most {
            spares.push(instance);
        }
    }

    /// Whether instances whose calls end are kept.
    pub(super) fn keep_instances(&self, keep: bool) {
        if let Some(waiting) = &self.waiting {
            let _spares = self.spares();
            waiting.ended.store(!keep, Ordering::Relaxed);
        }
    }

    /// Ends the instances that are free, and hands on what each leaves to one of `next`.
    pub(super) fn drain_spares(&self, next: Option<&Version>) {
        let spares = std::mem::take(&mut *self.spares());
        for (index, spare) in spares.into_iter().enumerate() {
            self.drain_one(spare, next.map(|next| (next, index)).filter(|_| self.waiting.is_some()));
        }
    }

    /// The instance with this number among those that are free, made where it is not there.
    pub(super) fn migrate_spare(&self, index: usize, handover: &Handover) {
        let found = {
            let mut spares = self.spares();
            (index < spares.len()).then(|| spares.remove(index))
        };
        let Ok(mut instance) = found.map_or_else(|| self.new_instance(), Ok) else { return };
        if self.hand_over(&mut instance, handover).is_ok() {
            let mut spares = self.spares();
            let index = index.min(spares.len());
            spares.insert(index, instance);
        }
    }
}
