//! As many threads as there is work for.
//!
//! A thread that has little to do wakes up for each message, and waking up costs more than the message: 20,000 messages
//! a second on two threads cost a fifth more CPU than on one (`benches/compare --only D`). So connections go over to
//! another thread: from two that have little to do to one of them, and from one that has too much to one that has
//! less. Whether one thread does as much as two that have more to do is tried out (`trial`). Only connections that are busy
//! go; those that are idle cost nothing where they are.

#[cfg(test)]
mod tests;
mod trial;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::trial::{Done, Outcome, Trial};
use crate::connection::Thread;

/// How often threads are looked at, and how often where none has anything to do.
const PERIOD: Duration = Duration::from_millis(100);
const IDLE_PERIOD: Duration = Duration::from_millis(500);
/// Share of time above which a thread has too much to do.
const TOO_BUSY: f64 = 0.9;
/// How much less another must have to do to take something over, and to take it over at once: else it is tried first whether
/// one of the two is enough, and for so many periods nothing else went over.
const WORTHWHILE: f64 = 0.25;
const FAR_LESS: f64 = 0.5;
const SETTLED: u32 = 10;
/// What two threads have to do together at most to become one, and for that to be tried.
const LITTLE: f64 = 0.85;
const TRIED: f64 = 1.5;
/// For how many periods one thread that was found to do as much as two is left alone, unless it comes to have so many times
/// the connections, or for [`PATIENCE`] periods the bytes to move: a machine that others use too has it move half as much
/// again in one second as in the one before.
const ALONE: u32 = 100;
const MORE_CONNECTIONS: f64 = 1.2;
const MORE_BYTES: f64 = 1.5;
/// For how many periods.
const PATIENCE: u32 = 5;
/// After connections had to be spread, and after one thread was found to do less than two, for how many periods they stay so at
/// first, and at most. A machine that others use is slower in one period than in the next by more than one thread may be
/// slower than two: what was found may not be so when it is tried soon again.
const SHORT_REST: u32 = 50;
const SHORT_REST_OF_TRIALS: u32 = 10;
const LONG_REST: u32 = 600;

/// What a thread had to do in the last period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Work {
    /// The share of time for which it ran.
    pub ran: f64,
    /// The same with the time for which it waited for a core: others may keep it from running.
    pub busy: f64,
    /// Connections that had something to do.
    pub active: u32,
    /// Bytes per second that it read and wrote.
    pub moved: f64,
}

/// What one thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// So many of its busy connections are to go over to another; with a mark, where it is not 0, to be sent back.
    Move { from: usize, to: usize, connections: u32, guests: u16 },
    /// Those with this mark are to go back.
    Back { from: usize, to: usize, guests: u16 },
}

/// A thread that is looked at.
pub(super) struct Watched {
    connections: Arc<Thread>,
    /// The kernel's count of its time.
    times: File,
    /// For how long it ran, and waited for a core.
    used: [Duration; 2],
    /// Bytes.
    moved: u64,
}

impl Watched {
    /// `times` is the thread's `schedstat` (proc(5)).
    pub fn new(connections: Arc<Thread>, times: File) -> Watched {
        Watched { connections, times, used: [Duration::ZERO; 2], moved: 0 }
    }

    #[cfg(all(test, feature = "client"))]
    pub fn connections(&self) -> &Arc<Thread> {
        &self.connections
    }

    /// What it had to do since it was asked last.
    fn work(&mut self, period: Duration) -> io::Result<Work> {
        let used = self.time_used()?;
        let before = std::mem::replace(&mut self.used, used);
        let share = |now: Duration, before| now.saturating_sub(before).as_secs_f64() / period.as_secs_f64();
        let ran = share(used[0], before[0]);
        let waited = share(used[1], before[1]);
        let moved = self.connections.moved();
        let bytes = moved.wrapping_sub(std::mem::replace(&mut self.moved, moved));
        Ok(Work {
            ran,
            busy: ran + waited,
            active: self.connections.next_period(),
            moved: bytes as f64 / period.as_secs_f64(),
        })
    }

    fn time_used(&mut self) -> io::Result<[Duration; 2]> {
        let mut text = String::new();
        self.times.rewind()?;
        self.times.read_to_string(&mut text)?;
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        Ok([(); 2].map(|()| Duration::from_nanos(numbers.next().unwrap_or(0))))
    }
}

