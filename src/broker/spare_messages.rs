//! Messages that were delivered, kept to be other messages.
//!
//! A read brings more messages than the allocator keeps ready for a thread, so that each would have it look for a
//! place and put it back: 200 of 3,670 instructions per message (`callgrind` on scenario C).

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::message::ApplicationMessage;
use crate::topic::TopicName;

/// Messages that a thread keeps, about 128 KB: as many as a hundred publishers bring before it is their receivers' turn. With
/// 64, five of six were not kept.
const MOST: usize = 1024;

thread_local! {
    static SPARES: RefCell<Vec<Arc<ApplicationMessage>>> = const { RefCell::new(Vec::new()) };
}

/// A message to be shared by its receivers.
pub fn share(message: ApplicationMessage) -> Arc<ApplicationMessage> {
    let Some(mut spare) = SPARES.with_borrow_mut(Vec::pop) else { return Arc::new(message) };
    match Arc::get_mut(&mut spare) {
        Some(place) => {
            // Nothing is in it that would have to be given back: see there.
            std::mem::forget(std::mem::replace(place, message));
            spare
        }
        None => Arc::new(message),
    }
}

/// A receiver is done with a message. The last one keeps its place, and nothing that it held.
pub fn give_back(mut message: Arc<ApplicationMessage>) {
    let Some(spare) = Arc::get_mut(&mut message) else { return };
    spare.topic = TopicName::of_publish(ByteString::from_static("-"));
    spare.payload = Bytes::new();
    spare.properties = None;
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < MOST {
            spares.push(message);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &Bytes) -> Arc<ApplicationMessage> {
        share(ApplicationMessage::new(TopicName::try_from("t").unwrap(), payload.clone()))
    }

    #[test]
    fn what_was_delivered_is_the_next_message_and_keeps_no_buffer() {
        let buffer = Bytes::from(vec![1; 100]);
        let first = message(&buffer);
        let place = Arc::as_ptr(&first);
        give_back(first);
        assert!(buffer.is_unique());
        let second = message(&buffer);
        assert_eq!((Arc::as_ptr(&second), second.topic.as_str(), &second.payload), (place, "t", &buffer));
    }

    #[test]
    fn what_another_receiver_still_has_stays_as_it_is() {
        let kept = message(&Bytes::from_static(b"kept"));
        give_back(kept.clone());
        let next = message(&Bytes::from_static(b"next"));
        assert_eq!((&kept.payload[..], &next.payload[..]), (&b"kept"[..], &b"next"[..]));
    }

    #[test]
    fn a_thread_keeps_no_more_than_a_few() {
        let messages: Vec<_> = (0..10 * MOST).map(|_| message(&Bytes::new())).collect();
        messages.into_iter().for_each(give_back);
        assert_eq!(SPARES.with_borrow(Vec::len), MOST);
    }
}
