//! What a plugin is doing, for metrics and `tidegate plugin list`.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::core::Core;
use super::host::PluginMetric;
use super::options::Hook;
use super::version::{Version, lock};

#[derive(Clone, Debug)]
pub struct PluginStatus {
    pub name: String,
    pub path: PathBuf,
    /// Of the file that runs, in hexadecimal digits.
    pub sha256: String,
    /// Counts the loads of all plugins since the start: the higher, the later.
    pub version: u64,
    pub hooks: Vec<Hook>,
    pub state: PluginState,
    /// Of the last call that failed.
    pub last_error: Option<String>,
    /// Why the file as it is now is not what runs.
    pub load_error: Option<String>,
    /// Since the broker started, as all numbers below.
    pub calls: u64,
    /// Where there were any.
    pub failures: Vec<(Hook, u64)>,
    /// Failures because a call took too long.
    pub overruns: u64,
    pub quarantines: u64,
    /// Calls that were not made because of quarantine, or because too many were waiting.
    pub not_asked: u64,
    pub dropped_log_lines: u64,
    /// Events that it did not see because it failed; those that found no room in the queue are counted
    /// once for all plugins.
    pub dropped_events: u64,
    /// What the plugin counts itself.
    pub metrics: Vec<PluginMetric>,
    /// Numbers that it gave under no legal name, or beyond its limit of series.
    pub dropped_metrics: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginState {
    Running,
    /// Called on a thread of its own.
    Probation,
    /// Not called; its failure policy answers.
    Quarantined {
        left: Duration,
    },
}

impl PluginStatus {
    pub(super) fn of(version: &Version, core: &Core) -> PluginStatus {
        let counters = &version.lasting.counters;
        let failures = Hook::ALL.into_iter().zip(&counters.failures);
        let failures = failures.map(|(hook, count)| (hook, count.load(Ordering::Relaxed)));
        PluginStatus {
            name: version.name().to_owned(),
            path: version.options.path.clone(),
            sha256: version.sha256.clone(),
            version: version.number,
            hooks: version.hooks.clone(),
            state: state(version),
            last_error: lock(&counters.last_error).clone(),
            load_error: core.load_error(version.name()),
            calls: version.calls(),
            failures: failures.filter(|&(_, count)| count > 0).collect(),
            overruns: counters.overruns.load(Ordering::Relaxed),
            quarantines: counters.quarantines.load(Ordering::Relaxed),
            not_asked: counters.refused.load(Ordering::Relaxed),
            dropped_log_lines: version.lasting.log_rate.dropped(),
            dropped_events: counters.dropped_events.load(Ordering::Relaxed),
            metrics: version.lasting.metrics.all(),
            dropped_metrics: version.lasting.metrics.dropped(),
        }
    }
}

fn state(version: &Version) -> PluginState {
    match version.health.state(Instant::now()) {
        (Some(left), _) => PluginState::Quarantined { left },
        (None, true) => PluginState::Probation,
        (None, false) => PluginState::Running,
    }
}
