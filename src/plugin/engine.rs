//! The one engine that compiles and runs every plugin, and the clock that stops calls which take too long.
//!
//! A call's deadline is a number of ticks of the engine's epoch. The clock only runs while calls are made:
//! after the last one it goes on for longer than any deadline, then sleeps until a call wakes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Inlining};

/// Between two ticks of the epoch.
const TICK: Duration = Duration::from_millis(2);

/// How long the clock goes on after the last call was seen, beyond the longest deadline.
const LINGER: Duration = Duration::from_millis(250);

/// Whether the code of plugins counts what it executes, which costs a tenth of its speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fuel {
    Metered,
    Unmetered,
}

impl Fuel {
    pub(super) const fn where_counted(counted: bool) -> Fuel {
        if counted { Fuel::Metered } else { Fuel::Unmetered }
    }
}

/// The engine's settings suit plugins that are instantiated once and called millions of times.
#[cfg(test)]
pub(super) fn engine() -> wasmtime::Result<Engine> {
    engine_with(Fuel::Unmetered)
}

pub(super) fn engine_with(fuel: Fuel) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.consume_fuel(fuel == Fuel::Metered);
    config.epoch_interruption(true);
    // Supporting concurrent calls would cost every call more than its own work.
    config.concurrency_support(false);
    config.compiler_inlining(Inlining::No);
    config.wasm_component_model(true);
    Engine::new(&config)
}

/// At most so many ticks are made up for at once where the clock was woken late: a call that began
/// meanwhile must not pay for all of the delay.
const MADE_UP: u32 = 2;

/// How many ticks a call may see pass, in stages.
///
/// The epoch is the wall clock's and also passes for a thread that waits for a processor. A call is
/// stopped only where it is found running after each stage: one that was put off has the time of a stage
/// to end when it goes on, while one that loops gets its budget and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    pub(super) first: u64,
    /// Of each stage after the first.
    pub(super) stage: u64,
}

/// Stages after the first.
pub(super) const STAGES: u8 = 2;

impl Deadline {
    /// A call that uses a processor all the time gets at least `budget`: it may begin just before ticks that are made up
    /// for, and the next is due as soon as part of a tick was left behind them.
    pub(super) fn of(budget: Duration) -> Deadline {
        let ticks = budget.as_nanos().div_ceil(TICK.as_nanos()) + u128::from(MADE_UP) + 1;
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX / 2);
        let stage = ((ticks - 1) / 3).max(1);
        Deadline { first: ticks - u64::from(STAGES) * stage, stage }
    }
}

/// Ticks the epoch while calls are made.
pub(super) struct Clock {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

struct Shared {
    /// A call was made since the clock last looked.
    busy: AtomicBool,
    asleep: AtomicBool,
    stopped: AtomicBool,
    /// Milliseconds that the clock goes on after the last call.
    linger: AtomicU64,
    /// Of the epoch; a tick is counted after the epoch has it.
    ticks: AtomicU64,
}

impl Clock {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Clock> {
        let shared = Arc::new(Shared {
            busy: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            linger: AtomicU64::new(LINGER.as_millis() as u64),
            ticks: AtomicU64::new(0),
        });
        let (engine, theirs) = (engine.clone(), Arc::clone(&shared));
        let handle =
            thread::Builder::new().name("plugin-clock".into()).spawn(move || run(&engine, &theirs))?;
        Ok(Clock { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// No call with a longer deadline is made.
    pub(super) fn cover(&self, longest: Duration) {
        let linger = (longest * 2).saturating_add(LINGER).as_millis();
        self.shared.linger.fetch_max(u64::try_from(linger).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often the epoch has ticked; it does not tick while the clock sleeps.
    pub(super) fn ticks(&self) -> u64 {
        self.shared.ticks.load(Ordering::Relaxed)
    }

    /// To be called before each call whose deadline is to be kept, and when one goes on after it has waited.
    #[inline]
    pub(super) fn touch(&self) {
        if !self.shared.busy.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Either the clock sees `busy` before it sleeps, or this sees that it is asleep.
        self.shared.busy.store(true, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

fn run(engine: &Engine, shared: &Shared) {
    let mut ticked = Instant::now();
    let mut last_call = ticked;
    while !shared.stopped.load(Ordering::Relaxed) {
        thread::sleep(TICK);
        let now = Instant::now();
        for _ in 0..MADE_UP {
            if ticked + TICK <= now {
                engine.increment_epoch();
                shared.ticks.fetch_add(1, Ordering::Relaxed);
                ticked += TICK;
            }
        }
        if ticked + TICK <= now {
            ticked = now;
        }
        let linger = Duration::from_millis(shared.linger.load(Ordering::Relaxed));
        if now - last_call > linger / 2 && shared.busy.swap(false, Ordering::SeqCst) {
            last_call = now;
        }
        if now - last_call > linger * 3 / 2 {
            sleep_until_called(shared);
            ticked = Instant::now();
            last_call = ticked;
        }
    }
}

fn sleep_until_called(shared: &Shared) {
    shared.asleep.store(true, Ordering::SeqCst);
    while !shared.busy.load(Ordering::SeqCst) && !shared.stopped.load(Ordering::SeqCst) {
        thread::park();
    }
    shared.asleep.store(false, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_the_budget_and_three_ticks_more() {
        let ticks = |milliseconds| {
            let deadline = Deadline::of(Duration::from_millis(milliseconds));
            deadline.first + u64::from(STAGES) * deadline.stage
        };
        assert_eq!([ticks(1), ticks(10), ticks(100)], [4, 8, 53]);
        assert_eq!(Deadline::of(Duration::from_millis(10)), Deadline { first: 4, stage: 2 });
    }

    #[test]
    fn the_clock_sleeps_when_nobody_calls_and_wakes_when_somebody_does() {
        let engine = engine().unwrap();
        let clock = Clock::start(&engine).unwrap();
        clock.touch();
        let start = Instant::now();
        while !clock.shared.asleep.load(Ordering::SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(20), "the clock never sleeps");
            thread::sleep(Duration::from_millis(10));
        }
        clock.touch();
        let start = Instant::now();
        while clock.shared.asleep.load(Ordering::SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(20), "the clock never wakes");
            thread::yield_now();
        }
    }
}
