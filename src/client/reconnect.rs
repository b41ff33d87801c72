//! When to connect again, and when not to any more.

use std::time::Duration;

use super::error::{ConnectError, End};
use crate::packet::ReasonCode;

/// Connecting again after a failure: waiting longer each time, with a share of chance, so that many clients of a server
/// that was gone do not all come back at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconnect {
    /// The wait before the first attempt.
    pub from: Duration,
    /// The longest wait.
    pub to: Duration,
    /// By which a wait is longer than the one before.
    pub factor: f64,
    /// The share of a wait that is left to chance, from 0 to 1.
    pub jitter: f64,
    /// Attempts in a row that fail before the client gives up. `None`: without end.
    pub attempts: Option<u32>,
    /// What no further attempt is expected to change.
    pub give_up: GiveUp,
}

/// When a failure is the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// Where trying again cannot help: the server does not speak the version, has banned the client, does not accept its
    /// identifier, its will, or credentials for which nobody is asked anew; it says that it has moved; another client took
    /// the session over; or what was configured cannot work.
    #[default]
    Hopeless,
    /// Only after [`Reconnect::attempts`].
    Never,
}

impl Default for Reconnect {
    /// From a second to a minute, doubling, a fifth of it chance, without end.
    fn default() -> Reconnect {
        Reconnect {
            from: Duration::from_secs(1),
            to: Duration::from_secs(60),
            factor: 2.0,
            jitter: 0.2,
            attempts: None,
            give_up: GiveUp::Hopeless,
        }
    }
}

impl Reconnect {
    /// The wait after so many failures in a row, at least one; `chance` is from 0 to 1.
    pub(super) fn wait(&self, failures: u32, chance: f64) -> Duration {
        let grown = self.factor.max(1.0).powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX));
        let longest = self.to.as_secs_f64();
        let wait = (self.from.as_secs_f64() * grown).min(longest);
        let wait = wait * (1.0 - self.jitter.clamp(0.0, 1.0) * chance);
        Duration::try_from_secs_f64(wait).unwrap_or(self.to)
    }

    /// Whether this failure is the last of so many in a row.
    pub(super) fn is_over(&self, failures: u32, hopeless: bool) -> bool {
        self.attempts.is_some_and(|attempts| failures >= attempts)
            || hopeless && self.give_up == GiveUp::Hopeless
    }
}

/// Whether another attempt will fail as this one; `asks` says whether credentials are asked for anew.
pub(super) fn is_hopeless(error: &ConnectError, asks: bool) -> bool {
    match error {
        ConnectError::Options(_) | ConnectError::Encode(_) => true,
        ConnectError::Dial(error) => !error.may_pass(),
        ConnectError::Refused(connack) => is_final(connack.reason_code, asks),
        ConnectError::Ended(end) => is_final_end(end),
        ConnectError::TimedOut(_) | ConnectError::Credentials(_) | ConnectError::Authentication(_) => false,
    }
}

/// Whether what ended a connection will end the next one too.
pub(super) fn is_final_end(end: &End) -> bool {
    match end {
        End::Client | End::Aborted | End::GaveUp(_) => true,
        // Both would take the session from each other without end.
        End::Server(disconnect) => matches!(
            disconnect.reason_code,
            ReasonCode::SESSION_TAKEN_OVER | ReasonCode::BANNED | ReasonCode::SERVER_MOVED
        ),
        _ => false,
    }
}

fn is_final(code: ReasonCode, asks: bool) -> bool {
    match code {
        ReasonCode::BAD_USER_NAME_OR_PASSWORD
        | ReasonCode::NOT_AUTHORIZED
        | ReasonCode::BAD_AUTHENTICATION_METHOD => !asks,
        ReasonCode::MALFORMED_PACKET
        | ReasonCode::PROTOCOL_ERROR
        | ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
        | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID
        | ReasonCode::BANNED
        | ReasonCode::TOPIC_NAME_INVALID
        | ReasonCode::PACKET_TOO_LARGE
        | ReasonCode::PAYLOAD_FORMAT_INVALID
        | ReasonCode::RETAIN_NOT_SUPPORTED
        | ReasonCode::QOS_NOT_SUPPORTED
        | ReasonCode::SERVER_MOVED => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Connack;

    #[test]
    fn waits_double_up_to_the_longest_and_chance_makes_them_shorter() {
        let reconnect = Reconnect::default();
        let waits: Vec<_> = [1, 2, 3, 7, 1000].map(|n| reconnect.wait(n, 0.0).as_secs()).into();
        assert_eq!(waits, [1, 2, 4, 60, 60]);
        assert_eq!(reconnect.wait(4, 1.0), Duration::from_millis(6400));
    }

    #[test]
    fn strange_settings_do_not_panic() {
        let strange =
            Reconnect { factor: f64::NAN, jitter: f64::NAN, to: Duration::MAX, ..Reconnect::default() };
        strange.wait(u32::MAX, 0.5);
        let strange =
            Reconnect { from: Duration::MAX, to: Duration::MAX, factor: 1e300, ..Reconnect::default() };
        strange.wait(u32::MAX, 0.5);
    }

    #[test]
    fn a_refused_password_is_the_end_unless_somebody_is_asked_for_another() {
        let refused = |code| ConnectError::Refused(Box::new(Connack::refused(code)));
        let password = refused(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        assert!(is_hopeless(&password, false) && !is_hopeless(&password, true));
        assert!(is_hopeless(&refused(ReasonCode::BANNED), true));
        assert!(!is_hopeless(&refused(ReasonCode::SERVER_BUSY), false));
    }

    #[test]
    fn attempts_are_counted() {
        let reconnect = Reconnect { attempts: Some(3), give_up: GiveUp::Never, ..Reconnect::default() };
        assert!(!reconnect.is_over(2, true) && reconnect.is_over(3, false));
    }
}
