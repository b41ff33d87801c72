//! Waking connections that are served by another thread.
//!
//! To wake a task of another thread's runtime costs a system call, also where that thread is awake: 0.08
//! calls per message in a fan-out to 500 (`benches/compare -- --scenario B`). So the wakers for a thread are
//! put into its mailbox, and only the first of them wakes the thread, which then wakes its own tasks.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::lock;

/// How many wakers are gathered before they are posted, so that the other threads begin meanwhile.
const POSTED_TOGETHER: usize = 128;

thread_local! {
    static HERE: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
}

/// Where wakers wait for a thread.
#[derive(Default)]
pub struct Mailbox {
    post: Mutex<Post>,
}

#[derive(Default)]
struct Post {
    wakers: Vec<Waker>,
    /// Of the task that serves this mailbox, while it waits.
    serving: Option<Waker>,
}

impl Mailbox {
    /// That of this thread, where it has one.
    pub fn here() -> Option<Arc<Mailbox>> {
        HERE.with_borrow(Clone::clone)
    }

    /// Makes it this thread's. Connections that are served here are woken through it from now on, so that
    /// it has to be [served](Mailbox::serve) here too.
    pub fn settle(self: &Arc<Self>) {
        HERE.set(Some(self.clone()));
    }

    /// Wakes whoever others want woken, for as long as it is polled.
    pub async fn serve(&self) {
        let mut wakers = Vec::new();
        poll_fn(|cx| self.poll_serve(cx, &mut wakers)).await
    }

    fn poll_serve(&self, cx: &mut Context<'_>, wakers: &mut Vec<Waker>) -> Poll<()> {
        loop {
            {
                let mut post = lock(&self.post);
                if post.wakers.is_empty() {
                    post.serving = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                std::mem::swap(&mut post.wakers, wakers);
            }
            wakers.drain(..).for_each(Waker::wake);
        }
    }

    fn post(&self, wakers: impl IntoIterator<Item = Waker>) {
        let serving = {
            let mut post = lock(&self.post);
            post.wakers.extend(wakers);
            post.serving.take()
        };
        if let Some(serving) = serving {
            serving.wake();
        }
    }
}

/// One task that is to be woken.
pub(super) struct Call {
    pub waker: Waker,
    /// Of the thread that serves it.
    pub home: Option<Arc<Mailbox>>,
}

impl Call {
    pub fn make(self) {
        match self.home {
            Some(home) if !is_here(&home) => home.post([self.waker]),
            _ => self.waker.wake(),
        }
    }
}

/// Tasks that are to be woken once no lock is held any more.
#[derive(Default)]
pub(super) struct Wakes {
    here: Vec<Waker>,
    elsewhere: Vec<(Arc<Mailbox>, Vec<Waker>)>,
}

impl Wakes {
    /// A task that is served at `home`.
    pub fn add(&mut self, waker: Waker, home: Option<&Arc<Mailbox>>) {
        match home {
            Some(home) if !is_here(home) => self.wakers_for(home).push(waker),
            _ => self.here.push(waker),
        }
    }

    /// Posts what there is for other threads where it has become much, so that they begin.
    pub fn post_some(&mut self) {
        let many = |wakers: &Vec<Waker>| wakers.len() >= POSTED_TOGETHER;
        let full = self.elsewhere.iter_mut().filter(|(_, wakers)| many(wakers));
        full.for_each(|(mailbox, wakers)| mailbox.post(wakers.drain(..)));
    }

    /// Wakes all.
    pub fn wake(&mut self) {
        self.here.drain(..).for_each(Waker::wake);
        let others = self.elsewhere.iter_mut().filter(|(_, wakers)| !wakers.is_empty());
        others.for_each(|(mailbox, wakers)| mailbox.post(wakers.drain(..)));
    }

    fn wakers_for(&mut self, home: &Arc<Mailbox>) -> &mut Vec<Waker> {
        let found = self.elsewhere.iter().position(|(mailbox, _)| Arc::ptr_eq(mailbox, home));
        let at = found.unwrap_or_else(|| {
            self.elsewhere.push((home.clone(), Vec::new()));
            self.elsewhere.len() - 1
        });
        &mut self.elsewhere[at].1
    }
}

fn is_here(home: &Arc<Mailbox>) -> bool {
    HERE.with_borrow(|here| here.as_ref().is_some_and(|here| Arc::ptr_eq(here, home)))
}
