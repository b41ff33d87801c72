//! Topic aliases that the broker sets (MQTT 5.0, 3.3.2.3.4), towards a client that takes some.
//!
//! The PUBLISH that sets an alias is three bytes longer for it, each later one is shorter by its topic less
//! those three. So a topic gets none when it comes for the first time, but when it comes again while it is
//! remembered. Where all aliases are taken, the one that was used longest ago is set anew, unless its topic came
//! more lately than the newcomer did before: else, with more topics in turn than aliases, each packet would set
//! one and none would use one.
//!
//! All of it ends with the connection [MQTT-3.3.2-7].

use std::num::NonZeroU16;

use hashbrown::HashTable;

use crate::topic::{Seed, TopicName};

/// Bytes of the property.
const COST: usize = 3;
/// Bytes of a topic from which on the next use saves what it cost to set the alias.
const SHORTEST: usize = 2 * COST;
/// Bytes of a topic that are kept for an alias at most.
const LONGEST: usize = 1024;
/// Topics that are remembered for each alias, and in all.
const SEEN_PER_ALIAS: usize = 4;
const SEEN: std::ops::RangeInclusive<usize> = 64..=65_536;

#[derive(Debug)]
pub(super) struct OutgoingAliases {
    maximum: u16,
    /// By alias, from 1.
    slots: Vec<Slot>,
    by_topic: HashTable<u16>,
    seed: Seed,
    /// The ends of the list of slots by their last use; 0 while there is none.
    newest: u16,
    oldest: u16,
    /// Topics without an alias that came lately, each in the place that its hash says. Empty until needed.
    seen: Box<[Sighting]>,
    /// Counts the topics that came; may wrap.
    now: u32,
}

#[derive(Debug)]
struct Slot {
    topic: TopicName,
    hash: u64,
    used: u32,
    newer: u16,
    older: u16,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sighting {
    fingerprint: u32,
    at: u32,
}

/// What a PUBLISH says of its topic's alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// The client knows it: it stands for the topic.
    Known(NonZeroU16),
    /// It is set by this packet, beside the topic.
    New(NonZeroU16),
}

impl OutgoingAliases {
    /// None where the client takes none, or the broker sets none.
    pub(super) fn new(maximum: u16, seed: u64) -> Option<Box<OutgoingAliases>> {
        (maximum > 0).then(|| {
            Box::new(OutgoingAliases {
                maximum,
                slots: Vec::new(),
                by_topic: HashTable::new(),
                seed: Seed::new(seed),
                newest: 0,
                oldest: 0,
                seen: Box::default(),
                now: 0,
            })
        })
    }

    /// The alias for a message that is about to be sent. Whether one `may` be set is asked where that is due.
    pub(super) fn alias(&mut self, topic: &TopicName, may: impl FnOnce(NonZeroU16) -> bool) -> Option<Alias> {
        if !(SHORTEST..=LONGEST).contains(&topic.as_str().len()) {
            return None;
        }
        self.now = self.now.wrapping_add(1);
        let hash = self.seed.hash_bytes(topic.as_str().as_bytes());
        if let Some(slot) = self.find(hash, topic) {
            self.use_again(slot);
            return Some(Alias::Known(number(slot)));
        }
        if !self.came_lately(hash) {
            return None;
        }
        let slot = if self.is_full() { self.oldest } else { self.slots.len() as u16 };
        may(number(slot)).then(|| {
            self.set(slot, topic, hash);
            Alias::New(number(slot))
        })
    }

    /// Forgets every alias: each is set anew before it is used again.
    pub(super) fn forget(&mut self) {
        self.slots.clear();
        self.by_topic.clear();
        (self.newest, self.oldest) = (0, 0);
    }

    fn find(&self, hash: u64, topic: &TopicName) -> Option<u16> {
        self.by_topic.find(hash, |&slot| self.slots[usize::from(slot)].topic == *topic).copied()
    }

