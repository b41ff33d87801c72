//! The end of a version: its instances are drained, and what they leave goes to those of the next one.

use super::{Version, lock};
use crate::plugin::instance::{Handover, Instance};
use crate::plugin::keeper::Job;

impl Version {
    /// Ends every instance and hands on what it leaves to the instance of the same slot of `next`. Waits
    /// for calls in flight, but for those of a plugin that may wait, whose instances end after them; not for
    /// packet threads.
    pub(in crate::plugin) fn drain(&self, next: Option<&Version>) {
        self.keep_instances(false);
        for (index, slot) in self.slots.iter().enumerate() {
            let instance = lock(&slot.instance).take();
            if let Some(instance) = instance {
                self.drain_one(instance, next.map(|next| (next, index)));
            }
        }
        self.drain_spares(next);
    }

    pub(in crate::plugin) fn drain_one(&self, instance: Instance, next: Option<(&Version, usize)>) {
        self.clock.touch();
        match instance.drain(self.options.budgets.lifecycle) {
            Ok(Some(handover)) => {
                if let Some((next, index)) = next {
                    next.migrate(index, &handover);
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(plugin = self.name(), error = format!("{error:?}"), "drain failed");
            }
        }
    }

    fn migrate(&self, index: usize, handover: &Handover) {
        if self.waiting.is_some() {
            return self.migrate_spare(index, handover);
        }
        let Some(slot) = self.slots.get(index) else { return };
        let mut guard = lock(&slot.instance);
        let Some(instance) = &mut *guard else { return };
        if self.hand_over(instance, handover).is_err() {
            *guard = None;
            self.jobs.send(Job::Refill(self.key()));
        }
    }

    /// Where that fails, the instance may not be called again.
    pub(super) fn hand_over(&self, instance: &mut Instance, handover: &Handover) -> Result<(), ()> {
        self.clock.touch();
        match instance.migrate(self.options.budgets.lifecycle, handover) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => tracing::warn!(plugin = self.name(), why, "migrate refused the old state"),
            Err(error) => {
                tracing::warn!(plugin = self.name(), error = format!("{error:?}"), "migrate failed");
                return Err(());
            }
        }
        Ok(())
    }
}
