//! What is to be committed next, without what has undone itself meanwhile: a message that is queued, sent and
//! acknowledged before the storage comes to it never touches the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::change::{Change, DeliveryRecord, DeliveryState};
use crate::message::ApplicationMessage;
use crate::packet::PacketIdentifier;
use crate::topic::{TopicFilter, TopicName};

/// What the broker has done.
#[derive(Clone, Debug)]
pub enum Op {
    /// About anything but messages, deliveries and the end of sessions.
    Change(Change),
    /// A message waits for a session. Its record names no message: the committer gives those their numbers.
    Enqueue {
        record: Box<DeliveryRecord>,
        message: Arc<ApplicationMessage>,
    },
    SetDeliveryState {
        number: u64,
        state: DeliveryState,
    },
    /// It is acknowledged, has expired, or gave way.
    Dequeue(u64),
    DeleteSession {
        number: u64,
        deliveries: Vec<u64>,
    },
}

/// What the storage holds of deliveries, so that a message is deleted with the last of its deliveries.
#[derive(Default)]
pub(super) struct Books {
    /// Delivery to message; 0 where the message is the client's already.
    deliveries: HashMap<u64, u64>,
    /// Message to the number of its deliveries.
    messages: HashMap<u64, u32>,
    last_message: u64,
    /// Of a session, a Will or a delivery.
    last_number: u64,
}

/// Changes that a batch is made of.
#[derive(Default)]
pub(super) struct Pending {
    changes: HashMap<Key, Change>,
    deliveries: BTreeMap<u64, Step>,
    ended: HashSet<u64>,
}

enum Step {
    /// Without a message where that is the client's already.
    New {
        record: Box<DeliveryRecord>,
        message: Option<Arc<ApplicationMessage>>,
    },
    State(DeliveryState),
    Gone,
}

/// What a change is about.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Session(u64),
    Subscription(u64, TopicFilter),
    Received(u64, PacketIdentifier),
    Item(u64, String),
    Will(u64),
    Retained(TopicName),
    State(String, String),
    Alive,
}

