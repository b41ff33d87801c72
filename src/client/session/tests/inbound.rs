use super::*;

const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn answers(inbound: &mut Inbound) -> Vec<Answer> {
    std::iter::from_fn(|| inbound.next_answer()).collect()
}

#[test]
fn answers_go_out_in_the_order_of_their_messages() {
    // [MQTT-4.6.0-2]
    let mut inbound = Inbound::default();
    let first = inbound.handed_over(QOS1, id(5), 1);
    inbound.handed_over(QOS1, id(4), 0);
    assert_eq!(answers(&mut inbound), []);
    inbound.acknowledge(first);
    assert_eq!(answers(&mut inbound), [Answer::Puback(id(5)), Answer::Puback(id(4))]);
}

#[test]
fn a_message_for_several_is_acknowledged_by_the_last_of_them() {
    let mut inbound = Inbound::default();
    let token = inbound.handed_over(QOS1, id(1), 2);
    inbound.acknowledge(token);
    assert_eq!(answers(&mut inbound), []);
    inbound.acknowledge(token);
    inbound.acknowledge(token);
    assert_eq!(answers(&mut inbound), [Answer::Puback(id(1))]);
}

#[test]
fn qos_2_that_was_not_acknowledged_is_known_on_the_next_connection_and_answered_then() {
    // [MQTT-4.3.3-10]
    let mut inbound = Inbound::default();
    let by_hand = inbound.handed_over(QOS2, id(1), 1);
    inbound.handed_over(QOS2, id(2), 0);
    inbound.disconnected();
    inbound.acknowledge(by_hand);
    assert_eq!(answers(&mut inbound), []);
    assert_eq!(inbound.receive(QOS2, id(1), 10), Received::Awaited);
    assert_eq!(inbound.receive(QOS2, id(2), 10), Received::Awaited);
    assert_eq!(answers(&mut inbound), [Answer::Pubrec(id(1)), Answer::Pubrec(id(2))]);
    assert_eq!(inbound.receive(QOS2, id(1), 10), Received::Again);
    assert!(inbound.release(id(1)) && !inbound.release(id(1)));
    assert_eq!(inbound.receive(QOS2, id(1), 10), Received::Fresh);
}

#[test]
fn qos_1_of_a_former_connection_is_acknowledged_to_nobody() {
    let mut inbound = Inbound::default();
    let former = inbound.handed_over(QOS1, id(1), 1);
    inbound.disconnected();
    inbound.handed_over(QOS1, id(1), 1);
    inbound.acknowledge(former);
    assert_eq!(answers(&mut inbound), []);
}

#[test]
fn no_more_are_unanswered_than_may_be() {
    let mut inbound = Inbound::default();
    inbound.handed_over(QOS1, id(1), 1);
    inbound.handed_over(QOS2, id(2), 1);
    assert_eq!(inbound.receive(QOS1, id(3), 2), Received::QuotaExceeded);
    assert_eq!(inbound.receive(QOS2, id(2), 2), Received::Awaited);
    assert_eq!(inbound.receive(QOS1, id(3), 3), Received::Fresh);
}

#[test]
fn a_lost_session_leaves_nothing() {
    let mut inbound = Inbound::default();
    let token = inbound.handed_over(QOS2, id(1), 1);
    assert_eq!(inbound.restart(), [id(1)]);
    inbound.acknowledge(token);
    assert_eq!((answers(&mut inbound), inbound.receive(QOS2, id(1), 1)), (vec![], Received::Fresh));
}
