//! What there is in a storage, counted, and what does not go together: a look at the changes that it hands over.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::change::{Change, DeliveryRecord, DeliveryState, SessionRecord};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::PacketIdentifier;
use crate::session::NEVER_EXPIRES;

/// Sessions that are told apart by their size.
const LARGEST: usize = 10;
/// Findings that are told in words; the others are counted.
const TOLD: usize = 100;
/// The largest number: a database has a sign.
const LAST_NUMBER: u64 = i64::MAX.cast_unsigned();

/// How many there are, and what is in them: texts, values, payloads and properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub count: u64,
    pub bytes: u64,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figures {
    /// When the broker was last known to run, in milliseconds since 1970.
    pub alive: Option<u64>,
    pub sessions: u64,
    /// Those that a connection held.
    pub connected_sessions: u64,
    pub expired_sessions: u64,
    pub subscriptions: Amount,
    /// QoS 2 messages from clients that are not released.
    pub received: u64,
    pub items: Amount,
    pub wills: Amount,
    /// What deliveries are about, each once.
    pub messages: Amount,
    pub expired_messages: u64,
    /// Bytes of the largest one, among retained ones and Wills too.
    pub largest_message: u64,
    /// Deliveries; their bytes are those of their messages.
    pub queued: Amount,
    pub in_flight: Amount,
    pub released: u64,
    pub retained: Amount,
    pub expired_retained: u64,
    /// State by plugin.
    pub plugins: BTreeMap<String, Amount>,
    pub expired_state: u64,
    /// The largest first.
    pub largest_sessions: Vec<SessionFigures>,
}

/// What a session holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionFigures {
    pub number: u64,
    pub client_identifier: String,
    pub subscriptions: Amount,
    pub items: Amount,
    pub queued: Amount,
    pub in_flight: Amount,
    pub released: u64,
}

/// Takes note of one change after the other, in the order in which a storage hands them over.
#[derive(Debug)]
pub struct Survey {
    now: Timestamp,
    figures: Figures,
    sessions: HashMap<u64, SessionFigures>,
    clients: HashMap<String, u64>,
    /// Bytes of a message, and whether a delivery needs it.
    messages: HashMap<u64, (u64, bool)>,
    identifiers: HashSet<(u64, PacketIdentifier)>,
    findings: Vec<String>,
    further_findings: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Figures {
    fn note_size(&mut self, message: &ApplicationMessage) {
        self.largest_message = self.largest_message.max(message.size() as u64);
    }
}

impl SessionFigures {
    /// All that it holds; a message for several sessions counts for each.
    pub fn bytes(&self) -> u64 {
        self.subscriptions.bytes + self.items.bytes + self.queued.bytes + self.in_flight.bytes
    }
}

impl Survey {
    /// What has expired `now` is counted.
    pub fn new(now: Timestamp) -> Survey {
        Survey {
            now,
            figures: Figures::default(),
            sessions: HashMap::new(),
            clients: HashMap::new(),
            messages: HashMap::new(),
            identifiers: HashSet::new(),
            findings: Vec::new(),
            further_findings: 0,
        }
    }

    /// Changes that delete are not what a storage hands over; they are not looked at.
    pub fn note(&mut self, change: &Change) {
        let figures = &mut self.figures;
        match change {
            Change::SetAlive(at) => figures.alive = Some(at.0),
            Change::PutSession(record) => self.note_session(record),
            Change::PutSubscription { session, filter, routed, .. } => {
                let bytes = filter.as_str().len() + routed.as_ref().map_or(0, |routed| routed.as_str().len());
                figures.subscriptions.add(bytes as u64);
                self.of_session(*session, "a subscription", |held| held.subscriptions.add(bytes as u64));
            }
            Change::PutReceived { session, .. } => {
                figures.received += 1;
                self.of_session(*session, "a received packet identifier", |_| ());
            }
            Change::PutItem { session, key, value } => {
                let bytes = (key.len() + value.len()) as u64;
                figures.items.add(bytes);
                self.of_session(*session, "an item", |held| held.items.add(bytes));
            }
            Change::PutWill(record) => {
                figures.wills.add(record.will.message.size() as u64);
                figures.note_size(&record.will.message);
                self.require_number("a Will", record.number);
            }
            Change::PutMessage { number, message } => self.note_message(*number, message),
            Change::PutDelivery(record) => self.note_delivery(record),
            Change::PutRetained(message) => {
                figures.retained.add(message.size() as u64);
                figures.note_size(message);
                figures.expired_retained += u64::from(message.is_expired(self.now));
            }
            Change::PutState { plugin, key, value, expires_at } => {
                let amount = figures.plugins.entry(plugin.clone()).or_default();
                amount.add((key.len() + value.len()) as u64);
                figures.expired_state += u64::from(expires_at.is_some_and(|at| at <= self.now));
            }
            _ => {}
        }
    }