impl Books {
    /// Takes note of what was loaded.
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::PutMessage { number, .. } => {
                self.last_message = self.last_message.max(*number);
                self.messages.entry(*number).or_default();
            }
            Change::PutDelivery(record) => {
                self.last_number = self.last_number.max(record.number);
                let message = match record.state {
                    DeliveryState::Released(_) => 0,
                    _ => record.message,
                };
                self.deliveries.insert(record.number, message);
                if let Some(count) = self.messages.get_mut(&message) {
                    *count += 1;
                }
            }
            Change::PutSession(record) => self.last_number = self.last_number.max(record.number),
            Change::PutWill(record) => self.last_number = self.last_number.max(record.number),
            _ => {}
        }
    }

    /// Messages without a delivery, which a storage should not hold.
    pub(super) fn orphans(&mut self) -> Vec<Change> {
        let orphans: Vec<_> =
            self.messages.iter().filter(|(_, count)| **count == 0).map(|(number, _)| *number).collect();
        self.messages.retain(|_, count| *count > 0);
        ranges(orphans).map(Change::DeleteMessages).collect()
    }

    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Takes note of a batch that was committed.
    pub(super) fn note_batch(&mut self, batch: &[Change]) {
        for change in batch {
            match change {
                Change::SetDeliveryState { number, state: DeliveryState::Released(_) } => {
                    let message = self.deliveries.insert(*number, 0);
                    self.release(message);
                }
                Change::DeleteDeliveries(numbers) => {
                    for number in numbers.clone() {
                        let message = self.deliveries.remove(&number);
                        self.release(message);
                    }
                }
                change => self.note(change),
            }
        }
    }

    /// A delivery needs its message no longer.
    fn release(&mut self, message: Option<u64>) {
        if let Some(message) = message
            && let Some(count) = self.messages.get_mut(&message)
        {
            *count -= 1;
            if *count == 0 {
                self.messages.remove(&message);
            }
        }
    }
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.deliveries.is_empty() && self.ended.is_empty()
    }

    pub(super) fn add(&mut self, op: Op) {
        match op {
            Op::Change(change) => {
                if let Some(key) = key(&change) {
                    self.changes.insert(key, change);
                }
            }
            Op::Enqueue { record, message } => {
                self.deliveries.insert(record.number, Step::New { record, message: Some(message) });
            }
            Op::SetDeliveryState { number, state } => match self.deliveries.get_mut(&number) {
                Some(Step::New { record, .. }) => record.state = state,
                Some(Step::Gone) => {}
                Some(Step::State(_)) | None => drop(self.deliveries.insert(number, Step::State(state))),
            },
            Op::Dequeue(number) => self.dequeue(number),
            Op::DeleteSession { number, deliveries } => {
                deliveries.into_iter().for_each(|number| self.dequeue(number));
                self.ended.insert(number);
            }
        }
    }

    fn dequeue(&mut self, number: u64) {
        match self.deliveries.get(&number) {
            Some(Step::New { .. }) => drop(self.deliveries.remove(&number)),
            _ => drop(self.deliveries.insert(number, Step::Gone)),
        }
    }

    /// What was taken as a batch that was not carried out.
    pub(super) fn of(batch: Vec<Change>) -> Pending {
        let (mut pending, mut messages) = (Pending::default(), HashMap::new());
        for change in &batch {
            if let Change::PutMessage { number, message } = change {
                messages.insert(*number, message.clone());
            }
        }
        for change in batch {
            match change {
                Change::PutDelivery(record) => {
                    let number = record.number;
                    let step = match messages.get(&record.message) {
                        Some(message) => Step::New { record, message: Some(message.clone()) },
                        None => Step::New { record, message: None },
                    };
                    pending.deliveries.insert(number, step);
                }
                Change::SetDeliveryState { number, state } => {
                    pending.deliveries.insert(number, Step::State(state));
                }
                Change::DeleteDeliveries(numbers) => {
                    pending.deliveries.extend(numbers.map(|number| (number, Step::Gone)));
                }
                Change::DeleteSession(number) => drop(pending.ended.insert(number)),
                Change::PutMessage { .. } | Change::DeleteMessages(_) => {}
                change => pending.add(Op::Change(change)),
            }
        }
        pending
    }

    /// All of it as a batch. Once that is carried out, `books` are to be [told](Books::note_batch).
    pub(super) fn take(&mut self, books: &Books) -> Vec<Change> {
        let Pending { changes, deliveries, ended } = std::mem::take(self);
        let lives = |key: &Key| key.session().is_none_or(|session| !ended.contains(&session));
        let mut batch: Vec<_> =
            changes.into_iter().filter(|(key, _)| lives(key)).map(|(_, change)| change).collect();
        // Messages by where they lie: what is to be put holds them, so that none takes the place of another.
        let (mut numbers, mut last_message) = (HashMap::new(), books.last_message);
        let (mut gone, mut released) = (Vec::new(), HashMap::<u64, u32>::new());
        for (number, step) in deliveries {
            match step {
                Step::New { mut record, message } => {
                    let message = message.filter(|_| !matches!(record.state, DeliveryState::Released(_)));
                    record.message = message.map_or(0, |message| {
                        *numbers.entry(Arc::as_ptr(&message)).or_insert_with(|| {
                            last_message += 1;
                            batch.push(Change::PutMessage { number: last_message, message });
                            last_message
                        })
                    });
                    batch.push(Change::PutDelivery(record));
                }
                Step::State(state) => {
                    let Some(message) = books.deliveries.get(&number) else { continue };
                    if matches!(state, DeliveryState::Released(_)) {
                        *released.entry(*message).or_default() += 1;
                    }
                    batch.push(Change::SetDeliveryState { number, state });
                }
                Step::Gone => {
                    let Some(message) = books.deliveries.get(&number) else { continue };
                    *released.entry(*message).or_default() += 1;
                    gone.push(number);
                }
            }
        }
        let is_last = |(message, count): &(u64, u32)| books.messages.get(message) == Some(count);
        let unneeded = released.into_iter().filter(is_last).map(|(message, _)| message).collect();
        batch.extend(ranges(gone).map(Change::DeleteDeliveries));
        batch.extend(ranges(unneeded).map(Change::DeleteMessages));
        batch.extend(ended.into_iter().map(Change::DeleteSession));
        batch
    }
}

