use super::*;
use crate::client::error::PublishResult;
use crate::message::Timestamp;
use crate::packet::ReasonCode;
use crate::session::Overflow;

type Queue = Outbound<u32>;

fn queue(messages: usize, overflow: Overflow) -> Queue {
    let mut queue = Outbound::new(QueueLimits { messages, bytes: 1000, overflow });
    queue.resume(10);
    queue
}

fn message(qos: QoS, done: u32) -> Outgoing<u32> {
    let publish = Publish::new("t".into(), "x".into()).with_qos(qos);
    Outgoing { publish, size: 10, expires_at: None, done, number: 0 }
}

/// A PUBREC's Reason Code.
fn said(reason_code: ReasonCode) -> PublishResult {
    PublishResult { reason_code, properties: None }
}

fn push(queue: &mut Queue, qos: QoS, done: u32) -> bool {
    queue.push(message(qos, done), |_| {}).is_none()
}

/// What goes out next: the identifier, DUP, and whether it is a PUBREL.
fn send(queue: &mut Queue, identifiers: &mut Identifiers) -> Option<(u16, bool, bool)> {
    let mut seen = None;
    let _: Sent<u32, ()> = queue.send_next(
        Timestamp(0),
        |oldest| identifiers.take(oldest, |_| false),
        |_| Ok(()),
        |put| {
            seen = Some(match put {
                Put::Publish { packet_identifier, dup, .. } => {
                    (packet_identifier.map_or(0, PacketIdentifier::get), dup, false)
                }
                Put::Pubrel(id) => (id.get(), false, true),
            });
            Ok(())
        },
    );
    seen
}

#[test]
fn messages_go_out_in_their_order_and_qos_0_passes_what_has_to_wait() {
    let (mut queue, mut identifiers) = (queue(10, Overflow::DropNewest), Identifiers::new());
    queue.resume(1);
    for (done, qos) in
        [QoS::AtLeastOnce, QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce].into_iter().enumerate()
    {
        push(&mut queue, qos, done as u32);
    }
    let sent: Vec<_> = std::iter::from_fn(|| send(&mut queue, &mut identifiers)).map(|sent| sent.0).collect();
    assert_eq!(sent, [1, 0, 0]);
    assert_eq!(queue.puback(id(1)).unwrap().done, 0);
    assert_eq!(send(&mut queue, &mut identifiers), Some((2, false, false)));
}

#[test]
fn a_resumed_session_sends_again_in_order_and_never_more_than_the_receive_maximum() {
    // [MQTT-4.4.0-1] [MQTT-3.3.4-7]
    let (mut queue, mut identifiers) = (queue(10, Overflow::DropNewest), Identifiers::new());
    for done in 0..3 {
        push(&mut queue, QoS::ExactlyOnce, done);
        send(&mut queue, &mut identifiers);
    }
    assert!(matches!(queue.pubrec(id(2), said(ReasonCode::SUCCESS), Timestamp(0)), Pubrec::Release(Some(2))));
    assert!(matches!(
        queue.pubrec(id(2), said(ReasonCode::NO_MATCHING_SUBSCRIBERS), Timestamp(0)),
        Pubrec::Release(None)
    ));
    queue.resume(2);
    assert_eq!(send(&mut queue, &mut identifiers), Some((1, true, false)));
    assert_eq!(send(&mut queue, &mut identifiers), Some((2, false, true)));
    assert_eq!(send(&mut queue, &mut identifiers), None);
    let (message, first) = queue.pubcomp(id(2)).unwrap();
    assert_eq!((message.done, first), (1, said(ReasonCode::SUCCESS)));
    assert_eq!(send(&mut queue, &mut identifiers), Some((3, true, false)));
}

#[test]
fn acknowledgements_of_another_kind_or_of_nothing_change_nothing() {
    let (mut queue, mut identifiers) = (queue(10, Overflow::DropNewest), Identifiers::new());
    push(&mut queue, QoS::AtLeastOnce, 1);
    push(&mut queue, QoS::ExactlyOnce, 2);
    while send(&mut queue, &mut identifiers).is_some() {}
    assert!(queue.puback(id(2)).is_none() && queue.pubcomp(id(2)).is_none() && queue.puback(id(3)).is_none());
    assert!(matches!(queue.pubrec(id(1), said(ReasonCode::SUCCESS), Timestamp(0)), Pubrec::Unknown));
    assert_eq!(queue.in_flight(), 2);
}

