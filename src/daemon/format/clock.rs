//! The time at which a message is printed, in the time zone of this machine.

use std::cell::OnceCell;

use jiff::Zoned;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// The letters that strftime has in most C libraries, but for those that change others (E and O).
const KNOWN: &str = "%aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ";

/// What of a time is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Strftime(String),
    Nanoseconds,
}

impl Time {
    /// `None` where strftime has nothing for the letter. Those that depend on a locale are as in the C locale.
    pub(super) fn strftime(letter: char) -> Option<Time> {
        if !KNOWN.contains(letter) {
            return None;
        }
        let format = match letter {
            'c' => "%a %b %e %H:%M:%S %Y".to_owned(),
            'x' | 'D' => "%m/%d/%y".to_owned(),
            'X' => "%H:%M:%S".to_owned(),
            'r' => "%I:%M:%S %p".to_owned(),
            _ => format!("%{letter}"),
        };
        Some(Time::Strftime(format))
    }
}

/// One moment, which is now when it is asked for the first time.
#[derive(Debug, Default)]
pub(super) struct Moment(OnceCell<Zoned>);

impl Moment {
    pub(super) fn write(&self, time: &Time, out: &mut Vec<u8>) {
        let text = match time {
            Time::Strftime(format) => self.format(format),
            Time::Nanoseconds => format!("{:09}", self.zoned().subsec_nanosecond()),
        };
        out.extend_from_slice(text.as_bytes());
    }

    /// Such as `2016-08-10T09:47:38+0100`.
    pub(super) fn iso8601(&self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S%z")
    }

    /// The same with microseconds.
    pub(super) fn in_json(&self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S.%6f%z")
    }

    /// Such as `1470818943.786368637`.
    pub(super) fn unix(&self) -> String {
        let now = self.zoned().timestamp();
        format!("{}.{:09}", now.as_second(), now.subsec_nanosecond())
    }

    fn format(&self, format: &str) -> String {
        // All of the letters that are known have something in them.
        strtime::format(format, self.zoned()).unwrap_or_default()
    }

    fn zoned(&self) -> &Zoned {
        self.0.get_or_init(now)
    }
}

fn now() -> Zoned {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    jiff::Timestamp::now().to_zoned(zone)
}
