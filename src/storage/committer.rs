//! One thread in front of a storage: it gathers what the broker does until the commit before has finished, commits
//! that as one batch, and wakes who promised something that is kept now.
//!
//! There is no timer: the time that a commit takes is the time in which the next one is gathered, so that a lone client
//! waits for one sync and a thousand clients share one.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::change::Change;
use super::pending::{Books, Op, Pending};
use super::{Storage, StorageError, StorageFault};

/// How long the storage may be out of reach before those who wait are told. What it is when a database starts
/// anew.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often the log is told of a storage that fails.
const TOLD_EVERY: Duration = Duration::from_secs(10);

thread_local! {
    /// How many groups this thread is in: the first holds the lock.
    static GROUPS: Cell<u32> = const { Cell::new(0) };
    static PROMISED: Cell<Promise> = const { Cell::new(Promise(0)) };
}

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// That all it stands for is on the disk.
    #[default]
    Always,
    /// Nothing; what was done is on the disk that much later, at most.
    Interval(Duration),
    /// Nothing; when the operating system writes is its own business.
    None,
}

/// Up to where the storage has to have come before something may be said. The least is kept from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promise(u64);

/// What is appended while it is there lies in one batch, with what others append meanwhile.
pub struct Group<'a> {
    _open: Option<RwLockReadGuard<'a, ()>>,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        GROUPS.set(GROUPS.get() - 1);
    }
}

pub struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    storage: Arc<dyn Storage>,
    durability: Durability,
    queue: Mutex<Queue>,
    work: Condvar,
    /// Written to while a batch is cut.
    groups: RwLock<()>,
    /// The last promise that is kept.
    kept: AtomicU64,
    last_number: AtomicU64,
    /// Whether those who wait are told that they wait in vain; a copy of what `failure` says.
    fails: AtomicBool,
    failure: Mutex<Option<StorageError>>,
    waiting: Mutex<Vec<(Promise, Waker)>>,
    commits: AtomicU64,
    changes: AtomicU64,
    failures: AtomicU64,
}

/// What came to the storage since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitterFigures {
    /// Batches that were committed.
    pub commits: u64,
    /// Their changes.
    pub changes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// What the broker has done and the storage has not kept yet.
    pub waiting: u64,
    /// Whether nothing new can be promised now.
    pub fails: bool,
}

#[derive(Default)]
struct Queue {
    ops: Vec<Op>,
    /// How many there ever were.
    appended: u64,
    is_over: bool,
}

/// A batch that fails.
struct Trouble {
    since: Instant,
    told: Option<Instant>,
    pause: Duration,
    /// Whether each attempt failed for want of room alone.
    is_for_room: bool,
}

impl Trouble {
    fn begin() -> Trouble {
        Trouble { since: Instant::now(), told: None, pause: RETRY.0, is_for_room: true }
    }

    /// Before the next attempt; longer each time.
    fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(RETRY.1);
        pause
    }
}

impl Promise {
    /// What this thread has promised for whom it works.
    pub fn current() -> Promise {
        PROMISED.get()
    }

    /// The thread works for someone else from now on, who has promised this. Returns what it was before.
    pub fn swap(other: Promise) -> Promise {
        PROMISED.replace(other)
    }

    /// What this thread is about to say stands for this too.
    pub fn make(self) {
        PROMISED.set(PROMISED.get().max(self));
    }
}

