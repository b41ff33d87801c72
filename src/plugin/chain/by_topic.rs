//! The plugins of a hook that messages are passed to, and who of them wants which topic.
//!
//! One index over the filters of all: a message that nobody wants costs one walk through it, however many
//! plugins and filters there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::version::Version;
use super::wanted_lately::{self, Wanted};
use crate::topic::{FilterTree, Match, TopicName};

#[derive(Default)]
pub(in crate::plugin) struct ByTopic {
    plugins: Vec<Arc<Version>>,
    /// Numbers of those that want every topic.
    unfiltered: Vec<u32>,
    /// Numbers of the others by their filters.
    filtered: Option<FilterTree<u32, ()>>,
    /// By which threads remember what they found here. No other index of this process has it.
    number: u64,
}

impl ByTopic {
    pub(super) fn new(plugins: &[Arc<Version>]) -> ByTopic {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut by_topic = ByTopic { plugins: plugins.to_vec(), number, ..ByTopic::default() };
        for (number, plugin) in (0..).zip(plugins) {
            if plugin.topics().is_empty() {
                by_topic.unfiltered.push(number);
            }
            for filter in plugin.topics() {
                // The filters come from whoever runs the broker, and names are only looked up: the seed need
                // not be secret.
                let filtered = by_topic.filtered.get_or_insert_with(|| FilterTree::new(0));
                filtered.insert(filter, number, ());
            }
        }
        by_topic
    }

    /// All, whatever topics they want.
    pub(in crate::plugin) fn plugins(&self) -> &[Arc<Version>] {
        &self.plugins
    }

    /// Those who are to be asked about a message of this topic.
    #[inline]
    pub(in crate::plugin) fn asked(&self, topic: &TopicName) -> Asked<'_> {
        self.asked_from(0, topic)
    }

    /// The same from the plugin with this number on.
    #[inline]
    pub(in crate::plugin) fn asked_from(&self, start: u32, topic: &TopicName) -> Asked<'_> {
        let mut asked = Asked { by_topic: self, start, window: 0, beyond: None, next: start };
        if start > 0 || self.filtered.is_none() {
            asked.look_up(start, topic);
            return asked;
        }
        let Wanted { window, beyond } = wanted_lately::wanted(self.number, topic.as_str(), || {
            asked.look_up(0, topic);
            Wanted { window: asked.window, beyond: asked.beyond }
        });
        (asked.window, asked.beyond) = (window, beyond);
        asked
    }
}

/// Goes through the plugins that want a topic, in their order.
///
/// Holds the next ones as bits, a window of 64 at a time, so that it needs no allocation however many want
/// the topic.
pub(in crate::plugin) struct Asked<'a> {
    by_topic: &'a ByTopic,
    /// The number of the plugin that the lowest bit stands for.
    start: u32,
    window: u64,
    /// The first who wants the topic behind the window.
    beyond: Option<u32>,
    /// Those before this one have had their turn.
    next: u32,
}

impl<'a> Asked<'a> {
    /// The next one; the topic is that of the call before, unless
    /// [`topic_may_be_another`](Self::topic_may_be_another).
    #[inline]
    pub(super) fn next(&mut self, topic: &TopicName) -> Option<&'a Version> {
        loop {
            while self.window != 0 {
                let number = self.start + self.window.trailing_zeros();
                self.window &= self.window - 1;
                self.next = number + 1;
                let plugin = &self.by_topic.plugins[number as usize];
                if plugin.also_wants(topic) {
                    return Some(plugin);
                }
            }
            self.look_up(self.beyond?, topic);
        }
    }

    /// Has those who come next chosen anew.
    pub(super) fn topic_may_be_another(&mut self) {
        self.window = 0;
        self.beyond = Some(self.next);
    }

    /// Whether there is nobody to be asked.
    #[inline]
    pub(in crate::plugin) fn is_empty(&self) -> bool {
        self.window == 0 && self.beyond.is_none()
    }

    /// The number of the plugin that `next` gave last.
    pub(super) fn number(&self) -> u32 {
        self.next.saturating_sub(1)
    }

    /// The same for one that is on probation: who may wait can be met later.
    #[inline]
    pub(in crate::plugin) fn is_one_on_probation(&self, topic: &TopicName) -> bool {
        self.any(topic, Version::is_on_probation)
    }

    /// Whether one of these is on probation or may wait, so that the chain has to run on another thread.
    #[inline]
    pub(in crate::plugin) fn must_go_aside(&self, topic: &TopicName) -> bool {
        self.any(topic, Version::must_go_aside)
    }

    #[inline]
    fn any(&self, topic: &TopicName, is: impl Fn(&Version) -> bool) -> bool {
        let mut window = self.window;
        while window != 0 {
            let plugin = &self.by_topic.plugins[(self.start + window.trailing_zeros()) as usize];
            window &= window - 1;
            if is(plugin) && plugin.also_wants(topic) {
                return true;
            }
        }
        self.beyond.is_some_and(|beyond| self.by_topic.asked_from(beyond, topic).any(topic, is))
    }

    /// Finds those who want the topic, from this number on.
    #[inline]
    fn look_up(&mut self, start: u32, topic: &TopicName) {
        (self.start, self.window, self.beyond) = (start, 0, None);
        for &number in &self.by_topic.unfiltered {
            self.add(number);
        }
        let Some(filtered) = &self.by_topic.filtered else { return };
        filtered.for_each_match(topic, |found| match found {
            Match::Plain { key, .. } => self.add(*key),
            Match::Shared(group) => group.members().iter().for_each(|(number, ())| self.add(*number)),
        });
    }

    #[inline]
    fn add(&mut self, number: u32) {
        match number.checked_sub(self.start) {
            None => {}
            Some(offset @ 0..64) => self.window |= 1 << offset,
            Some(_) => self.beyond = Some(self.beyond.map_or(number, |first| first.min(number))),
        }
    }
}
