//! The connections that a thread serves, in one task of its runtime.
//!
//! A task for each would take 512 bytes and leave some hundred more unused, as the runtime aligns tasks to 128; a place
//! here takes 56 beside what the connection holds (scenario E: 1,458 bytes per connection before, 1,214 after).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::task::{unconstrained, yield_now};

use super::counted::CountedStream;
use super::workers::Spawner;
use crate::connection::{Moving, Serve, take_effort};

/// How many get their turn before the runtime looks at sockets, timers and other tasks.
const TOGETHER: usize = 64;
/// Bytes that all who have something to do may move, before some of them wait for the others. To write 16 KiB takes some
/// ten microseconds, and a message some five.
const TOGETHER_BYTES: usize = 1024 * 1024;
/// How long those whose turns are long get theirs before the others do.
const LONG_TURNS: Duration = Duration::from_millis(1);

thread_local! {
    static HERE: RefCell<Option<Arc<Connections>>> = const { RefCell::new(None) };
}

/// What a thread serves.
#[derive(Default)]
pub(super) struct Connections {
    places: Mutex<Slab<Arc<Place>>>,
    called: Mutex<Called>,
}

/// Those that have something to do.
#[derive(Default)]
struct Called {
    places: Vec<Arc<Place>>,
    /// Of the task that serves them, while it waits.
    serving: Option<Waker>,
    /// Nobody serves them any more.
    is_over: bool,
}

/// Those that were called and have not had their turn.
///
/// A few bytes then do not wait for as long as the turns of all others take together: where 5,000 clients were written
/// to as fast as their sockets took it, that was 100 ms and more.
#[derive(Default)]
struct Waiting {
    called: Vec<Arc<Place>>,
    /// Those whose last turn was long. They get theirs behind the others, some at a time.
    long: VecDeque<Arc<Place>>,
}

/// Where a connection is. Who wakes it holds it too, but the connection ends with the thread all the same.
struct Place {
    connections: Arc<Connections>,
    number: u32,
    is_called: AtomicBool,
    /// Bytes that its last turn moved, and 65,535 where there were more.
    effort: AtomicU16,
    /// Held by the thread alone, while it serves it. None: it has ended.
    serve: Mutex<Option<Serve<CountedStream>>>,
}

impl Connections {
    /// Makes them this thread's.
    pub fn settle(self: &Arc<Self>) {
        HERE.set(Some(self.clone()));
    }

    /// Has a connection served on this thread, which must be a worker.
    pub fn add(serve: Serve<CountedStream>) {
        HERE.with_borrow(|here| {
            let here = here.as_ref().expect("connections are added on threads that serve them");
            let place = {
                let mut places = lock(&here.places);
                let entry = places.vacant_entry();
                let place = Arc::new(Place {
                    connections: here.clone(),
                    number: entry.key() as u32,
                    is_called: AtomicBool::new(false),
                    effort: AtomicU16::new(0),
                    serve: Mutex::new(Some(serve)),
                });
                entry.insert(place).clone()
            };
            place.wake();
        });
    }

    /// Serves them for as long as it is polled. What is there when it is dropped has ended.
    ///
    /// Each of them leaves off by itself when others are to have their turn: the runtime must not count what all do
    /// together as one.
    pub async fn serve(self: Arc<Self>, others: Spawner) {
        let ends = Ends(self);
        let mut waiting = Waiting::default();
        unconstrained(poll_fn(|cx| ends.0.poll_serve(cx, &mut waiting, &others))).await
    }