impl Committer {
    /// Hands over what the storage holds, then starts.
    ///
    /// # Errors
    /// Where it cannot be read, or there is no thread to be had.
    pub fn start(
        storage: Arc<dyn Storage>,
        durability: Durability,
        mut each: impl FnMut(Change),
    ) -> Result<Committer, StorageError> {
        let mut books = Books::default();
        storage.load(&mut |change| {
            books.note(&change);
            each(change);
        })?;
        let orphans = books.orphans();
        if !orphans.is_empty() {
            storage.commit(&orphans)?;
        }
        let shared = Arc::new(Shared {
            storage,
            durability,
            queue: Mutex::default(),
            work: Condvar::new(),
            groups: RwLock::default(),
            kept: AtomicU64::new(0),
            last_number: AtomicU64::new(books.last_number()),
            fails: AtomicBool::new(false),
            failure: Mutex::default(),
            waiting: Mutex::default(),
            commits: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let commits = shared.clone();
        let thread = thread::Builder::new()
            .name("storage".into())
            .spawn(move || commits.run(books))
            .map_err(|error| StorageError::new("start the storage's thread", error))?;
        Ok(Committer { shared, thread: Mutex::new(Some(thread)) })
    }

    /// A number for a session, a Will or a delivery, larger than all before.
    pub fn next_number(&self) -> u64 {
        self.shared.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Has something committed, in the order of the calls.
    pub fn append(&self, op: Op) -> Promise {
        let mut queue = lock(&self.shared.queue);
        let was_empty = queue.ops.is_empty();
        queue.ops.push(op);
        queue.appended += 1;
        let promise = Promise(queue.appended);
        drop(queue);
        if was_empty {
            self.shared.work.notify_one();
        }
        promise
    }

    /// The same for what this thread is about to acknowledge.
    pub fn promise(&self, op: Op) {
        self.append(op).make();
    }

    /// What this thread is about to acknowledge was done before, and may not be kept yet.
    pub fn promise_all(&self) {
        Promise(lock(&self.shared.queue).appended).make();
    }

    /// Not to be held while anything is waited for.
    pub fn group(&self) -> Group<'_> {
        let outer = GROUPS.replace(GROUPS.get() + 1);
        let open = || self.shared.groups.read().unwrap_or_else(PoisonError::into_inner);
        Group { _open: (outer == 0).then(open) }
    }

    /// Whether something can be said that waits for this.
    pub fn is_kept(&self, promise: Promise) -> bool {
        self.shared.is_kept(promise)
    }

    /// Waits until it is kept.
    ///
    /// # Errors
    /// Where the storage fails, and it is not known for how long.
    pub fn poll_kept(&self, promise: Promise, cx: &mut Context<'_>) -> Poll<Result<(), StorageError>> {
        if self.is_kept(promise) {
            return Poll::Ready(Ok(()));
        }
        lock(&self.shared.waiting).push((promise, cx.waker().clone()));
        // It may have been kept, or given up, before the waker was there.
        if self.is_kept(promise) {
            return Poll::Ready(Ok(()));
        }
        match self.failure() {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    /// Whether the storage fails, so that nothing new can be promised.
    #[inline]
    pub fn fails(&self) -> bool {
        self.shared.fails.load(Ordering::Relaxed)
    }

    /// Why it does.
    pub fn failure(&self) -> Option<StorageError> {
        if self.fails() { lock(&self.shared.failure).clone() } else { None }
    }

    pub fn figures(&self) -> CommitterFigures {
        let shared = &self.shared;
        let appended = lock(&shared.queue).appended;
        CommitterFigures {
            commits: shared.commits.load(Ordering::Relaxed),
            changes: shared.changes.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            waiting: appended.saturating_sub(shared.kept.load(Ordering::Relaxed)),
            fails: self.fails(),
        }
    }

    /// Commits what is left, and ends. Nothing is committed after that.
    ///
    /// # Errors
    /// Where it could not.
    pub fn finish(&self) -> Result<(), StorageError> {
        lock(&self.shared.queue).is_over = true;
        self.shared.work.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // One that panicked has told so.
            let _ = thread.join();
        }
        lock(&self.shared.failure).clone().map_or(Ok(()), Err)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!(%error, "what was not acknowledged is lost");
        }
    }
}

impl Shared {
    fn is_kept(&self, promise: Promise) -> bool {
        self.durability != Durability::Always || promise.0 <= self.kept.load(Ordering::Acquire)
    }

    fn run(&self, mut books: Books) {
        let mut pending = Pending::default();
        loop {
            self.wait_for_work(&pending);
            let cut = self.cut(&mut pending);
            // It was the last attempt: what is lost must not be taken for kept when what came behind it is.
            let Some(cut) = self.commit(&mut pending, &mut books, cut) else { return };
            self.keep(cut);
            let queue = lock(&self.queue);
            if queue.is_over && queue.ops.is_empty() && pending.is_empty() {
                return;
            }
            drop(queue);
            if let Durability::Interval(interval) = self.durability {
                self.rest(interval);
            }
        }
    }

    fn wait_for_work(&self, pending: &Pending) {
        let mut queue = lock(&self.queue);
        while queue.ops.is_empty() && pending.is_empty() && !queue.is_over {
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes all there is, between two groups.
    fn cut(&self, pending: &mut Pending) -> Promise {
        let closed = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let mut queue = lock(&self.queue);
        let ops = std::mem::take(&mut queue.ops);
        let cut = Promise(queue.appended);
        drop(queue);
        drop(closed);
        ops.into_iter().for_each(|op| pending.add(op));
        cut
    }

    /// Tries until it has worked, and says up to where all is kept then. None where it is to end: then there is one
    /// attempt more.
    ///
    /// What comes meanwhile joins a batch for which there was no room, as it may make some. One that failed otherwise may
    /// have been carried out and is given again as it is; what comes is left for the next.
    fn commit(&self, pending: &mut Pending, books: &mut Books, mut cut: Promise) -> Option<Promise> {
        let mut batch = pending.take(books);
        let mut trouble = None::<Trouble>;
        while !batch.is_empty() {
            let Err(error) = self.storage.commit(&batch) else { break };
            let trouble = trouble.get_or_insert_with(Trouble::begin);
            let is_over = lock(&self.queue).is_over;
            trouble.is_for_room &= error.fault == StorageFault::Full;
            self.note_failure(error, batch.len(), trouble, is_over);
            if is_over {
                return None;
            }
            self.rest(trouble.pause());
            if trouble.is_for_room {
                *pending = Pending::of(batch);
                cut = self.cut(pending);
                batch = pending.take(books);
            } else {
                let ops = std::mem::take(&mut lock(&self.queue).ops);
                ops.into_iter().for_each(|op| pending.add(op));
            }
        }
        books.note_batch(&batch);
        if !batch.is_empty() {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.changes.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        if trouble.is_some() {
            tracing::info!("the storage works again");
            *lock(&self.failure) = None;
            self.fails.store(false, Ordering::Relaxed);
        }
        Some(cut)
    }

    fn note_failure(&self, error: StorageError, changes: usize, trouble: &mut Trouble, is_over: bool) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if trouble.told.is_none_or(|told| now - told >= TOLD_EVERY) {
            tracing::error!(%error, changes, "the storage fails; it is tried again");
            trouble.told = Some(now);
        }
        if is_over || error.fault == StorageFault::Full || now - trouble.since >= PATIENCE {
            self.fail(error);
        }
    }

    fn keep(&self, cut: Promise) {
        self.kept.store(cut.0, Ordering::Release);
        let kept: Vec<_> = lock(&self.waiting).extract_if(.., |(promise, _)| *promise <= cut).collect();
        kept.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn fail(&self, error: StorageError) {
        *lock(&self.failure) = Some(error);
        self.fails.store(true, Ordering::Relaxed);
        // They stay: who looks only when the storage works again waits on, and does not ask to be woken again.
        let waiting: Vec<_> = lock(&self.waiting).iter().map(|(_, waker)| waker.clone()).collect();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Pauses, unless it is to end.
    fn rest(&self, pause: Duration) {
        let end = Instant::now() + pause;
        let mut queue = lock(&self.queue);
        while !queue.is_over {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Locks; what is guarded here is never left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
