//! Asking the authorizer, and remembering what it said for as long as it allowed that.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Broker;
use super::statistics::Count;
use crate::hook::{
    Action, Answer, Authorization, AuthorizationVerdict, AuthorizeContext, ClientInfo, HookSet,
};
use crate::message::Timestamp;
use crate::packet::{QoS, ReasonCode};

/// Verdicts that a cache holds at most; one that is full forgets all of them.
const CACHED_VERDICTS: usize = 128;

/// Verdicts of one connection.
#[derive(Debug, Default)]
pub struct AuthorizationCache {
    cached: Option<Box<CachedVerdicts>>,
}

/// Looks at the one that was asked for last before it hashes anything: most clients publish to one topic. It brings
/// 45 of 170 instructions per message (`callgrind` on scenario C with a cached authorizer).
#[derive(Debug, Default)]
struct CachedVerdicts {
    verdicts: Vec<(Key, Cached)>,
    /// Numbers of the verdicts by their keys.
    numbers: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// That of the last one.
    last: usize,
    /// Of the hooks that gave them.
    generation: u64,
}

#[derive(Debug, Hash)]
struct Key {
    action: Action,
    topic: Box<str>,
}

#[derive(Clone, Copy, Hash)]
struct KeyRef<'a> {
    action: Action,
    topic: &'a str,
}

impl KeyRef<'_> {
    fn is(self, key: &Key) -> bool {
        self.action == key.action && *self.topic == *key.topic
    }
}

#[derive(Clone, Copy, Debug)]
struct Cached {
    verdict: Result<(), ReasonCode>,
    until: Timestamp,
}

/// Names the hooks that gave a verdict.
pub(super) type Generation = u64;

/// What is known of a verdict.
pub(super) enum Asked {
    Known(Result<(), ReasonCode>),
    /// That of the hooks of this generation.
    Answer(Generation, Answer<Authorization>),
}

impl AuthorizationCache {
    fn get(
        &mut self,
        generation: u64,
        asked: &AuthorizeContext<'_>,
        now: Timestamp,
    ) -> Option<Result<(), ReasonCode>> {
        let cached = self.cached.as_mut()?;
        if cached.generation != generation {
            self.cached = None;
            return None;
        }
        let known = cached.find(KeyRef { action: asked.action, topic: asked.topic })?;
        (now < known.until).then_some(known.verdict)
    }

    fn put(&mut self, generation: u64, action: Action, topic: &str, verdict: Cached) {
        let cached = &mut **self.cached.get_or_insert_default();
        if cached.generation != generation || cached.verdicts.len() >= CACHED_VERDICTS {
            cached.verdicts.clear();
            cached.numbers.clear();
        }
        cached.generation = generation;
        cached.put(KeyRef { action, topic }, verdict);
    }
}

impl CachedVerdicts {
    fn find(&mut self, asked: KeyRef<'_>) -> Option<Cached> {
        match self.verdicts.get(self.last) {
            Some((key, known)) if asked.is(key) => Some(*known),
            _ => self.look_up(asked),
        }
    }

    fn look_up(&mut self, asked: KeyRef<'_>) -> Option<Cached> {
        let hash = self.hasher.hash_one(asked);
        self.last = *self.numbers.find(hash, |&number| asked.is(&self.verdicts[number].0))?;
        Some(self.verdicts[self.last].1)
    }

    fn put(&mut self, asked: KeyRef<'_>, verdict: Cached) {
        if self.look_up(asked).is_some() {
            self.verdicts[self.last].1 = verdict;
            return;
        }
        self.last = self.verdicts.len();
        self.verdicts.push((Key { action: asked.action, topic: asked.topic.into() }, verdict));
        let CachedVerdicts { verdicts, numbers, hasher, last, .. } = self;
        let hash = hasher.hash_one(asked);
        numbers.insert_unique(hash, *last, |&number| hasher.hash_one(&verdicts[number].0));
    }
}

