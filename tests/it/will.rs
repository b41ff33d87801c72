//! Wills: when they are published, and when not.

use std::time::Duration;

use tidegate::packet::{Connect, Disconnect, PublishProperties, ReasonCode, Will};

use crate::support::*;

fn delayed(seconds: u32) -> Will {
    Will { delay_interval: seconds, ..will("will", "gone") }
}

/// Someone who hears the Will.
async fn witness(local: &Local) -> Client {
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    witness
}

/// Waits for a Will and says after how many seconds it came.
async fn seconds_until_will(witness: &mut Client) -> u64 {
    let begun = tokio::time::Instant::now();
    let packet = witness.receive_or_end_for(Duration::from_secs(10_000)).await;
    let Some(tidegate::packet::Packet::Publish(publish)) = packet else { panic!("{packet:?}") };
    assert_eq!(text(&publish), "gone");
    begun.elapsed().as_secs()
}

#[tokio::test]
async fn a_broken_connection_publishes_the_will() {
    // [MQTT-3.1.2-8], [MQTT-3.1.2-14], [MQTT-3.1.2-15]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    for version in VERSIONS {
        for qos in ALL_QOS {
            for retain in [false, true] {
                let will = Will { qos, retain, ..will("will", "gone") };
                drop(Client::connect(&server, with_will(connect(version, "a"), will)).await);
                let got = witness.message().await;
                assert_eq!((text(&got), got.qos, got.retain), ("gone", qos, false));
                assert_eq!(server.broker().retained_count(), usize::from(retain));
                server.publish(cleared("will")).await;
                assert_eq!(text(&witness.message().await), "");
            }
        }
    }
}

fn cleared(topic: &'static str) -> tidegate::message::ApplicationMessage {
    tidegate::message::ApplicationMessage::new(topic.try_into().unwrap(), "").with_retain(true)
}

#[tokio::test]
async fn a_retained_will_is_kept() {
    // [MQTT-3.1.2-15]
    let server = start().await;
    let will = Will { retain: true, ..will("will", "gone") };
    drop(Client::connect(&server, with_will(connect(V5, "a"), will)).await);
    until(|| server.broker().retained_count() == 1).await;
    let mut late = Client::connect(&server, connect(V311, "late")).await;
    late.subscribe("will", QOS0).await;
    let got = late.message().await;
    assert_eq!((text(&got), got.retain), ("gone", true));
}

#[tokio::test]
async fn the_properties_of_a_will_are_those_of_its_message() {
    // [MQTT-3.1.3-10]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS0).await;
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(100),
        content_type: Some("text/plain".into()),
        user_properties: vec![("b".into(), "1".into()), ("a".into(), "2".into())],
        ..PublishProperties::default()
    };
    let will = Will { properties: Some(Box::new(properties.clone())), ..will("will", "gone") };
    drop(Client::connect(&server, with_will(connect(V5, "a"), will)).await);
    let mut received = witness.message().await.properties.expect("its properties");
    // Seconds that it has waited in the broker are taken off.
    let left = received.message_expiry_interval.replace(100);
    assert!(left.is_some_and(|left| (1..=100).contains(&left)), "{left:?}");
    assert_eq!(*received, properties);
}

#[tokio::test]
async fn a_normal_disconnect_deletes_the_will() {
    // [MQTT-3.14.4-3], [MQTT-3.1.2-10]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    for version in VERSIONS {
        let client = Client::connect(&server, with_will(connect(version, "a"), will("will", "gone"))).await;
        client.disconnect().await;
        let delayed = with_will(persistent(version, "b"), delayed(1));
        Client::connect(&server, delayed).await.disconnect().await;
    }
    until(|| server.broker().connected_count() == 1).await;
    witness.assert_silent().await;
}

#[tokio::test]
async fn disconnect_with_any_other_reason_publishes_the_will() {
    // MQTT 5.0, 3.14.2.1: 0x04, and whatever is not Normal disconnection
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    for reason in [ReasonCode::DISCONNECT_WITH_WILL_MESSAGE, ReasonCode::UNSPECIFIED_ERROR] {
        let client = Client::connect(&server, with_will(connect(V5, "a"), will("will", "gone"))).await;
        client.disconnect_with(Disconnect::new(reason)).await;
        assert_eq!(text(&witness.message().await), "gone");
    }
}

#[tokio::test]
async fn a_protocol_error_publishes_the_will() {
    // [MQTT-3.1.2-8]
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    for version in VERSIONS {
        let mut client =
            Client::connect(&server, with_will(connect(version, "a"), will("will", "gone"))).await;
        client.send_bytes(b"\x00\x00").await;
        client.end().await;
        assert_eq!(text(&witness.message().await), "gone");
    }
}

#[tokio::test]
async fn a_takeover_publishes_the_will_of_the_old_connection() {
    // MQTT 5.0, 3.1.4: the Network Connection of the old client is closed
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    for version in VERSIONS {
        let first = with_will(persistent(version, "a"), will("will", "gone"));
        let _first = Client::connect(&server, first).await;
        let _second = Client::connect(&server, persistent(version, "a")).await;
        assert_eq!(text(&witness.message().await), "gone");
        witness.assert_silent().await;
    }
}

#[tokio::test]
async fn a_takeover_with_clean_start_publishes_even_a_delayed_will() {
    // [MQTT-3.1.3-9]: the session has ended
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    let first = with_will(persistent(V5, "a"), delayed(1000));
    let _first = Client::connect(&server, first).await;
    let _second = Client::connect(&server, connect(V5, "a")).await;
    assert_eq!(text(&witness.message().await), "gone");
}

