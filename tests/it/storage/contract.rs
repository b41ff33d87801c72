//! What every storage has to do, one function each.

use std::sync::Arc;

use tidegate::message::{ApplicationMessage, Timestamp};
use tidegate::storage::{Change, DeliveryState, Storage};

use super::changes::*;
use super::{Place, loaded, sorted};

type Check = fn(&dyn Place);

const ALL: [(&str, Check); 12] = [
    ("an empty storage holds nothing", an_empty_storage_holds_nothing),
    ("what was put is loaded, also by the next who opens it", what_was_put_is_loaded),
    ("what is put replaces what has the same key", what_is_put_replaces),
    ("what is deleted is gone", what_is_deleted_is_gone),
    ("deleting what is absent is no fault", deleting_what_is_absent_is_no_fault),
    ("a session's end takes what belongs to it", a_session_ends_with_what_belongs_to_it),
    ("only what belongs to a session is loaded", nothing_is_loaded_without_its_session),
    ("messages and deliveries are deleted by range", ranges_are_deleted),
    ("a delivery's state changes only where it is", a_state_changes_only_where_a_delivery_is),
    ("it is handed over in order", it_is_handed_over_in_order),
    ("a batch may be given again", a_batch_may_be_given_again),
    ("texts are kept as they are", texts_are_kept_as_they_are),
];

/// Each in a place of its own.
pub fn holds(mut place: impl FnMut() -> Box<dyn Place>) {
    for (what, check) in ALL {
        println!("{what}");
        check(&*place());
    }
    println!("large ones are kept");
    large_ones_are_kept(&*place());
}

fn expect(storage: &dyn Storage, changes: impl IntoIterator<Item = Change>) {
    assert_eq!(sorted(loaded(storage)), sorted(changes));
}

/// Commits, and expects exactly this afterwards, from the next who opens it too.
fn holds_after(place: &dyn Place, batches: &[&[Change]], expected: &[Change]) {
    let storage = place.open();
    batches.iter().for_each(|batch| storage.commit(batch).unwrap());
    expect(&*storage, expected.to_vec());
    drop(storage);
    expect(&*place.open(), expected.to_vec());
}

fn an_empty_storage_holds_nothing(place: &dyn Place) {
    holds_after(place, &[], &[]);
    holds_after(place, &[&[]], &[]);
}

fn what_was_put_is_loaded(place: &dyn Place) {
    holds_after(place, &[&all_puts()], &all_puts());
}

fn what_is_put_replaces(place: &dyn Place) {
    let first = [
        Change::SetAlive(Timestamp(1)),
        full_session(1),
        subscribe(1, "a"),
        item(1, "k", "1"),
        full_will(2),
        full_delivery(3, 1, 0),
        retain(full_message("r")),
        plugin_state("p", "k", "1"),
    ];
    let second = [
        Change::SetAlive(Timestamp(2)),
        session(1, client("other")),
        Change::PutSubscription {
            session: 1,
            filter: filter("a"),
            routed: Some(filter("b")),
            subscription: full_subscription(),
        },
        item(1, "k", "2"),
        will(2, message("w", "2")),
        delivery(3, 1, 1, DeliveryState::Queued),
        retain(message("r", "2")),
        Change::PutState {
            plugin: "p".into(),
            key: "k".into(),
            value: "2".into(),
            expires_at: Some(Timestamp(9)),
        },
    ];
    holds_after(place, &[&first, &second], &second);
}

fn what_is_deleted_is_gone(place: &dyn Place) {
    let kept = [session(1, client("c")), subscribe(1, "kept"), retain(message("kept", "x"))];
    let gone = [
        subscribe(1, "a"),
        received(1, 7),
        item(1, "k", "v"),
        will(2, message("w", "x")),
        put_message(1, message("t", "x")),
        delivery(3, 1, 1, DeliveryState::Queued),
        retain(message("r", "x")),
        plugin_state("p", "k", "v"),
    ];
    let delete = deletions();
    holds_after(place, &[&kept, &gone, &delete], &kept);
}