impl Key {
    /// Whose end is its end too.
    fn session(&self) -> Option<u64> {
        match self {
            Key::Session(session)
            | Key::Subscription(session, _)
            | Key::Received(session, _)
            | Key::Item(session, _) => Some(*session),
            Key::Will(_) | Key::Retained(_) | Key::State(..) | Key::Alive => None,
        }
    }
}

/// None for what is counted with messages and deliveries.
fn key(change: &Change) -> Option<Key> {
    Some(match change {
        Change::PutSession(record) => Key::Session(record.number),
        Change::PutSubscription { session, filter, .. } | Change::DeleteSubscription { session, filter } => {
            Key::Subscription(*session, filter.clone())
        }
        Change::PutReceived { session, packet_identifier }
        | Change::DeleteReceived { session, packet_identifier } => {
            Key::Received(*session, *packet_identifier)
        }
        Change::PutItem { session, key, .. } | Change::DeleteItem { session, key } => {
            Key::Item(*session, key.clone())
        }
        Change::PutWill(record) => Key::Will(record.number),
        Change::DeleteWill(number) => Key::Will(*number),
        Change::PutRetained(message) => Key::Retained(message.topic.clone()),
        Change::DeleteRetained(topic) => Key::Retained(topic.clone()),
        Change::PutState { plugin, key, .. } | Change::DeleteState { plugin, key } => {
            Key::State(plugin.clone(), key.clone())
        }
        Change::SetAlive(_) => Key::Alive,
        Change::DeleteSession(_)
        | Change::PutMessage { .. }
        | Change::DeleteMessages(_)
        | Change::PutDelivery(_)
        | Change::SetDeliveryState { .. }
        | Change::DeleteDeliveries(_) => return None,
    })
}

