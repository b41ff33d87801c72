//! The threads that serve connections.
//!
//! Each has a runtime of its own, and a connection stays on the thread that has it, unless there is too much to do
//! there or too little (`balance`): what it touches stays in one cache, and plugins keep one instance per thread
//! without ever waiting for each other.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use super::balance::{self, Watched};
use super::connections::Connections;
use crate::broker::Mailbox;
use crate::connection::Thread;

pub(super) struct Workers {
    spawner: Spawner,
    stop: Vec<Arc<Notify>>,
    threads: Vec<JoinHandle<()>>,
    #[cfg(all(test, feature = "client"))]
    connections: Vec<Arc<Thread>>,
}

/// Whether connections go over to other threads by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Balanced {
    Yes,
    #[cfg(all(test, feature = "client"))]
    No,
}

/// Spawns on the workers in turn.
#[derive(Clone)]
pub(super) struct Spawner(Arc<InTurn>);

struct InTurn {
    handles: Vec<Handle>,
    turn: AtomicUsize,
}

impl Workers {
    pub(super) fn start(count: usize, balanced: Balanced) -> io::Result<Workers> {
        let runtime = |_| Builder::new_current_thread().enable_io().enable_time().build();
        let runtimes: Vec<_> = (0..count).map(runtime).collect::<io::Result<_>>()?;
        let handles = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
        let spawner = Spawner(Arc::new(InTurn { handles, turn: AtomicUsize::new(0) }));
        let (mut stop, mut threads, mut watched) = (Vec::new(), Vec::new(), Vec::new());
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let stopped = Arc::new(Notify::new());
            stop.push(stopped.clone());
            let connections = Arc::new(Thread::default());
            let (tell, told) = mpsc::channel();
            let (own, others) = (connections.clone(), spawner.clone());
            let run = move || {
                let (mailbox, served) = (Arc::new(Mailbox::default()), Arc::new(Connections::default()));
                mailbox.settle();
                own.settle();
                served.settle();
                // Where there is no such file, nobody knows how busy a thread is, and connections stay where they are.
                let _ = tell.send(File::open("/proc/thread-self/schedstat").ok());
                runtime.spawn(async move { mailbox.serve().await });
                runtime.spawn(served.serve(others));
                runtime.block_on(stopped.notified());
            };
            threads.push(thread::Builder::new().name(format!("tidegate-{number}")).spawn(run)?);
            watched.extend(told.recv().ok().flatten().map(|times| Watched::new(connections, times)));
        }
        #[cfg(all(test, feature = "client"))]
        let connections = watched.iter().map(Watched::connections).cloned().collect();
        if balanced == Balanced::Yes && count > 1 && watched.len() == count {
            spawner.spawn(balance::keep(watched));
        }
        Ok(Workers {
            spawner,
            stop,
            threads,
            #[cfg(all(test, feature = "client"))]
            connections,
        })
    }

    pub(super) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(task);
    }

    /// What the threads tell of their connections.
    #[cfg(all(test, feature = "client"))]
    pub(super) fn connections(&self) -> &[Arc<Thread>] {
        &self.connections
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
        &self.0.handles[self.next_number()]
    }

    /// The number of the worker whose turn it is.
    pub(super) fn next_number(&self) -> usize {
        self.0.turn.fetch_add(1, Ordering::Relaxed) % self.0.handles.len()
    }

    /// All workers, by their numbers.
    pub(super) fn workers(&self) -> &[Handle] {
        &self.0.handles
    }

    /// The worker with this number.
    pub(super) fn worker(&self, number: u32) -> &Handle {
        &self.0.handles[number as usize % self.0.handles.len()]
    }
}