/// Keeps the threads in balance for as long as it is polled.
pub(super) async fn keep(mut threads: Vec<Watched>) {
    let mut balance = Balance::default();
    let mut before = Instant::now();
    let mut period = IDLE_PERIOD;
    loop {
        sleep(period).await;
        let now = Instant::now();
        let work: io::Result<Vec<Work>> =
            threads.iter_mut().map(|thread| thread.work(now - before)).collect();
        // A thread that has ended has no times any more: the server is being stopped.
        let Ok(work) = work else { return };
        before = now;
        tracing::trace!(?work, "looked at the threads");
        let act = balance.next(&work);
        if let Some(act) = act {
            tracing::debug!(?act, ?work, "busy connections go over to another thread");
        }
        match act {
            Some(Act::Move { from, to, connections, guests }) => {
                threads[from].connections.send_away(connections, to as u32, guests);
            }
            Some(Act::Back { from, to, guests }) => threads[from].connections.send_back(guests, to as u32),
            None => {}
        }
        period = if work.iter().all(|work| work.active == 0) { IDLE_PERIOD } else { PERIOD };
    }
}

/// What has been seen so far.
#[derive(Debug, Default)]
struct Balance {
    /// Periods in a row in which the same two threads could become one, and what they did in all of these but the first,
    /// which may have begun before they had so much to do.
    fewer: u32,
    pair: Option<[usize; 2]>,
    done: Done,
    /// The mark of those that went over from one thread to another when these became one last, and the two threads.
    guests: u16,
    gathered: Option<(usize, usize)>,
    trial: Option<Trial>,
    alone: Option<Alone>,
    /// Periods for which connections stay where they are, unless a thread has too much to do.
    rest: u32,
    /// How long the last rest was.
    last_rest: u32,
    /// Periods since the last rest began.
    calm: u32,
    /// Periods since connections went over.
    settled: u32,
}

/// A thread that does what two did, and is left alone.
#[derive(Debug)]
struct Alone {
    thread: usize,
    /// For how many periods more.
    left: u32,
    /// Its busy connections when that was found, and the bytes per second that it moved.
    active: u32,
    moved: f64,
    /// Periods in a row in which it moved more.
    more: u32,
    /// It was tried; else it has little to do, and goes on for as long as that is so.
    tried: bool,
}

/// So many busy connections are to go over from a thread with too much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    from: usize,
    to: usize,
    connections: u32,
}

impl Alone {
    /// After a period.
    fn goes_on(&mut self, threads: &[Work]) -> bool {
        let now = threads[self.thread];
        self.left = self.left.saturating_sub(1);
        self.more = if now.moved > MORE_BYTES * self.moved { self.more + 1 } else { 0 };
        self.left > 0
            && (self.tried || now.ran <= TOO_BUSY)
            && self.more < PATIENCE
            && f64::from(now.active) <= MORE_CONNECTIONS * f64::from(self.active)
    }
}

impl Balance {
    /// What is to be done after a period.
    fn next(&mut self, threads: &[Work]) -> Option<Act> {
        self.rest = self.rest.saturating_sub(1);
        self.calm = self.calm.saturating_add(1);
        self.settled = self.settled.saturating_add(1);
        let act = self.act(threads);
        if act.is_some() {
            self.settled = 0;
        }
        act
    }

    fn act(&mut self, threads: &[Work]) -> Option<Act> {
        if let Some(trial) = &mut self.trial {
            let (outcome, thread) = (trial.look(threads), trial.to);
            return self.conclude(outcome, thread, threads);
        }
        let over = self.alone.take_if(|alone| !alone.goes_on(threads));
        let alone = self.alone.as_ref().map(|alone| alone.thread);
        match spread(threads, alone) {
            Some(spread) if self.is_due(threads, &spread) => {
                self.fewer = 0;
                if over.is_some_and(|over| over.tried) {
                    // Whether two do more than this one is asked soon.
                    self.rest = 0;
                } else if self.rest == 0 {
                    self.rest_longer(SHORT_REST);
                }
                Some(self.undoing(spread))
            }
            _ => self.gather(threads),
        }
    }

    fn is_due(&self, threads: &[Work], spread: &Spread) -> bool {
        let far_less = threads[spread.from].busy - threads[spread.to].busy >= FAR_LESS;
        let pair = self.could_be_one(threads);
        let is_tried_first =
            || pair.is_some_and(|(from, to)| [(from, to), (to, from)].contains(&(spread.from, spread.to)));
        far_less || (self.settled >= SETTLED && !is_tried_first())
    }

