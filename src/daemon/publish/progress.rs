//! How far it is, on stderr.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Progress {
    /// `None`: nothing is told.
    seconds: Option<Interval>,
    /// Each line takes the place of the one before.
    on_terminal: bool,
    shown: bool,
    begun: Instant,
    last: (Instant, u64),
    sent: u64,
    acknowledged: u64,
}

impl Progress {
    /// On a terminal what takes long is told of, elsewhere only what is asked for.
    pub(super) fn new(wanted: bool, quiet: bool) -> Progress {
        let (now, on_terminal) = (Instant::now(), std::io::stderr().is_terminal());
        let seconds = (wanted || on_terminal && !quiet).then(|| {
            let mut seconds = interval_at(now + SECOND, SECOND);
            seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
            seconds
        });
        Progress { seconds, on_terminal, shown: wanted, begun: now, last: (now, 0), sent: 0, acknowledged: 0 }
    }

    pub(super) fn count_sent(&mut self) {
        self.sent += 1;
    }

    pub(super) fn count_acknowledged(&mut self) {
        self.acknowledged += 1;
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Waits until something is to be told. Cancel safe.
    pub(super) async fn second(&mut self) {
        match &mut self.seconds {
            Some(seconds) => drop(seconds.tick().await),
            None => std::future::pending().await,
        }
    }

    /// One message that takes long is no long send.
    pub(super) fn show(&mut self) {
        if self.sent < 2 {
            return;
        }
        let now = Instant::now();
        let (since, before) = std::mem::replace(&mut self.last, (now, self.acknowledged));
        let rate = per_second(self.acknowledged - before, now - since);
        self.line(
            &format!("{} sent, {} acknowledged, {rate} per second", self.sent, self.acknowledged),
            false,
        );
        self.shown = true;
    }

    /// The last line, where there were others, or it is asked for.
    pub(super) fn finish(&self) {
        if self.seconds.is_none() || !self.shown {
            return;
        }
        let took = self.begun.elapsed();
        let rate = per_second(self.acknowledged, took);
        let text = format!(
            "{} sent, {} acknowledged in {:.1} s, {rate} per second",
            self.sent,
            self.acknowledged,
            took.as_secs_f64()
        );
        self.line(&text, true);
    }

    fn line(&self, text: &str, last: bool) {
        let mut err = std::io::stderr().lock();
        // Where stderr cannot be written, nobody is there to be told.
        let _ = match self.on_terminal {
            true => write!(err, "\r\x1b[K{text}{}", if last { "\n" } else { "" }),
            false => writeln!(err, "{text}"),
        };
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is shown")]
fn per_second(count: u64, time: Duration) -> String {
    let rate = count as f64 / time.as_secs_f64().max(1e-9);
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
