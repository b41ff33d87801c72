//! Answers that wait for the storage: what stands for something is not written before that is kept.
//!
//! Packets are encoded at once, as ever. Marks in the output say up to where it may be written, and what the rest waits
//! for; all that comes behind an answer waits with it, so that nothing overtakes anything.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::storage::{Committer, Promise, StorageError};

/// None of it where there is no storage.
#[derive(Default)]
pub(super) struct HeldBack {
    /// Up to here it is decided what bytes of the output wait for.
    sealed: usize,
    marks: VecDeque<Mark>,
    /// Who is woken when the first mark's promise is kept.
    asked: Option<(Promise, Waker)>,
    /// Up to here the client has not been written that a message could not be kept; 0: it has.
    refused: usize,
}

struct Mark {
    /// Bytes before it do not wait for this.
    before: usize,
    promise: Promise,
}

impl HeldBack {
    /// What was added to an output of this length stands for what this thread has promised.
    pub fn seal(&mut self, committer: &Committer, len: usize) {
        let promise = Promise::current();
        let is_new = self.marks.back().is_none_or(|last| last.promise < promise);
        if self.sealed < len && is_new && !committer.is_kept(promise) {
            self.marks.push_back(Mark { before: self.sealed, promise });
        }
        self.sealed = len;
    }

    /// How many bytes may be written; what waits for the storage is woken by it.
    ///
    /// # Errors
    /// Where the storage fails, and the next byte waits for it.
    pub fn poll_writable(
        &mut self,
        committer: &Committer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, StorageError>> {
        while let Some(first) = self.marks.front() {
            if committer.is_kept(first.promise) {
                self.marks.pop_front();
            } else if first.before > 0 {
                return Poll::Ready(Ok(first.before));
            } else {
                return self.poll_kept(committer, cx);
            }
        }
        Poll::Ready(Ok(self.sealed))
    }

    fn poll_kept(
        &mut self,
        committer: &Committer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, StorageError>> {
        let Some(first) = self.marks.front() else { return Poll::Ready(Ok(self.sealed)) };
        let is_asked =
            |(promise, waker): &(Promise, Waker)| *promise == first.promise && waker.will_wake(cx.waker());
        if self.asked.as_ref().is_some_and(is_asked) && !committer.fails() {
            return Poll::Pending;
        }
        self.asked = Some((first.promise, cx.waker().clone()));
        match committer.poll_kept(first.promise, cx) {
            // The storage came to it in this moment: it is found on the next look.
            Poll::Ready(Ok(())) => {
                self.asked = None;
                self.poll_writable(committer, cx)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// An output of this length says that a message could not be kept.
    pub fn refuse(&mut self, len: usize) {
        self.refused = len;
    }

    /// Whether some of what says so is not written yet.
    pub fn holds_refusal(&self) -> bool {
        self.refused > 0
    }

    /// So many bytes were written.
    pub fn advance(&mut self, written: usize) {
        self.sealed -= written;
        self.refused = self.refused.saturating_sub(written);
        for mark in &mut self.marks {
            mark.before -= written;
        }
    }

    /// How many bytes waited for nothing when they were last looked at.
    pub fn writable_at_once(&self) -> usize {
        self.marks.front().map_or(self.sealed, |first| first.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_held_until_its_last_byte_is_written_whatever_comes_behind_it() {
        let mut held_back = HeldBack { sealed: 100, ..HeldBack::default() };
        assert!(!held_back.holds_refusal());
        held_back.refuse(10);
        held_back.advance(9);
        assert!(held_back.holds_refusal());
        held_back.advance(1);
        assert!(!held_back.holds_refusal());
    }
}
