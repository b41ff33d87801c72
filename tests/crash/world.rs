//! What the clients of one test share: where the broker is, what happened, and who has to get what.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::QoS;
use tidegate::topic::{TopicFilter, TopicName};
use tokio::sync::watch;

use crate::history::{Fate, History, Inner, Key, Stream, Tick};
use crate::receiver::Profile;

pub struct World {
    pub history: History,
    /// Microseconds between two acts of a publisher, at most.
    pub pace: u64,
    /// A message that was sent again may have been refused before.
    refuses: bool,
    broker: watch::Sender<Where>,
    is_enough: AtomicBool,
    receivers: Mutex<Vec<(Profile, Vec<Span>)>>,
    cleared: Mutex<HashSet<Key>>,
    last_asked: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Nowhere,
    At(u16),
    /// It will not come again.
    Over,
}

/// A time in which a receiver was known to have its subscription, or known not to have it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub is_subscribed: bool,
    pub from: Tick,
    pub until: Option<Tick>,
}

impl World {
    pub fn new(pace: Duration, refuses: bool) -> World {
        World {
            history: History::default(),
            refuses,
            pace: u64::try_from(pace.as_micros()).unwrap(),
            broker: watch::Sender::new(Where::Nowhere),
            is_enough: AtomicBool::new(false),
            receivers: Mutex::default(),
            cleared: Mutex::default(),
            last_asked: AtomicUsize::new(0),
        }
    }

    /// Its port, when there is one; None when there will be none.
    pub async fn broker(&self) -> Option<u16> {
        let mut broker = self.broker.subscribe();
        match *broker.wait_for(|at| *at != Where::Nowhere).await.ok()? {
            Where::At(port) => Some(port),
            _ => None,
        }
    }

    pub fn is_at(&self, port: u16) {
        self.broker.send_replace(Where::At(port));
    }

    pub fn is_down(&self) {
        self.broker.send_replace(Where::Nowhere);
    }

    pub fn is_over(&self) {
        self.broker.send_replace(Where::Over);
    }

    /// Publishers finish what they have begun, and go.
    pub fn enough(&self) {
        self.is_enough.store(true, Ordering::Relaxed);
    }

    pub fn is_enough(&self) -> bool {
        self.is_enough.load(Ordering::Relaxed)
    }

    /// Before a client tries again.
    pub async fn pause(&self, rng: &mut Rng) {
        tokio::time::sleep(Duration::from_micros(rng.u64(500..8_000))).await;
    }

    pub fn add_receiver(&self, profile: Profile) -> usize {
        let mut receivers = lock(&self.receivers);
        receivers.push((profile, Vec::new()));
        receivers.len() - 1
    }

    pub fn begin_span(&self, receiver: usize, span: Span) {
        lock(&self.receivers)[receiver].1.push(span);
    }

    pub fn end_span(&self, receiver: usize) {
        let now = self.history.lock().now();
        if let Some(last) = lock(&self.receivers)[receiver].1.last_mut() {
            last.until = last.until.or(Some(now));
        }
    }

    /// How many receivers have a subscription.
    pub fn subscribed(&self) -> usize {
        let is_subscribed = |span: &Span| span.is_subscribed && span.until.is_none();
        lock(&self.receivers).iter().filter(|(_, spans)| spans.last().is_some_and(is_subscribed)).count()
    }

    /// A retained message without a payload takes the one before away.
    pub fn note_cleared(&self, key: Key, clears: bool) {
        if clears {
            lock(&self.cleared).insert(key);
        }
    }

    /// Whether nothing has happened since this was last asked.
    pub fn is_quiet(&self) -> bool {
        let now = self.history.lock().now();
        self.last_asked.swap(now, Ordering::Relaxed) == now
    }

    /// What was acknowledged and has not come to somebody who has to get it.
    pub fn missing(&self) -> Vec<(String, Key)> {
        let inner = self.history.lock();
        self.audits(&inner).iter().flat_map(|audit| audit.missing(&inner)).collect()
    }

    /// Everything that has to be so when all has come to rest.
    pub fn check(&self) {
        let found = {
            let inner = self.history.lock();
            let mut found = Vec::new();
            for audit in self.audits(&inner) {
                found.extend(
                    audit.missing(&inner).into_iter().map(|(who, key)| (key, format!("{who}: lost"))),
                );
                audit.check(&inner, &mut found);
            }
            found
        };
        found.into_iter().for_each(|(key, text)| self.history.violation(Some(key), text));
    }

    /// Each receiver alone, but for the members of a Shared Subscription, who are one.
    fn audits(&self, inner: &Inner) -> Vec<Audit> {
        let mut audits: Vec<Audit> = Vec::new();
        for (number, (profile, spans)) in lock(&self.receivers).iter().enumerate() {
            let filter = TopicFilter::try_from(profile.filter.as_str()).unwrap();
            let group = filter.share_name().map(|_| profile.filter.clone());
            let at = audits.iter().position(|audit| group.is_some() && audit.group == group);
            let at = at.unwrap_or_else(|| {
                let (name, qos) = (group.clone().unwrap_or(profile.name.clone()), profile.qos);
                audits.push(Audit { name, group, filter, qos, spans: spans.clone(), ..Audit::default_of() });
                audits.len() - 1
            });
            audits[at].refuses = self.refuses;
            audits[at].add(inner, spans, inner.received.get(number).map_or(&[], Vec::as_slice));
        }
        audits
    }