/// Of what [`what_is_deleted_is_gone`] puts.
fn deletions() -> [Change; 8] {
    [
        unsubscribe(1, "a"),
        Change::DeleteReceived { session: 1, packet_identifier: id(7) },
        Change::DeleteItem { session: 1, key: "k".into() },
        Change::DeleteWill(2),
        Change::DeleteMessages(1..=1),
        Change::DeleteDeliveries(3..=3),
        forget("r"),
        Change::DeleteState { plugin: "p".into(), key: "k".into() },
    ]
}

fn deleting_what_is_absent_is_no_fault(place: &dyn Place) {
    let session_too = [Change::DeleteSession(1)];
    holds_after(place, &[&deletions(), &session_too], &[]);
}

fn a_session_ends_with_what_belongs_to_it(place: &dyn Place) {
    let mine = [session(1, client("c")), subscribe(1, "a"), received(1, 1), item(1, "k", "v")];
    let others = [session(2, client("d")), subscribe(2, "a"), received(2, 1), item(2, "k", "v")];
    // What is put in the batch of its end goes with it.
    let end = [subscribe(1, "late"), Change::DeleteSession(1)];
    holds_after(place, &[&mine, &others, &end], &others);
}

fn nothing_is_loaded_without_its_session(place: &dyn Place) {
    let alone = [subscribe(1, "a"), received(1, 1), item(1, "k", "v")];
    holds_after(place, &[&alone, &[session(2, client("c"))]], &[session(2, client("c"))]);
}

fn ranges_are_deleted(place: &dyn Place) {
    let messages: Vec<_> = (1..=20).map(|n| put_message(n, message("t", "x"))).collect();
    let deliveries: Vec<_> = (101..=120).map(|n| delivery(n, 1, n - 100, DeliveryState::Queued)).collect();
    let delete = [
        Change::DeleteMessages(1..=5),
        Change::DeleteMessages(7..=7),
        Change::DeleteMessages(19..=u64::MAX),
        Change::DeleteDeliveries(0..=101),
        Change::DeleteDeliveries(110..=115),
    ];
    let left = messages[5..6].iter().chain(&messages[7..18]);
    let left: Vec<_> = left.chain(&deliveries[1..9]).chain(&deliveries[15..]).cloned().collect();
    holds_after(place, &[&messages, &deliveries, &delete], &left);
}

fn a_state_changes_only_where_a_delivery_is(place: &dyn Place) {
    let queued: Vec<_> = (1..=200).map(|n| delivery(n, 1, 1, DeliveryState::Queued)).collect();
    let state = |n: u64| match n % 3 {
        0 => DeliveryState::Queued,
        1 => DeliveryState::Sent(id(n as u16)),
        _ => DeliveryState::Released(id(n as u16)),
    };
    let set: Vec<_> = (1..=300).map(|n| set_state(n, state(n))).collect();
    let now: Vec<_> = (1..=200).map(|n| delivery(n, 1, 1, state(n))).collect();
    holds_after(place, &[&queued, &set], &now);
}

fn it_is_handed_over_in_order(place: &dyn Place) {
    let storage = place.open();
    let mut backwards = all_puts();
    backwards.extend([30, 9, 10].map(|n| session(n, client("c"))));
    backwards.extend([30, 9, 10].map(|n| subscribe(n, "a")));
    backwards.extend([300, 90, 256].map(|n| put_message(n, message("t", "x"))));
    backwards.extend([300, 90, 256].map(|n| delivery(n, 1, n, DeliveryState::Queued)));
    backwards.extend([300, 90, 256].map(|n| will(n, message("w", "x"))));
    backwards.reverse();
    storage.commit(&backwards).unwrap();
    let places: Vec<_> = loaded(&*storage).iter().map(place_of).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert_eq!(places.len(), backwards.len());
}

/// Its turn, and its number where that counts.
fn place_of(change: &Change) -> (u8, u64) {
    match change {
        Change::SetAlive(_) => (0, 0),
        Change::PutSession(record) => (1, record.number),
        Change::PutSubscription { .. } | Change::PutReceived { .. } | Change::PutItem { .. } => (2, 0),
        Change::PutWill(record) => (3, record.number),
        Change::PutMessage { number, .. } => (4, *number),
        Change::PutDelivery(record) => (5, record.number),
        Change::PutRetained(_) | Change::PutState { .. } => (6, 0),
        other => panic!("{other:?} puts nothing"),
    }
}

