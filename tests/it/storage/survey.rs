//! What is counted, and what does not go together.

use tidegate::message::Timestamp;
use tidegate::packet::QoS;
use tidegate::storage::{Amount, Change, DeliveryRecord, DeliveryState, SessionRecord, Survey};

use super::changes::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn surveyed(changes: &[Change]) -> Survey {
    let mut survey = Survey::new(NOW);
    changes.iter().for_each(|change| survey.note(change));
    survey.finish();
    survey
}

fn findings(changes: &[Change]) -> Vec<String> {
    surveyed(changes).findings().0.to_vec()
}

fn expiring(number: u64, is_connected: bool, expires_at: Option<u64>) -> Change {
    Change::PutSession(Box::new(SessionRecord {
        number,
        client: client(&number.to_string()),
        expiry_interval: 10,
        expires_at: expires_at.map(Timestamp),
        is_connected,
    }))
}

#[test]
fn everything_is_counted_with_its_bytes() {
    let changes = all_puts();
    let mut survey = surveyed(&changes);
    let figures = survey.finish();
    assert_eq!((figures.sessions, figures.connected_sessions, figures.received), (2, 1, 2));
    assert_eq!(figures.alive, Some(1_800_000_000_000));
    assert_eq!(figures.subscriptions, Amount { count: 2, bytes: 3 + 2 * "$share/g/a/#".len() as u64 });
    assert_eq!(figures.items, Amount { count: 2, bytes: 3 + 3 + 2 });
    assert_eq!((figures.wills.count, figures.messages.count, figures.retained.count), (2, 2, 2));
    assert_eq!(figures.messages.bytes, (message("a/b", "").size() + full_message("a/c").size()) as u64);
    assert_eq!((figures.queued.count, figures.in_flight.count, figures.released), (1, 1, 1));
    assert_eq!(figures.plugins["p"], Amount { count: 2, bytes: 2 + 5 + 1 });
    assert_eq!(figures.expired_state, 1);
}

#[test]
fn what_has_expired_is_counted_as_a_broker_would_see_it() {
    let at = |at, name| {
        let mut message = message(name, "x");
        message.expires_at = Some(Timestamp(at));
        message
    };
    let mut survey = surveyed(&[
        Change::SetAlive(Timestamp(NOW.0 - 20_000)),
        // Its time began when the broker ended.
        expiring(1, true, None),
        expiring(2, false, Some(NOW.0)),
        expiring(3, false, Some(NOW.0 + 1)),
        expiring(4, false, None),
        put_message(1, at(NOW.0, "a")),
        put_message(2, at(NOW.0 + 1, "a")),
        retain(at(NOW.0 - 1, "r")),
    ]);
    let figures = survey.finish();
    assert_eq!((figures.expired_sessions, figures.expired_messages, figures.expired_retained), (2, 1, 1));
}

#[test]
fn the_ten_largest_sessions_are_told_the_largest_first() {
    let mut changes: Vec<_> = (1..=12).map(|number| session(number, client(&number.to_string()))).collect();
    changes.extend((1..=12).map(|number| item(number, "k", vec![0; number as usize])));
    changes.push(put_message(1, message("t", vec![0; 500])));
    changes.push(delivery(20, 1, 1, DeliveryState::Queued));
    let mut survey = surveyed(&changes);
    let largest: Vec<_> =
        survey.finish().largest_sessions.iter().map(|held| (held.number, held.bytes())).collect();
    assert_eq!(largest.len(), 10);
    assert_eq!(largest[..3], [(1, 2 + 501), (12, 13), (11, 12)]);
    assert_eq!(largest[9], (4, 5));
}

#[test]
fn what_goes_together_is_no_finding() {
    let mut changes = vec![session(1, client("a")), session(2, client("b"))];
    changes.extend([subscribe(1, "a"), item(1, "k", ""), received(1, 1), put_message(1, message("t", "x"))]);
    changes.push(delivery(3, 1, 1, DeliveryState::Sent(id(1))));
    // Another session has identifiers of its own, and what is released needs no message.
    changes.push(delivery(4, 2, 0, DeliveryState::Released(id(1))));
    // On its way to another member of the group.
    let record = DeliveryRecord {
        number: 5,
        session: 9,
        message: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Box::default(),
        shared: Some(filter("$share/g/a")),
        state: DeliveryState::Queued,
    };
    changes.push(Change::PutDelivery(Box::new(record)));
    assert_eq!(findings(&changes), [""; 0]);
}

#[test]
fn each_thing_that_does_not_go_together_is_told() {
    let one = || put_message(1, message("t", "x"));
    let cases: [(&[Change], &str); 8] = [
        (&[one()], "message 1 waits for nobody"),
        (
            &[session(1, client("a")), delivery(2, 1, 7, DeliveryState::Queued)],
            "delivery 2 is of message 7, which is not there",
        ),
        (
            &[one(), delivery(2, 5, 1, DeliveryState::Queued)],
            "delivery 2 is for session 5, which is not there",
        ),
        (&[session(1, client("a")), session(2, client("a"))], "sessions 1 and 2 are both of the client `a`"),
        (
            &[
                session(1, client("a")),
                delivery(2, 1, 0, DeliveryState::Released(id(7))),
                delivery(3, 1, 0, DeliveryState::Released(id(7))),
            ],
            "session 1 has the packet identifier 7 in use twice",
        ),
        (&[session(0, client("a"))], "a session has the number 0; they are counted from 1"),
        (
            &[will(u64::MAX, message("w", ""))],
            "a Will has the number 18446744073709551615; they are counted from 1",
        ),
        (&[item(3, "k", "")], "an item is of session 3, which is not there"),
    ];
    for (changes, told) in cases {
        assert_eq!(findings(changes), [told]);
    }
}

#[test]
fn findings_are_told_up_to_a_limit_and_then_counted() {
    let changes: Vec<_> = (1..=150).map(|number| put_message(number, message("t", ""))).collect();
    let survey = surveyed(&changes);
    let (told, further) = survey.findings();
    assert_eq!((told.len(), further), (100, 50));
}
