//! What a connection that was not made is told as, and with which code a script sees it.

use crate::client::{ConnectError, DialError, End, PublishError};
use crate::daemon::exit::{Exit, Failure};
use crate::packet::ReasonCode;

/// Why there is no connection, with what to do about it.
pub(in crate::daemon) fn not_connected(error: &ConnectError) -> Failure {
    let hint = match error {
        ConnectError::Dial(DialError::Unreachable { .. }) => {
            "; is the broker running there? Start one with `tidegate run`"
        }
        ConnectError::Dial(DialError::Resolve { .. }) => "; check -h",
        ConnectError::TimedOut(_) => "; check -h and -p",
        ConnectError::Refused(_) => "; check -i, -u and -P, and what the broker's configuration allows",
        ConnectError::Encode(_) | ConnectError::Options(_) => {
            return Failure::usage(format!("failed to {error}"));
        }
        _ => "",
    };
    Failure::new(exit_of(error), format!("failed to {error}{hint}"))
}

/// What was not published because the connection, or the client, is over.
pub(in crate::daemon) fn not_published(error: &PublishError) -> Failure {
    let exit = match error {
        PublishError::Encode(_) | PublishError::Topic(_) => Exit::Usage,
        PublishError::Ended(End::GaveUp(error)) => exit_of(error),
        _ => Exit::Unavailable,
    };
    Failure::new(exit, format!("failed to {error}"))
}

fn exit_of(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Refused(connack) if may_not(connack.reason_code) => Exit::NoPermission,
        _ => Exit::Unavailable,
    }
}

/// Trying again as the same client will not help.
fn may_not(code: ReasonCode) -> bool {
    matches!(
        code,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD
            | ReasonCode::NOT_AUTHORIZED
            | ReasonCode::BANNED
            | ReasonCode::BAD_AUTHENTICATION_METHOD
    )
}
