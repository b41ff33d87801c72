//! What is held against somebody, and for how long they are shut out for it.

use std::time::Duration;

/// So many times within `window`, and one is shut out: for `first`, and each time again twice as long, up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// 0: nothing is held against anybody.
    pub limit: u32,
    pub window: Duration,
    pub first: Duration,
    pub longest: Duration,
}

/// In seconds since the guard began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strikes {
    /// When the first of those that count was.
    since: u32,
    count: u32,
    /// The end of the last ban.
    until: u32,
    /// How many bans there were in a row.
    bans: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Struck {
    Counted,
    /// Shut out from now on.
    Banned,
}

impl Strikes {
    pub fn strike(&mut self, rule: &Rule, now: u32) -> Struck {
        if rule.limit == 0 {
            return Struck::Counted;
        }
        if self.count == 0 || now.saturating_sub(self.since) >= seconds(rule.window) {
            (self.since, self.count) = (now, 0);
        }
        self.count += 1;
        if self.count < rule.limit {
            return Struck::Counted;
        }
        self.ban(rule, now);
        Struck::Banned
    }

    /// What counted so far does not count any more. A ban stays, and so does how long the next one is.
    pub fn forgive(&mut self) {
        self.count = 0;
    }

    pub fn lift(&mut self) {
        *self = Strikes::default();
    }

    /// Seconds of the ban that are left.
    pub fn ban_left(&self, now: u32) -> Option<u32> {
        self.until.checked_sub(now).filter(|&left| left > 0)
    }

    /// When nothing of it counts any more.
    pub fn forgotten_at(&self, rule: &Rule) -> u32 {
        let counts = if self.count > 0 { self.since.saturating_add(seconds(rule.window)) } else { 0 };
        let bans = if self.bans > 0 { self.until.saturating_add(seconds(rule.longest)) } else { 0 };
        counts.max(bans)
    }

    fn ban(&mut self, rule: &Rule, now: u32) {
        // A ban makes the next one longer for as long as the longest lasts.
        if now >= self.until.saturating_add(seconds(rule.longest)) {
            self.bans = 0;
        }
        let twice = 1_u32.checked_shl(self.bans.into()).unwrap_or(u32::MAX);
        let length = seconds(rule.first).saturating_mul(twice).min(seconds(rule.longest)).max(1);
        self.until = now.saturating_add(length);
        self.bans = self.bans.saturating_add(1).min(31);
        self.count = 0;
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        limit: 3,
        window: Duration::from_secs(60),
        first: Duration::from_secs(10),
        longest: Duration::from_secs(35),
    };

    /// Strikes until there is a ban, and says how long it is.
    fn ban(strikes: &mut Strikes, now: u32) -> u32 {
        let struck: Vec<Struck> = (0..3).map(|_| strikes.strike(&RULE, now)).collect();
        assert_eq!(struck, [Struck::Counted, Struck::Counted, Struck::Banned]);
        strikes.ban_left(now).unwrap()
    }

    #[test]
    fn the_last_of_the_allowed_within_the_window_bans() {
        let mut strikes = Strikes::default();
        for now in [0, 30, 60, 61] {
            assert_eq!(strikes.strike(&RULE, now), Struck::Counted, "{now}");
            assert_eq!(strikes.ban_left(now), None);
            if now == 30 {
                strikes.forgive();
            }
        }
        assert_eq!(strikes.strike(&RULE, 119), Struck::Banned);
        assert_eq!(
            (strikes.ban_left(119), strikes.ban_left(128), strikes.ban_left(129)),
            (Some(10), Some(1), None)
        );
    }

    #[test]
    fn a_ban_is_twice_as_long_each_time_up_to_the_longest_and_is_forgotten_in_the_end() {
        let mut strikes = Strikes::default();
        let mut now = 100;
        for expected in [10, 20, 35, 35, 35] {
            assert_eq!(ban(&mut strikes, now), expected);
            now += expected;
        }
        assert_eq!(strikes.forgotten_at(&RULE), now + 35);
        assert_eq!(ban(&mut strikes, now + 35), 10);
    }

    #[test]
    fn a_rule_without_a_limit_holds_nothing_against_anybody() {
        let mut strikes = Strikes::default();
        let rule = Rule { limit: 0, ..RULE };
        assert!((0..1000).all(|_| strikes.strike(&rule, 0) == Struck::Counted));
        assert_eq!(strikes.forgotten_at(&rule), 0);
    }

    #[test]
    fn a_lifted_ban_is_as_if_it_had_never_been() {
        let mut strikes = Strikes::default();
        ban(&mut strikes, 5);
        strikes.lift();
        assert_eq!((strikes, strikes.ban_left(5)), (Strikes::default(), None));
    }

    #[test]
    fn hundreds_of_bans_in_a_row_overflow_nothing() {
        let mut strikes = Strikes::default();
        let rule = Rule { longest: Duration::from_secs(u64::MAX), ..RULE };
        for _ in 0..1000 {
            strikes.strike(&rule, u32::MAX - 1);
        }
        assert_eq!(strikes.ban_left(u32::MAX - 1), Some(1));
    }
}
