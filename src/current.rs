//! What is looked at with every message and seldom replaced, such as limits that an operator changes.
//!
//! Who looks neither takes a lock nor counts itself. That costs the memory of the values before: they are not given
//! back while the last is there, so this is for small ones that people replace, not programs. Programs that have a
//! configuration read again and again change nothing in it: a value in place of one that is equal takes no place.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Values that need no memory of their own. Beyond them, each block has as many as there are before it.
const FIRST: usize = 16;
/// For more values than there is memory.
const BLOCKS: usize = 32;

/// A value and those that it had before.
pub struct Current<T> {
    values: Values<T>,
    /// Which of them it is.
    newest: AtomicUsize,
    /// Held by who adds one.
    replacing: Mutex<()>,
}

struct Values<T> {
    first: [OnceLock<T>; FIRST],
    further: [OnceLock<Box<[OnceLock<T>]>>; BLOCKS],
}

impl<T> Current<T> {
    pub fn new(value: T) -> Current<T> {
        let values = Values::default();
        values.place(0).get_or_init(|| value);
        Current { values, newest: AtomicUsize::new(0), replacing: Mutex::new(()) }
    }

    #[inline]
    pub fn get(&self) -> &T {
        let place = self.values.place(self.newest.load(Ordering::Acquire));
        place.get().expect("a value is there before it is the newest")
    }

    pub fn replace(&self, value: T)
    where
        T: PartialEq,
    {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.get() == value {
            return;
        }
        let next = self.newest.load(Ordering::Relaxed) + 1;
        self.values.place(next).get_or_init(|| value);
        self.newest.store(next, Ordering::Release);
    }
}

impl<T: fmt::Debug> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl<T> Values<T> {
    #[inline]
    fn place(&self, number: usize) -> &OnceLock<T> {
        match self.first.get(number) {
            Some(place) => place,
            None => self.further_place(number),
        }
    }

    #[cold]
    fn further_place(&self, number: usize) -> &OnceLock<T> {
        let block = (number / FIRST).ilog2();
        let begins = FIRST << block;
        let places = || (0..begins).map(|_| OnceLock::new()).collect();
        &self.further[block as usize].get_or_init(places)[number - begins]
    }
}

impl<T> Default for Values<T> {
    fn default() -> Values<T> {
        Values { first: [const { OnceLock::new() }; FIRST], further: [const { OnceLock::new() }; BLOCKS] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_is_seen_and_those_before_stay_where_they_are() {
        let current = Current::new(0);
        let mut seen = vec![current.get()];
        for number in 1..100 {
            current.replace(number);
            seen.push(current.get());
        }
        assert!(seen.into_iter().copied().eq(0..100));
    }

    #[test]
    fn a_value_in_place_of_one_that_is_equal_takes_no_place() {
        // A broker that was told to read its configuration every minute followed a pointer more per message for each
        // quarter of an hour that it ran.
        let current = Current::new(String::from("a"));
        for _ in 0..1_000 {
            current.replace(String::from("a"));
        }
        assert_eq!(current.newest.load(Ordering::Relaxed), 0);
        assert!(current.values.further.iter().all(|block| block.get().is_none()));
        current.replace(String::from("b"));
        assert_eq!(current.get(), "b");
    }

    #[test]
    fn who_looks_while_it_is_replaced_never_sees_an_earlier_one_again() {
        let current = Current::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..1_000).for_each(|number| current.replace(number)));
            scope.spawn(|| {
                let mut last = 0;
                while last < 999 {
                    let now = *current.get();
                    assert!(now >= last);
                    last = now;
                }
            });
        });
    }
}
