//! The life of a client: connects, serves, connects again, until it leaves or gives up.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::core::Shared;
use super::error::{ConnectError, End};
use super::event::{Disconnection, Event};
use super::handshake::{self, Accepted};
use super::reconnect::{is_final_end, is_hopeless};
use crate::packet::Connack;

/// Credentials that hold for no time at all must not have the client connect without a pause.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

/// Told how the first attempt went.
pub(super) type First = oneshot::Sender<Result<Arc<Connack>, ConnectError>>;

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    /// Where somebody waits for the first attempt, its failure is the end.
    first: Option<First>,
    /// Attempts since the last connection.
    attempts: u32,
    /// Failures in a row; a connection that did not last longer than the wait before it is one.
    failures: u32,
    connected_before: bool,
    /// What the server made up for us.
    assigned: Option<ByteString>,
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>, first: Option<First>) -> Supervisor {
        let (attempts, failures) = (0, 0);
        Supervisor { shared, first, attempts, failures, connected_before: false, assigned: None }
    }

    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        let end = loop {
            let attempted = tokio::select! {
                biased;
                attempted = self.attempt() => attempted,
                () = left(&shared) => break End::Client,
            };
            let disconnection = match attempted {
                Ok(accepted) => Disconnection::Ended(self.serve(accepted).await),
                Err(error) => Disconnection::NotConnected(error),
            };
            if matches!(disconnection, Disconnection::Ended(End::Client)) {
                break End::Client;
            }
            let Some(wait) = self.next_wait(&disconnection) else { break self.give_up(disconnection) };
            shared.tell(&Event::Disconnected { reason: disconnection, retry_in: Some(wait) });
            tokio::select! {
                () = sleep(wait) => {}
                () = left(&shared) => break End::Client,
            }
        };
        shared.finish(end);
    }

    async fn attempt(&mut self) -> Result<Accepted, ConnectError> {
        self.attempts += 1;
        self.shared.tell(&Event::Connecting { attempt: self.attempts });
        let options = &self.shared.options;
        let mut connect = options.connect_packet(!self.connected_before);
        if let Some(assigned) = self.assigned.clone().filter(|_| connect.client_identifier.is_empty()) {
            connect.client_identifier = assigned;
        }
        handshake::connect(options, connect).await
    }

    async fn serve(&mut self, accepted: Accepted) -> End {
        let Accepted { connection, terms, connack } = accepted;
        let begun = Instant::now();
        if let Some(assigned) = &connack.assigned_client_identifier {
            self.assigned = Some(ByteString::from(assigned.to_string()));
        }
        self.shared.begin(terms, connack.clone(), self.connected_before);
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(connack));
        }
        let options = &self.shared.options;
        let credentials = options.credentials.as_ref().filter(|_| options.reconnect.is_some());
        let longest = credentials.and_then(|credentials| credentials.renew_in());
        let longest = longest.map(|longest| longest.max(SHORTEST_RENEWAL));
        let end = connection.run(&self.shared, longest).await;
        self.shared.interrupted();
        self.connected_before = true;
        self.attempts = 0;
        let short = self.wait_before();
        if begun.elapsed() >= short {
            self.failures = 0;
        }
        end
    }

    /// The wait that was before this connection, without chance.
    fn wait_before(&self) -> Duration {
        let reconnect = self.shared.options.reconnect.as_ref();
        reconnect.map_or(Duration::ZERO, |reconnect| reconnect.wait(self.failures, 0.0))
    }

    /// How long to wait before another attempt; `None` where there is none.
    fn next_wait(&mut self, disconnection: &Disconnection) -> Option<Duration> {
        let options = &self.shared.options;
        let reconnect = options.reconnect.as_ref()?;
        if matches!(disconnection, Disconnection::Ended(End::Renewal)) {
            return Some(Duration::ZERO);
        }
        let asks = options.credentials.is_some() || options.authentication.is_some();
        let hopeless = match disconnection {
            Disconnection::Ended(end) => is_final_end(end),
            Disconnection::NotConnected(error) => is_hopeless(error, asks),
        };
        self.failures = self.failures.saturating_add(1);
        let over = self.first.is_some() || reconnect.is_over(self.failures, hopeless);
        (!over).then(|| reconnect.wait(self.failures, fastrand::f64()))
    }

    fn give_up(&mut self, disconnection: Disconnection) -> End {
        let reason = disconnection.clone();
        self.shared.tell(&Event::Disconnected { reason, retry_in: None });
        let end = match disconnection {
            Disconnection::Ended(end) => end,
            Disconnection::NotConnected(error) => {
                if let Some(first) = self.first.take() {
                    let _ = first.send(Err(error.clone()));
                }
                End::GaveUp(Box::new(error))
            }
        };
        self.shared.tell(&Event::GaveUp(end.clone()));
        end
    }
}

/// Nobody waits for a client whose task was dropped with its runtime, or has panicked.
impl Drop for Supervisor {
    fn drop(&mut self) {
        if self.shared.end().is_none() {
            self.shared.finish(End::Aborted);
        }
    }
}

/// Somebody wants the client to leave, and there is nothing to wait for, or no time.
async fn left(shared: &Shared) {
    loop {
        let asked = shared.leave.notified();
        let (can_leave, leaves_by) = shared.with(|core| (core.can_leave_unconnected(), core.leaves_by()));
        match leaves_by {
            _ if can_leave => return,
            Some(by) => return sleep_until(by).await,
            None => asked.await,
        }
    }
}
