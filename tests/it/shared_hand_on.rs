//! Messages of Shared Subscriptions whose member leaves before it has them (MQTT 5.0, 4.8.2).

use std::num::NonZeroU16;
use std::sync::Mutex;
use std::time::Duration;

use tidegate::broker::{Options, SharedStrategy};
use tidegate::hook::{Choice, EnqueueOutcome};
use tidegate::message::ApplicationMessage;
use tidegate::packet::{
    Ack, Connect, Disconnect, Packet, Publish, PublishProperties, QoS, ReasonCode, SubscribeFilter,
};
use tidegate::server::Server;

use crate::support::client::to;
use crate::support::*;

const GROUP: &str = "$share/g/t";

/// A broker with a member of a group that takes `window` messages at a time, and a sender.
async fn with_member(window: u16, qos: QoS) -> (Server, Client, Client) {
    let server = start().await;
    let member = join(&server, taking(window, "leaving"), qos).await;
    let sender = Client::connect(&server, connect(V5, "sender")).await;
    (server, member, sender)
}

fn taking(window: u16, name: &str) -> Connect {
    Connect { receive_maximum: NonZeroU16::new(window), ..persistent(V5, name) }
}

async fn join(server: &Server, connect: Connect, qos: QoS) -> Client {
    let mut member = Client::connect(server, connect).await;
    member.subscribe(GROUP, qos).await;
    member
}

async fn publish_all(sender: &mut Client, messages: &[(&str, QoS)]) {
    for (payload, qos) in messages {
        sender.publish("t", payload, *qos).await;
    }
}

async fn offline(server: &Server, name: &str) {
    until(|| server.broker().client(name).is_some_and(|status| status.client.is_none())).await;
}

async fn handed_on(server: &Server, count: u64) {
    until(|| server.statistics().handed_on == count).await;
}

fn ack(publish: &Publish, reason_code: ReasonCode) -> Ack {
    Ack::new(publish.packet_identifier.unwrap(), reason_code)
}

fn ending() -> Disconnect {
    Disconnect { session_expiry_interval: Some(0), ..Disconnect::default() }
}

/// The payloads of the next messages, each of which is a first one.
async fn new_payloads(client: &mut Client, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    for _ in 0..count {
        let publish = client.message().await;
        // [MQTT-3.3.1-1]
        assert!(!publish.dup);
        payloads.push(text(&publish).to_string());
    }
    client.assert_silent().await;
    payloads
}

