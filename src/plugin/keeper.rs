//! A thread that does what calls leave behind: new spares, and the way back to an earlier version.

use std::io;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::core::Core;

/// About a version of a plugin, by its name and number.
pub(super) enum Job {
    /// An instance was thrown away.
    Refill((String, u64)),
    /// It failed, and its policy is `last-good`.
    GoBack((String, u64)),
    Stop,
}

#[derive(Clone)]
pub(super) struct Jobs(Sender<Job>);

impl Jobs {
    pub(super) fn new() -> (Jobs, Receiver<Job>) {
        let (sender, receiver) = channel();
        (Jobs(sender), receiver)
    }

    pub(super) fn send(&self, job: Job) {
        // Without the thread, which ends with the host, there is nothing to keep.
        let _ = self.0.send(job);
    }
}

pub(super) fn start(core: Weak<Core>, jobs: Receiver<Job>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("plugin-keeper".into()).spawn(move || {
        while let Ok(job) = jobs.recv() {
            let Some(core) = core.upgrade() else { return };
            match job {
                Job::Refill((name, number)) => {
                    if let Some(version) = core.find(&name).filter(|version| version.number == number) {
                        version.refill();
                    }
                }
                Job::GoBack((name, number)) => core.go_back(&name, number),
                Job::Stop => return,
            }
        }
    })
}
