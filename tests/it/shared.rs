//! Shared Subscriptions: who gets what (MQTT 5.0, 4.8.2). What becomes of messages whose member leaves is in
//! `shared_hand_on`.

use std::num::NonZeroU16;

use tidegate::broker::{Options, SharedStrategy};
use tidegate::packet::{Connect, Publish, QoS, ReasonCode, RetainHandling, SubscribeFilter};
use tidegate::server::Server;

use crate::support::client::to;
use crate::support::*;

const GROUP: &str = "$share/g/t";

async fn pair(server: &Server) -> (Client, Client) {
    let receiver = Client::connect(server, connect(V5, "receiver")).await;
    let sender = Client::connect(server, connect(V5, "sender")).await;
    (receiver, sender)
}

async fn member(server: &Server, connect: Connect, qos: QoS) -> Client {
    let mut member = Client::connect(server, connect).await;
    member.subscribe(GROUP, qos).await;
    member
}

/// A client that takes one message at a time.
fn slow(name: &str) -> Connect {
    Connect { receive_maximum: NonZeroU16::new(1), ..persistent(V5, name) }
}

async fn choosing(strategy: SharedStrategy) -> (Server, Client) {
    let options = Options { shared_subscription_strategy: strategy, ..Options::default() };
    let server = start_with(options).await;
    let sender = Client::connect(&server, connect(V5, "sender")).await;
    (server, sender)
}

async fn publish_numbers(sender: &mut Client, numbers: std::ops::Range<usize>) {
    for n in numbers {
        sender.publish("t", &n.to_string(), QOS1).await;
    }
}

async fn offline(server: &Server, name: &str) {
    until(|| server.broker().client(name).is_some_and(|status| status.client.is_none())).await;
}

#[tokio::test]
async fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    // [MQTT-3.8.3-4]
    let server = start().await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.send_bytes(b"\x82\x10\x00\x01\x00\x00\x0a$share/g/t\x04").await;
    assert_eq!(client.end().await, Some(ReasonCode::PROTOCOL_ERROR));
}

#[tokio::test]
async fn a_shared_subscription_goes_round_its_connected_members() {
    // MQTT 5.0, 4.8.2
    let (server, mut sender) = choosing(SharedStrategy::RoundRobin).await;
    let mut members = Vec::new();
    for name in ["m1", "m2", "m3"] {
        members.push(member(&server, persistent(V5, name), QOS1).await);
    }
    let mut plain = Client::connect(&server, connect(V5, "plain")).await;
    plain.subscribe("t", QOS1).await;
    publish_numbers(&mut sender, 0..9).await;
    for (at, member) in members.iter_mut().enumerate() {
        let expected: Vec<String> = (at..9).step_by(3).map(|n| n.to_string()).collect();
        assert_eq!(member.payloads(3).await, expected);
        member.assert_silent().await;
    }
    assert_eq!(plain.payloads(9).await.len(), 9);
    // And members who have no connection get their share when nobody has one.
    drop(members);
    until(|| server.broker().connected_count() == 2).await;
    publish_numbers(&mut sender, 0..6).await;
    for name in ["m1", "m2", "m3"] {
        assert_eq!(server.broker().client(name).unwrap().queued, 2);
    }
}

#[tokio::test]
async fn the_turn_of_a_member_without_a_connection_goes_to_all_others() {
    // It went to the next one alone, which got twice as much as the others.
    let (server, mut sender) = choosing(SharedStrategy::RoundRobin).await;
    let mut members = Vec::new();
    for name in ["m1", "m2", "m3", "m4"] {
        members.push(member(&server, persistent(V5, name), QOS1).await);
    }
    members.remove(1).disconnect().await;
    offline(&server, "m2").await;
    publish_numbers(&mut sender, 0..12).await;
    for member in &mut members {
        assert_eq!(member.payloads(4).await.len(), 4);
        member.assert_silent().await;
    }
    assert_eq!(server.broker().client("m2").unwrap().queued, 0);
}

#[tokio::test]
async fn a_random_choice_reaches_every_connected_member_and_no_other() {
    let (server, mut sender) = choosing(SharedStrategy::Random).await;
    let mut one = member(&server, persistent(V5, "one"), QOS0).await;
    let mut two = member(&server, persistent(V5, "two"), QOS0).await;
    member(&server, persistent(V5, "away"), QOS1).await.disconnect().await;
    offline(&server, "away").await;
    publish_numbers(&mut sender, 0..100).await;
    until(|| server.statistics().messages_sent == 100).await;
    assert_eq!(server.broker().client("away").unwrap().queued, 0);
    // Each is missed once in 2 to the power of 100 runs.
    one.next_publish().await;
    two.next_publish().await;
}

