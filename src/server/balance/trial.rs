//! Whether one thread does as much as two, tried out.
//!
//! A thread that always finds something to do is never woken, finds more each time that it looks, and hands nothing over to
//! another. It may then do what two did that were busy for two thirds of their time each, or more; or not, and nothing but
//! trying tells. Two cores, the load on them too, on two threads and on one (`benches/compare --only A1,H,ONE,C16Q2`, and the
//! same under `taskset -c 1`):
//!
//! | scenario | µs CPU per message | thousand messages per second |
//! |---|---|---|
//! | A1 | 0.81, 0.63 | 1,650, 1,570 |
//! | H | 1.71, 1.16 | 826, 855 |
//! | ONE | 6.46, 5.68 | 147, 174 |
//! | C16Q2 | 2.60, 2.58 | 435, 384 |

use super::{Act, TOO_BUSY, Work};

/// Periods in which connections go over, and in which is seen what comes of it.
const SETTLING: u32 = 1;
const LOOKING: u32 = 4;
/// What one thread has to move of what two did, on the average and in each period, unless it has time left: then it is its
/// clients who want less moved. Where others use the machine too, what the same threads move differs by a tenth from one
/// half of a second to the next, and by a third from period to period.
const ENOUGH: f64 = 0.9;
const AT_LEAST: f64 = 0.5;
/// What it may take to move a byte of what two took, unless it moves so many times as much.
const CHEAPER: f64 = 0.9;
const MORE: f64 = 1.05;

/// All busy connections of one thread are on another, for now.
#[derive(Debug)]
pub(super) struct Trial {
    from: usize,
    pub to: usize,
    /// Of those that went.
    guests: u16,
    before: Done,
    periods: u32,
    /// The sum since then.
    after: Done,
}

/// What two threads have done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Done {
    /// Bytes per second.
    pub moved: f64,
    /// The share of time for which they ran.
    pub ran: f64,
    /// The same with the time for which it waited for a core, of the one that had more to do.
    pub busy: f64,
}

impl Done {
    /// In a period.
    pub fn of(threads: &[Work], (one, other): (usize, usize)) -> Done {
        let [one, other] = [one, other].map(|thread| threads[thread]);
        Done { moved: one.moved + other.moved, ran: one.ran + other.ran, busy: one.busy.max(other.busy) }
    }

    pub fn and(self, more: Done) -> Done {
        Done { moved: self.moved + more.moved, ran: self.ran + more.ran, busy: self.busy + more.busy }
    }

    pub fn mean(self, periods: u32) -> Done {
        let periods = f64::from(periods.max(1));
        Done { moved: self.moved / periods, ran: self.ran / periods, busy: self.busy / periods }
    }

    /// Whether one thread that does this is enough where two did that.
    fn is_enough(self, before: Done) -> bool {
        let more = self.moved / before.moved;
        let is_cheaper = self.ran / before.ran <= CHEAPER * more;
        more >= MORE || is_cheaper && (more >= ENOUGH || self.has_time_left())
    }

    fn has_time_left(self) -> bool {
        self.busy <= TOO_BUSY
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Open,
    /// One thread does as much: so many bytes per second.
    Enough {
        moved: f64,
    },
    /// It does not: this makes it as it was.
    TooLittle(Act),
}

impl Trial {
    pub fn new(from: usize, to: usize, guests: u16, before: Done) -> Trial {
        Trial { from, to, guests, before, periods: 0, after: Done::default() }
    }

    /// After a period.
    pub fn look(&mut self, threads: &[Work]) -> Outcome {
        self.periods += 1;
        if self.periods <= SETTLING {
            return Outcome::Open;
        }
        let now = Done::of(threads, (self.from, self.to));
        self.after = self.after.and(now);
        let looked = self.periods - SETTLING;
        let (mean, ends) = (self.after.mean(looked), looked >= LOOKING);
        let is_overloaded = now.moved < AT_LEAST * self.before.moved && !now.has_time_left();
        if is_overloaded || ends {
            tracing::debug!(before = ?self.before, ?now, ?mean, "tried one thread in the place of two");
        }
        if is_overloaded || (ends && !mean.is_enough(self.before)) {
            return Outcome::TooLittle(Act::Back { from: self.to, to: self.from, guests: self.guests });
        }
        if ends { Outcome::Enough { moved: mean.moved } } else { Outcome::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both threads ran for 1.2 of the time before, and moved 100 bytes.
    fn begun() -> Trial {
        Trial::new(0, 1, 7, Done { moved: 100.0, ran: 1.2, busy: 0.7 })
    }

    fn threads(moved: [f64; 2], ran: [f64; 2]) -> [Work; 2] {
        [0, 1].map(|thread| Work { moved: moved[thread], ran: ran[thread], busy: ran[thread], active: 9 })
    }

    /// What comes of it where one thread moves so much in each period, and after how many.
    fn outcome(moved: &[f64]) -> (usize, Outcome) {
        outcome_of(begun(), moved)
    }

    fn outcome_of(mut trial: Trial, moved: &[f64]) -> (usize, Outcome) {
        let looks = moved.iter().map(|&moved| trial.look(&threads([0.0, moved], [0.0, 1.0])));
        looks.enumerate().find(|(_, outcome)| *outcome != Outcome::Open).expect("the trial ends")
    }

    const BACK: Outcome = Outcome::TooLittle(Act::Back { from: 1, to: 0, guests: 7 });

    #[test]
    fn one_thread_is_enough_where_it_moves_about_as_much_as_two_did_and_for_less() {
        assert_eq!(outcome(&[0.0, 96.0, 100.0, 90.0, 96.0]), (4, Outcome::Enough { moved: 95.5 }));
        assert_eq!(outcome(&[0.0, 130.0, 130.0, 130.0, 130.0]), (4, Outcome::Enough { moved: 130.0 }));
    }

    #[test]
    fn one_thread_that_moves_less_sends_back_whom_it_got() {
        assert_eq!(outcome(&[0.0, 89.0, 89.0, 89.0, 89.0]), (4, BACK));
        assert_eq!(outcome(&[0.0, 100.0, 49.0]), (2, BACK), "at once, where it is much less");
    }

    #[test]
    fn one_thread_that_takes_as_much_is_enough_only_if_it_moves_more() {
        let cheap = || Trial { before: Done { moved: 100.0, ran: 1.03, busy: 0.7 }, ..begun() };
        assert_eq!(outcome_of(cheap(), &[100.0; 5]), (4, BACK));
        assert_eq!(outcome_of(cheap(), &[106.0; 5]), (4, Outcome::Enough { moved: 106.0 }));
    }

    #[test]
    fn one_thread_with_time_left_is_enough_where_it_takes_less_for_what_is_left_to_move() {
        let outcome = |moved: f64, ran: f64| {
            let mut trial = begun();
            let outcomes = [(); 5].map(|()| trial.look(&threads([0.0, moved], [0.0, ran])));
            outcomes.into_iter().rfind(|outcome| *outcome != Outcome::Open)
        };
        assert_eq!(outcome(70.0, 0.7), Some(Outcome::Enough { moved: 70.0 }));
        assert_eq!(outcome(70.0, 0.85), Some(BACK), "it takes as much for each byte");
        assert_eq!(outcome(85.0, 0.91), Some(BACK), "it has no time left");
    }

    #[test]
    fn what_does_not_go_over_counts_too() {
        let mut trial = begun();
        let outcomes = [(); 5].map(|()| trial.look(&threads([10.0, 90.0], [0.1, 0.9])));
        assert_eq!(outcomes[4], Outcome::Enough { moved: 100.0 });
    }
}