    /// What does not go together, so far, each a sentence, and how many more there are.
    pub fn findings(&self) -> (&[String], u64) {
        (&self.findings, self.further_findings)
    }

    /// The numbers of the sessions, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.keys().copied()
    }

    pub fn has_session(&self, number: u64) -> bool {
        self.sessions.contains_key(&number)
    }

    /// Once everything was noted.
    pub fn finish(&mut self) -> &Figures {
        let mut needless: Vec<_> =
            self.messages.iter().filter(|(_, held)| !held.1).map(|(n, _)| *n).collect();
        needless.sort_unstable();
        for number in needless {
            self.find(format!("message {number} waits for nobody"));
        }
        self.messages.clear();
        let mut sessions: Vec<_> = self.sessions.values().collect();
        sessions.sort_by_key(|held| (std::cmp::Reverse(held.bytes()), held.number));
        self.figures.largest_sessions = sessions.into_iter().take(LARGEST).cloned().collect();
        &self.figures
    }

    fn note_session(&mut self, record: &SessionRecord) {
        self.require_number("a session", record.number);
        // As a broker does that is started.
        let alive = self.figures.alive.map_or(self.now, Timestamp).min(self.now);
        let expires_at = match record.is_connected {
            true if record.expiry_interval != NEVER_EXPIRES => Some(alive.after_secs(record.expiry_interval)),
            _ => record.expires_at,
        };
        self.figures.sessions += 1;
        self.figures.connected_sessions += u64::from(record.is_connected);
        self.figures.expired_sessions += u64::from(expires_at.is_some_and(|at| at <= self.now));
        let client_identifier = record.client.client_identifier.clone();
        if let Some(other) = self.clients.insert(client_identifier.clone(), record.number) {
            let (number, client) = (record.number, client_identifier.escape_debug());
            self.find(format!("sessions {other} and {number} are both of the client `{client}`"));
        }
        let held = SessionFigures { number: record.number, client_identifier, ..SessionFigures::default() };
        self.sessions.insert(record.number, held);
    }

    fn note_message(&mut self, number: u64, message: &ApplicationMessage) {
        self.require_number("a message", number);
        let bytes = message.size() as u64;
        self.figures.messages.add(bytes);
        self.figures.note_size(message);
        self.figures.expired_messages += u64::from(message.is_expired(self.now));
        self.messages.insert(number, (bytes, false));
    }

    fn note_delivery(&mut self, record: &DeliveryRecord) {
        let DeliveryRecord { number, session, message, .. } = *record;
        self.require_number("a delivery", number);
        let (identifier, needs_message) = match record.state {
            DeliveryState::Queued => (None, true),
            DeliveryState::Sent(identifier) => (Some(identifier), true),
            // The client has the message; what it was is not kept.
            DeliveryState::Released(identifier) => (Some(identifier), false),
        };
        let bytes = match self.messages.get_mut(&message) {
            Some(held) if needs_message => {
                held.1 = true;
                held.0
            }
            None if needs_message => {
                self.find(format!("delivery {number} is of message {message}, which is not there"));
                0
            }
            _ => 0,
        };
        if let Some(identifier) = identifier
            && !self.identifiers.insert((session, identifier))
        {
            let identifier = identifier.get();
            self.find(format!("session {session} has the packet identifier {identifier} in use twice"));
        }
        let add = |queued: &mut Amount, in_flight: &mut Amount, released: &mut u64| match record.state {
            DeliveryState::Queued => queued.add(bytes),
            DeliveryState::Sent(_) => in_flight.add(bytes),
            DeliveryState::Released(_) => *released += 1,
        };
        let all = &mut self.figures;
        add(&mut all.queued, &mut all.in_flight, &mut all.released);
        match self.sessions.get_mut(&session) {
            Some(held) => add(&mut held.queued, &mut held.in_flight, &mut held.released),
            // It goes to another member of its group when the broker starts.
            None if record.shared.is_some() && needs_message => {}
            None => self.find(format!("delivery {number} is for session {session}, which is not there")),
        }
    }

    fn of_session(&mut self, number: u64, what: &str, add: impl FnOnce(&mut SessionFigures)) {
        match self.sessions.get_mut(&number) {
            Some(held) => add(held),
            None => self.find(format!("{what} is of session {number}, which is not there")),
        }
    }

    fn require_number(&mut self, what: &str, number: u64) {
        if !(1..=LAST_NUMBER).contains(&number) {
            self.find(format!("{what} has the number {number}; they are counted from 1"));
        }
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        } else {
            self.further_findings += 1;
        }
    }
}
