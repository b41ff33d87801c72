use std::collections::HashMap;
use std::time::Duration;

use super::stamp::{SIZE, Stamp, is_double};
use super::tally::Tally;
use super::*;

fn stamp(number: u64) -> Stamp {
    Stamp { sent: Duration::from_micros(1_234_567), publisher: 7, number }
}

#[test]
fn a_payload_has_its_stamp_and_the_size_that_was_asked_for() {
    for size in [SIZE, SIZE + 1, 1000] {
        let payload = stamp(9).payload(size);
        assert_eq!(payload.len(), size);
        assert_eq!(Stamp::read(&payload), Some(stamp(9)));
    }
    assert_eq!(Stamp::read(b"somebody else's"), None);
}

#[test]
fn what_does_not_come_above_the_last_of_its_publisher_came_before() {
    let mut seen = HashMap::new();
    let found: Vec<bool> = [0, 1, 1, 3, 2, 4].map(|number| is_double(&mut seen, stamp(number))).to_vec();
    assert_eq!(found, [false, false, true, false, true, false]);
    assert!(!is_double(&mut seen, Stamp { publisher: 8, ..stamp(0) }));
}

#[test]
fn what_the_broker_should_not_have_done_is_a_fault() {
    let mut tally = Tally { expected: 10, received: 9, ..Tally::default() };
    assert_eq!(tally.fault(Scenario::Subscribe, QoS::AtMostOnce), None);
    let lost = tally.fault(Scenario::Subscribe, QoS::AtLeastOnce);
    assert_eq!(lost.as_deref(), Some("1 messages that were acknowledged did not come"));
    tally.received = 11;
    tally.doubled = 1;
    assert_eq!(tally.fault(Scenario::Subscribe, QoS::AtLeastOnce), None);
    assert!(tally.fault(Scenario::Subscribe, QoS::ExactlyOnce).is_some());
    tally.fail("refused".to_owned());
    assert!(tally.fault(Scenario::Publish, QoS::AtMostOnce).is_some());
}

#[test]
fn threads_add_up_and_what_they_do_side_by_side_takes_as_long_as_the_longest() {
    let mut sum = Tally { sent: 1, draining: Duration::from_secs(3), ..Tally::default() };
    let mut other = Tally { sent: 2, draining: Duration::from_secs(2), ..Tally::default() };
    other.deliver.record(Duration::from_micros(100));
    sum.add(&other);
    assert_eq!((sum.sent, sum.draining, sum.deliver.count()), (3, Duration::from_secs(3), 1));
}