#[tokio::test]
async fn a_sticky_choice_stays_with_its_member_until_that_leaves() {
    let (server, mut sender) = choosing(SharedStrategy::Sticky).await;
    let mut first = member(&server, persistent(V5, "first"), QOS1).await;
    let mut second = member(&server, persistent(V5, "second"), QOS1).await;
    publish_numbers(&mut sender, 0..5).await;
    assert_eq!(first.payloads(5).await, ["0", "1", "2", "3", "4"]);
    first.disconnect().await;
    offline(&server, "first").await;
    publish_numbers(&mut sender, 5..8).await;
    assert_eq!(second.payloads(3).await, ["5", "6", "7"]);
    // Coming back does not change that.
    let mut first = Client::connect(&server, persistent(V5, "first")).await;
    publish_numbers(&mut sender, 8..10).await;
    assert_eq!(second.payloads(2).await, ["8", "9"]);
    first.assert_silent().await;
}

#[tokio::test]
async fn the_member_with_the_fewest_messages_in_flight_is_chosen() {
    let (server, mut sender) = choosing(SharedStrategy::LeastInFlight).await;
    let mut idle = member(&server, persistent(V5, "idle"), QOS1).await;
    let mut busy = member(&server, persistent(V5, "busy"), QOS1).await;
    idle.subscribe("idle", QOS1).await;
    busy.subscribe("busy", QOS1).await;
    // What the member has of its own counts too.
    sender.publish("idle", "held", QOS1).await;
    for n in 0..4 {
        sender.publish("busy", &n.to_string(), QOS1).await;
    }
    publish_numbers(&mut sender, 0..3).await;
    assert_eq!(text(&idle.next_publish().await), "held");
    for expected in ["0", "1", "2"] {
        assert_eq!(text(&idle.next_publish().await), expected);
    }
    // Both have four now, and take turns.
    publish_numbers(&mut sender, 3..5).await;
    idle.next_publish().await;
    idle.assert_silent().await;
    for expected in ["0", "1", "2", "3"] {
        assert_eq!(text(&busy.next_publish().await), expected);
    }
    busy.next_publish().await;
    busy.assert_silent().await;
}

#[tokio::test]
async fn a_member_whose_window_is_used_up_is_passed_over_while_others_are_free() {
    for strategy in [SharedStrategy::RoundRobin, SharedStrategy::Random, SharedStrategy::LeastInFlight] {
        let (server, mut sender) = choosing(strategy).await;
        let mut slow = member(&server, slow("slow"), QOS1).await;
        // The first finds nobody else.
        publish_numbers(&mut sender, 0..1).await;
        let held = slow.next_publish().await;
        let mut other = member(&server, persistent(V5, "other"), QOS1).await;
        publish_numbers(&mut sender, 1..6).await;
        assert_eq!(other.payloads(5).await, ["1", "2", "3", "4", "5"], "{strategy:?}");
        slow.assert_silent().await;
        // Once it is free again it is chosen again.
        slow.acknowledge(&held).await;
        slow.ping().await;
        other.disconnect().await;
        offline(&server, "other").await;
        publish_numbers(&mut sender, 6..7).await;
        assert_eq!(text(&slow.message().await), "6");
    }
}

#[tokio::test]
async fn a_member_whose_queue_is_full_is_passed_over() {
    let options = Options {
        shared_subscription_strategy: SharedStrategy::Sticky,
        maximum_queued_messages: 2,
        ..Options::default()
    };
    let server = start_with(options).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut full = member(&server, slow("full"), QOS1).await;
    publish_numbers(&mut sender, 0..1).await;
    full.next_publish().await;
    let mut other = member(&server, persistent(V5, "other"), QOS1).await;
    publish_numbers(&mut sender, 1..4).await;
    assert_eq!(text(&other.message().await), "3");
    assert_eq!(server.broker().client("full").unwrap().queued, 2);
    assert_eq!(server.statistics().dropped_queue_full, 0);
}

#[tokio::test]
async fn each_member_gets_messages_with_the_qos_that_it_was_granted() {
    // [MQTT-4.8.2-3]
    let (server, mut sender) = choosing(SharedStrategy::RoundRobin).await;
    for version in VERSIONS {
        let mut members = Vec::new();
        for qos in ALL_QOS {
            members.push(member(&server, connect(version, &format!("{qos:?}")), qos).await);
        }
        for published in ALL_QOS {
            for _ in 0..3 {
                sender.publish("t", "x", published).await;
            }
            for (member, granted) in members.iter_mut().zip(ALL_QOS) {
                assert_eq!(member.message().await.qos, published.min(granted));
                member.assert_silent().await;
            }
        }
        for member in members {
            member.disconnect().await;
        }
    }
}

#[tokio::test]
async fn groups_of_different_names_each_get_a_copy() {
    let server = start().await;
    let (mut one, mut sender) = pair(&server).await;
    let mut two = Client::connect(&server, connect(V5, "two")).await;
    one.subscribe("$share/g1/t", QOS0).await;
    two.subscribe("$share/g2/t", QOS0).await;
    sender.publish("t", "x", QOS1).await;
    assert_eq!(text(&one.message().await), "x");
    assert_eq!(text(&two.message().await), "x");
}

/// The Subscription Identifiers and QoS of the next copies, in order.
async fn copies(receiver: &mut Client, count: usize) -> Vec<(Vec<u32>, QoS)> {
    let mut copies = Vec::new();
    for _ in 0..count {
        let Publish { mut subscription_identifiers, qos, .. } = receiver.message().await;
        subscription_identifiers.sort_unstable();
        copies.push((subscription_identifiers, qos));
    }
    receiver.assert_silent().await;
    copies.sort();
    copies
}

