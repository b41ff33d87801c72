//! Topic aliases that the client sets (MQTT 5.0, 3.3.2.3.4).

use std::num::NonZeroU16;

use hashbrown::HashMap;

use crate::topic::TopicName;

#[derive(Debug, Default)]
pub(super) struct TopicAliases {
    topics: HashMap<NonZeroU16, TopicName>,
}

impl TopicAliases {
    /// Sets an alias.
    pub(super) fn set(&mut self, alias: NonZeroU16, topic: &TopicName) {
        self.topics.insert(alias, topic.to_detached());
    }

    /// The topic that an alias stands for.
    pub(super) fn get(&self, alias: NonZeroU16) -> Option<TopicName> {
        self.topics.get(&alias).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_for_the_topic_that_it_was_set_to_last() {
        let mut aliases = TopicAliases::default();
        assert_eq!(aliases.get(NonZeroU16::MIN), None);
        for name in ["a", "b"] {
            let topic = TopicName::try_from(name).unwrap();
            aliases.set(NonZeroU16::MIN, &topic);
            assert_eq!(aliases.get(NonZeroU16::MIN), Some(topic));
        }
        assert_eq!(aliases.get(NonZeroU16::MAX), None);
    }
}