    /// The same connections go back where they came from with the last gathering: who is together stays so.
    fn undoing(&mut self, Spread { from, to, connections }: Spread) -> Act {
        let guests = self.guests;
        match self.gathered.take_if(|gathered| *gathered == (to, from)) {
            Some(_) => Act::Back { from, to, guests },
            None => Act::Move { from, to, connections, guests: 0 },
        }
    }

    fn conclude(&mut self, outcome: Outcome, thread: usize, threads: &[Work]) -> Option<Act> {
        let act = match outcome {
            Outcome::Open => return None,
            Outcome::Enough { moved } => {
                let active = threads[thread].active;
                self.alone = Some(Alone { thread, left: ALONE, active, moved, more: 0, tried: true });
                None
            }
            Outcome::TooLittle(back) => {
                self.gathered = None;
                self.rest_longer(SHORT_REST_OF_TRIALS);
                Some(back)
            }
        };
        self.trial = None;
        act
    }

    /// Where it comes again and again, the load is one that changes: threads do not follow each change.
    fn rest_longer(&mut self, at_least: u32) {
        if std::mem::take(&mut self.calm) > 2 * LONG_REST {
            self.last_rest = 0;
        }
        self.last_rest = (self.last_rest * 2).clamp(at_least, LONG_REST);
        self.rest = self.last_rest;
    }

    /// The two threads with the least to do, of those that have some, if they do not have too much.
    fn could_be_one(&self, threads: &[Work]) -> Option<(usize, usize)> {
        let most = if self.alone.is_some() { LITTLE } else { TRIED };
        least_two(threads)
            .filter(|(from, to)| self.rest == 0 && threads[*from].ran + threads[*to].ran <= most)
    }

    fn gather(&mut self, threads: &[Work]) -> Option<Act> {
        let pair = self.could_be_one(threads);
        // Which of them has less to do may change.
        let both = pair.map(|(from, to)| [from.min(to), from.max(to)]);
        if both != self.pair {
            (self.fewer, self.done, self.pair) = (0, Done::default(), both);
        }
        let (from, to) = pair?;
        self.fewer += 1;
        if self.fewer > 1 {
            self.done = self.done.and(Done::of(threads, (from, to)));
        }
        if self.fewer < PATIENCE {
            return None;
        }
        let before = self.done.mean(self.fewer - 1);
        (self.fewer, self.done) = (0, Done::default());
        self.guests = self.guests.wrapping_add(1).max(1);
        self.gathered = Some((from, to));
        if threads[from].ran + threads[to].ran > LITTLE {
            self.trial = Some(Trial::new(from, to, self.guests, before));
        } else {
            // It may come to wait for a core, and has not too much to do for that.
            let active = threads[from].active + threads[to].active;
            self.alone =
                Some(Alone { thread: to, left: ALONE, active, moved: before.moved, more: 0, tried: false });
        }
        Some(Act::Move { from, to, connections: threads[from].active, guests: self.guests })
    }
}

/// From the thread with too much to do to the one with the least, so that both have the same; not from the one that is left
/// alone.
fn spread(threads: &[Work], alone: Option<usize>) -> Option<Spread> {
    let others = threads.iter().enumerate().filter(|(thread, _)| Some(*thread) != alone);
    let (from, most) = others.max_by(|a, b| a.1.busy.total_cmp(&b.1.busy))?;
    let (to, least) = threads.iter().enumerate().min_by(|a, b| a.1.busy.total_cmp(&b.1.busy))?;
    let difference = most.busy - least.busy;
    // One connection alone has no other place that is better.
    if most.busy < TOO_BUSY || difference < WORTHWHILE || most.active < 2 {
        return None;
    }
    let share = difference / 2.0 / most.busy;
    let connections = (f64::from(most.active) * share).round().max(1.0) as u32;
    Some(Spread { from, to, connections })
}

/// The thread with the least to do, of those that have some, and the one with the next least.
fn least_two(threads: &[Work]) -> Option<(usize, usize)> {
    // One that was busy and did not run is one whose times the kernel does not count: `schedstat` is then 0 0 0.
    if threads.iter().any(|work| work.active > 0 && work.ran == 0.0) {
        return None;
    }
    let mut busy: Vec<(usize, &Work)> =
        threads.iter().enumerate().filter(|(_, work)| work.active > 0).collect();
    busy.sort_by(|a, b| a.1.ran.total_cmp(&b.1.ran));
    let [(least, _), (next, _), ..] = busy[..] else { return None };
    Some((least, next))
}
