//! `tidegate plugin list` against a running broker: what its plugins did, as its admin port tells.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::arguments::ListArguments;
use super::ask::{not_answered, not_understood, port, shown};
use super::exit::{Failure, print};
use super::inspect;
use crate::admin::AdminAddress;
use crate::admin::fetch::fetch;

/// What `/plugins` answers, as far as it is shown.
#[derive(Deserialize)]
struct Answer {
    plugins: Vec<Plugin>,
    dropped_events: u64,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
    file: String,
    sha256: String,
    version: u64,
    since: f64,
    state: String,
    quarantine_left_seconds: Option<f64>,
    hooks: Vec<Hook>,
    last_error: Option<LastError>,
    load_error: Option<String>,
    instances: u64,
    memory_bytes: u64,
    memory_highest_bytes: u64,
    state_keys: u64,
    state_bytes: u64,
    dropped: Dropped,
}

#[derive(Deserialize)]
struct Hook {
    hook: String,
    calls: u64,
    verdicts: serde_json::Map<String, serde_json::Value>,
    failures: serde_json::Map<String, serde_json::Value>,
    not_asked: u64,
    seconds: Seconds,
    /// None where the broker does not count it.
    fuel: Option<u64>,
}

#[derive(Deserialize)]
struct Seconds {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Deserialize)]
struct LastError {
    time: f64,
    version: u64,
    text: String,
}

#[derive(Deserialize)]
struct Dropped {
    log_lines: u64,
    publishes: u64,
    events: u64,
    metrics: u64,
}

pub(super) fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let Some(port) = port(arguments.admin.as_ref(), &arguments.config) else {
        return if arguments.json { Err(no_port()) } else { inspect::list(&arguments.config) };
    };
    match fetch(&port.listen, "/plugins", port.token.as_deref()) {
        Ok(answer) if arguments.json => print(&format!("{}\n", answer.trim_end())),
        Ok(answer) => print(&described(&answer, &port.listen)?),
        Err(error) if error.is_nobody_there() && arguments.admin.is_none() && !arguments.json => {
            print(&format!("no broker answers at {}; this is what the files are:\n", port.listen))?;
            inspect::list(&arguments.config)
        }
        Err(error) => Err(not_answered(&error)),
    }
}

fn no_port() -> Failure {
    Failure::usage(
        "--json is what a running broker says: name its admin port with --admin, or in the configuration",
    )
}

fn described(answer: &str, address: &AdminAddress) -> Result<String, Failure> {
    let answer: Answer = serde_json::from_str(answer).map_err(|error| not_understood(address, &error))?;
    let mut text = String::new();
    if answer.plugins.is_empty() {
        text.push_str("no plugins\n");
    }
    for (index, plugin) in answer.plugins.iter().enumerate() {
        describe(index + 1, plugin, &mut text);
    }
    if answer.dropped_events > 0 {
        let _ = writeln!(text, "{} events found no room in the queue", answer.dropped_events);
    }
    Ok(text)
}

fn describe(number: usize, plugin: &Plugin, text: &mut String) {
    let _ = writeln!(text, "{number}. {}", shown(&plugin.name));
    row(text, "file", &plugin.file);
    row(text, "version", &format!("{}, sha256 {}", plugin.version, plugin.sha256));
    row(text, "state", &state(plugin));
    row(text, "memory", &memory(plugin));
    row(text, "kept", &format!("{} keys, {} bytes", plugin.state_keys, plugin.state_bytes));
    let Dropped { log_lines, publishes, events, metrics } = plugin.dropped;
    if log_lines + publishes + events + metrics > 0 {
        let dropped =
            format!("{log_lines} log lines, {publishes} messages, {events} events, {metrics} metrics");
        row(text, "dropped", &dropped);
    }
    if !plugin.hooks.is_empty() {
        describe_hooks(&plugin.hooks, text);
    }
    if let Some(error) = &plugin.load_error {
        row(text, "not loaded", error);
    }
    if let Some(error) = &plugin.last_error {
        row(text, "last error", &format!("{}, version {}", moment(error.time), error.version));
        for line in error.text.lines() {
            let _ = writeln!(text, "      {}", shown(line));
        }
    }
}

fn describe_hooks(hooks: &[Hook], text: &mut String) {
    let counts_fuel = hooks.iter().any(|hook| hook.fuel.is_some());
    let heads = ["calls", "failed", "not asked", "p50", "p99"];
    let [calls, failed, not_asked, p50, p99] = heads;
    let fuel = if counts_fuel { format!(" {:>12}", "fuel/call") } else { String::new() };
    let _ = writeln!(
        text,
        "   {:<32} {calls:>12} {failed:>8} {not_asked:>10} {p50:>8} {p99:>8}{fuel}  verdicts",
        "hook"
    );
    for hook in hooks {
        let failed: u64 = hook.failures.values().filter_map(serde_json::Value::as_u64).sum();
        let (p50, p99) = (time(hook.seconds.p50), time(hook.seconds.p99));
        let verdicts = hook.verdicts.iter().filter(|(_, count)| count.as_u64() != Some(0));
        let verdicts: Vec<String> = verdicts.map(|(verdict, count)| format!("{verdict} {count}")).collect();
        let (name, verdicts) = (shown(&hook.hook), shown(&verdicts.join(", ")));
        let fuel = match hook.fuel {
            Some(fuel) => format!(" {:>12}", fuel.checked_div(hook.calls).unwrap_or(0)),
            None => String::new(),
        };
        let line = format!(
            "   {name:<32} {:>12} {failed:>8} {:>10} {p50:>8} {p99:>8}{fuel}  {verdicts}",
            hook.calls, hook.not_asked
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn state(plugin: &Plugin) -> String {
    let since = moment(plugin.since);
    match plugin.quarantine_left_seconds {
        Some(left) => format!("{} for another {left:.1} s, version since {since}", plugin.state),
        None => format!("{}, version since {since}", plugin.state),
    }
}

fn memory(plugin: &Plugin) -> String {
    let (bytes, instances) = (plugin.memory_bytes, plugin.instances);
    format!("{bytes} bytes in {instances} instances, at most {} in one", plugin.memory_highest_bytes)
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "   {name:<10} {}", shown(value));
}

/// `270ns`, `1.2ms`
fn time(seconds: Option<f64>) -> String {
    let Some(time) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        return "-".to_owned();
    };
    match time.as_nanos() {
        0..1000 => format!("{time:.0?}"),
        _ => format!("{time:.1?}"),
    }
}

/// `2026-11-22 08:45:31 UTC`
fn moment(seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(seconds).ok().and_then(|since| UNIX_EPOCH.checked_add(since));
    let since = since.unwrap_or(SystemTime::UNIX_EPOCH).duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a day since 1970. Years begin in March here, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_utc() {
        assert_eq!(moment(0.0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(951_827_696.5), "2000-02-29 12:34:56 UTC");
        assert_eq!(moment(4_107_542_400.0), "2100-03-01 00:00:00 UTC");
        assert_eq!(moment(f64::NAN), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn what_a_plugin_says_cannot_write_beyond_its_line() {
        assert_eq!(shown("a\x1b[2J\nb\u{9b}c"), "a\\u{1b}[2J\\nb\\u{9b}c");
    }

    #[test]
    fn times_are_short() {
        assert_eq!([time(None), time(Some(2.7e-7)), time(Some(0.00123))], ["-", "270ns", "1.2ms"]);
    }
}
