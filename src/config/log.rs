//! `[log]`: what is told, and in which form.

use super::section::Section;

/// How the broker logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub level: Level,
    pub format: LogFormat,
}

/// The least important lines that are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    /// Also each client's coming and going.
    Debug,
    /// Also each packet.
    Trace,
}

impl Level {
    pub const ALL: [(&'static str, Level); 5] = [
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ];

    pub fn as_str(self) -> &'static str {
        Level::ALL.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| *name)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object per line.
    Json,
}

pub(super) fn read(mut section: Section<'_, '_>) -> LogOptions {
    let mut options = LogOptions::default();
    section.set("level", &mut options.level, |v| v.choice(&Level::ALL));
    section.set("format", &mut options.format, |v| {
        v.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
    });
    section.finish();
    options
}
