//! Services that wait: the time they take is theirs, and not taken off the deadline of the call.

use super::HostData;

impl HostData {
    /// Notes when a stage of the deadline ends that begins now and has this many ticks.
    #[inline]
    pub(in crate::plugin) fn begin_stage(&mut self, ticks: u64) {
        if let Some(clock) = &self.services.clock {
            self.stage_ends = clock.ticks() + ticks;
        }
    }

    /// Ticks that the stage still has because it was put off while a service waited; none where it is over.
    pub(in crate::plugin) fn left_after_waiting(&self) -> Option<u64> {
        let clock = self.services.clock.as_ref()?;
        self.stage_ends.checked_sub(clock.ticks()).filter(|&left| left > 0)
    }

    /// Does what waits, and puts the end of the stage off by as long as that took.
    pub(super) fn waiting<T>(&mut self, work: impl FnOnce(&mut HostData) -> T) -> T {
        let left = self.left_after_waiting().unwrap_or(1);
        let answer = work(self);
        if let Some(clock) = &self.services.clock {
            // It may have fallen asleep meanwhile.
            clock.touch();
            self.stage_ends = clock.ticks() + left;
        }
        answer
    }
}
