//! What the command ends with: a code for scripts and a sentence for people.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The codes of `sysexits.h`, which mail and init systems know, and the one of `mosquitto_sub -W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// `plugin test`, `bench` and `run-hook`: the plugin did not do what it should.
    #[cfg(feature = "wasm")]
    Failed = 1,
    /// `sub` and `rpc`: the time of `-W` is over.
    TimedOut = 27,
    /// The command line or the configuration is wrong.
    Usage = 64,
    /// The other side could not be reached, or refused.
    Unavailable = 69,
    /// A mistake of this program or of its surroundings.
    Internal = 70,
    /// What is kept cannot be used: it is corrupt, of another program, of a newer version, or in use.
    Storage = 74,
    /// `pub`: it was ended before the broker had acknowledged every message.
    NotAcknowledged = 75,
    /// This user may not do that, or the broker says so.
    NoPermission = 77,
}

/// Shown at the end of each help.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0   fine
  1   plugin test, bench, run-hook: the plugin does not answer as it should
  27  sub, rpc: the time of -W was over
  64  the command line or the configuration is wrong
  69  the broker could not be reached, or refused; or the address is in use
  70  a mistake of tidegate or of its surroundings
  74  the data folder or the database cannot be used: corrupt, foreign, newer, or in use;
      store check: it is not sound
  75  pub: it was ended before the broker had acknowledged every message
  77  no permission for a port or a file; or the broker does not let this client in";

/// What a build without the Wasm host says about plugins.
#[cfg(not(feature = "wasm"))]
pub(super) const NO_WASM: &str =
    "this build of tidegate has no Wasm host, so it has no plugins; build it with the feature `wasm`";

/// Why the command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub(super) fn internal(what: &str, error: &dyn fmt::Display) -> Failure {
        Failure::new(Exit::Internal, format!("failed to {what}: {error}"))
    }
}

/// Ends with the message, if there is one, and the code.
pub(super) fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("tidegate: {}", failure.message);
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Writes the answer to a command.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    written(io::stdout().write_all(text.as_bytes()))
}

/// Writing to a pipe whose reader is gone is the reader's wish, not a failure.
pub(super) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal("write the output", &error))
        }
        _ => Ok(()),
    }
}