    /// What a new subscriber finds on each topic, against what may be there.
    pub fn check_retained(&self, found: &HashMap<String, Option<Key>>) {
        let mut streams: HashMap<Stream, Vec<(u32, Fate)>> = HashMap::new();
        for (key, fate) in self.history.lock().fates.iter().filter(|(key, _)| key.stream.retain) {
            streams.entry(key.stream).or_default().push((key.number, *fate));
        }
        for (stream, fates) in streams {
            let acknowledged = fates.iter().filter(|(_, fate)| fate.acknowledged.is_some());
            let least = acknowledged.map(|(number, _)| *number).max().unwrap_or(0);
            let may_be_last = |number: u32, fate: &Fate| number >= least || self.refuses && fate.sendings > 1;
            let may_be = |number| fates.iter().any(|(own, fate)| *own == number && may_be_last(*own, fate));
            let topic = Key { stream, number: 0 }.topic();
            let is_right = match found.get(&topic).copied().flatten() {
                Some(key) => may_be(key.number) && key.stream == stream,
                None => least == 0 || self.may_be_cleared(stream, &fates, may_be_last),
            };
            if !is_right {
                let text = format!("{topic} has {:?} retained, not {least}", found.get(&topic));
                self.history.violation(Some(Key { stream, number: least }), text);
            }
        }
    }

    fn may_be_cleared(
        &self,
        stream: Stream,
        fates: &[(u32, Fate)],
        may_be_last: impl Fn(u32, &Fate) -> bool,
    ) -> bool {
        let cleared = lock(&self.cleared);
        let clears = |number| cleared.contains(&Key { stream, number });
        fates.iter().any(|(number, fate)| may_be_last(*number, fate) && clears(*number))
    }
}

/// The time in which a subscription was there from before a message was sent until it was acknowledged.
fn due<'a>(spans: &'a [Span], fate: &Fate) -> Option<&'a Span> {
    let acknowledged = fate.acknowledged?;
    spans.iter().find(|span| {
        span.is_subscribed && span.from <= fate.sent && span.until.is_none_or(|until| acknowledged < until)
    })
}

/// What one receiver, or one group, was to get and got.
struct Audit {
    name: String,
    group: Option<String>,
    filter: TopicFilter,
    qos: QoS,
    spans: Vec<Span>,
    counts: HashMap<Key, u32>,
    out_of_order: Vec<(Key, Key)>,
    refuses: bool,
}

impl Audit {
    fn default_of() -> Audit {
        Audit {
            name: String::new(),
            group: None,
            filter: TopicFilter::try_from("#").unwrap(),
            qos: QoS::AtMostOnce,
            spans: Vec::new(),
            counts: HashMap::new(),
            out_of_order: Vec::new(),
            refuses: false,
        }
    }

    fn add(&mut self, inner: &Inner, spans: &[Span], received: &[Key]) {
        let mut last: HashMap<(Tick, Stream), u32> = HashMap::new();
        for key in received {
            let count = self.counts.entry(*key).or_default();
            *count += 1;
            // Of a message that was under way when the subscription came, a later sending may be the first to come.
            let Some(span) = inner.fates.get(key).and_then(|fate| due(spans, fate)) else { continue };
            let last = last.entry((span.from, key.stream)).or_default();
            // One that came before may come again; a new one must not come after a later one [MQTT-4.6.0-5].
            let may_be_late = self.refuses && inner.fates.get(key).is_some_and(|fate| fate.sendings > 1);
            if *count == 1 && key.number < *last && !may_be_late {
                self.out_of_order.push((*key, Key { number: *last, ..*key }));
            }
            *last = key.number.max(*last);
        }
    }

    fn takes(&self, key: Key) -> bool {
        self.filter.matches(&TopicName::try_from(key.topic().as_str()).unwrap())
    }

    fn missing(&self, inner: &Inner) -> Vec<(String, Key)> {
        let mut missing: Vec<_> = inner
            .fates
            .iter()
            .filter(|(key, _)| !self.counts.contains_key(*key))
            .filter(|(key, fate)| !fate.is_refused && due(&self.spans, fate).is_some() && self.takes(**key))
            .map(|(key, _)| (self.name.clone(), *key))
            .collect();
        missing.sort();
        missing
    }

    fn check(&self, inner: &Inner, found: &mut Vec<(Key, String)>) {
        for (&key, &count) in &self.counts {
            let name = &self.name;
            let Some(fate) = inner.fates.get(&key) else {
                found.push((key, format!("{name}: nobody sent it")));
                continue;
            };
            let is_once = key.stream.qos.min(self.qos) == QoS::ExactlyOnce;
            if is_once && count > 1 {
                found.push((key, format!("{name}: came {count} times")));
            }
            // One that was refused when it was sent again may have come before.
            if fate.is_refused && (is_once || fate.sendings == 1) {
                found.push((key, format!("{name}: came though it was refused")));
            }
            let is_without = |span: &&Span| {
                let ended = |until| fate.acknowledged.is_some_and(|at| at < until);
                !span.is_subscribed && span.from <= fate.sent && span.until.is_none_or(ended)
            };
            if self.spans.iter().find(is_without).is_some() {
                found.push((key, format!("{name}: came though there was no subscription")));
            }
            if !self.takes(key) {
                found.push((key, format!("{name}: came against its filter")));
            }
        }
        for (late, early) in self.out_of_order.iter().filter(|_| self.group.is_none()) {
            found.push((*late, format!("{}: came after {early}", self.name)));
            found.push((*early, format!("{}: came before {late}", self.name)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