impl Broker {
    /// Whether the client may use the topic.
    ///
    /// # Errors
    /// The Reason Code of the refusal.
    pub(super) async fn authorize(
        &self,
        context: AuthorizeContext<'_>,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Result<(), ReasonCode> {
        match self.ask_authorizer(context, cache, now) {
            Asked::Known(verdict) => verdict,
            Asked::Answer(generation, answer) => {
                let answer = answer.get().await;
                self.verdict(&context, generation, answer, cache, now)
            }
        }
    }

    /// The same up to the authorizer's answer, which is to be given to [`verdict`](Broker::verdict).
    pub(super) fn ask_authorizer(
        &self,
        context: AuthorizeContext<'_>,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Asked {
        if !self.hooks.wanted().contains(HookSet::AUTHORIZER) {
            let default = context.client.listener.default_authorization;
            return Asked::Known(self.refusal(default.then_some(()).ok_or(ReasonCode::NOT_AUTHORIZED)));
        }
        let generation = self.hooks.generation();
        match cache.get(generation, &context, now) {
            Some(verdict) => Asked::Known(self.refusal(verdict)),
            None => Asked::Answer(generation, self.hooks.authorize(context)),
        }
    }

    /// What an answer means, which is remembered for as long as it says.
    pub(super) fn verdict(
        &self,
        context: &AuthorizeContext<'_>,
        generation: Generation,
        answer: Authorization,
        cache: &mut AuthorizationCache,
        now: Timestamp,
    ) -> Result<(), ReasonCode> {
        let Authorization { verdict, cache: keep } = answer;
        let verdict = match verdict {
            AuthorizationVerdict::Allow => Ok(()),
            AuthorizationVerdict::Next if context.client.listener.default_authorization => Ok(()),
            AuthorizationVerdict::Next => Err(ReasonCode::NOT_AUTHORIZED),
            AuthorizationVerdict::Deny(reason) => Err(reason),
        };
        if keep > Duration::ZERO {
            cache.put(generation, context.action, context.topic, Cached { verdict, until: now.after(keep) });
        }
        self.refusal(verdict)
    }

    fn refusal(&self, verdict: Result<(), ReasonCode>) -> Result<(), ReasonCode> {
        if verdict.is_err() {
            self.counters.count(Count::NotAuthorized);
        }
        verdict
    }
}

impl<'a> AuthorizeContext<'a> {
    /// Whether a client may subscribe to a filter.
    pub(super) fn subscribe(client: &'a Arc<ClientInfo>, topic: &'a str, qos: QoS) -> AuthorizeContext<'a> {
        AuthorizeContext { client, action: Action::Subscribe, topic, qos, retain: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cache_forgets_and_stays_bounded() {
        let mut cache = AuthorizationCache::default();
        for n in 0..10 * CACHED_VERDICTS {
            cache.put(0, Action::Publish, &n.to_string(), Cached { verdict: Ok(()), until: Timestamp(1) });
        }
        let cached = cache.cached.unwrap();
        assert!(cached.verdicts.len() <= CACHED_VERDICTS);
        assert_eq!(cached.numbers.len(), cached.verdicts.len());
    }

    #[test]
    fn each_action_and_topic_has_its_own_last_verdict() {
        let mut cached = CachedVerdicts::default();
        let key = |action, topic| KeyRef { action, topic };
        let until = |time| Cached { verdict: Ok(()), until: Timestamp(time) };
        let all = [
            (Action::Publish, "a"),
            (Action::Subscribe, "a"),
            (Action::Publish, "b"),
            (Action::Publish, "a"),
        ];
        for ((action, topic), time) in all.into_iter().zip(1..) {
            cached.put(key(action, topic), until(time));
        }
        let times = [(Action::Publish, "b", 3), (Action::Publish, "a", 4), (Action::Subscribe, "a", 2)];
        for (action, topic, time) in times.into_iter().cycle().take(7) {
            assert_eq!(cached.find(key(action, topic)).map(|it| it.until), Some(Timestamp(time)));
            assert!(cached.find(key(Action::Deliver, topic)).is_none());
        }
        assert_eq!(cached.verdicts.len(), 3);
    }
}