    fn poll_serve(&self, cx: &mut Context<'_>, waiting: &mut Waiting, others: &Spawner) -> Poll<()> {
        let mut served = 0;
        while served < TOGETHER {
            {
                let mut called = lock(&self.called);
                if called.places.is_empty() && waiting.long.is_empty() {
                    called.serving = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                std::mem::swap(&mut called.places, &mut waiting.called);
            }
            let most = most_at_once(waiting.called.len() + waiting.long.len());
            for place in waiting.called.drain(..) {
                if place.effort.load(Ordering::Relaxed) > most {
                    waiting.long.push_back(place);
                    continue;
                }
                served += 1;
                self.give_turn(place, others);
            }
            let (given, takes_long) = self.give_long_turns(&mut waiting.long, others);
            served += given;
            if takes_long {
                break;
            }
        }
        // Asked once, it wakes this task when others have had their turn.
        pin!(yield_now()).poll(cx)
    }

    /// Serves those whose turns are long, for as long as all of them together may take. Says how many, and whether it took
    /// that long.
    fn give_long_turns(&self, long: &mut VecDeque<Arc<Place>>, others: &Spawner) -> (usize, bool) {
        if long.is_empty() {
            return (0, false);
        }
        let (begun, mut given) = (Instant::now(), 0);
        while let Some(place) = long.pop_front() {
            self.give_turn(place, others);
            given += 1;
            if begun.elapsed() >= LONG_TURNS {
                return (given, true);
            }
        }
        (given, false)
    }

    fn give_turn(&self, place: Arc<Place>, others: &Spawner) {
        if let Some(moving) = self.poll_place(place) {
            take_over(moving, others);
        }
    }

    /// Gives a connection its turn. Returns it if it is to go to another thread.
    fn poll_place(&self, place: Arc<Place>) -> Option<Moving<CountedStream>> {
        // Who calls it from now on has it called again; what was done before this is seen.
        place.is_called.swap(false, Ordering::AcqRel);
        let waker = Waker::from(place.clone());
        let mut slot = lock(&place.serve);
        let serve = slot.as_mut()?;
        let poll = || Pin::new(serve).poll(&mut Context::from_waker(&waker));
        // A hook that panics ends the connection that asked it, and says so by itself.
        let polled = catch_unwind(AssertUnwindSafe(poll));
        let effort = u16::try_from(take_effort()).unwrap_or(u16::MAX);
        place.effort.store(effort, Ordering::Relaxed);
        let over = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(moving)) => moving,
            Err(_) => None,
        };
        let ended = slot.take();
        drop(slot);
        lock(&self.places).remove(place.number as usize);
        end(ended);
        over
    }

    fn call(&self, place: Arc<Place>) {
        let serving = {
            let mut called = lock(&self.called);
            if called.is_over {
                return;
            }
            called.places.push(place);
            called.serving.take()
        };
        if let Some(serving) = serving {
            serving.wake();
        }
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_called.swap(true, Ordering::AcqRel) {
            self.connections.call(self.clone());
        }
    }
}

/// Bytes above which a turn is a long one, where so many have something to do.
fn most_at_once(waiting: usize) -> u16 {
    (TOGETHER_BYTES / waiting.max(1)).clamp(256, 16 * 1024) as u16
}

/// Ends all connections of a thread when the task that serves them is dropped.
struct Ends(Arc<Connections>);

impl Drop for Ends {
    fn drop(&mut self) {
        let places = std::mem::take(&mut *lock(&self.0.places));
        for (_, place) in places {
            // Whoever would wake it keeps the place, and must not keep the connection.
            let ended = lock(&place.serve).take();
            end(ended);
        }
        let mut called = lock(&self.0.called);
        called.is_over = true;
        called.places.clear();
    }
}

/// Hooks hear of the end. One that panics must not end the other connections of the thread.
fn end(connection: Option<Serve<CountedStream>>) {
    // It has said so by itself.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
}

/// Has a connection served by the worker to which it was sent.
fn take_over(moving: Moving<CountedStream>, others: &Spawner) {
    let worker = others.worker(moving.to());
    let registered = {
        let _entered = worker.enter();
        moving.register(CountedStream::register)
    };
    match registered {
        Ok(moving) => drop(worker.spawn(async move { Connections::add(moving.go_on()) })),
        Err(error) => {
            tracing::warn!(%error, "could not register a connection with another thread: it has ended")
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_have_something_to_do_the_shorter_is_a_long_turn() {
        assert_eq!([0, 1, 64, 500, 4096, 100_000].map(most_at_once), [16384, 16384, 16384, 2097, 256, 256]);
    }

    #[test]
    fn an_idle_connection_takes_three_hundred_and_thirty_six_bytes_of_its_thread() {
        // With the counts of its `Arc` and what the allocator keeps for itself.
        assert!(size_of::<Place>() + 16 + 8 <= 336, "{}", size_of::<Place>());
    }
}
