//! `log`: the broker's log, under the plugin's name and not faster than the plugin's rate.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::log::{Host, Level};

/// Longer lines are cut.
const LONGEST_LINE: usize = 4096;

impl Host for HostData {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        if let Some(given) = &self.services.given {
            given.log(line(level, &message, &fields));
            return Ok(());
        }
        if !is_enabled(level) || !self.services.log_rate.admits(Instant::now()) {
            return Ok(());
        }
        let message = cut(&message);
        let fields = rendered(&fields);
        let plugin: &str = &self.services.plugin;
        match level {
            Level::Trace => tracing::trace!(target: "plugin", plugin, fields, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, fields, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, fields, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, fields, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, fields, "{message}"),
        }
        Ok(())
    }

    fn enabled(&mut self, level: Level) -> wasmtime::Result<bool> {
        Ok(self.services.given.is_some() || is_enabled(level))
    }
}

fn is_enabled(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
        Level::Error => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
    }
}

/// `warn: refused device="d1"`
fn line(level: Level, message: &str, fields: &[(String, String)]) -> String {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let fields = rendered(fields).map(|fields| format!(" {fields}")).unwrap_or_default();
    format!("{level}: {}{fields}", cut(message))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_LINE)]
}

fn rendered(fields: &[(String, String)]) -> Option<String> {
    if fields.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (name, value) in fields {
        let space = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{space}{name}={value:?}");
        if text.len() > LONGEST_LINE {
            break;
        }
    }
    text.truncate(text.floor_char_boundary(LONGEST_LINE));
    Some(text)
}

/// So many lines in each second; what is over is dropped and counted.
pub(in crate::plugin) struct LogRate {
    per_second: AtomicU32,
    /// When the current second began, and the lines in it.
    window: Mutex<(Instant, u32)>,
    dropped: AtomicU64,
}

impl LogRate {
    pub(in crate::plugin) fn new(per_second: u32) -> LogRate {
        LogRate {
            per_second: per_second.into(),
            window: Mutex::new((Instant::now(), 0)),
            dropped: AtomicU64::new(0),
        }
    }

    pub(in crate::plugin) fn set(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    pub(in crate::plugin) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn admits(&self, now: Instant) -> bool {
        let Ok(mut window) = self.window.lock() else { return false };
        if now.duration_since(window.0) >= Duration::from_secs(1) {
            *window = (now, 0);
        }
        window.1 = window.1.saturating_add(1);
        let admitted = window.1 <= self.per_second.load(Ordering::Relaxed);
        if !admitted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_rate_are_dropped_until_the_next_second() {
        let rate = LogRate::new(2);
        let now = Instant::now();
        assert_eq!([rate.admits(now), rate.admits(now), rate.admits(now)], [true, true, false]);
        assert!(rate.admits(now + Duration::from_millis(1100)));
        assert_eq!(rate.dropped(), 1);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let text = "ä".repeat(4000);
        assert!(cut(&text).len() <= LONGEST_LINE);
    }
}