    /// Whether a further topic gets its alias from another one.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= usize::from(self.maximum)
    }

    /// Whether a topic came before, and more lately than the one that would lose its alias to it.
    fn came_lately(&mut self, hash: u64) -> bool {
        if self.seen.is_empty() {
            let places = usize::from(self.maximum) * SEEN_PER_ALIAS;
            let places = places.next_power_of_two().clamp(*SEEN.start(), *SEEN.end());
            self.seen = vec![Sighting::default(); places].into();
        }
        let sighting = Sighting { fingerprint: (hash >> 32) as u32, at: self.now };
        let place = hash as usize & (self.seen.len() - 1);
        let before = std::mem::replace(&mut self.seen[place], sighting);
        // Two topics may be taken for one: then an alias is set too early.
        before.fingerprint == sighting.fingerprint
            && (!self.is_full() || self.age(before.at) < self.age(self.slots[usize::from(self.oldest)].used))
    }

    fn age(&self, at: u32) -> u32 {
        self.now.wrapping_sub(at)
    }

    fn set(&mut self, slot: u16, topic: &TopicName, hash: u64) {
        // The message may share memory with a read buffer.
        let topic = topic.to_detached();
        let index = usize::from(slot);
        if index < self.slots.len() {
            let old = self.slots[index].hash;
            if let Ok(entry) = self.by_topic.find_entry(old, |&found| found == slot) {
                entry.remove();
            }
            (self.slots[index].topic, self.slots[index].hash) = (topic, hash);
            self.use_again(slot);
        } else {
            self.slots.push(Slot { topic, hash, used: self.now, newer: slot, older: slot });
            self.link_newest(slot);
        }
        let slots = &self.slots;
        self.by_topic.insert_unique(hash, slot, |&slot| slots[usize::from(slot)].hash);
    }

    fn use_again(&mut self, slot: u16) {
        self.slots[usize::from(slot)].used = self.now;
        if slot == self.newest {
            return;
        }
        let Slot { newer, older, .. } = self.slots[usize::from(slot)];
        if slot == self.oldest {
            self.oldest = newer;
        } else {
            self.slots[usize::from(older)].newer = newer;
            self.slots[usize::from(newer)].older = older;
        }
        self.link_newest(slot);
    }

    fn link_newest(&mut self, slot: u16) {
        self.slots[usize::from(slot)].older = self.newest;
        let newest = usize::from(self.newest);
        self.slots[newest].newer = slot;
        self.newest = slot;
    }
}

