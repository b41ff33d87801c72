//! What plugins did, and what they count themselves, under Prometheus' names.
//!
//! The broker's own figures begin with `tidegate_plugins_`, those that a plugin keeps with `tidegate_plugin_`: whatever
//! name a plugin gives, it cannot be taken for one of the broker's.

use std::collections::{BTreeMap, HashSet};

use super::exposition::{Exposition, Kind};
use crate::plugin::{HookStatus, MetricValue, PluginMetric, PluginState, PluginStatus};

pub(super) fn write(plugins: &[PluginStatus], dropped_events: u64, exposition: &mut Exposition) {
    write_each(plugins, exposition);
    write_hooks(plugins, exposition);
    let name = "tidegate_plugins_queue_dropped_events_total";
    exposition.family(
        name,
        Kind::Counter,
        "Events that found no room in the queue for plugins that observe.",
    );
    exposition.count(name, &[], dropped_events);
    let unshown = write_own(plugins, exposition);
    let name = "tidegate_plugins_unshown_metrics";
    exposition.family(
        name,
        Kind::Gauge,
        "Series of the plugin's own that are not shown: of another kind than those of that name, or with labels that \
         are not its to give.",
    );
    for (plugin, count) in plugins.iter().zip(unshown) {
        exposition.count(name, &[("plugin", &plugin.name)], count);
    }
}

/// A name, what it is, and where the number is found.
type Figure<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

const OF_PLUGINS: [Figure<PluginStatus>; 13] = [
    ("version", Kind::Gauge, "The number of the load that is in force.", |it| it.version),
    ("load_failed", Kind::Gauge, "1 where the file as it is now could not be loaded.", |it| {
        it.load_error.is_some().into()
    }),
    ("quarantines_total", Kind::Counter, "How often it was quarantined.", |it| it.quarantines),
    ("instances", Kind::Gauge, "Instances now.", |it| it.instances),
    ("memory_bytes", Kind::Gauge, "Linear memory of all instances now.", |it| it.memory),
    ("memory_highest_bytes", Kind::Gauge, "The most linear memory that one instance ever had.", |it| {
        it.highest_memory
    }),
    ("state_keys", Kind::Gauge, "Keys of its state.", |it| it.state_keys as u64),
    ("state_bytes", Kind::Gauge, "Keys and values of its state.", |it| it.state_bytes as u64),
    ("dropped_log_lines_total", Kind::Counter, "Log lines over its rate.", |it| it.dropped_log_lines),
    (
        "refused_publishes_total",
        Kind::Counter,
        "Messages that it asked to publish and were too many.",
        |it| it.refused_publishes,
    ),
    ("dropped_events_total", Kind::Counter, "Events that it did not see because it failed.", |it| {
        it.dropped_events
    }),
    ("dropped_metrics_total", Kind::Counter, "Numbers under no legal name, or beyond the limit.", |it| {
        it.dropped_metrics
    }),
    ("overruns_total", Kind::Counter, "Calls that took too long.", |it| it.overruns),
];

fn write_each(plugins: &[PluginStatus], exposition: &mut Exposition) {
    let name = "tidegate_plugins_info";
    exposition.family(name, Kind::Gauge, "The file that is in force.");
    for plugin in plugins {
        exposition.count(name, &[("plugin", &plugin.name), ("sha256", &plugin.sha256)], 1);
    }
    let name = "tidegate_plugins_state";
    exposition.family(name, Kind::Gauge, "1 for the state that the plugin is in.");
    let quarantined = PluginState::Quarantined { left: std::time::Duration::ZERO };
    for plugin in plugins {
        for state in [PluginState::Running, PluginState::Probation, quarantined].map(PluginState::name) {
            let is_in_it = plugin.state.name() == state;
            exposition.count(name, &[("plugin", &plugin.name), ("state", state)], is_in_it.into());
        }
    }
    let name = "tidegate_plugins_since_timestamp_seconds";
    exposition.family(name, Kind::Gauge, "When the version was put in force.");
    for plugin in plugins {
        exposition.sample(name, &[("plugin", &plugin.name)], super::seconds_since_1970(plugin.since));
    }
    for (name, kind, help, figure) in OF_PLUGINS {
        let name = format!("tidegate_plugins_{name}");
        exposition.family(&name, kind, help);
        for plugin in plugins {
            exposition.count(&name, &[("plugin", &plugin.name)], figure(plugin));
        }
    }
}

const OF_HOOKS: [Figure<HookStatus>; 2] = [
    ("calls_total", Kind::Counter, "Calls of the hook.", |it| it.calls),
    ("not_asked_total", Kind::Counter, "Calls that were not made: quarantine, or too many waited.", |it| {
        it.not_asked
    }),
];

