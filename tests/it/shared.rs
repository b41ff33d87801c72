//! Shared Subscriptions: one member of each group gets a message (MQTT 5.0, 4.8.2).

use tidegate::packet::ReasonCode;
use tidegate::server::Server;

use crate::support::*;

async fn pair(server: &Server) -> (Client, Client) {
    let receiver = Client::connect(server, connect(V5, "receiver")).await;
    let sender = Client::connect(server, connect(V5, "sender")).await;
    (receiver, sender)
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
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut members = Vec::new();
    for name in ["m1", "m2", "m3"] {
        let mut member = Client::connect(&server, persistent(V5, name)).await;
        member.subscribe("$share/group/t/#", QOS1).await;
        members.push(member);
    }
    let mut plain = Client::connect(&server, connect(V5, "plain")).await;
    plain.subscribe("t/#", QOS1).await;
    for n in 0..9 {
        sender.publish("t/a", &n.to_string(), QOS1).await;
    }
    for member in &mut members {
        assert_eq!(member.payloads(3).await.len(), 3);
        member.assert_silent().await;
    }
    assert_eq!(plain.payloads(9).await.len(), 9);
    // A member that is offline is passed over while others are there.
    members.remove(0).disconnect().await;
    for n in 0..4 {
        sender.publish("t/a", &n.to_string(), QOS1).await;
    }
    until(|| members.len() == 2 && server.statistics().messages_sent == 9 + 9 + 4 + 4).await;
    assert_eq!(server.broker().client("m1").unwrap().queued, 0);
    // And gets its share when nobody is.
    drop(members);
    until(|| server.broker().connected_count() == 2).await;
    sender.publish("t/a", "late", QOS1).await;
    let queued = |name: &str| server.broker().client(name).unwrap().queued;
    assert_eq!(queued("m1") + queued("m2") + queued("m3"), 1);
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

#[tokio::test]
async fn retained_messages_are_not_sent_for_shared_subscriptions() {
    // MQTT 5.0, 4.8.2
    let server = start().await;
    let (mut receiver, mut sender) = pair(&server).await;
    sender.publish_retained("t", "kept", QOS1).await;
    receiver.subscribe("$share/g/t", QOS1).await;
    receiver.assert_silent().await;
}
