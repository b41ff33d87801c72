//! Connections that were not let in yet.
//!
//! Whoever opens connections and says nothing must not keep others out: where there are as many as may be, the one
//! goes that has been silent longest. One that said CONNECT stays: it waits for a hook, or for its session.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use super::super::lock;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// In the order in which they came. Those that are gone stay until there is no place for another.
    queue: Mutex<VecDeque<Weak<Silence>>>,
    count: AtomicUsize,
    /// Of packets that are not complete.
    bytes: AtomicUsize,
}

/// A connection that was not let in yet; dropped when it is, or when it is over.
#[derive(Debug)]
pub struct Pending {
    waiting: Arc<Waiting>,
    silence: Arc<Silence>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Silence {
    is_over: AtomicBool,
    gives_way: Notify,
}

/// Whether a further connection can wait.
#[derive(Debug)]
pub(super) enum Entered {
    Waits(Pending),
    /// Another is closed for it.
    InPlaceOfAnother(Pending),
    Full,
}

impl Waiting {
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// One more waits, where there are no more than `most`.
    pub fn enter(self: &Arc<Waiting>, most: usize) -> Entered {
        let mut queue = lock(&self.queue);
        let silent = if self.count() < most { None } else { Some(longest_silent(&mut queue)) };
        if let Some(None) = silent {
            return Entered::Full;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let pending = Pending { waiting: self.clone(), silence: Arc::default(), bytes: 0 };
        if queue.len() >= queue.capacity() {
            queue.retain(|it| it.upgrade().is_some_and(|it| it.lasts()));
        }
        queue.push_back(Arc::downgrade(&pending.silence));
        match silent.flatten() {
            None => Entered::Waits(pending),
            Some(silent) => {
                silent.gives_way.notify_one();
                Entered::InPlaceOfAnother(pending)
            }
        }
    }
}

fn longest_silent(queue: &mut VecDeque<Weak<Silence>>) -> Option<Arc<Silence>> {
    std::iter::from_fn(|| queue.pop_front()).filter_map(|it| it.upgrade()).find(|it| it.lasts())
}

impl Silence {
    fn lasts(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

impl Pending {
    /// Waits until the connection is to be closed for a newer one.
    pub fn gives_way(&self) -> impl Future<Output = ()> + Send + use<> {
        let silence = self.silence.clone();
        async move { silence.gives_way.notified().await }
    }

    /// The client said CONNECT.
    pub fn end_silence(&self) {
        self.silence.is_over.store(true, Ordering::Relaxed);
    }

    /// It holds this much of a packet that is not complete. Says whether all together hold no more than `most`.
    pub fn holds(&mut self, bytes: usize, most: usize) -> bool {
        let more = bytes.wrapping_sub(self.bytes);
        self.bytes = bytes;
        let all = self.waiting.bytes.fetch_add(more, Ordering::Relaxed).wrapping_add(more);
        all <= most || bytes == 0
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.waiting.count.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    async fn is_to_go(pending: &Pending) -> bool {
        let mut waits = pin!(pending.gives_way());
        poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_ready())).await
    }

    fn enter(waiting: &Arc<Waiting>, most: usize) -> (Pending, bool) {
        match waiting.enter(most) {
            Entered::Waits(pending) => (pending, false),
            Entered::InPlaceOfAnother(pending) => (pending, true),
            Entered::Full => panic!("there is no place"),
        }
    }

    #[tokio::test]
    async fn the_one_that_was_silent_longest_gives_way() {
        let waiting = Arc::new(Waiting::default());
        let admitted = enter(&waiting, 3).0;
        let mut all: Vec<Pending> = (0..2).map(|_| enter(&waiting, 3).0).collect();
        drop(admitted);
        all.push(enter(&waiting, 3).0);
        assert_eq!(waiting.count(), 3);
        for oldest in 0..3 {
            let (pending, another) = enter(&waiting, 3);
            assert!(another);
            assert!(is_to_go(&all[oldest]).await && !is_to_go(&all[oldest + 1]).await);
            all.push(pending);
        }
        drop(all);
        assert_eq!(waiting.count(), 0);
        assert!(!enter(&waiting, 3).1);
    }

    #[tokio::test]
    async fn one_that_said_connect_does_not_give_way() {
        let waiting = Arc::new(Waiting::default());
        let [said, silent] = [enter(&waiting, 2).0, enter(&waiting, 2).0];
        said.end_silence();
        let (last, another) = enter(&waiting, 2);
        assert!(another && is_to_go(&silent).await && !is_to_go(&said).await);
        drop(silent);
        last.end_silence();
        assert!(matches!(waiting.enter(2), Entered::Full));
        assert_eq!(waiting.count(), 2);
    }

    #[test]
    fn those_that_are_gone_take_no_room() {
        let waiting = Arc::new(Waiting::default());
        for _ in 0..100_000 {
            enter(&waiting, 10);
        }
        assert!(lock(&waiting.queue).capacity() < 64);
    }

    #[test]
    fn bytes_of_all_count_and_are_given_back() {
        let waiting = Arc::new(Waiting::default());
        let [mut one, mut other] = [enter(&waiting, 10).0, enter(&waiting, 10).0];
        assert!(one.holds(600, 1000) && other.holds(400, 1000));
        assert!(!other.holds(401, 1000));
        assert!(one.holds(0, 1000) && other.holds(1000, 1000));
        drop((one, other));
        assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
    }
}