/// Numbers that follow each other, as ranges.
fn ranges(mut numbers: Vec<u64>) -> impl Iterator<Item = std::ops::RangeInclusive<u64>> {
    numbers.sort_unstable();
    let mut rest = numbers.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = rest.next()?;
        let mut last = first;
        while let Some(next) = rest.next_if(|next| *next == last + 1) {
            last = next;
        }
        Some(first..=last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::QoS;

    fn message(payload: &str) -> Arc<ApplicationMessage> {
        let topic = TopicName::try_from("t").unwrap();
        Arc::new(ApplicationMessage::new(topic, payload.to_string()).with_qos(QoS::AtLeastOnce))
    }

    fn id(n: u16) -> PacketIdentifier {
        PacketIdentifier::new(n).unwrap()
    }

    fn enqueue(number: u64, session: u64, message: &Arc<ApplicationMessage>) -> Op {
        let record = DeliveryRecord {
            number,
            session,
            message: 0,
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Box::default(),
            shared: None,
            state: DeliveryState::Queued,
        };
        Op::Enqueue { record: Box::new(record), message: message.clone() }
    }

    fn batch(books: &mut Books, ops: impl IntoIterator<Item = Op>) -> Vec<String> {
        let mut pending = Pending::default();
        ops.into_iter().for_each(|op| pending.add(op));
        let batch = pending.take(books);
        assert!(pending.is_empty());
        // One that was not carried out is the same when it is taken again.
        let mut again = Pending::of(batch.clone()).take(books);
        let key = |change: &Change| short(change);
        again.sort_by_key(key);
        let mut sorted = batch.clone();
        sorted.sort_by_key(key);
        assert_eq!(again, sorted);
        books.note_batch(&batch);
        batch.iter().map(short).collect()
    }

    fn short(change: &Change) -> String {
        match change {
            Change::PutMessage { number, .. } => format!("+m{number}"),
            Change::DeleteMessages(range) => format!("-m{range:?}"),
            Change::PutDelivery(record) => {
                format!("+d{} m{} {:?}", record.number, record.message, record.state)
            }
            Change::SetDeliveryState { number, state } => format!("d{number} {state:?}"),
            Change::DeleteDeliveries(range) => format!("-d{range:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_message_is_kept_once_for_all_of_its_receivers_and_until_the_last_has_it() {
        let (mut books, one) = (Books::default(), message("1"));
        let put = batch(&mut books, (1..=3).map(|n| enqueue(n, n, &one)));
        assert_eq!(put, ["+m1", "+d1 m1 Queued", "+d2 m1 Queued", "+d3 m1 Queued"]);
        assert_eq!(batch(&mut books, [Op::Dequeue(3), Op::Dequeue(2)]), ["-d2..=3"]);
        assert_eq!(batch(&mut books, [Op::Dequeue(1)]), ["-d1..=1", "-m1..=1"]);
        assert_eq!(batch(&mut books, [enqueue(4, 1, &one)]), ["+m2", "+d4 m2 Queued"]);
    }

    #[test]
    fn what_comes_and_goes_before_it_is_committed_is_never_written() {
        let (mut books, one) = (Books::default(), message("1"));
        let sent = Op::SetDeliveryState { number: 1, state: DeliveryState::Sent(id(1)) };
        assert!(batch(&mut books, [enqueue(1, 1, &one), sent, Op::Dequeue(1)]).is_empty());
        assert!(batch(&mut books, [Op::Dequeue(1)]).is_empty());
    }

    #[test]
    fn a_message_that_was_released_is_kept_no_longer_though_its_identifier_is() {
        let (mut books, one) = (Books::default(), message("1"));
        batch(&mut books, [enqueue(1, 1, &one)]);
        let state = |state| Op::SetDeliveryState { number: 1, state };
        let sent = state(DeliveryState::Sent(id(7)));
        assert_eq!(batch(&mut books, [sent]).len(), 1);
        let released = batch(&mut books, [state(DeliveryState::Released(id(7)))]);
        assert_eq!(released.len(), 2);
        assert_eq!(released[1], "-m1..=1");
        assert_eq!(batch(&mut books, [Op::Dequeue(1)]), ["-d1..=1"]);
        // The same where it never lay on the disk before.
        let ops =
            [enqueue(2, 1, &one), Op::SetDeliveryState { number: 2, state: DeliveryState::Released(id(8)) }];
        assert_eq!(batch(&mut books, ops).len(), 1);
    }

    #[test]
    fn what_comes_behind_a_batch_that_was_not_carried_out_undoes_it() {
        let (books, one) = (Books::default(), message("1"));
        let mut pending = Pending::default();
        pending.add(enqueue(1, 1, &one));
        pending.add(enqueue(2, 1, &one));
        let batch = pending.take(&books);
        let mut again = Pending::of(batch);
        again.add(Op::Dequeue(1));
        assert_eq!(again.take(&books).iter().map(short).collect::<Vec<_>>(), ["+m1", "+d2 m1 Queued"]);
    }

    #[test]
    fn of_a_session_that_ends_nothing_else_is_written() {
        let (mut books, one) = (Books::default(), message("1"));
        batch(&mut books, [enqueue(1, 5, &one)]);
        let received = Change::PutReceived { session: 5, packet_identifier: id(1) };
        let ended = Op::DeleteSession { number: 5, deliveries: vec![1, 2] };
        let left = batch(&mut books, [Op::Change(received), enqueue(2, 5, &one), ended]);
        assert_eq!(left, ["-d1..=1", "-m1..=1", "DeleteSession(5)"]);
    }

    #[test]
    fn of_changes_of_one_thing_the_last_is_written() {
        let books = Books::default();
        let set = |payload| Op::Change(Change::PutRetained(message(payload)));
        let mut pending = Pending::default();
        [set("1"), set("2"), set("3")].into_iter().for_each(|op| pending.add(op));
        assert_eq!(pending.take(&books), [Change::PutRetained(message("3"))]);
    }

    #[test]
    fn what_was_loaded_is_known_and_what_nobody_waits_for_is_deleted() {
        let (mut books, one) = (Books::default(), message("1"));
        for number in 1..=3 {
            books.note(&Change::PutMessage { number, message: one.clone() });
        }
        let Op::Enqueue { mut record, .. } = enqueue(9, 1, &one) else { panic!() };
        record.message = 2;
        books.note(&Change::PutDelivery(record));
        assert_eq!(books.orphans(), [Change::DeleteMessages(1..=1), Change::DeleteMessages(3..=3)]);
        assert_eq!(books.last_number(), 9);
        assert_eq!(batch(&mut books, [enqueue(10, 1, &one)]), ["+m4", "+d10 m4 Queued"]);
        assert_eq!(batch(&mut books, [Op::Dequeue(9)]), ["-d9..=9", "-m2..=2"]);
    }
}
