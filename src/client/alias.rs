//! Topic Aliases of one connection (MQTT 5.0, 3.3.2.3.4), in both directions.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;

use bytestring::ByteString;

/// A topic that is not longer costs less than its alias.
const SHORT: usize = 6;

/// Aliases that we give: the topic that has not been used for longest gives its alias away.
#[derive(Debug, Default)]
pub(super) struct Given {
    maximum: u16,
    by_topic: HashMap<ByteString, Use>,
    /// By when they were used.
    by_use: BTreeMap<u64, ByteString>,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    alias: NonZeroU16,
    last: u64,
}

/// How a topic is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    None,
    /// Topic and alias.
    New(NonZeroU16),
    /// The alias alone.
    Known(NonZeroU16),
}

impl Given {
    /// A connection begins: there are none, and at most `maximum` [MQTT-3.1.2-26], [MQTT-3.1.2-27].
    pub(super) fn begin(&mut self, maximum: u16) {
        *self = Given { maximum, ..Given::default() };
    }

    /// The alias of a topic that is used now.
    pub(super) fn of(&mut self, topic: &ByteString) -> Alias {
        if self.maximum == 0 || topic.len() <= SHORT {
            return Alias::None;
        }
        self.uses += 1;
        match self.by_topic.get_mut(topic) {
            Some(known) => {
                // What was used last need not be moved.
                if known.last + 1 < self.uses
                    && let Some(topic) = self.by_use.remove(&known.last)
                {
                    self.by_use.insert(self.uses, topic);
                    known.last = self.uses;
                } else {
                    self.uses -= 1;
                }
                Alias::Known(known.alias)
            }
            None => self.give(topic),
        }
    }

    fn give(&mut self, topic: &ByteString) -> Alias {
        let Some(alias) = self.free() else { return Alias::None };
        // What is kept shares no memory with a larger buffer.
        let topic = ByteString::from(topic.to_string());
        self.by_use.insert(self.uses, topic.clone());
        self.by_topic.insert(topic, Use { alias, last: self.uses });
        Alias::New(alias)
    }

    fn free(&mut self) -> Option<NonZeroU16> {
        let used = self.by_topic.len();
        if used < usize::from(self.maximum) {
            return NonZeroU16::new(u16::try_from(used + 1).ok()?);
        }
        let (_, oldest) = self.by_use.pop_first()?;
        self.by_topic.remove(&oldest).map(|used| used.alias)
    }
}

/// Aliases that the server gives.
#[derive(Debug, Default)]
pub(super) struct Taken {
    maximum: u16,
    topics: HashMap<NonZeroU16, ByteString>,
}

impl Taken {
    /// A connection begins whose server was allowed so many.
    pub(super) fn begin(&mut self, maximum: u16) {
        *self = Taken { maximum, ..Taken::default() };
    }

    /// The topic of a PUBLISH; `None` where the alias is unknown or not allowed [MQTT-3.1.2-26].
    pub(super) fn resolve(&mut self, alias: NonZeroU16, topic: &ByteString) -> Option<ByteString> {
        if alias.get() > self.maximum {
            return None;
        }
        if topic.is_empty() {
            return self.topics.get(&alias).cloned();
        }
        self.topics.insert(alias, ByteString::from(topic.to_string()));
        Some(topic.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).unwrap()
    }

    #[test]
    fn the_topic_that_was_used_last_keeps_its_alias() {
        // [MQTT-3.1.2-26]
        let mut given = Given::default();
        given.begin(2);
        let [a, b, c] = ["topic/a", "topic/b", "topic/c"].map(ByteString::from);
        assert_eq!(given.of(&a), Alias::New(alias(1)));
        assert_eq!(given.of(&b), Alias::New(alias(2)));
        assert_eq!(given.of(&a), Alias::Known(alias(1)));
        assert_eq!(given.of(&a), Alias::Known(alias(1)));
        assert_eq!(given.of(&c), Alias::New(alias(2)));
        assert_eq!(given.of(&a), Alias::Known(alias(1)));
        assert_eq!(given.of(&b), Alias::New(alias(2)));
    }

    #[test]
    fn short_topics_and_servers_without_aliases_get_none() {
        let mut given = Given::default();
        given.begin(0);
        assert_eq!(given.of(&"topic/a".into()), Alias::None);
        given.begin(5);
        assert_eq!(given.of(&"a".into()), Alias::None);
    }

    #[test]
    fn an_alias_beyond_what_was_allowed_is_none() {
        let mut taken = Taken::default();
        taken.begin(1);
        assert_eq!(taken.resolve(alias(1), &"".into()), None);
        assert_eq!(taken.resolve(alias(1), &"a".into()), Some("a".into()));
        assert_eq!(taken.resolve(alias(1), &"".into()), Some("a".into()));
        assert_eq!(taken.resolve(alias(2), &"a".into()), None);
    }
}
