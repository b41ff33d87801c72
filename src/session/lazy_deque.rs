//! A queue that takes eight bytes until it holds something for the first time.
//!
//! Most sessions never have a message wait or unacknowledged: four queues of 32 bytes each would be a tenth of what an
//! idle connection costs (scenario E).

use std::collections::VecDeque;
use std::collections::vec_deque::IntoIter;
use std::ops::{Deref, DerefMut};

/// Read as a [`VecDeque`]. What is changed has a place of its own from then on.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "eight bytes where nothing is, instead of 32")]
pub struct LazyDeque<T>(Option<Box<VecDeque<T>>>);

impl<T> LazyDeque<T> {
    pub fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    pub fn retain(&mut self, wanted: impl FnMut(&T) -> bool) {
        if let Some(deque) = &mut self.0 {
            deque.retain(wanted);
        }
    }

    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Takes all out.
    pub fn take(&mut self) -> VecDeque<T> {
        self.0.take().map_or_else(VecDeque::new, |deque| *deque)
    }
}

impl<T> Default for LazyDeque<T> {
    fn default() -> Self {
        LazyDeque(None)
    }
}

impl<T: 'static> LazyDeque<T> {
    const EMPTY: &VecDeque<T> = &VecDeque::new();
}

impl<T: 'static> Deref for LazyDeque<T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        self.0.as_deref().unwrap_or(Self::EMPTY)
    }
}

impl<T: 'static> DerefMut for LazyDeque<T> {
    fn deref_mut(&mut self) -> &mut VecDeque<T> {
        self.0.get_or_insert_default()
    }
}

impl<T> FromIterator<T> for LazyDeque<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let deque: VecDeque<T> = items.into_iter().collect();
        LazyDeque((!deque.is_empty()).then(|| Box::new(deque)))
    }
}

impl<T> IntoIterator for LazyDeque<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(mut self) -> IntoIter<T> {
        self.take().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_filled_allocates_nothing() {
        let mut deque = LazyDeque::default();
        assert_eq!((deque.pop_front(), deque.len(), deque.front()), (None::<u8>, 0, None));
        deque.retain(|_| true);
        assert!(deque.0.is_none());
        deque.push_back(1);
        deque.push_back(2);
        assert_eq!((deque.pop_front(), deque.into_iter().next()), (Some(1), Some(2)));
    }
}
