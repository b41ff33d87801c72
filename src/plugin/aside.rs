//! Threads that make the calls of plugins on probation, and of those that may wait: they hold up nobody's
//! packets but those that wait for their verdict.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::oneshot;

use super::version::{Place, lock};
use crate::hook::Answer;

/// More calls than this do not wait for a thread; their plugins' failure policies answer.
const MOST_WAITING: usize = 1024;

type Job = Box<dyn FnOnce(Place) + Send>;

pub(super) struct Aside {
    queue: SyncSender<Job>,
}

impl Aside {
    /// The threads end when this is dropped.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Aside> {
        let (queue, jobs) = sync_channel(MOST_WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(name.to_owned()).spawn(move || work(&jobs))?;
        }
        Ok(Aside { queue })
    }

    /// Runs `job` aside; at once, and told so, where there is no room. `refused` is the answer where the
    /// job is lost.
    pub(super) fn answer<T: Send + 'static>(
        &self,
        job: impl FnOnce(Place) -> T + Send + 'static,
        refused: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let (sender, mut answer) = oneshot::channel();
        let job: Job = Box::new(move |place| {
            // Where nobody waits any more, as the connection is gone, the thread is for those who do.
            if !sender.is_closed() {
                let _ = sender.send(job(place));
            }
        });
        match self.queue.try_send(job) {
            Ok(()) => Answer::Later(Box::pin(async move { answer.await.unwrap_or_else(|_| refused()) })),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                job(Place::NoRoomAside);
                Answer::Ready(answer.try_recv().unwrap_or_else(|_| refused()))
            }
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = lock(jobs).recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(|| job(Place::Aside))).is_err() {
            tracing::error!("a call of a plugin panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const THREADS: usize = 2;

    fn wait<T>(answer: Answer<T>) -> T {
        let mut answer = pin!(answer.get());
        loop {
            match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => return value,
                Poll::Pending => thread::yield_now(),
            }
        }
    }

    #[test]
    fn a_job_is_answered_later_and_a_panic_refuses() {
        let aside = Aside::start("test", THREADS).unwrap();
        let here = thread::current().id();
        assert!(wait(aside.answer(move |_| thread::current().id() != here, || false)));
        for _ in 0..2 * THREADS {
            assert_eq!(wait(aside.answer(|_| panic!("as planned"), || 7)), 7);
        }
        assert_eq!(wait(aside.answer(|place| place, || Place::Inline)), Place::Aside);
    }
}
