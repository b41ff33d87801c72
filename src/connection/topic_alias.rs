//! Topic aliases that the client sets (MQTT 5.0, 3.3.2.3.4).

use std::num::NonZeroU16;

use hashbrown::HashMap;

use crate::topic::TopicName;

#[derive(Debug)]
pub(super) struct TopicAliases {
    maximum: u16,
    topics: Option<Box<HashMap<NonZeroU16, TopicName>>>,
}

impl TopicAliases {
    pub(super) fn new(maximum: u16) -> TopicAliases {
        TopicAliases { maximum, topics: None }
    }

    /// Whether an alias is within the Topic Alias Maximum [MQTT-3.2.2-17], [MQTT-3.2.2-18].
    pub(super) fn allows(&self, alias: NonZeroU16) -> bool {
        alias.get() <= self.maximum
    }

    /// Sets an alias. Says whether it is [allowed](TopicAliases::allows).
    pub(super) fn set(&mut self, alias: NonZeroU16, topic: &TopicName) -> bool {
        let allowed = self.allows(alias);
        if allowed {
            self.topics.get_or_insert_default().insert(alias, topic.to_detached());
        }
        allowed
    }

    /// The topic that an alias stands for.
    pub(super) fn get(&self, alias: NonZeroU16) -> Option<TopicName> {
        self.topics.as_ref()?.get(&alias).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_above_the_maximum_is_refused() {
        let topic = TopicName::try_from("a").unwrap();
        let mut aliases = TopicAliases::new(1);
        assert!(aliases.set(NonZeroU16::MIN, &topic));
        assert!(!aliases.set(NonZeroU16::new(2).unwrap(), &topic));
        assert_eq!(aliases.get(NonZeroU16::MIN), Some(topic));
        assert_eq!(aliases.get(NonZeroU16::new(2).unwrap()), None);
    }
}
