//! What a plugin's calls came to, over its versions; see `tally` for how it is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::{Version, lock};
use crate::plugin::error::CallError;
use crate::plugin::host::{LogRate, Metrics, Refusals, State};
use crate::plugin::kept_state::KeptStates;
use crate::plugin::memory::MemoryUse;
use crate::plugin::options::{Hook, PluginOptions};
use crate::plugin::status::{FailureKind, LastFailure};
use crate::plugin::tally::Totals;

/// A longer text of a failure is cut: names in a backtrace are the plugin's.
const LONGEST_ERROR: usize = 8192;

/// What survives the versions of a plugin.
pub(in crate::plugin) struct Lasting {
    pub(in crate::plugin) state: Arc<State>,
    pub(in crate::plugin) log_rate: Arc<LogRate>,
    pub(in crate::plugin) refusals: Arc<Refusals>,
    pub(in crate::plugin) metrics: Arc<Metrics>,
    pub(in crate::plugin) memory: Arc<MemoryUse>,
    pub(in crate::plugin) counters: Counters,
}

impl Lasting {
    pub(in crate::plugin) fn new(options: &PluginOptions, kept: &KeptStates) -> Lasting {
        let budgets = &options.budgets;
        let state = State::new(budgets.state_keys, budgets.state_bytes);
        let keeper = if options.keep_state { kept.keeper(&options.name) } else { None };
        let state = match keeper {
            Some((keeper, found)) => state.kept(keeper, found),
            None => state,
        };
        Lasting {
            state: Arc::new(state),
            log_rate: Arc::new(LogRate::new(budgets.log_lines_per_second)),
            refusals: Arc::default(),
            metrics: Arc::default(),
            memory: Arc::default(),
            counters: Counters::default(),
        }
    }
}

#[derive(Default)]
pub(in crate::plugin) struct Counters {
    /// Guards the calls of former versions; held for a few additions.
    former: Mutex<Totals>,
    pub(in crate::plugin) failures: [[AtomicU64; FailureKind::COUNT]; Hook::COUNT],
    /// Calls that were not made, by hook.
    pub(in crate::plugin) refused: [AtomicU64; Hook::COUNT],
    pub(in crate::plugin) quarantines: AtomicU64,
    pub(in crate::plugin) dropped_events: AtomicU64,
    /// Guards the last failure and its text.
    pub(in crate::plugin) last_failure: Mutex<Option<(LastFailure, String)>>,
}

impl Counters {
    /// Counts a failure, and keeps it as the last one. Answers its text.
    pub(super) fn failed(&self, version: u64, hook: Hook, error: &CallError) -> String {
        let kind = error.kind();
        self.failures[hook.index()][kind as usize].fetch_add(1, Ordering::Relaxed);
        let mut text = error.to_string();
        text.truncate(text.floor_char_boundary(LONGEST_ERROR));
        let failure = LastFailure { time: SystemTime::now(), version, hook, kind };
        *lock(&self.last_failure) = Some((failure, format!("{hook}: {text}")));
        text
    }
}

impl Version {
    /// Of this version, and of those before it.
    pub(in crate::plugin) fn totals(&self) -> Totals {
        let mut totals = lock(&self.lasting.counters.former).clone();
        for slot in &self.slots {
            slot.tally.add_to(&mut totals);
        }
        lock(&self.other_calls).add_to(&mut totals);
        totals
    }

    /// Hands its counts over to the versions that follow, once it is out of force. Waits for calls in flight; not
    /// for packet threads.
    pub(in crate::plugin) fn retire(&self) {
        for slot in &self.slots {
            // While this is held, nobody else writes.
            let _instance = lock(&slot.instance);
            slot.tally.hand_over_to(&mut lock(&self.lasting.counters.former));
        }
        let others = lock(&self.other_calls);
        others.hand_over_to(&mut lock(&self.lasting.counters.former));
        *lock(&self.previous) = None;
    }
}
