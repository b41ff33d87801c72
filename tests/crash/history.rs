//! What happened to every message, in one order for all clients, and the text of it for whoever has to find out why.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate::packet::{PacketIdentifier, QoS, ReasonCode};

/// A place in the order of all that happened.
pub type Tick = usize;

/// One message: where it comes from, and the how many-th it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub stream: Stream,
    pub number: u32,
}

/// Publishers from this number on leave Wills.
pub const MORTAL: u16 = 1000;

/// What has an order: messages of one publisher, topic and QoS [MQTT-4.6.0-5].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    pub publisher: u16,
    pub topic: u8,
    pub qos: QoS,
    pub retain: bool,
}

#[derive(Clone, Copy)]
pub enum What {
    Sent {
        id: PacketIdentifier,
        dup: bool,
    },
    /// As a Will, with CONNECT.
    Left,
    /// PUBACK, or PUBREC of QoS 2; of a Will the end of a connection that was let in with it.
    Acknowledged,
    /// The same with a Reason Code that says no.
    Refused(ReasonCode),
    /// The PUBCOMP came.
    Completed,
    /// Its publisher began a new session, and will not send it again.
    GivenUp,
    Received {
        receiver: usize,
        qos: QoS,
        id: PacketIdentifier,
        dup: bool,
        is_new: bool,
    },
    Released {
        receiver: usize,
        id: PacketIdentifier,
    },
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fate {
    pub sent: Tick,
    pub acknowledged: Option<Tick>,
    pub is_refused: bool,
    /// How many times it was sent.
    pub sendings: u32,
}

/// What happened to the broker rather than to a message.
struct Mark {
    tick: Tick,
    at: Duration,
    text: String,
}

struct Entry {
    at: Duration,
    key: Key,
    what: What,
}

pub struct History {
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub struct Inner {
    entries: Vec<Entry>,
    marks: Vec<Mark>,
    pub fates: HashMap<Key, Fate>,
    /// By receiver: its messages in their order, without those that it has to throw away.
    pub received: Vec<Vec<Key>>,
    pub violations: Vec<String>,
}

impl Default for History {
    fn default() -> History {
        History { began: Instant::now(), inner: Mutex::default() }
    }
}

impl History {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, key: Key, what: What) -> Tick {
        let at = self.began.elapsed();
        let mut inner = self.lock();
        let tick = inner.entries.len();
        inner.account(key, &what, tick);
        inner.entries.push(Entry { at, key, what });
        tick
    }

    pub fn mark(&self, text: impl Into<String>) -> Tick {
        let at = self.began.elapsed();
        let mut inner = self.lock();
        let tick = inner.entries.len();
        inner.marks.push(Mark { tick, at, text: text.into() });
        tick
    }

    /// Something that must not be, about a message where it is about one.
    pub fn violation(&self, key: Option<Key>, text: impl Into<String>) {
        let mut inner = self.lock();
        let text = text.into();
        let story = key.map(|key| inner.story(key)).unwrap_or_default();
        inner.violations.push(format!("{text}\n{story}"));
    }

    pub fn is_clean(&self) -> bool {
        self.lock().violations.is_empty()
    }

    /// Fails with the first violations.
    pub fn assert_clean(&self, seed: u64) {
        let inner = self.lock();
        println!("{}", inner.summary());
        let count = inner.violations.len();
        let first: Vec<_> = inner.violations.iter().take(6).map(String::as_str).collect();
        let marks = inner.all_marks();
        assert!(count == 0, "seed {seed}: {count} violations\n{}\n{marks}", first.join("\n"));
    }
}

impl Inner {
    pub fn now(&self) -> Tick {
        self.entries.len()
    }

    fn account(&mut self, key: Key, what: &What, tick: Tick) {
        let fate = self.fates.entry(key).or_insert(Fate { sent: tick, ..Fate::default() });
        match what {
            What::Sent { .. } => fate.sendings += 1,
            What::Acknowledged => fate.acknowledged = fate.acknowledged.or(Some(tick)),
            What::Refused(_) => fate.is_refused = true,
            What::Received { receiver, is_new: true, .. } => {
                if self.received.len() <= *receiver {
                    self.received.resize_with(receiver + 1, Vec::new);
                }
                self.received[*receiver].push(key);
            }
            _ => {}
        }
    }

    /// All that happened to a message, and to the broker meanwhile.
    pub fn story(&self, key: Key) -> String {
        let mut story = String::new();
        let mut marks = self.marks.iter().peekable();
        let mut has_begun = false;
        for (tick, entry) in self.entries.iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.tick <= tick) {
                if has_begun {
                    let _ = writeln!(story, "    {:>9.3?} -- {}", mark.at, mark.text);
                }
            }
            if entry.key == key {
                has_begun = true;
                let _ = writeln!(story, "    {:>9.3?} {key} {}", entry.at, entry.what);
            }
        }
        story
    }

    /// How much there was to go wrong.
    fn summary(&self) -> String {
        let count = |is: fn(&Fate) -> bool| self.fates.values().filter(|fate| is(fate)).count();
        let acknowledged = count(|fate| fate.acknowledged.is_some());
        let refused = count(|fate| fate.is_refused);
        let (sent, received) = (self.fates.len(), self.received.iter().map(Vec::len).sum::<usize>());
        format!("{sent} messages, {acknowledged} acknowledged, {refused} refused, {received} received")
    }

    fn all_marks(&self) -> String {
        let line = |mark: &Mark| format!("    {:>9.3?} -- {}\n", mark.at, mark.text);
        self.marks.iter().rev().take(40).rev().map(line).collect()
    }
}

impl Key {
    pub fn topic(self) -> String {
        let Stream { publisher, topic, retain, .. } = self.stream;
        let kind = match publisher {
            _ if retain => 'r',
            MORTAL.. => 'w',
            _ => 'p',
        };
        format!("{kind}/{publisher}/{topic}")
    }

    /// From the payload; None for one that no publisher of ours sent.
    pub fn parse(text: &str) -> Option<Key> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let mut next = || words.next()?.parse::<u32>().ok();
        let (publisher, topic, qos, number) = (next()?, next()?, next()?, next()?);
        let qos = QoS::try_from(u8::try_from(qos).ok()?).ok()?;
        let (publisher, topic) = (u16::try_from(publisher).ok()?, u8::try_from(topic).ok()?);
        Some(Key { stream: Stream { publisher, topic, qos, retain: kind == "r" }, number })
    }
}

/// What the payload begins with.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream { publisher, topic, qos, retain } = self.stream;
        let kind = if retain { 'r' } else { 'p' };
        write!(f, "{kind} {publisher} {topic} {} {}", u8::from(qos), self.number)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Sent { id, dup } => write!(f, "sent as {id}{}", if *dup { " with DUP" } else { "" }),
            What::Left => f.write_str("left"),
            What::Acknowledged => f.write_str("acknowledged"),
            What::Refused(reason) => write!(f, "refused with {reason:?}"),
            What::Completed => f.write_str("completed"),
            What::GivenUp => f.write_str("given up"),
            What::Received { receiver, qos, id, dup, is_new } => {
                let dup = if *dup { " with DUP" } else { "" };
                let known = if *is_new { "" } else { ", known" };
                write!(f, "came to receiver {receiver} as {id}, {qos:?}{dup}{known}")
            }
            What::Released { receiver, id } => write!(f, "receiver {receiver} released {id}"),
        }
    }
}