#[tokio::test]
async fn what_an_ended_session_had_not_acknowledged_goes_to_another_member() {
    // MQTT 5.0, 4.8.2. Messages in flight and in the queue were lost with the session.
    for how in ["DISCONNECT", "Clean Start", "an operator"] {
        let (server, mut leaving, mut sender) = with_member(2, QOS1).await;
        publish_all(&mut sender, &[("done", QOS1), ("1", QOS1), ("2", QOS1), ("3", QOS1), ("4", QOS2)]).await;
        assert_eq!(text(&leaving.message().await), "done");
        for expected in ["1", "2"] {
            assert_eq!(text(&leaving.next_publish().await), expected);
        }
        let mut other = join(&server, persistent(V5, "other"), QOS2).await;
        let mut again = None;
        match how {
            "DISCONNECT" => leaving.disconnect_with(ending()).await,
            "Clean Start" => {
                let clean = Connect { clean_start: true, ..persistent(V5, "leaving") };
                again = Some(Client::connect(&server, clean).await);
            }
            _ => assert!(server.broker().delete_session("leaving")),
        }
        assert_eq!(new_payloads(&mut other, 4).await, ["1", "2", "3", "4"], "{how}");
        assert_eq!(server.statistics().handed_on, 4);
        if let Some(mut again) = again {
            again.assert_silent().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_expired_session_had_not_acknowledged_goes_to_another_member() {
    // MQTT 5.0, 4.8.2
    let local = Local::start();
    let expiring = Connect { session_expiry_interval: Some(60), ..persistent(V5, "leaving") };
    let mut leaving = local.connect(expiring).await;
    leaving.subscribe(GROUP, QOS1).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    publish_all(&mut sender, &[("1", QOS1)]).await;
    leaving.next_publish().await;
    drop(leaving);
    let mut other = local.connect(persistent(V5, "other")).await;
    other.subscribe(GROUP, QOS1).await;
    tokio::time::advance(Duration::from_secs(50)).await;
    other.assert_silent().await;
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(new_payloads(&mut other, 1).await, ["1"]);
}

#[tokio::test]
async fn a_qos2_message_that_was_sent_goes_to_nobody_else() {
    // [MQTT-4.8.2-5]
    for received in [false, true] {
        let (server, mut leaving, mut sender) = with_member(2, QOS2).await;
        publish_all(&mut sender, &[("sent", QOS2), ("sent with qos 1", QOS1), ("queued", QOS2)]).await;
        let sent = leaving.next_publish().await;
        leaving.next_publish().await;
        if received {
            leaving.send(Packet::Pubrec(ack(&sent, ReasonCode::SUCCESS))).await;
            assert!(matches!(leaving.receive().await, Packet::Pubrel(_)));
        }
        let mut other = join(&server, persistent(V5, "other"), QOS2).await;
        leaving.disconnect_with(ending()).await;
        assert_eq!(new_payloads(&mut other, 2).await, ["sent with qos 1", "queued"]);
    }
}

#[tokio::test]
async fn a_qos2_message_that_was_sent_is_completed_when_its_client_comes_back() {
    // [MQTT-4.8.2-4]
    for received in [false, true] {
        let (server, mut leaving, mut sender) = with_member(10, QOS2).await;
        publish_all(&mut sender, &[("x", QOS2)]).await;
        let sent = leaving.next_publish().await;
        if received {
            leaving.send(Packet::Pubrec(ack(&sent, ReasonCode::SUCCESS))).await;
            assert!(matches!(leaving.receive().await, Packet::Pubrel(_)));
        }
        let mut other = join(&server, persistent(V5, "other"), QOS2).await;
        drop(leaving);
        offline(&server, "leaving").await;
        other.assert_silent().await;
        let mut back = Client::connect(&server, persistent(V5, "leaving")).await;
        if received {
            assert_eq!(back.receive().await, Packet::Pubrel(ack(&sent, ReasonCode::SUCCESS)));
            back.send(Packet::Pubcomp(ack(&sent, ReasonCode::SUCCESS))).await;
        } else {
            assert_eq!(back.message().await, Publish { dup: true, ..sent });
        }
        back.assert_silent().await;
        assert_eq!(server.statistics().handed_on, 0);
    }
}

#[tokio::test]
async fn a_message_that_a_member_refuses_goes_to_nobody_else() {
    // [MQTT-4.8.2-6], [MQTT-4.4.0-2]
    let (server, mut refusing, mut sender) = with_member(10, QOS2).await;
    publish_all(&mut sender, &[("1", QOS1), ("2", QOS2), ("last", QOS1)]).await;
    let mut other = join(&server, persistent(V5, "other"), QOS2).await;
    let first = refusing.next_publish().await;
    refusing.send(Packet::Puback(ack(&first, ReasonCode::UNSPECIFIED_ERROR))).await;
    let second = refusing.next_publish().await;
    refusing.send(Packet::Pubrec(ack(&second, ReasonCode::QUOTA_EXCEEDED))).await;
    assert_eq!(text(&refusing.next_publish().await), "last");
    refusing.ping().await;
    other.assert_silent().await;
    // Nor when the session ends, and nor does it come again.
    let mut again = Client::connect(&server, persistent(V5, "leaving")).await;
    assert_eq!(text(&again.next_publish().await), "last");
    again.disconnect_with(ending()).await;
    assert_eq!(new_payloads(&mut other, 1).await, ["last"]);
}

#[tokio::test]
async fn a_qos1_message_that_was_sent_waits_for_its_client_to_come_back() {
    // MQTT 5.0, 4.8.2: the server may wait.
    let (server, mut leaving, mut sender) = with_member(10, QOS1).await;
    publish_all(&mut sender, &[("x", QOS1)]).await;
    let sent = leaving.next_publish().await;
    let mut other = join(&server, persistent(V5, "other"), QOS1).await;
    drop(leaving);
    offline(&server, "leaving").await;
    other.assert_silent().await;
    let mut back = Client::connect(&server, persistent(V5, "leaving")).await;
    assert_eq!(back.message().await, Publish { dup: true, ..sent });
    back.assert_silent().await;
}

#[tokio::test]
async fn what_was_not_sent_before_the_connection_broke_goes_to_a_connected_member() {
    // It waited for its client for as long as the session lasted, though others were free.
    let (server, mut leaving, mut sender) = with_member(1, QOS2).await;
    leaving.subscribe("own", QOS1).await;
    publish_all(&mut sender, &[("1", QOS1), ("2", QOS1), ("3", QOS2)]).await;
    sender.publish("own", "own", QOS1).await;
    assert_eq!(text(&leaving.next_publish().await), "1");
    let mut other = join(&server, persistent(V5, "other"), QOS2).await;
    drop(leaving);
    assert_eq!(new_payloads(&mut other, 2).await, ["2", "3"]);
    let mut back = Client::connect(&server, persistent(V5, "leaving")).await;
    assert_eq!(back.payloads(2).await, ["1", "own"]);
    back.assert_silent().await;
}

#[tokio::test]
async fn what_waits_stays_where_it_is_while_no_member_is_connected() {
    let (server, leaving, mut sender) = with_member(1, QOS1).await;
    join(&server, persistent(V5, "other"), QOS1).await.disconnect().await;
    offline(&server, "other").await;
    publish_all(&mut sender, &[("1", QOS1), ("2", QOS1), ("3", QOS1)]).await;
    drop(leaving);
    offline(&server, "leaving").await;
    let mut back = Client::connect(&server, persistent(V5, "leaving")).await;
    assert_eq!(back.payloads(3).await, ["1", "2", "3"]);
    assert_eq!(server.statistics().handed_on, 0);
}

#[tokio::test]
async fn unsubscribing_leaves_what_was_not_sent_to_the_other_members() {
    // [MQTT-3.10.4-2], [MQTT-3.10.4-3]
    let (server, mut leaving, mut sender) = with_member(1, QOS2).await;
    leaving.subscribe("$share/h/t", QOS1).await;
    publish_all(&mut sender, &[("1", QOS2), ("2", QOS1), ("3", QOS2)]).await;
    let first = leaving.next_publish().await;
    let mut other = join(&server, persistent(V5, "other"), QOS2).await;
    leaving.unsubscribe(&[GROUP]).await;
    assert_eq!(new_payloads(&mut other, 2).await, ["2", "3"]);
    // What was sent is completed, and what is another group's goes on.
    leaving.send(Packet::Pubrec(ack(&first, ReasonCode::SUCCESS))).await;
    assert!(matches!(leaving.receive().await, Packet::Pubrel(_)));
    leaving.send(Packet::Pubcomp(ack(&first, ReasonCode::SUCCESS))).await;
    assert_eq!(leaving.payloads(3).await, ["1", "2", "3"]);
    leaving.assert_silent().await;
}

#[tokio::test]
async fn what_was_not_sent_is_deleted_with_the_last_member() {
    // MQTT 5.0, 4.8.2: a Shared Subscription ends, and undelivered messages with it, when nobody is left.
    let (server, mut leaving, mut sender) = with_member(1, QOS1).await;
    publish_all(&mut sender, &[("1", QOS1), ("2", QOS1)]).await;
    let first = leaving.next_publish().await;
    leaving.unsubscribe(&[GROUP]).await;
    until(|| server.statistics().dropped_offline == 1).await;
    leaving.send(Packet::Puback(ack(&first, ReasonCode::SUCCESS))).await;
    leaving.subscribe(GROUP, QOS1).await;
    leaving.assert_silent().await;
    assert_eq!(server.broker().client("leaving").unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_message_that_goes_on_takes_the_options_of_its_new_member() {
    // [MQTT-4.8.2-3]
    let (server, mut leaving, mut sender) = with_member(10, QOS1).await;
    let properties = PublishProperties { message_expiry_interval: Some(1000), ..Default::default() };
    let properties = Some(Box::new(properties));
    let packet = Publish { qos: QOS2, retain: true, properties, ..publish("t", "x") };
    sender.publish_packet(packet).await;
    let before = leaving.next_publish().await;
    assert_eq!((before.qos, before.retain, before.subscription_identifiers.len()), (QOS1, false, 0));
    let mut other = Client::connect(&server, persistent(V5, "other")).await;
    let as_published = SubscribeFilter { retain_as_published: true, ..to(GROUP, QOS2) };
    other.subscribe_as(Some(7), vec![as_published]).await;
    leaving.disconnect_with(ending()).await;
    let after = other.message().await;
    assert_eq!((after.qos, after.retain, after.subscription_identifiers), (QOS2, true, vec![7]));
    let left = after.properties.and_then(|properties| properties.message_expiry_interval);
    assert!(left.is_some_and(|left| (900..=1000).contains(&left)), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_expired_goes_to_nobody_else() {
    // [MQTT-3.3.2-5]
    let local = Local::start();
    let mut leaving = local.connect(persistent(V5, "leaving")).await;
    leaving.subscribe(GROUP, QOS1).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    let properties = PublishProperties { message_expiry_interval: Some(10), ..Default::default() };
    let packet = Publish { qos: QOS1, properties: Some(Box::new(properties)), ..publish("t", "x") };
    sender.publish_packet(packet).await;
    leaving.next_publish().await;
    tokio::time::advance(Duration::from_secs(11)).await;
    let mut other = local.connect(persistent(V5, "other")).await;
    other.subscribe(GROUP, QOS1).await;
    leaving.disconnect_with(ending()).await;
    other.assert_silent().await;
    assert_eq!(local.broker.statistics().dropped_expired, 1);
}

#[tokio::test]
async fn qos0_that_was_not_sent_goes_on_too() {
    // A client that does not read has QoS 0 waiting in its queue.
    let (server, leaving, mut sender) = with_member(1, QOS0).await;
    let large = "x".repeat(100_000);
    let mut sent = 0;
    while server.broker().client("leaving").unwrap().queued < 20 {
        sender.publish("t", &large, QOS1).await;
        sent += 1;
        assert!(sent < 10_000);
    }
    let mut other = join(&server, persistent(V5, "other"), QOS0).await;
    let queued = server.broker().client("leaving").unwrap().queued;
    drop(leaving);
    for _ in 0..queued {
        other.next_publish().await;
    }
    handed_on(&server, queued as u64).await;
    assert_eq!(server.statistics().dropped_offline, 0);
}

#[tokio::test]
async fn hooks_are_asked_about_the_new_member_and_see_the_message_as_it_was_published() {
    // A copy that a hook made for one member must not reach another.
    let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
    let record = asked.clone();
    let script = Script::default().on_enqueue(move |context| {
        let receiver = context.receivers[0].client_identifier.to_string();
        let payload = String::from_utf8(context.message.payload.to_vec()).unwrap();
        let copy = format!("{payload} for {receiver}");
        record.lock().unwrap().push(copy.clone());
        let copy = ApplicationMessage { payload: copy.into(), ..context.message.clone() };
        EnqueueOutcome::Choose { choices: vec![Choice::Copy(0)], copies: vec![copy] }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut leaving = join(&server, taking(1, "leaving"), QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    publish_all(&mut sender, &[("1", QOS1), ("2", QOS1)]).await;
    assert_eq!(text(&leaving.next_publish().await), "1 for leaving");
    let mut other = join(&server, persistent(V5, "other"), QOS1).await;
    // Those that wait for long are copied once more.
    drop(leaving);
    assert_eq!(new_payloads(&mut other, 1).await, ["2 for other"]);
    offline(&server, "leaving").await;
    assert!(server.broker().delete_session("leaving"));
    assert_eq!(new_payloads(&mut other, 1).await, ["1 for other"]);
    let expected = ["1 for leaving", "2 for leaving", "2 for other", "1 for other"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn of_many_messages_that_go_on_at_once_none_is_lost() {
    let (server, mut leaving, mut sender) = with_member(1, QOS1).await;
    let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for payload in &expected {
        sender.publish("t", payload, QOS1).await;
    }
    leaving.next_publish().await;
    let mut other = join(&server, persistent(V5, "other"), QOS1).await;
    leaving.disconnect_with(ending()).await;
    assert_eq!(other.payloads(1000).await, expected);
}

/// A thousand bytes and some, of which a [`small`] queue takes three.
fn large(number: usize) -> String {
    format!("{number}{}", " ".repeat(1000))
}

fn small(shared_subscription_strategy: SharedStrategy) -> Options {
    Options { maximum_queued_bytes: 4000, shared_subscription_strategy, ..Options::default() }
}

/// Messages that sessions hold.
fn held(server: &Server) -> u64 {
    let statistics = server.statistics();
    assert_eq!(statistics.dropped_queue_full, 0);
    statistics.queued_messages + statistics.in_flight_messages
}

#[tokio::test]
async fn a_message_that_one_member_has_no_room_for_goes_to_another() {
    // Acknowledged messages were dropped beside a member with an empty queue: a queue is known to be full only
    // when nothing at all fits.
    use SharedStrategy::{LeastInFlight, Random, RoundRobin, Sticky};
    for strategy in [RoundRobin, Random, Sticky, LeastInFlight] {
        let server = start_with(small(strategy)).await;
        drop(join(&server, persistent(V5, "absent"), QOS1).await);
        offline(&server, "absent").await;
        let _stuck = join(&server, taking(1, "stuck"), QOS1).await;
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for number in 0..6 {
            sender.publish("t", &large(number), QOS1).await;
        }
        assert_eq!(held(&server), 6, "{strategy:?}");
        let mut absent = Client::connect(&server, persistent(V5, "absent")).await;
        absent.message().await;
    }
}

#[tokio::test]
async fn what_others_have_no_room_for_stays_with_the_member_that_lost_its_connection() {
    // All of its queue was given up to a member whose queue took half of it, and the rest was lost.
    let server = start_with(small(SharedStrategy::RoundRobin)).await;
    let leaving = join(&server, taking(1, "leaving"), QOS1).await;
    let _other = join(&server, taking(1, "other"), QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for number in 0..6 {
        sender.publish("t", &large(number), QOS1).await;
    }
    assert_eq!(held(&server), 6);
    drop(leaving);
    handed_on(&server, 2).await;
    until(|| held(&server) == 6).await;
    let mut back = Client::connect(&server, taking(1, "leaving")).await;
    // One that it had, and one for which the other had no room.
    back.payloads(2).await;
}
