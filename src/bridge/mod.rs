//! Bridges: this broker as a client of others, so that topics of one are topics of the other.
//!
//! A bridge has a session here, `$bridge/` and its name, which collects what is to go out, and one at the other broker,
//! which collects what is to come in (`link`). While the connection is away both wait, as far as queues reach; with a storage
//! ours outlives the process. What comes in goes through the pipeline of all messages, as that of a bridge (`incoming`).
//! Which topics are carried, and what they are called on the other side, stands in [`BridgeOptions`]; how messages are kept
//! from going in circles in `path`.
//!
//! Bridges run on a thread of their own: what they do costs the threads that serve clients nothing but what the messages
//! cost.

mod asked;
mod greeting;
mod incoming;
mod link;
mod local;
mod options;
mod outgoing;
mod path;
mod status;
mod unwritten;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub use link::LinkError;
pub use options::{BridgeOptions, BridgedTopic, CleanStart, Direction, InvalidBridgedTopic};
pub use status::{BridgeDrops, BridgeStatus};

pub use crate::session::{Overflow, QueueLimits};

use crate::broker::{BRIDGES, Broker};
use status::Tally;

/// For a bridge to end by itself: it says goodbye within a second.
const ENDING: Duration = Duration::from_secs(3);

/// All bridges of a broker. Once this is dropped, they end.
pub struct Bridges {
    broker: Arc<Broker>,
    runtime: Handle,
    /// Held for a few lines.
    running: Mutex<Vec<Running>>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Running {
    options: Arc<BridgeOptions>,
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Bridges {
    /// None yet; their thread waits.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(broker: Arc<Broker>) -> io::Result<Bridges> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("bridges".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
            // A name that is looked up may block for long.
            runtime.shutdown_background();
        })?;
        let running = Mutex::default();
        Ok(Bridges { broker, runtime: handle, running, stop: Some(stop), thread: Some(thread) })
    }

    /// Makes these the bridges. Those that are as before go on; of those that are gone, what waits to go out is deleted.
    ///
    /// Two of one name are one: the first.
    pub async fn set(&self, wanted: Vec<BridgeOptions>) {
        self.end(self.take_other_than(&wanted)).await;
        self.forget_others_than(&wanted);
        for options in wanted {
            let is_there = self.running().iter().any(|running| running.options.name == options.name);
            if !is_there {
                let running = self.begin(options);
                self.running().push(running);
            }
        }
    }

    /// Ends all; what waits to go out stays.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.running());
        self.end(all).await;
    }

    /// In the order in which they were set up.
    pub fn status(&self) -> Vec<BridgeStatus> {
        let status = |it: &Running| {
            let session = self.broker.client(&local::client_identifier(&it.options.name));
            let queued = session.map_or(0, |session| session.queued);
            it.tally.status(&it.options.name, it.options.dialer.to_string(), queued)
        };
        self.running().iter().map(status).collect()
    }

    fn begin(&self, options: BridgeOptions) -> Running {
        if let Err(error) = local::prepare(&options, &self.broker) {
            let bridge = &options.name;
            tracing::warn!(bridge, %error, "a bridge has no session yet: what is published is not collected for it");
        }
        let (stop, stopped) = watch::channel(false);
        let (options, tally) = (Arc::new(options), Arc::new(Tally::default()));
        let task = self.runtime.spawn(run(options.clone(), self.broker.clone(), tally.clone(), stopped));
        Running { options, tally, stop, task }
    }

    fn take_other_than(&self, wanted: &[BridgeOptions]) -> Vec<Running> {
        let mut running = self.running();
        let all = std::mem::take(&mut *running);
        let (same, other) = all.into_iter().partition(|it| wanted.contains(&it.options));
        *running = same;
        other
    }

    async fn end(&self, ending: Vec<Running>) {
        for running in &ending {
            running.stop.send_replace(true);
        }
        for mut running in ending {
            // It ends by then, unless a hook keeps its thread.
            if timeout(ENDING * 2, &mut running.task).await.is_err() {
                running.task.abort();
            }
        }
    }

    /// Sessions of bridges that there are no more, also of a process before.
    fn forget_others_than(&self, wanted: &[BridgeOptions]) {
        let names: Vec<String> = wanted.iter().map(|it| local::client_identifier(&it.name)).collect();
        for client in self.broker.clients() {
            let name = &*client.client_identifier;
            if name.starts_with(BRIDGES) && names.iter().all(|wanted| wanted != name) {
                self.broker.delete_session(name);
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bridges {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it was logged when it happened.
            let _ = thread.join();
        }
    }
}

/// Connects again and again until `stop` says so.
async fn run(
    options: Arc<BridgeOptions>,
    broker: Arc<Broker>,
    tally: Arc<Tally>,
    mut stop: watch::Receiver<bool>,
) {
    let (shortest, longest) = options.pauses;
    let (mut pause, mut told) = (shortest, String::new());
    while !*stop.borrow() {
        let began = Instant::now();
        let (bridge, broker, counts, mut stopped) =
            (options.clone(), broker.clone(), tally.clone(), stop.clone());
        // A task of its own: a hook that panics must not end the bridge. It is one of a set, which ends with this one.
        let mut link = JoinSet::new();
        link.spawn(async move { link::run(&bridge, &broker, &counts, &mut stopped).await });
        let ended = tokio::select! {
            ended = link.join_next() => ended,
            () = overdue(&mut stop) => return link.shutdown().await,
        };
        // Also where a hook has panicked in it.
        tally.connected.store(false, Ordering::Relaxed);
        let why = match ended {
            None | Some(Ok(Ok(()))) => return,
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(error)) => error.to_string(),
        };
        tally.note_error(&why);
        tell(&options, &why, &mut told);
        if began.elapsed() > pause {
            pause = shortest;
        }
        let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        pause = (pause * 2).min(longest);
        let _ = timeout(jittered, link::stopped(&mut stop)).await;
    }
}

/// Waits until a bridge that is to end should have: its connection may wait for a hook that does not answer.
async fn overdue(stop: &mut watch::Receiver<bool>) {
    link::stopped(stop).await;
    sleep(ENDING).await;
}

/// A line for what is new, and one that is seldom looked at for what goes on.
fn tell(options: &BridgeOptions, why: &str, told: &mut String) {
    let (bridge, server) = (&options.name, &options.dialer);
    if why == told {
        tracing::debug!(bridge, %server, why, "a bridge is not connected");
    } else {
        tracing::warn!(bridge, %server, why, "a bridge is not connected; it tries again");
        why.clone_into(told);
    }
}
