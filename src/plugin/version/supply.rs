//! Where a version's calls get their instances from.

use super::{Version, lock};
use crate::plugin::error::CallError;
use crate::plugin::instance::Instance;

impl Version {
    #[cold]
    pub(super) fn spare_or_new(&self) -> Result<Instance, CallError> {
        if let Some(spare) = self.spares().pop() {
            return Ok(spare);
        }
        self.new_instance()
    }

    pub(in crate::plugin) fn new_instance(&self) -> Result<Instance, CallError> {
        match self.blueprint.instantiate() {
            Ok((instance, _)) => Ok(instance),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(CallError::NoInstance(problems.join("; ")))
            }
        }
    }

    /// An instance for a thread that keeps it, such as the one that passes events on.
    pub(in crate::plugin) fn own_instance(&self) -> Result<Instance, CallError> {
        self.clock.touch();
        self.spare_or_new()
    }

    /// Makes a spare where there is none; not for packet threads.
    pub(in crate::plugin) fn refill(&self) {
        for slot in &self.slots {
            if let Ok(mut guard) = slot.instance.try_lock()
                && guard.is_none()
            {
                self.clock.touch();
                match self.spare_or_new() {
                    Ok(instance) => *guard = Some(instance),
                    Err(error) => return tracing::error!(plugin = self.name(), %error, "no new instance"),
                }
            }
        }
        while self.spares().is_empty() {
            self.clock.touch();
            match self.blueprint.instantiate() {
                Ok((instance, _)) => self.spares().push(instance),
                Err(problems) => {
                    return tracing::error!(plugin = self.name(), ?problems, "no spare instance");
                }
            }
        }
    }

    /// Sees to it that the next call finds an instance.
    pub(in crate::plugin) fn make_ready(&self) {
        let mut slot = lock(&self.slots[0].instance);
        if slot.is_none() {
            // Who calls it is told why there is none.
            *slot = self.new_instance().ok();
        }
    }

    /// Lets go of every instance without a word: the next call begins with a new one.
    pub(in crate::plugin) fn forget_instances(&self) {
        for slot in &self.slots {
            *lock(&slot.instance) = None;
        }
        self.spares().clear();
    }
}
