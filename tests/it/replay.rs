//! The replay of retained messages, and what goes on meanwhile.

use bytes::BytesMut;
use tidegate::broker::Options;
use tidegate::hook::EnqueueOutcome;
use tidegate::packet::{Packet, Publish, Subscribe, encode};

use crate::support::client::{id, to};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn what_was_read_is_kept_while_a_hook_takes_its_time_over_a_replay() {
    // A client that had not taken its answers is not acted for further. Where it took them while a hook was
    // asked about a replay, the next read overwrote the packets that waited to be acted on.
    const LAST: u16 = 10_000;
    let gate = Gate::default();
    let slow = gate.clone();
    let script = Script::default().on_enqueue(move |context| match context.message.topic.as_str() {
        "kept" => slow.hold(EnqueueOutcome::Deliver),
        _ => EnqueueOutcome::Deliver.into(),
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish_retained("kept", "x", QOS1).await;
    let mut client = local.connect(connect(V5, "client")).await;
    client.subscribe("big", QOS0).await;
    // What the connection in memory takes, and nearly as much as the broker holds ready for it.
    for _ in 0..20 {
        sender.publish("big", &"x".repeat(6200), QOS0).await;
    }
    sender.ping().await;
    until(|| local.broker.client("client").unwrap().queued == 0).await;
    // More answers than there is room for.
    let mut bytes = BytesMut::new();
    let packet = Subscribe {
        packet_identifier: id(1),
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![to("kept", QOS0)],
    };
    encode(&Packet::Subscribe(Box::new(packet)), V5, &mut bytes).unwrap();
    for n in 2..=LAST {
        let packet = Publish { qos: QOS1, packet_identifier: Some(id(n)), ..publish("n", "") };
        encode(&Packet::Publish(packet), V5, &mut bytes).unwrap();
    }
    // No more than the connection in memory takes: how much the broker reads before it waits is its own affair.
    let later = bytes.split_off(60_000);
    client.send_bytes(&bytes).await;
    gate.reached().await;
    for _ in 0..20 {
        assert_eq!(client.next_publish().await.topic, "big");
    }
    assert!(matches!(client.receive().await, Packet::Suback(_)));
    gate.open();
    client.send_bytes(&later).await;
    let (mut kept, mut next) = (0, 2);
    while next <= LAST || kept == 0 {
        match client.receive().await {
            Packet::Puback(ack) => {
                assert_eq!(ack.packet_identifier, id(next));
                next += 1;
            }
            Packet::Publish(publish) if publish.topic == "kept" => kept += 1,
            other => panic!("{other:?} in place of PUBACK {next}"),
        }
    }
    client.assert_silent().await;
    assert_eq!(kept, 1);
}