/// Slots are counted from 0, aliases from 1 [MQTT-3.3.2-8].
fn number(slot: u16) -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::try_from(name).unwrap()
    }

    fn aliases(maximum: u16) -> Box<OutgoingAliases> {
        OutgoingAliases::new(maximum, 1).unwrap()
    }

    /// What is said of the topics, one after the other; the alias where it is new, and its negative where the
    /// client knows it.
    fn said(aliases: &mut OutgoingAliases, topics: &[&str]) -> Vec<i32> {
        let said = |name: &&str| match aliases.alias(&topic(name), |_| true) {
            None => 0,
            Some(Alias::New(alias)) => i32::from(alias.get()),
            Some(Alias::Known(alias)) => -i32::from(alias.get()),
        };
        topics.iter().map(said).collect()
    }

    #[test]
    fn a_topic_gets_an_alias_when_it_comes_again() {
        let mut aliases = aliases(2);
        let names = ["sensor/1", "sensor/2", "sensor/1", "sensor/1", "sensor/2", "sensor/2", "sensor/1"];
        assert_eq!(said(&mut aliases, &names), [0, 0, 1, -1, 2, -2, -1]);
    }

    #[test]
    fn a_topic_on_which_an_alias_saves_little_or_that_is_long_gets_none() {
        let long = "x".repeat(LONGEST + 1);
        for name in ["a", "a/b/c", &long] {
            assert_eq!(said(&mut aliases(9), &[name; 4]), [0; 4], "{name}");
        }
        assert_eq!(said(&mut aliases(9), &["a/b/cd"; 3]), [0, 1, -1]);
    }

    #[test]
    fn the_alias_that_was_used_longest_ago_is_set_anew() {
        let mut aliases = aliases(2);
        assert_eq!(said(&mut aliases, &["topic/a", "topic/a", "topic/b", "topic/b"]), [0, 1, 0, 2]);
        assert_eq!(said(&mut aliases, &["topic/a", "topic/c", "topic/c", "topic/c"]), [-1, 0, 2, -2]);
        // Whose alias it was comes less often than both others by now.
        assert_eq!(said(&mut aliases, &["topic/a", "topic/b", "topic/a", "topic/c"]), [-1, 0, -1, -2]);
    }

    #[test]
    fn more_topics_in_turn_than_aliases_do_not_take_them_from_each_other() {
        let names: Vec<String> = (0..20).map(|n| format!("sensor/{n}")).collect();
        let mut aliases = aliases(4);
        let (mut new, mut known) = (0, 0);
        for _ in 0..100 {
            for name in &names {
                match aliases.alias(&topic(name), |_| true) {
                    Some(Alias::New(_)) => new += 1,
                    Some(Alias::Known(_)) => known += 1,
                    None => {}
                }
            }
        }
        assert!(new <= 4 && known >= 97 * new, "{new} set, {known} used");
    }

    #[test]
    fn what_may_not_be_set_is_not_known_later() {
        let mut aliases = aliases(1);
        assert_eq!(said(&mut aliases, &["topic/a"]), [0]);
        assert_eq!(aliases.alias(&topic("topic/a"), |_| false), None);
        assert_eq!(said(&mut aliases, &["topic/a", "topic/a"]), [1, -1]);
    }

    #[test]
    fn what_was_forgotten_is_set_anew() {
        let mut aliases = aliases(3);
        said(&mut aliases, &["topic/a", "topic/a", "topic/b", "topic/b", "topic/c", "topic/c"]);
        aliases.forget();
        // What came lately is still remembered.
        assert_eq!(said(&mut aliases, &["topic/b", "topic/b", "topic/a", "topic/b"]), [1, -1, 2, -1]);
    }

    #[test]
    fn a_client_that_follows_always_knows_the_topic() {
        let mut random = fastrand::Rng::with_seed(3);
        for maximum in [1, 2, 3, 7, 40] {
            let mut aliases = aliases(maximum);
            let mut client = vec![None; usize::from(maximum) + 1];
            // Aliases by their last use, the latest at the end.
            let mut uses: Vec<usize> = Vec::new();
            for round in 0..20_000 {
                // A few topics come often, and which those are changes.
                let name = format!("sensor/{}", random.u32(0..8) * random.u32(0..9) + round / 5_000);
                let alias = match aliases.alias(&topic(&name), |_| random.u8(..) > 20) {
                    None => continue,
                    Some(Alias::Known(alias)) => {
                        let alias = usize::from(alias.get());
                        assert_eq!(client[alias].as_ref(), Some(&name));
                        alias
                    }
                    Some(Alias::New(alias)) => {
                        let alias = usize::from(alias.get());
                        assert!(client[alias].is_none() || uses[0] == alias, "not the oldest");
                        client[alias] = Some(name);
                        alias
                    }
                };
                uses.retain(|&used| used != alias);
                uses.push(alias);
            }
            assert!(client[1..].iter().all(Option::is_some), "some of {maximum} were never set");
        }
    }

    #[test]
    fn every_alias_that_there_can_be_is_set() {
        let mut aliases = aliases(u16::MAX);
        for n in 0..u16::MAX {
            let name = format!("sensor/{n}");
            said(&mut aliases, &[&name, &name]);
        }
        assert_eq!(said(&mut aliases, &["sensor/0", "sensor/65534"]), [-1, -65_535]);
        assert_eq!(said(&mut aliases, &["another", "another", "another"]), [0, 2, -2]);
    }
}
