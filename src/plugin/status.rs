//! What a plugin is doing, for metrics and `tidegate plugin list`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::core::Core;
use super::host::PluginMetric;
use super::options::Hook;
use super::tally::{CallTimes, Totals};
use super::version::{Version, lock};

#[derive(Clone, Debug)]
pub struct PluginStatus {
    pub name: String,
    pub path: PathBuf,
    /// Of the file that runs, in hexadecimal digits.
    pub sha256: String,
    /// Counts the loads of all plugins since the start: the higher, the later.
    pub version: u64,
    /// When this version was put in force.
    pub since: SystemTime,
    pub hooks: Vec<Hook>,
    pub state: PluginState,
    /// Of the last call that failed: the hook, what went wrong, and the Wasm backtrace where there is one.
    pub last_error: Option<String>,
    /// What that call was.
    pub last_failure: Option<LastFailure>,
    /// Why the file as it is now is not what runs.
    pub load_error: Option<String>,
    /// Since the broker started, as all counts below.
    pub calls: u64,
    /// One for each of `hooks`, and for each that a version before had and that was called.
    pub by_hook: Vec<HookStatus>,
    /// Where there were any.
    pub failures: Vec<(Hook, u64)>,
    /// Failures because a call took too long.
    pub overruns: u64,
    pub quarantines: u64,
    /// Calls that were not made because of quarantine, or because too many were waiting.
    pub not_asked: u64,
    /// Instances now, those of a version that is ending included.
    pub instances: u64,
    /// Bytes of linear memory of all instances now.
    pub memory: u64,
    /// The most bytes of linear memory that one instance ever had.
    pub highest_memory: u64,
    /// Keys of its `state`. What has expired counts until its room is needed.
    pub state_keys: usize,
    /// Bytes of the keys and values of its `state`.
    pub state_bytes: usize,
    pub dropped_log_lines: u64,
    /// What it asked to publish beyond `publishes-per-call`, at the end of a chain of messages that plugins caused, or while
    /// the broker had too many such messages waiting.
    pub refused_publishes: u64,
    /// Events that it did not see because it failed; those that found no room in the queue are counted
    /// once for all plugins.
    pub dropped_events: u64,
    /// What the plugin counts itself.
    pub metrics: Vec<PluginMetric>,
    /// Numbers that it gave under no legal name, or beyond its limit of series.
    pub dropped_metrics: u64,
}

/// One hook of a plugin.
#[derive(Clone, Debug)]
pub struct HookStatus {
    pub hook: Hook,
    pub calls: u64,
    /// Each word that the hook can answer, and how often it did: for a packet with several Topic Filters once
    /// for each. None for events.
    pub verdicts: Vec<(&'static str, u64)>,
    /// Calls without a verdict, by what went wrong.
    pub failures: [(FailureKind, u64); FailureKind::COUNT],
    /// Calls that were not made.
    pub not_asked: u64,
    pub times: CallTimes,
    /// Of all calls, those that failed included; none where the host does not count it.
    pub fuel: Option<u64>,
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

impl PluginState {
    pub const fn name(self) -> &'static str {
        match self {
            PluginState::Running => "running",
            PluginState::Probation => "probation",
            PluginState::Quarantined { .. } => "quarantined",
        }
    }
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It ended in a trap, or asked a host service for what none gives.
    Trap,
    /// It took too long.
    Overrun,
    /// It answered what the hook does not allow.
    Rubbish,
    /// There was no instance to call, and none could be made.
    NoInstance,
}

impl FailureKind {
    pub const COUNT: usize = 4;

    pub const ALL: [FailureKind; FailureKind::COUNT] =
        [FailureKind::Trap, FailureKind::Overrun, FailureKind::Rubbish, FailureKind::NoInstance];

    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Trap => "trap",
            FailureKind::Overrun => "overrun",
            FailureKind::Rubbish => "rubbish",
            FailureKind::NoInstance => "no-instance",
        }
    }
}

/// Which call failed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFailure {
    pub time: SystemTime,
    /// That was called.
    pub version: u64,
    pub hook: Hook,
    pub kind: FailureKind,
}

impl PluginStatus {
    pub(super) fn of(version: &Version, core: &Core) -> PluginStatus {
        let lasting = &version.lasting;
        let counters = &lasting.counters;
        let totals = version.totals();
        let by_hook: Vec<HookStatus> =
            Hook::ALL.map(|hook| HookStatus::of(hook, version, &totals, core)).into();
        let failures = by_hook.iter().map(|status| (status.hook, status.all_failures()));
        let (state_keys, state_bytes) = lasting.state.size();
        let (last_failure, last_error) = lock(&counters.last_failure).clone().unzip();
        PluginStatus {
            name: version.name().to_owned(),
            path: version.options.path.clone(),
            sha256: version.sha256.clone(),
            version: version.number,
            since: version.since(),
            hooks: version.hooks.clone(),
            state: state(version),
            last_error,
            last_failure,
            load_error: core.load_error(version.name()),
            calls: totals.calls(),
            failures: failures.filter(|&(_, count)| count > 0).collect(),
            overruns: by_hook.iter().map(|status| status.failures[FailureKind::Overrun as usize].1).sum(),
            quarantines: counters.quarantines.load(Ordering::Relaxed),
            not_asked: by_hook.iter().map(|status| status.not_asked).sum(),
            instances: lasting.memory.instances(),
            memory: lasting.memory.bytes(),
            highest_memory: lasting.memory.highest(),
            state_keys,
            state_bytes,
            dropped_log_lines: lasting.log_rate.dropped(),
            refused_publishes: lasting.refusals.count(),
            dropped_events: counters.dropped_events.load(Ordering::Relaxed),
            metrics: lasting.metrics.all(),
            dropped_metrics: lasting.metrics.dropped(),
            by_hook: by_hook
                .into_iter()
                .filter(|status| version.has(status.hook) || status.was_used())
                .collect(),
        }
    }
}

impl HookStatus {
    fn of(hook: Hook, version: &Version, totals: &Totals, core: &Core) -> HookStatus {
        let counters = &version.lasting.counters;
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let failures = &counters.failures[hook.index()];
        HookStatus {
            hook,
            calls: totals.of(hook).calls,
            verdicts: totals.verdicts(hook),
            failures: FailureKind::ALL.map(|kind| (kind, count(&failures[kind as usize]))),
            not_asked: count(&counters.refused[hook.index()]),
            times: totals.of(hook).times.clone(),
            fuel: core.loader.counts_fuel().then_some(totals.of(hook).fuel),
        }
    }

    /// Of all kinds.
    pub fn all_failures(&self) -> u64 {
        self.failures.iter().map(|(_, count)| count).sum()
    }

    fn was_used(&self) -> bool {
        self.calls + self.all_failures() + self.not_asked > 0
    }
}

fn state(version: &Version) -> PluginState {
    match version.health.state(Instant::now()) {
        (Some(left), _) => PluginState::Quarantined { left },
        (None, true) => PluginState::Probation,
        (None, false) => PluginState::Running,
    }
}