#[tokio::test]
async fn a_session_gets_a_copy_for_each_of_its_groups_and_one_for_all_plain_subscriptions() {
    // Copies of a group were merged with others of the session: who had a plain subscription too got one copy
    // where the specification has two, and the group had no QoS of its own (MQTT 5.0, 4.8.2).
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    receiver.subscribe_as(Some(1), vec![to("a/b", QOS2)]).await;
    receiver.subscribe_as(Some(2), vec![to("a/#", QOS0)]).await;
    receiver.subscribe_as(Some(3), vec![to("$share/g/a/b", QOS1)]).await;
    receiver.subscribe_as(Some(4), vec![to("$share/h/a/b", QOS0)]).await;
    // The same name with another filter is another group.
    receiver.subscribe_as(Some(5), vec![to("$share/g/a/+", QOS2)]).await;
    sender.publish("a/b", "x", QOS2).await;
    let expected = [(vec![1, 2], QOS2), (vec![3], QOS1), (vec![4], QOS0), (vec![5], QOS2)];
    assert_eq!(copies(&mut receiver, 4).await, expected);
    receiver.unsubscribe(&["a/b", "a/#", "$share/h/a/b"]).await;
    sender.publish("a/b", "x", QOS1).await;
    assert_eq!(copies(&mut receiver, 2).await, [(vec![3], QOS1), (vec![5], QOS1)]);
}

#[tokio::test]
async fn a_group_with_a_leading_wildcard_gets_nothing_of_topics_that_begin_with_a_dollar() {
    // [MQTT-4.7.2-1]
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    receiver.subscribe("$share/g/#", QOS1).await;
    receiver.subscribe("$share/g/+/x", QOS1).await;
    for topic in ["$own/x", "$share/g/x", "$share"] {
        sender.publish(topic, "no", QOS1).await;
    }
    receiver.assert_silent().await;
    receiver.subscribe("$share/g/$own/#", QOS1).await;
    sender.publish("$own/x", "yes", QOS1).await;
    assert_eq!(&*receiver.message().await.topic, "$own/x");
    receiver.assert_silent().await;
}

#[tokio::test]
async fn subscribing_again_changes_the_options_and_not_the_share() {
    // MQTT 5.0, 4.8.2
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    let mut other = member(&server, connect(V5, "other"), QOS1).await;
    receiver.subscribe_as(Some(1), vec![to(GROUP, QOS2)]).await;
    receiver.subscribe_as(Some(9), vec![to(GROUP, QOS0)]).await;
    publish_numbers(&mut sender, 0..4).await;
    assert_eq!(other.payloads(2).await.len(), 2);
    other.assert_silent().await;
    assert_eq!(copies(&mut receiver, 2).await, [(vec![9], QOS0), (vec![9], QOS0)]);
    // One UNSUBSCRIBE is enough.
    let gone = [ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED];
    assert_eq!(receiver.unsubscribe(&[GROUP, GROUP]).await.reason_codes, gone);
    publish_numbers(&mut sender, 4..6).await;
    assert_eq!(other.payloads(2).await, ["4", "5"]);
    receiver.assert_silent().await;
}

#[tokio::test]
async fn a_group_lasts_as_long_as_it_has_members() {
    // MQTT 5.0, 4.8.2
    let server = start().await;
    let (mut founder, mut sender) = pair(&server).await;
    founder.subscribe(GROUP, QOS1).await;
    let mut other = member(&server, connect(V5, "other"), QOS1).await;
    founder.unsubscribe(&[GROUP]).await;
    publish_numbers(&mut sender, 0..2).await;
    assert_eq!(other.payloads(2).await, ["0", "1"]);
    other.unsubscribe(&[GROUP]).await;
    assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(server.broker().subscription_count(), 0);
}

#[tokio::test]
async fn retained_messages_are_not_sent_for_shared_subscriptions() {
    // MQTT 5.0, 4.8.2
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    sender.publish_retained("t", "kept", QOS1).await;
    for retain_handling in
        [RetainHandling::SendAtSubscribe, RetainHandling::SendAtNewSubscribe, RetainHandling::DoNotSend]
    {
        receiver.subscribe_to(vec![SubscribeFilter { retain_handling, ..to(GROUP, QOS1) }]).await;
        receiver.assert_silent().await;
    }
}

#[tokio::test]
async fn retain_as_published_holds_for_each_member() {
    // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
    let server = start().await;
    let (mut plain, mut sender) = pair(&server).await;
    plain.subscribe(GROUP, QOS1).await;
    let mut keeps = Client::connect(&server, connect(V5, "keeps")).await;
    keeps.subscribe_to(vec![SubscribeFilter { retain_as_published: true, ..to(GROUP, QOS1) }]).await;
    for _ in 0..2 {
        sender.publish_retained("t", "x", QOS1).await;
    }
    assert!(!plain.message().await.retain);
    assert!(keeps.message().await.retain);
}
