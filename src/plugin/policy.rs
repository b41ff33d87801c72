//! Whether a plugin is called at all: well, on probation, or in quarantine.
//!
//! ```text
//!          overrun                 failures, `failures` of them `within`
//!   well ───────────▶ probation ─────────────────────────────────────────▶ quarantine
//!    ▲   ◀───────────    ▲  │ first failure after quarantine: twice as long     │
//!        `probation`     │  └──────────────────────────────────────▶           │
//!        without failure └──────────────── its time is over ────────────────────┘
//! ```
//!
//! On probation, a plugin is called on a thread of its own, so that it cannot hold up a thread that serves
//! clients. In quarantine it is not called; its failure policy answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::options::QuarantineOptions;

/// How one version of a plugin has behaved.
pub(super) struct Health {
    /// Its name and the version's number, for the log.
    plugin: String,
    version: u64,
    options: QuarantineOptions,
    /// Nothing below needs to be looked at. Read before each call.
    well: AtomicBool,
    /// Guards the record; held for a few comparisons.
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// Within the time that counts, oldest first.
    failures: VecDeque<Instant>,
    probation_until: Option<Instant>,
    quarantined_until: Option<Instant>,
    /// How long the last quarantine was; zero: there was none lately.
    back_off: Duration,
}

/// How the next call is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Call,
    /// On a thread of its own.
    Aside,
    /// Not at all.
    Refuse,
}

impl Health {
    pub(super) fn new(options: QuarantineOptions, plugin: &str, version: u64) -> Health {
        let plugin = plugin.to_owned();
        Health { plugin, version, options, well: AtomicBool::new(true), record: Mutex::default() }
    }

    #[inline]
    pub(super) fn admission(&self) -> Admission {
        if self.well.load(Ordering::Relaxed) { Admission::Call } else { self.admission_at(Instant::now()) }
    }

    #[cold]
    fn admission_at(&self, now: Instant) -> Admission {
        let mut record = self.lock();
        if record.quarantined_until.is_some_and(|until| now < until) {
            return Admission::Refuse;
        }
        let (plugin, version) = (&self.plugin, self.version);
        if record.quarantined_until.take().is_some() {
            tracing::warn!(plugin, version, "plugin is back from quarantine, on probation");
            record.probation_until = Some(now + self.options.probation);
        }
        if record.probation_until.is_some_and(|until| now < until) {
            return Admission::Aside;
        }
        *record = Record::default();
        if !self.well.swap(true, Ordering::Relaxed) {
            tracing::info!(plugin, version, "plugin has passed its probation");
        }
        Admission::Call
    }

    /// Notes a failure; says for how long the plugin is in quarantine now, if this brought it there.
    pub(super) fn failed(&self, overrun: bool, now: Instant) -> Option<Duration> {
        let mut record = self.lock();
        if record.quarantined_until.is_some() {
            // Of a call that began before.
            return None;
        }
        let on_trial = record.back_off > Duration::ZERO && record.probation_until.is_some();
        if overrun || record.probation_until.is_some() {
            record.probation_until = Some(now + self.options.probation);
            self.well.store(false, Ordering::Relaxed);
        }
        record.failures.push_back(now);
        while record.failures.front().is_some_and(|&first| now - first > self.options.within) {
            record.failures.pop_front();
        }
        if !on_trial && record.failures.len() < self.options.failures as usize {
            return None;
        }
        let back_off = match record.back_off {
            Duration::ZERO => self.options.first,
            last => (last * 2).min(self.options.longest),
        };
        *record = Record { back_off, quarantined_until: Some(now + back_off), ..Record::default() };
        self.well.store(false, Ordering::Relaxed);
        Some(back_off)
    }

    /// As if it had never been called.
    pub(super) fn forget(&self) {
        *self.lock() = Record::default();
        self.well.store(true, Ordering::Relaxed);
    }

    /// What `status` shows: how long the quarantine still lasts, and whether it is on probation.
    pub(super) fn state(&self, now: Instant) -> (Option<Duration>, bool) {
        let record = self.lock();
        let quarantine = record.quarantined_until.map(|until| until.saturating_duration_since(now));
        let probation =
            record.quarantined_until.is_some() || record.probation_until.is_some_and(|until| now < until);
        (quarantine.filter(|left| !left.is_zero()), probation)
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> Health {
        Health::new(QuarantineOptions { first: 5 * SECOND, ..QuarantineOptions::default() }, "p", 1)
    }

    #[test]
    fn five_failures_in_ten_seconds_bring_quarantine_and_fewer_do_not() {
        let (health, start) = (health(), Instant::now());
        for second in [0, 3, 6, 9, 12, 15] {
            assert_eq!(health.failed(false, start + second * SECOND), None, "{second}");
        }
        assert_eq!(health.failed(false, start + 15 * SECOND), Some(5 * SECOND));
        assert_eq!(health.admission_at(start + 19 * SECOND), Admission::Refuse);
    }

    #[test]
    fn after_an_overrun_calls_are_made_aside_for_ten_seconds() {
        let (health, start) = (health(), Instant::now());
        assert_eq!(health.admission(), Admission::Call);
        health.failed(true, start);
        assert_eq!(health.admission_at(start + 9 * SECOND), Admission::Aside);
        assert_eq!(health.admission_at(start + 10 * SECOND), Admission::Call);
        assert!(health.well.load(Ordering::Relaxed));
    }

    #[test]
    fn a_failure_on_trial_doubles_the_quarantine_and_good_behaviour_forgets_it() {
        let (health, start) = (health(), Instant::now());
        let quarantine = |at| (0..5).find_map(|_| health.failed(false, at));
        assert_eq!(quarantine(start), Some(5 * SECOND));
        assert_eq!(health.admission_at(start + 5 * SECOND), Admission::Aside);
        assert_eq!(health.failed(false, start + 6 * SECOND), Some(10 * SECOND));
        assert_eq!(health.admission_at(start + 17 * SECOND), Admission::Aside);
        assert_eq!(health.admission_at(start + 28 * SECOND), Admission::Call);
        assert_eq!(quarantine(start + 30 * SECOND), Some(5 * SECOND));
    }
}
