//! When a message that waits gives up its share of a read buffer.
//!
//! Messages are slices of the buffer they were read into, and a few bytes keep all of it. So those that wait for
//! long are copies. To copy what is sent in the next moment costs three allocations for nothing (a sixth of the
//! CPU of a fan-in, `benches/compare -- --scenario A1`): as long as a thread has few buffers in use, only messages
//! for sessions without a connection are copied.

use std::cell::Cell;
use std::sync::Arc;

use super::attachment::Blocked;
use crate::message::ApplicationMessage;
use crate::session::Delivery;

/// Where many buffers are in use, those who come behind this many others are copies. So many buffers can the messages
/// of one connection keep, of which no limit knows.
const BEHIND: usize = 8;

thread_local! {
    static MANY_BUFFERS: Cell<bool> = const { Cell::new(false) };
}

/// Says whether messages that were read on this thread keep many buffers.
pub fn note_many_buffers(many: bool) {
    MANY_BUFFERS.set(many);
}

#[cfg(test)]
pub fn are_many_buffers_noted() -> bool {
    MANY_BUFFERS.get()
}

/// Whether a message is to be copied that comes behind so many others, which wait or are in flight, for a connection
/// that takes some, or is blocked.
pub(super) fn is_due(behind: impl FnOnce() -> usize, blocked: Blocked) -> bool {
    MANY_BUFFERS.get() && (blocked == Blocked::Yes || behind() >= BEHIND)
}

/// The copy of a message that shares no memory with a read buffer, made when it is first needed and then
/// shared by all receivers.
#[derive(Default)]
pub(super) struct Detached(Option<(Arc<ApplicationMessage>, Arc<ApplicationMessage>)>);

impl Detached {
    pub fn detach(&mut self, delivery: &mut Delivery) {
        if !delivery.detached {
            delivery.message = self.of(&delivery.message);
            delivery.detached = true;
            delivery.detach_original();
        }
    }

    fn of(&mut self, message: &Arc<ApplicationMessage>) -> Arc<ApplicationMessage> {
        match &self.0 {
            Some((original, copy)) if Arc::ptr_eq(original, message) => copy.clone(),
            _ => {
                let copy = Arc::new(message.to_detached());
                self.0 = Some((message.clone(), copy.clone()));
                copy
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::session_entry::{Link, SessionEntry};
    use crate::broker::shared;
    use crate::message::Timestamp;
    use crate::packet::QoS;
    use crate::session::Outgoing;

    /// A session whose client takes messages, or does not, on a thread where many buffers are in use.
    fn session(blocked: Blocked) -> Arc<SessionEntry> {
        note_many_buffers(true);
        let entry = shared::tests::entry(1);
        let mut state = entry.lock();
        let client = state.last_client.clone();
        entry.set_link(&mut state, client, Link { waker: None, home: None, blocked, end: None });
        drop(state);
        entry
    }

    /// Whether the message is copied that comes now and is sent at once.
    fn is_copied(entry: &SessionEntry, qos: QoS) -> bool {
        let message = ApplicationMessage { qos, ..ApplicationMessage::new("t".try_into().unwrap(), "x") };
        let message = Arc::new(message);
        let delivery = Delivery::new(message.clone(), QoS::ExactlyOnce, false);
        entry.enqueue(delivery, &mut Detached::default(), || true).unwrap();
        let mut state = entry.lock();
        match state.session.next_outgoing(Timestamp(0), |_, _| true, |_, _| {}).unwrap() {
            Outgoing::AtMostOnce(sent) => !Arc::ptr_eq(&sent.message, &message),
            Outgoing::Acknowledged { delivery, .. } => !Arc::ptr_eq(&delivery.message, &message),
            Outgoing::Pubrel(_) => panic!("no message"),
        }
    }

    #[test]
    fn what_comes_for_a_client_that_does_not_read_is_copied() {
        // The first 32 messages of each such client kept a read buffer each, of which no limit knew.
        assert!(is_copied(&session(Blocked::Yes), QoS::AtMostOnce));
        let reads = session(Blocked::No);
        assert!((0..1000).all(|_| !is_copied(&reads, QoS::AtMostOnce)));
    }

    #[test]
    fn what_comes_for_a_client_that_does_not_acknowledge_is_copied() {
        // The first 256 messages kept a read buffer each for as long as the client did not acknowledge them.
        let entry = session(Blocked::No);
        let copied = (0..50).filter(|_| is_copied(&entry, QoS::AtLeastOnce)).count();
        assert_eq!(copied, 50 - BEHIND);
    }

    #[test]
    fn nothing_is_copied_where_few_buffers_are_in_use() {
        let entry = session(Blocked::Yes);
        note_many_buffers(false);
        assert!(!is_copied(&entry, QoS::AtMostOnce));
    }
}