#[tokio::test]
async fn a_kick_publishes_the_will() {
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    let mut client = Client::connect(&server, with_will(connect(V5, "a"), will("will", "gone"))).await;
    assert!(server.disconnect("a", ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(client.end().await, Some(ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(text(&witness.message().await), "gone");
}

#[tokio::test]
async fn deleting_a_session_publishes_its_will() {
    // A session that was deleted on request took its Will with it: one that waited for its delay was
    // forgotten, though the session's end is when it falls due [MQTT-3.1.2-8].
    let server = start().await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS2).await;
    drop(Client::connect(&server, with_will(persistent(V5, "a"), delayed(1000))).await);
    until(|| server.broker().client("a").is_some_and(|status| status.client.is_none())).await;
    assert!(server.broker().delete_session("a"));
    assert_eq!(text(&witness.message().await), "gone");
    let mut client = Client::connect(&server, with_will(persistent(V5, "b"), delayed(1000))).await;
    assert!(server.broker().delete_session("b"));
    assert_eq!(client.end().await, Some(ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(text(&witness.message().await), "gone");
    assert_eq!(server.broker().session_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_time_out_publishes_the_will() {
    // [MQTT-3.1.2-8], [MQTT-3.1.2-22]
    let local = Local::start();
    let mut witness = witness(&local).await;
    let asks = Connect { keep_alive: 10, ..with_will(connect(V5, "a"), will("will", "gone")) };
    let _client = local.connect(asks).await;
    assert_eq!(seconds_until_will(&mut witness).await, 15);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_waits() {
    // [MQTT-3.1.2-8]
    let local = Local::start();
    let mut witness = witness(&local).await;
    drop(local.connect(with_will(persistent(V5, "a"), delayed(30))).await);
    assert_eq!(seconds_until_will(&mut witness).await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_is_cancelled_by_a_new_connection_to_the_session() {
    // [MQTT-3.1.3-9]
    let local = Local::start();
    let mut witness = witness(&local).await;
    drop(local.connect(with_will(persistent(V5, "a"), delayed(30))).await);
    tokio::time::sleep(Duration::from_secs(29)).await;
    let _back = local.connect(persistent(V5, "a")).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    witness.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_does_not_outlast_its_session() {
    // MQTT 5.0, 3.1.2.5: at the end of the session at the latest
    let local = Local::start();
    let mut witness = witness(&local).await;
    let asks = Connect { session_expiry_interval: Some(10), ..connect(V5, "a") };
    drop(local.connect(with_will(asks, delayed(30))).await);
    assert_eq!(seconds_until_will(&mut witness).await, 10);
    drop(local.connect(with_will(connect(V5, "b"), delayed(30))).await);
    assert_eq!(seconds_until_will(&mut witness).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_is_published_when_a_clean_start_ends_its_session() {
    // [MQTT-3.1.3-9]
    let local = Local::start();
    let mut witness = witness(&local).await;
    drop(local.connect(with_will(persistent(V5, "a"), delayed(30))).await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _new = local.connect(connect(V5, "a")).await;
    assert_eq!(seconds_until_will(&mut witness).await, 0);
    tokio::time::sleep(Duration::from_secs(100)).await;
    witness.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn disconnect_with_will_waits_for_the_delay_too() {
    let local = Local::start();
    let mut witness = witness(&local).await;
    let client = local.connect(with_will(persistent(V5, "a"), delayed(30))).await;
    client.disconnect_with(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL_MESSAGE)).await;
    assert_eq!(seconds_until_will(&mut witness).await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_task_is_ended_leaves_its_will() {
    let local = Local::start();
    let mut witness = witness(&local).await;
    let (mut client, served) = local.open(V5);
    client.handshake(with_will(connect(V5, "a"), will("will", "gone"))).await;
    served.abort();
    assert_eq!(seconds_until_will(&mut witness).await, 0);
}

#[tokio::test]
async fn shutdown_publishes_wills() {
    let server = start().await;
    let broker = server.broker().clone();
    let will = Will { retain: true, ..will("will", "gone") };
    let mut client = Client::connect(&server, with_will(connect(V5, "a"), will)).await;
    let shutdown = tokio::spawn(server.shutdown());
    assert_eq!(client.end().await, Some(ReasonCode::SERVER_SHUTTING_DOWN));
    drop(client);
    within(shutdown).await.unwrap();
    assert_eq!(broker.retained_count(), 1);
}

#[tokio::test]
async fn shutdown_publishes_delayed_wills_too() {
    // A Will with a delay was left to a schedule that ended with the server: it was never published,
    // though its session was over.
    let server = start().await;
    let broker = server.broker().clone();
    let will = Will { retain: true, ..delayed(1000) };
    let mut client = Client::connect(&server, with_will(persistent(V5, "a"), will)).await;
    let shutdown = tokio::spawn(server.shutdown());
    assert_eq!(client.end().await, Some(ReasonCode::SERVER_SHUTTING_DOWN));
    drop(client);
    within(shutdown).await.unwrap();
    assert_eq!(broker.retained_count(), 1);
}

#[tokio::test]
async fn shutdown_publishes_wills_that_wait_for_their_delay() {
    // Shutdown went through the connections and not through the sessions without one: a Will that waited
    // there for its delay was lost with its session.
    let server = start().await;
    let broker = server.broker().clone();
    let will = Will { retain: true, ..delayed(1000) };
    drop(Client::connect(&server, with_will(persistent(V5, "a"), will)).await);
    until(|| broker.client("a").is_some_and(|status| status.client.is_none())).await;
    within(server.shutdown()).await;
    assert_eq!(broker.retained_count(), 1);
}
