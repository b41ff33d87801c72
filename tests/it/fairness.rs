//! One client, or one thing that it does, does not hold up another.

use bytes::BytesMut;
use tidegate::broker::Options;
use tidegate::packet::{Packet, Publish, ReasonCode, Subscribe, SubscribeFilter, encode};

use crate::support::client::{id, to};
use crate::support::*;

fn subscribe(subscriptions: Vec<SubscribeFilter>) -> Packet {
    let user_properties = Vec::new();
    let packet_identifier = id(1);
    let packet =
        Subscribe { packet_identifier, subscription_identifier: None, user_properties, subscriptions };
    Packet::Subscribe(Box::new(packet))
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_standing_queue_is_still_read() {
    // As long as there was something to send, nothing was read: a client that got messages as fast as it
    // took them was not heard any more, not even its PINGREQ.
    const MESSAGES: usize = 3000;
    let local = Local::start();
    for version in VERSIONS {
        let mut receiver = local.connect(connect(version, "receiver")).await;
        receiver.subscribe("flood", QOS0).await;
        let mut sender = local.connect(connect(version, "sender")).await;
        let payload = "x".repeat(1000);
        for _ in 0..MESSAGES {
            sender.send(Packet::Publish(publish("flood", &payload))).await;
        }
        sender.ping().await;
        // Far more than the connection takes at once waits in the queue.
        assert!(local.broker.client("receiver").unwrap().queued > MESSAGES / 2);
        receiver.send(Packet::Pingreq).await;
        let mut before = 0;
        while receiver.receive().await != Packet::Pingresp {
            before += 1;
        }
        assert!(before < MESSAGES / 2, "{before} messages came before the answer");
        for _ in before..MESSAGES {
            receiver.next_publish().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_looks_at_many_retained_messages_holds_up_nobody() {
    // One SUBSCRIBE with many filters that look at every retained message and select none kept its thread
    // for seconds: the search went on through all of them without giving way.
    let local = Local::start();
    let mut other = local.connect(connect(V5, "other")).await;
    // The answer does not wait for the search either.
    let mut searching = searching(&local).await;
    for _ in 0..10 {
        other.ping().await;
    }
    // All this before the search came to its end.
    assert_eq!(local.broker.statistics().messages_sent, 0);
    assert_eq!(searching.next_publish().await.topic, "last");
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_does_not_delay_what_its_client_receives_while_a_replay_waits() {
    // A retained replay that waited counted as something to send, so that a connection which waited for a
    // hook was not woken by messages: they came when the hook answered.
    let gate = Gate::default();
    let script = gate.before("slow");
    let local = Local::hooked(Options::default(), script.shared());
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish_retained("kept", "kept", QOS1).await;
    let mut client = local.connect(connect(V5, "client")).await;
    // Both in one segment: the hook is asked before the replay begins.
    let mut bytes = BytesMut::new();
    encode(&subscribe(vec![to("kept", QOS0), to("live", QOS0)]), V5, &mut bytes).unwrap();
    let slow = Publish { qos: QOS1, packet_identifier: Some(id(2)), ..publish("slow", "x") };
    encode(&Packet::Publish(slow), V5, &mut bytes).unwrap();
    client.send_bytes(&bytes).await;
    gate.reached().await;
    assert!(matches!(client.receive().await, Packet::Suback(_)));
    for payload in ["first", "second", "third"] {
        sender.publish("live", payload, QOS1).await;
        assert_eq!(text(&client.next_publish().await), payload);
    }
    gate.open();
    let rest = [client.receive().await, client.receive().await];
    assert!(
        rest.iter().any(|packet| matches!(packet, Packet::Puback(ack) if ack.packet_identifier == id(2)))
    );
    let kept = |packet: &Packet| matches!(packet, Packet::Publish(it) if it.retain && text(it) == "kept");
    assert!(rest.iter().any(kept), "{rest:?}");
    client.assert_silent().await;
}

/// A client whose SUBSCRIBE looks at many retained messages before it comes upon one that it selects.
async fn searching(local: &Local) -> Client {
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..2000 {
        sender.send(Packet::Publish(Publish { retain: true, ..publish(&format!("{n}/a"), "x") })).await;
    }
    sender.publish_retained("last", "x", QOS1).await;
    let mut searching = local.connect(connect(V5, "searching")).await;
    let mut filters: Vec<_> = (0..50).map(|n| to(&format!("+/z{n}"), QOS0)).collect();
    filters.push(to("last", QOS0));
    searching.send(subscribe(filters)).await;
    assert!(matches!(searching.receive().await, Packet::Suback(_)));
    searching
}

#[tokio::test(start_paused = true)]
async fn a_client_is_heard_while_retained_messages_are_searched_for_it() {
    // The search gave way to others and not to its own client, which was not read until it was over.
    let local = Local::start();
    let mut searching = searching(&local).await;
    searching.ping().await;
    assert_eq!(searching.next_publish().await.topic, "last");
}

#[tokio::test(start_paused = true)]
async fn a_search_for_retained_messages_does_not_hold_up_the_end_of_its_connection() {
    // Only a takeover ended the search: a connection that was to end for another reason went on until it was
    // over.
    let local = Local::start();
    let mut searching = searching(&local).await;
    assert!(local.broker.disconnect("searching", ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(searching.end().await, Some(ReasonCode::ADMINISTRATIVE_ACTION));
}
