//! Batches at random: a backend holds after them what memory holds.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate::message::Timestamp;
use tidegate::storage::{Change, DeliveryState, Storage};

use super::changes::*;
use super::{Memory, Place, loaded, sorted};

pub fn history() -> impl Strategy<Value = Vec<Vec<Change>>> {
    vec(vec(change(), 0..40).prop_map(batch), 1..8)
}

/// Has a backend and memory go through it.
pub fn ends_as_in_memory(place: &dyn Place, history: &[Vec<Change>]) -> Result<(), TestCaseError> {
    let (memory, storage) = (Memory::default().open(), place.open());
    for batch in history {
        memory.commit(batch).unwrap();
        storage.commit(batch).unwrap();
    }
    let held = |storage: Arc<dyn Storage>| sorted(loaded(&*storage));
    let expected = held(memory);
    prop_assert_eq!(&held(storage), &expected);
    prop_assert_eq!(&held(place.open()), &expected, "when it was opened again");
    Ok(())
}

/// Of few things, so that they meet again.
fn change() -> impl Strategy<Value = Change> {
    let session_number = 1..4u64;
    let text = prop_oneof![Just("a"), Just("A"), Just("a/b"), Just("\u{1f30a}")];
    let payload = vec(any::<u8>(), 0..300);
    let state = prop_oneof![
        Just(DeliveryState::Queued),
        (1..4u16).prop_map(|n| DeliveryState::Sent(id(n))),
        (1..4u16).prop_map(|n| DeliveryState::Released(id(n))),
    ];
    let of_session = (session_number, text.clone(), payload.clone(), 0..8u8).prop_map(
        |(n, text, payload, what)| match what {
            0 => session(n, client(text)),
            1 => full_session(n),
            2 => subscribe(n, text),
            3 => unsubscribe(n, text),
            4 => item(n, text, payload),
            5 => Change::DeleteItem { session: n, key: text.into() },
            6 => received(n, 1 + payload.len() as u16 % 3),
            _ => Change::DeleteReceived { session: n, packet_identifier: id(1 + payload.len() as u16 % 3) },
        },
    );
    let of_message =
        (1..20u64, 0..6u64, payload.clone(), state, 0..8u8).prop_map(|(n, more, payload, state, what)| {
            match what {
                0 | 1 => put_message(n, message("t", payload)),
                2 | 3 => delivery(n, more, more, state),
                4 => full_delivery(n, more, more),
                5 => set_state(n, state),
                6 => Change::DeleteMessages(n..=n + more),
                _ => Change::DeleteDeliveries(n..=n + more),
            }
        });
    let other = (text, payload, 0..8u64, 0..8u8).prop_map(|(text, payload, n, what)| match what {
        0 | 1 => retain(message(text, payload)),
        2 => forget(text),
        3 => plugin_state("p", text, payload),
        4 => Change::DeleteState { plugin: "p".into(), key: text.into() },
        5 => will(n, message(text, payload)),
        6 => Change::DeleteWill(n),
        _ => Change::SetAlive(Timestamp(n)),
    });
    let end = (1..4u64).prop_map(Change::DeleteSession);
    prop_oneof![4 => of_session, 6 => of_message, 4 => other, 1 => end]
}

/// What a committer would give: each change is about something of its own, and sessions end last.
fn batch(changes: Vec<Change>) -> Vec<Change> {
    let mut met = HashSet::new();
    let (mut batch, mut ends) = (Vec::new(), Vec::new());
    for change in changes {
        let about = about(&change);
        if about.iter().all(|what| !met.contains(what)) {
            met.extend(about);
            if matches!(change, Change::DeleteSession(_)) { ends.push(change) } else { batch.push(change) }
        }
    }
    batch.extend(ends);
    batch
}

fn about(change: &Change) -> Vec<String> {
    match change {
        Change::PutSession(record) => vec![format!("session {}", record.number)],
        Change::DeleteSession(number) => vec![format!("end {number}")],
        Change::PutSubscription { session, filter, .. } | Change::DeleteSubscription { session, filter } => {
            vec![format!("subscription {session} {filter}")]
        }
        Change::PutReceived { session, packet_identifier }
        | Change::DeleteReceived { session, packet_identifier } => {
            vec![format!("received {session} {packet_identifier:?}")]
        }
        Change::PutItem { session, key, .. } | Change::DeleteItem { session, key } => {
            vec![format!("item {session} {key}")]
        }
        Change::PutWill(record) => vec![format!("will {}", record.number)],
        Change::DeleteWill(number) => vec![format!("will {number}")],
        Change::PutMessage { number, .. } => vec![format!("message {number}")],
        Change::DeleteMessages(numbers) => {
            numbers.clone().map(|number| format!("message {number}")).collect()
        }
        Change::PutDelivery(record) => vec![format!("delivery {}", record.number)],
        Change::SetDeliveryState { number, .. } => vec![format!("delivery {number}")],
        Change::DeleteDeliveries(numbers) => {
            numbers.clone().map(|number| format!("delivery {number}")).collect()
        }
        Change::PutRetained(message) => vec![format!("retained {}", message.topic)],
        Change::DeleteRetained(topic) => vec![format!("retained {topic}")],
        Change::PutState { key, .. } | Change::DeleteState { key, .. } => vec![format!("state {key}")],
        Change::SetAlive(_) => vec!["alive".into()],
    }
}
