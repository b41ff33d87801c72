//! The thread that writes messages to stdout.
//!
//! It is a thread of its own because writing to a pipe waits for whoever reads it; meanwhile the connection has to be
//! kept alive.

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Printer;
use crate::daemon::exit::{Failure, written};
use crate::packet::Publish;

/// Messages that wait to be written.
const WAITING: usize = 256;
/// Bytes that are written at a time, as far as messages wait.
const ENOUGH: usize = 64 * 1024;
/// How long a reader that has stopped reading may keep a command from ending.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(in crate::daemon) struct Output {
    messages: mpsc::Sender<Publish>,
    written: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    pub(in crate::daemon) fn start(printer: Printer) -> Output {
        let (messages, receiver) = mpsc::channel(WAITING);
        let (done, written) = oneshot::channel();
        std::thread::spawn(move || {
            // Where nobody waits for it any more, the command has ended.
            let _ = done.send(write_all(receiver, &printer));
        });
        Output { messages, written }
    }

    /// Says whether it goes on: it does not where stdout cannot be written, which [`Output::finish`] says why.
    ///
    /// Cancel safe, but the message may be gone.
    pub(in crate::daemon) async fn print(&self, message: Publish) -> bool {
        self.messages.send(message).await.is_ok()
    }

    /// Waits until all is written.
    pub(in crate::daemon) async fn finish(self) -> Result<(), Failure> {
        drop(self.messages);
        match tokio::time::timeout(LAST_WORDS, self.written).await {
            Ok(Ok(result)) => written(result),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

fn write_all(mut messages: mpsc::Receiver<Publish>, printer: &Printer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut bytes = Vec::new();
    while let Some(message) = messages.blocking_recv() {
        printer.print(&message, &mut bytes);
        while bytes.len() < ENOUGH
            && let Ok(message) = messages.try_recv()
        {
            printer.print(&message, &mut bytes);
        }
        out.write_all(&bytes)?;
        out.flush()?;
        bytes.clear();
        bytes.shrink_to(ENOUGH);
    }
    Ok(())
}