#[test]
fn identifiers_never_come_round_to_one_that_is_in_flight() {
    let (mut queue, mut identifiers) = (queue(10, Overflow::DropNewest), Identifiers::new());
    queue.resume(u16::MAX);
    push(&mut queue, QoS::AtLeastOnce, 0);
    send(&mut queue, &mut identifiers);
    for n in 2..=u16::MAX {
        push(&mut queue, QoS::AtLeastOnce, u32::from(n));
        assert_eq!(send(&mut queue, &mut identifiers), Some((n, false, false)));
        assert_eq!(queue.puback(id(n)).unwrap().done, u32::from(n));
    }
    push(&mut queue, QoS::AtLeastOnce, 7);
    assert_eq!(send(&mut queue, &mut identifiers), None);
    queue.puback(id(1)).unwrap();
    assert_eq!(send(&mut queue, &mut identifiers), Some((1, false, false)));
    push(&mut queue, QoS::AtLeastOnce, 8);
    assert_eq!(send(&mut queue, &mut identifiers), Some((2, false, false)));
    assert_eq!(queue.puback(id(2)).unwrap().done, 8);
}

#[test]
fn those_in_flight_are_found_by_identifiers_that_have_come_round() {
    let (mut queue, mut identifiers) =
        (queue(10, Overflow::DropNewest), Identifiers::behind(id(u16::MAX - 3)));
    for done in 0..6 {
        push(&mut queue, QoS::AtLeastOnce, done);
        send(&mut queue, &mut identifiers);
    }
    for (n, done) in [(65_534, 1), (2, 4), (65_535, 2), (65_533, 0), (1, 3), (3, 5)] {
        // 0 is none, so that 1 follows 65,535.
        let found = queue.puback(id(n)).map(|message| message.done);
        assert_eq!(found, Some(done), "{n}");
    }
}

#[test]
fn a_queue_is_full_by_messages_or_bytes_and_takes_one_of_any_size() {
    let mut queue = queue(3, Overflow::DropNewest);
    assert!(queue.push(Outgoing { size: 5000, ..message(QoS::AtLeastOnce, 0) }, |_| {}).is_none());
    assert!(!push(&mut queue, QoS::AtLeastOnce, 1));
    let mut queue = self::queue(2, Overflow::DropOldest);
    let mut dropped = Vec::new();
    for done in 0..4 {
        assert!(queue.push(message(QoS::AtLeastOnce, done), |old| dropped.push(old.done)).is_none());
    }
    assert_eq!((dropped, queue.waiting()), (vec![0, 1], 2));
}

#[test]
fn what_a_lost_session_had_in_flight_waits_as_new_before_the_rest() {
    let (mut queue, mut identifiers) = (queue(10, Overflow::DropNewest), Identifiers::new());
    for done in 0..4 {
        push(&mut queue, QoS::ExactlyOnce, done);
    }
    for _ in 0..3 {
        send(&mut queue, &mut identifiers);
    }
    queue.pubrec(id(1), said(ReasonCode::NO_MATCHING_SUBSCRIBERS), Timestamp(0));
    let mut requeued = Vec::new();
    let taken_over = queue.restart(10, |number| requeued.push(number));
    let taken_over: Vec<_> = taken_over.into_iter().map(|(message, said)| (message.done, said)).collect();
    assert_eq!(taken_over, [(0, said(ReasonCode::NO_MATCHING_SUBSCRIBERS))]);
    assert_eq!(requeued, [3, 2]);
    let sent: Vec<_> = std::iter::from_fn(|| send(&mut queue, &mut identifiers)).collect();
    assert_eq!(sent, [(4, false, false), (5, false, false), (6, false, false)]);
    assert_eq!(queue.drain().map(|message| message.done).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_message_that_cannot_be_written_leaves_neither_its_identifier_nor_the_window_taken() {
    // It stayed in flight: each connection ended with it, and no later one could do without.
    let (mut queue, mut identifiers) = (queue(10, Overflow::DropNewest), Identifiers::new());
    let refuse = |queue: &mut Queue, identifiers: &mut Identifiers| {
        queue.send_next(
            Timestamp(0),
            |oldest| identifiers.take(oldest, |_| false),
            |_| Ok(()),
            |_| Err("too long"),
        )
    };
    for (done, qos) in [(1, QoS::AtMostOnce), (2, QoS::ExactlyOnce)] {
        push(&mut queue, qos, done);
        let sent = refuse(&mut queue, &mut identifiers);
        assert!(matches!(sent, Sent::Refused(message, "too long") if message.done == done));
        assert!(queue.is_empty());
    }
    for done in 3..5 {
        push(&mut queue, QoS::AtLeastOnce, done);
        send(&mut queue, &mut identifiers);
    }
    queue.resume(1);
    assert!(matches!(refuse(&mut queue, &mut identifiers), Sent::Refused(message, _) if message.done == 3));
    assert_eq!((queue.in_flight(), send(&mut queue, &mut identifiers)), (1, Some((3, true, false))));
}
