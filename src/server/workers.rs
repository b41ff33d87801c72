//! The threads that serve connections.
//!
//! Each has a runtime of its own, and a connection stays on the thread that got it: what it touches stays
//! in one cache, and plugins keep one instance per thread without ever waiting for each other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use crate::broker::Mailbox;

pub(super) struct Workers {
    spawner: Spawner,
    stop: Vec<Arc<Notify>>,
    threads: Vec<JoinHandle<()>>,
}

/// Spawns on the workers in turn.
#[derive(Clone)]
pub(super) struct Spawner {
    handles: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
}

impl Workers {
    pub(super) fn start(count: usize) -> io::Result<Workers> {
        let (mut handles, mut stop, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            let stopped = Arc::new(Notify::new());
            handles.push(runtime.handle().clone());
            stop.push(stopped.clone());
            let run = move || {
                let mailbox = Arc::new(Mailbox::default());
                mailbox.settle();
                runtime.spawn(async move { mailbox.serve().await });
                runtime.block_on(stopped.notified());
            };
            threads.push(thread::Builder::new().name(format!("tidegate-{number}")).spawn(run)?);
        }
        let spawner = Spawner { handles: handles.into(), turn: Arc::default() };
        Ok(Workers { spawner, stop, threads })
    }

    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(task);
    }

    /// Ends every task. The threads end soon.
    pub(super) fn stop(&self) {
        self.stop.iter().for_each(|stop| stop.notify_one());
    }

    /// Waits for the threads.
    pub(super) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Spawner {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.next().spawn(task);
    }

    /// The worker whose turn it is.
    pub(super) fn next(&self) -> &Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.handles[turn % self.handles.len()]
    }
}
