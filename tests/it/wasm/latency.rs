//! How long messages of clients take that have nothing to do with what goes wrong beside them, without what other
//! processes of the machine take from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::plain::{Client, Messages};

use super::{filter, message};

/// How late the machine is by itself: other processes may keep threads from running.
pub(super) struct Machine {
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Machine {
    pub(super) fn watch() -> Machine {
        let machine = Machine { worst: Arc::default(), stop: Arc::default() };
        let (worst, stop) = (machine.worst.clone(), machine.stop.clone());
        std::thread::spawn(move || {
            let nap = Duration::from_millis(2);
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(nap);
                worst.fetch_max((start.elapsed() - nap).as_micros() as u64, Ordering::Relaxed);
            }
        });
        machine
    }

    /// For the five threads that a message passes through, each late as the latest nap was.
    pub(super) fn delay(&self) -> Duration {
        5 * Duration::from_micros(self.worst.load(Ordering::Relaxed))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Wall time without that in which threads of this process were ready to run and other processes had the
/// processors.
pub(super) struct Stopwatch {
    start: Instant,
    waited: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch { start: Instant::now(), waited: waited() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed().saturating_sub(waited().saturating_sub(self.waited))
    }
}

/// How long threads of this process have waited for a processor; nothing where the system does not tell.
fn waited() -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let waited = |task: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').nth(1)?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(waited).sum())
}

/// Sends itself a message after the other and returns how long each took.
pub(super) async fn ping_pong(
    (client, mut messages): (Client, Messages),
    topic: String,
    stop: Arc<AtomicBool>,
) -> Vec<Duration> {
    client.subscribe(filter(&topic)).await.expect("subscribed");
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Stopwatch::start();
        client.publish(message(&topic, "x")).await.expect("connected");
        messages.next().await.expect("connected");
        times.push(start.elapsed());
    }
    times
}
