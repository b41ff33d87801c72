//! `tidegate store stats`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::now;
use super::place::{self, Place};
use crate::daemon::exit::{Failure, print};
use crate::daemon::storage::{self, Access};
use crate::message::Timestamp;
use crate::storage::{Amount, Extent, Figures, SessionFigures};

pub(super) fn run(place: &Place, json: bool) -> Result<(), Failure> {
    let options = place.options()?;
    let storage = storage::place(&options, Access::Read)?;
    let failed = |error| storage::failure(&error);
    let extent = storage.extent().map_err(failed)?;
    let now = now();
    let mut survey = place::survey(&*storage, now).map_err(failed)?;
    let figures = survey.finish();
    if json { print_object(figures, extent) } else { print(&table(figures, extent, now)) }
}

fn print_object(figures: &Figures, extent: Extent) -> Result<(), Failure> {
    let mut object =
        serde_json::to_value(figures).map_err(|error| Failure::internal("write JSON", &error))?;
    if let Value::Object(members) = &mut object {
        members.insert("bytes-on-disk".to_owned(), json!(extent.bytes));
        members.insert("version".to_owned(), json!(extent.version));
    }
    print(&format!("{object:#}\n"))
}

fn table(figures: &Figures, extent: Extent, now: Timestamp) -> String {
    let mut text = String::new();
    if let Some(version) = extent.version {
        let _ = writeln!(text, "version of the tables  {version}");
    }
    if let Some(bytes) = extent.bytes {
        let _ = writeln!(text, "on the disk            {}", size(bytes));
    }
    let alive = figures.alive.map_or("never".to_owned(), |at| ago(Timestamp(at), now));
    let _ = writeln!(text, "last alive             {alive}");
    for line in counts(figures) {
        let _ = writeln!(text, "{line}");
    }
    if !figures.largest_sessions.is_empty() {
        text.push_str("largest sessions\n");
    }
    for session in &figures.largest_sessions {
        let _ = writeln!(text, "  {}", session_line(session));
    }
    text
}

/// A line for each kind of thing.
pub(super) fn counts(figures: &Figures) -> Vec<String> {
    let line = |name: &str, value: String| format!("{name:<22} {value}");
    let expired = |amount: Amount, expired: u64| format!("{}; {expired} expired", amount_text(amount));
    let sessions = format!(
        "{}; {} connected at the end, {} expired",
        figures.sessions, figures.connected_sessions, figures.expired_sessions
    );
    let mut lines = vec![
        line("sessions", sessions),
        line("subscriptions", amount_text(figures.subscriptions)),
        line("session items", amount_text(figures.items)),
        line("received, unreleased", figures.received.to_string()),
        line("messages", expired(figures.messages, figures.expired_messages)),
        line("deliveries queued", amount_text(figures.queued)),
        line("deliveries in flight", amount_text(figures.in_flight)),
        line("deliveries released", figures.released.to_string()),
        line("retained messages", expired(figures.retained, figures.expired_retained)),
        line("Wills", amount_text(figures.wills)),
    ];
    for (plugin, amount) in &figures.plugins {
        lines.push(line("state of plugin", format!("{}: {}", plugin.escape_debug(), amount_text(*amount))));
    }
    if figures.expired_state > 0 {
        lines.push(line("state, expired", figures.expired_state.to_string()));
    }
    lines
}

fn session_line(session: &SessionFigures) -> String {
    format!(
        "{}: {}; {} queued, {} in flight, {} subscriptions, {} items",
        session.client_identifier.escape_debug(),
        size(session.bytes()),
        session.queued.count,
        session.in_flight.count + session.released,
        session.subscriptions.count,
        session.items.count
    )
}

fn amount_text(amount: Amount) -> String {
    match amount.count {
        0 => "0".to_owned(),
        count => format!("{count}, {}", size(amount.bytes)),
    }
}

/// `17 B`, `1.5 MiB`
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.until(now).as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_told_in_the_unit_that_fits() {
        let sizes: Vec<_> = [0, 1_023, 1_024, 1_600, 3 << 20, 5 << 50].map(size).into();
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.6 KiB", "3.0 MiB", "5120.0 TiB"]);
        let times = [0, 59, 60, 7_200, 200_000].map(|seconds| ago(Timestamp(0), Timestamp(seconds * 1_000)));
        assert_eq!(times, ["0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 days ago"]);
    }
}