fn write_hooks(plugins: &[PluginStatus], exposition: &mut Exposition) {
    let hooks = || plugins.iter().flat_map(|plugin| plugin.by_hook.iter().map(move |hook| (plugin, hook)));
    for (name, kind, help, figure) in OF_HOOKS {
        let name = format!("tidegate_plugins_{name}");
        exposition.family(&name, kind, help);
        for (plugin, hook) in hooks() {
            let labels = [("plugin", plugin.name.as_str()), ("hook", hook.hook.name())];
            exposition.count(&name, &labels, figure(hook));
        }
    }
    let name = "tidegate_plugins_verdicts_total";
    exposition.family(
        name,
        Kind::Counter,
        "What the hook answered; for several Topic Filters once for each.",
    );
    for (plugin, hook) in hooks() {
        for (verdict, count) in &hook.verdicts {
            let labels = [("plugin", plugin.name.as_str()), ("hook", hook.hook.name()), ("verdict", verdict)];
            exposition.count(name, &labels, *count);
        }
    }
    let name = "tidegate_plugins_failures_total";
    exposition.family(name, Kind::Counter, "Calls without a verdict, by what went wrong.");
    for (plugin, hook) in hooks() {
        for (kind, count) in &hook.failures {
            let labels =
                [("plugin", plugin.name.as_str()), ("hook", hook.hook.name()), ("kind", kind.name())];
            exposition.count(name, &labels, *count);
        }
    }
    let name = "tidegate_plugins_fuel_total";
    exposition.family(
        name,
        Kind::Counter,
        "Fuel that calls spent, where `fuel` of `[plugins]` has it counted.",
    );
    for (plugin, hook) in hooks() {
        if let Some(fuel) = hook.fuel {
            exposition.count(name, &[("plugin", &plugin.name), ("hook", hook.hook.name())], fuel);
        }
    }
    let name = "tidegate_plugins_call_duration_seconds";
    exposition.family(
        name,
        Kind::Histogram,
        "How long calls took. Of hooks that are asked about every message, one call in 64 is timed.",
    );
    for (plugin, hook) in hooks() {
        let labels = [("plugin", plugin.name.as_str()), ("hook", hook.hook.name())];
        let buckets = hook.times.cumulative().map(|(bound, upto)| (bound.as_secs_f64(), upto));
        let (sum, count) = (hook.times.sum().as_secs_f64(), hook.times.count());
        exposition.histogram(name, &labels, buckets, sum, count);
    }
}

/// Series of one name: the plugin's place among all, its labels in one order, and the number.
type Series<'a> = (usize, Vec<(&'a str, &'a str)>, &'a MetricValue);

/// Says for each plugin how many of its series are not shown.
fn write_own(plugins: &[PluginStatus], exposition: &mut Exposition) -> Vec<u64> {
    let mut unshown = vec![0; plugins.len()];
    let mut families: BTreeMap<&str, (Kind, Vec<Series<'_>>)> = BTreeMap::new();
    for (place, plugin) in plugins.iter().enumerate() {
        for metric in &plugin.metrics {
            let kind = kind(&metric.value);
            // Who comes first in the chain says what a name is for.
            let (of_all, series) = families.entry(&metric.name).or_insert_with(|| (kind, Vec::new()));
            match own_labels(&plugin.name, metric) {
                Some(labels) if *of_all == kind => series.push((place, labels, &metric.value)),
                _ => unshown[place] += 1,
            }
        }
    }
    for (name, (kind, series)) in families {
        let name = format!("tidegate_plugin_{name}");
        if !exposition.try_family(&name, kind, "Kept by plugins themselves.") {
            series.iter().for_each(|(place, ..)| unshown[*place] += 1);
            continue;
        }
        let mut seen = HashSet::new();
        for (place, labels, value) in series {
            if !seen.insert(labels.clone()) {
                unshown[place] += 1;
                continue;
            }
            write_value(&name, &labels, value, exposition);
        }
    }
    unshown
}

fn write_value(name: &str, labels: &[(&str, &str)], value: &MetricValue, exposition: &mut Exposition) {
    match value {
        MetricValue::Counter(count) => exposition.count(name, labels, *count),
        MetricValue::Gauge(value) => exposition.sample(name, labels, *value),
        MetricValue::Histogram(histogram) => {
            exposition.histogram(name, labels, histogram.cumulative(), histogram.sum, histogram.count);
        }
    }
}

fn kind(value: &MetricValue) -> Kind {
    match value {
        MetricValue::Counter(_) => Kind::Counter,
        MetricValue::Gauge(_) => Kind::Gauge,
        MetricValue::Histogram(_) => Kind::Histogram,
    }
}

/// None where it has a label twice, or one that is not a plugin's to give.
fn own_labels<'a>(plugin: &'a str, metric: &'a PluginMetric) -> Option<Vec<(&'a str, &'a str)>> {
    let mut labels: Vec<(&str, &str)> =
        metric.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    labels.sort_unstable();
    let is_repeated = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let is_ours = |name: &str| matches!(name, "plugin" | "le") || name.starts_with("__");
    if is_repeated || labels.iter().any(|(name, _)| is_ours(name)) {
        return None;
    }
    labels.insert(0, ("plugin", plugin));
    Some(labels)
}