fn a_batch_may_be_given_again(place: &dyn Place) {
    let puts = all_puts();
    let mut deletes = deletions().to_vec();
    deletes.extend([set_state(6, DeliveryState::Released(id(1))), Change::DeleteSession(1)]);
    let storage = place.open();
    storage.commit(&puts).unwrap();
    storage.commit(&puts).unwrap();
    expect(&*storage, puts.clone());
    storage.commit(&deletes).unwrap();
    let once = sorted(loaded(&*storage));
    storage.commit(&deletes).unwrap();
    assert_eq!(sorted(loaded(&*storage)), once);
    storage.commit(&puts).unwrap();
    expect(&*storage, puts);
}

/// MQTT compares strings byte by byte [MQTT-4.7.3-4]; databases have other ideas.
fn texts_are_kept_as_they_are(place: &dyn Place) {
    let texts = [
        "a",
        "A",
        "a ",
        " a",
        "a  ",
        "\u{e4}",
        "\u{c4}",
        "a\u{308}",
        "e",
        "\u{e9}",
        "ss",
        "\u{df}",
        "\u{1f30a}",
        "\u{1f30b}",
        "\u{10ffff}",
        "\u{feff}a",
        "a\tb",
        "a\nb",
        "'",
        "\"",
        "`",
        "\\",
        "a\\'; --",
        "%",
        "?",
        ":a",
        "$1",
        "{}",
        "\u{1}",
        "\u{7f}",
        "/",
        "//",
        " ",
        "  ",
        "\u{a0}",
        "NULL",
        "0",
        "00",
        "0x41",
        "\u{ff41}",
    ];
    let mut all = vec![];
    for (number, text) in (1..).zip(texts) {
        let user = tidegate::storage::ClientRecord {
            user_name: Some(text.into()),
            listener: text.into(),
            ..client(text)
        };
        all.push(session(number, user));
        all.push(subscribe(1, text));
        all.push(item(1, text, text));
        all.push(item(number, "", "x"));
        all.push(plugin_state(text, text, text));
        all.push(plugin_state("", text, "1"));
        all.push(plugin_state(text, "", "2"));
        all.push(retain(message(text, text)));
    }
    // Not what MQTT allows, but what a plugin can choose.
    for text in ["\0", "a\0", "a\0b", "\0a"] {
        all.push(item(1, text, "x"));
        all.push(plugin_state("p", text, "x"));
        all.push(plugin_state(text, "p", "y"));
    }
    let empty = tidegate::storage::ClientRecord { user_name: Some("".into()), ..client("") };
    all.push(session(1_000, empty));
    holds_after(place, &[&all], &all);
    let half: Vec<_> =
        texts.iter().step_by(2).flat_map(|text| [forget(text), unsubscribe(1, text)]).collect();
    let left = all.into_iter().filter(|change| match change {
        Change::PutRetained(message) => !half.contains(&forget(message.topic.as_str())),
        Change::PutSubscription { filter, .. } => !half.contains(&unsubscribe(1, filter.as_str())),
        _ => true,
    });
    holds_after(place, &[&half], &left.collect::<Vec<_>>());
}

fn large_ones_are_kept(place: &dyn Place) {
    let long = "x".repeat(65_534);
    let payload: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let large = Arc::new(ApplicationMessage {
        payload: payload.clone().into(),
        ..full_message(&(long.clone() + "a"))
    });
    let mut all = vec![
        session(1, client(&(long.clone() + "y"))),
        Change::PutMessage { number: 1, message: large.clone() },
        Change::PutRetained(large),
        item(1, &long, payload.clone()),
        plugin_state(&long, &long, payload),
    ];
    // They differ in the last byte.
    all.extend(["b", "c"].map(|end| retain(message(&(long.clone() + end), "x"))));
    all.extend(["a", "b", "c"].map(|end| subscribe(1, &(long.clone() + end))));
    holds_after(place, &[&all], &all);
    let delete =
        [forget(&(long.clone() + "a")), Change::DeleteMessages(1..=1), unsubscribe(1, &(long + "b"))];
    let left = [0, 3, 4, 5, 6, 7, 9].map(|at| all[at].clone());
    holds_after(place, &[&delete], &left);
}
