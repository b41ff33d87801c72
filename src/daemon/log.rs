//! Where log lines go: to stderr, for people or as JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogOptions};

/// Starts the log of this process. Other crates speak up only where they warn.
pub(super) fn start(options: LogOptions) {
    let level = options.level.as_str();
    // `plugin` is the target of what plugins write themselves.
    let filter = EnvFilter::new(format!("warn,tidegate={level},plugin={level}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = match options.format {
        LogFormat::Text => log.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    // An embedder or a test may have set up a log already; then that one is used.
    drop(started);
}
