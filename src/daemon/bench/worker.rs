//! A thread with its share of the clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use super::plan::Plan;
use super::stamp::Clock;
use super::tally::Tally;
use super::{Scenario, connect, offline, traffic};
use crate::client::{self, Client, Options};
use crate::daemon::exit::Failure;

/// What the threads of a run share.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    /// All threads come to it between two steps.
    steps: Barrier,
    pub(super) connecting: Semaphore,
    /// When the messages of the run begin to flow, in nanoseconds of the clock.
    start: AtomicU64,
    /// How many messages each publisher has begun to publish, and how many with success.
    pub(super) begun: Vec<AtomicU64>,
    pub(super) published: Vec<AtomicU64>,
    /// Somebody could not connect or subscribe, so that there is nothing to measure.
    broken: AtomicBool,
    /// Nothing more is published.
    pub(super) quiet: AtomicBool,
    /// Messages that came to any subscriber.
    pub(super) received: AtomicU64,
}

impl Run {
    pub(super) async fn step(&self) {
        self.steps.wait().await;
    }

    /// The next step, and whether there is one: not where any thread has had a client refused.
    pub(super) async fn go_on(&self, tally: &Tally) -> bool {
        if tally.refused > 0 {
            self.broken.store(true, Ordering::SeqCst);
        }
        self.step().await;
        !self.broken.load(Ordering::SeqCst)
    }

    /// The same moment for all threads, shortly after the first of them asks; all have to ask.
    pub(super) async fn begin(&self) -> Duration {
        let soon = self.clock.now() + Duration::from_millis(50);
        let _ = self.start.compare_exchange(0, to_nanos(soon), Ordering::SeqCst, Ordering::SeqCst);
        self.step().await;
        Duration::from_nanos(self.start.load(Ordering::SeqCst))
    }

    pub(super) fn published_in_all(&self) -> u64 {
        self.published.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Connects clients, so many at a time, and notes how long each took. Those that are refused are left out.
    pub(super) async fn connect(
        self: &Arc<Self>,
        wanted: impl Iterator<Item = (u32, Options)>,
        tally: &mut Tally,
    ) -> Vec<(u32, Client)> {
        let begun = Instant::now();
        let mut attempts = JoinSet::new();
        for (number, options) in wanted {
            let run = self.clone();
            attempts.spawn(async move {
                let _permit = run.connecting.acquire().await;
                let begun = Instant::now();
                (number, client::connect(options).await, begun.elapsed())
            });
        }
        let mut clients = Vec::new();
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok((number, Ok(client), took)) => {
                    tally.connected += 1;
                    tally.connect.record(took);
                    clients.push((number, client));
                }
                Ok((_, Err(error), _)) => tally.refuse(format!("failed to {error}")),
                Err(error) => tally.refuse(error.to_string()),
            }
        }
        tally.connecting = tally.connecting.max(begun.elapsed());
        clients
    }
}

fn counters(count: usize) -> Vec<AtomicU64> {
    std::iter::repeat_with(AtomicU64::default).take(count).collect()
}

fn to_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Does what is planned on as many threads as the plan says.
pub(super) fn run(plan: Plan) -> Result<Tally, Failure> {
    let threads = plan.threads;
    let publishers = plan.publishers.max(plan.subscribers) as usize;
    let run = Arc::new(Run {
        clock: Clock::start(),
        steps: Barrier::new(threads as usize),
        connecting: Semaphore::new(plan.concurrency as usize),
        start: AtomicU64::new(0),
        begun: counters(publishers),
        published: counters(publishers),
        broken: AtomicBool::new(false),
        quiet: AtomicBool::new(false),
        received: AtomicU64::new(0),
        plan,
    });
    let workers: Vec<_> = (0..threads)
        .map(|number| {
            let run = run.clone();
            thread::Builder::new().name(format!("bench-{number}")).spawn(move || work(&run, number))
        })
        .collect();
    let mut tally = Tally::default();
    for worker in workers {
        let worker = worker.map_err(|error| Failure::internal("start a thread", &error))?;
        let own = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        tally.add(&own.map_err(|error| Failure::internal("start a runtime", &error))?);
    }
    Ok(tally)
}

fn work(run: &Arc<Run>, thread: u32) -> std::io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        match run.plan.scenario {
            Scenario::Connect => connect::run(run, thread).await,
            Scenario::Offline => offline::run(run, thread).await,
            _ => traffic::run(run, thread).await,
        }
    }))
}
