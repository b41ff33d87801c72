//! What plugins did, as JSON: what `tidegate plugin list` reads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::seconds_since_1970;
use crate::plugin::{CallTimes, HookStatus, PluginState, PluginStatus};

pub(super) fn render(plugins: &[PluginStatus], dropped_events: u64) -> String {
    let plugins: Vec<Value> = plugins.iter().map(plugin).collect();
    json!({ "plugins": plugins, "dropped_events": dropped_events }).to_string()
}

fn plugin(status: &PluginStatus) -> Value {
    let left = match status.state {
        PluginState::Quarantined { left } => Some(left.as_secs_f64()),
        PluginState::Running | PluginState::Probation => None,
    };
    let hooks: Vec<Value> = status.by_hook.iter().map(hook).collect();
    json!({
        "name": status.name,
        "file": status.path.to_string_lossy(),
        "sha256": status.sha256,
        "version": status.version,
        "since": seconds_since_1970(status.since),
        "state": status.state.name(),
        "quarantine_left_seconds": left,
        "quarantines": status.quarantines,
        "calls": status.calls,
        "hooks": hooks,
        "last_error": last_error(status),
        "load_error": status.load_error,
        "instances": status.instances,
        "memory_bytes": status.memory,
        "memory_highest_bytes": status.highest_memory,
        "state_keys": status.state_keys,
        "state_bytes": status.state_bytes,
        "dropped": {
            "log_lines": status.dropped_log_lines,
            "publishes": status.refused_publishes,
            "events": status.dropped_events,
            "metrics": status.dropped_metrics,
        },
    })
}

fn last_error(status: &PluginStatus) -> Option<Value> {
    let failure = status.last_failure?;
    Some(json!({
        "time": seconds_since_1970(failure.time),
        "version": failure.version,
        "hook": failure.hook.name(),
        "kind": failure.kind.name(),
        "text": status.last_error,
    }))
}

fn hook(status: &HookStatus) -> Value {
    let verdicts: BTreeMap<&str, u64> = status.verdicts.iter().copied().collect();
    let failures: BTreeMap<&str, u64> =
        status.failures.iter().map(|(kind, count)| (kind.name(), *count)).collect();
    json!({
        "hook": status.hook.name(),
        "calls": status.calls,
        "verdicts": verdicts,
        "failures": failures,
        "not_asked": status.not_asked,
        "seconds": seconds(&status.times),
        "fuel": status.fuel,
    })
}

/// Of the calls that were timed.
fn seconds(times: &CallTimes) -> Value {
    let quantile = |part| times.quantile(part).map(|time: Duration| time.as_secs_f64());
    json!({
        "timed": times.count(),
        "sum": times.sum().as_secs_f64(),
        "p50": quantile(0.5),
        "p99": quantile(0.99),
    })
}
