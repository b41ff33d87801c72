//! Where log lines go: to stderr, for people or as JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::{Level, LogFormat, LogOptions};

/// The log of this process.
pub(super) struct Log {
    /// None where an embedder or a test had set one up already: then that one is used.
    set_filter: Option<Box<dyn Fn(EnvFilter) + Send + Sync>>,
}

impl Log {
    pub(super) fn start(options: LogOptions) -> Log {
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter(options.level))
            .with_writer(stderr)
            .with_ansi(options.format == LogFormat::Text && stderr().is_terminal());
        let set_filter = match options.format {
            LogFormat::Text => {
                let log = log.with_target(false).with_filter_reloading();
                let handle = log.reload_handle();
                log.try_init().ok().map(|()| setting(move |filter| drop(handle.reload(filter))))
            }
            LogFormat::Json => {
                let log = log.json().flatten_event(true).with_filter_reloading();
                let handle = log.reload_handle();
                log.try_init().ok().map(|()| setting(move |filter| drop(handle.reload(filter))))
            }
        };
        Log { set_filter }
    }

    /// Lines below this level are left out from now on.
    pub(super) fn set_level(&self, level: Level) {
        if let Some(set_filter) = &self.set_filter {
            set_filter(filter(level));
        }
    }
}

fn setting(set: impl Fn(EnvFilter) + Send + Sync + 'static) -> Box<dyn Fn(EnvFilter) + Send + Sync> {
    Box::new(set)
}

/// Other crates speak up only where they warn.
fn filter(level: Level) -> EnvFilter {
    let level = level.as_str();
    // `plugin` is the target of what plugins write themselves.
    EnvFilter::new(format!("warn,tidegate={level},plugin={level}"))
}
