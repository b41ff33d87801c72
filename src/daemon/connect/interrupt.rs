//! Ctrl-C and SIGTERM, which ask a client to end in good order.

use std::io;

use crate::daemon::exit::Failure;

/// What asks a client to end.
pub(in crate::daemon) struct Interrupt {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    /// From now on neither ends the process by itself.
    pub(in crate::daemon) fn new() -> Result<Interrupt, Failure> {
        Interrupt::listen().map_err(|error| Failure::internal("listen for signals", &error))
    }

    #[cfg(unix)]
    fn listen() -> io::Result<Interrupt> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Interrupt {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Interrupt> {
        Ok(Interrupt {})
    }

    /// Waits for one. Cancel safe.
    #[cfg(unix)]
    pub(in crate::daemon) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(in crate::daemon) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
