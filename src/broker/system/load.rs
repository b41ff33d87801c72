//! What happens per minute, averaged over the last minute, five and fifteen.
//!
//! The averages are exponential: a moment's weight falls to 1/e within the period. They are brought forward with
//! what was counted since the last time, so that nothing has to be kept of the past.

use std::time::Duration;

/// The averages of something that is counted.
#[derive(Debug, Default)]
pub(super) struct Load {
    counted: u64,
    per_minute: [f64; 3],
}

/// The periods in seconds, and their names.
pub(super) const PERIODS: [(f64, &str); 3] = [(60.0, "1min"), (300.0, "5min"), (900.0, "15min")];

impl Load {
    /// The averages once so much was counted in all, and so much time has passed since the last time.
    #[expect(clippy::cast_precision_loss, reason = "a count in one interval is far below 2^53")]
    pub(super) fn advance(&mut self, counted: u64, elapsed: Duration) -> [f64; 3] {
        let new = counted.saturating_sub(self.counted) as f64;
        self.counted = counted;
        let seconds = elapsed.as_secs_f64();
        if seconds > 0.0 {
            let rate = new * 60.0 / seconds;
            for (average, (period, _)) in self.per_minute.iter_mut().zip(PERIODS) {
                *average = rate + (-seconds / period).exp() * (*average - rate);
            }
        }
        self.per_minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    fn rounded(averages: [f64; 3]) -> [String; 3] {
        averages.map(|average| format!("{average:.2}"))
    }

    #[test]
    fn a_steady_rate_is_what_all_averages_come_to() {
        let mut load = Load::default();
        for n in 1..1000 {
            load.advance(n * 7, TEN_SECONDS);
        }
        assert_eq!(rounded(load.per_minute), ["42.00", "42.00", "42.00"]);
    }

    #[test]
    fn a_burst_falls_to_a_third_within_its_period() {
        let mut load = Load::default();
        // 60 in ten seconds are 360 a minute: 360 * (1 - e^(-1/6)) and so on.
        assert_eq!(rounded(load.advance(60, TEN_SECONDS)), ["55.27", "11.80", "3.98"]);
        for _ in 0..6 {
            load.advance(60, TEN_SECONDS);
        }
        // 55.27 / e
        assert_eq!(rounded(load.per_minute)[0], "20.33");
    }

    #[test]
    fn the_interval_does_not_matter_to_a_steady_rate() {
        let (mut short, mut long) = (Load::default(), Load::default());
        for n in 1..=60 {
            short.advance(n, Duration::from_secs(1));
        }
        for n in 1..=6 {
            long.advance(n * 10, TEN_SECONDS);
        }
        assert_eq!(rounded(short.per_minute), rounded(long.per_minute));
    }

    #[test]
    fn no_time_changes_nothing() {
        assert_eq!(rounded(Load::default().advance(5, Duration::ZERO)), ["0.00", "0.00", "0.00"]);
    }
}
