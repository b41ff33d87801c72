//! What observers are told, and with which cause.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{DisconnectCause, DropCause, RetainedChange, SessionEnd, What};
use tidegate::packet::{Connect, Publish, PublishProperties, ReasonCode};

use crate::support::*;

/// A short word for each event.
fn word(what: &What) -> String {
    match what {
        What::Started => "started".into(),
        What::Stopped => "stopped".into(),
        What::ClientConnected { client, session_present } => {
            format!("{} connected {session_present}", client.client_identifier)
        }
        What::ClientDisconnected { client, cause, reason } => {
            let reason = reason.map_or(0, |reason| reason.value());
            format!("{} disconnected {cause:?} {reason:#04x}", client.client_identifier)
        }
        What::ClientSubscribedTopic { client, filter, qos } => {
            format!("{} subscribed {filter} {}", client.client_identifier, *qos as u8)
        }
        What::ClientUnsubscribedTopic { client, filter } => {
            format!("{} unsubscribed {filter}", client.client_identifier)
        }
        What::ClientAcknowledgedPublishPacket { client, topic, qos, reason } => {
            format!(
                "{} acknowledged {topic} {} {:#04x}",
                client.client_identifier,
                *qos as u8,
                reason.value()
            )
        }
        What::SessionCreated { client_identifier } => format!("{client_identifier} created"),
        What::SessionDeleted { client_identifier, cause } => format!("{client_identifier} deleted {cause:?}"),
        What::MessageDropped { client_identifier, topic, qos, cause } => {
            format!("{client_identifier} dropped {topic} {} {cause:?}", *qos as u8)
        }
        What::RetainedMessageChanged { topic, change, payload_length } => {
            format!("{topic} {change:?} {payload_length}")
        }
    }
}

fn words(script: &Script) -> Vec<String> {
    script.events().iter().map(word).collect()
}

#[tokio::test]
async fn the_life_of_a_client_is_told_in_order() {
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.subscribe("t/+", QOS2).await;
    client.unsubscribe(&["t/+", "never"]).await;
    client.disconnect().await;
    until(|| words(&script).len() >= 7).await;
    server.shutdown().await;
    let expected = [
        "started",
        "a created",
        "a connected false",
        "a subscribed t/+ 2",
        "a unsubscribed t/+",
        "a disconnected Client 0x00",
        "a deleted Disconnect",
        "stopped",
    ];
    assert_eq!(words(&script), expected);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_connection_has_its_cause() {
    let script = Script::default().shared();
    let local = Local::hooked(Options::default(), script.clone());
    let ended = |name: &str| {
        script.events().into_iter().find_map(|what| match what {
            What::ClientDisconnected { client, cause, reason } if *client.client_identifier == *name => {
                Some((cause, reason))
            }
            _ => None,
        })
    };
    let open = async |name: &str| local.connect(Connect { keep_alive: 10, ..connect(V5, name) }).await;

    open("client").await.disconnect().await;
    drop(open("network").await);
    let mut wrong = open("wrong").await;
    wrong.send_bytes(&[0, 0]).await;
    wrong.end().await;
    let mut kicked = open("kicked").await;
    local.broker.disconnect("kicked", ReasonCode::QUOTA_EXCEEDED);
    kicked.end().await;
    let mut taken = open("taken").await;
    let _taker = open("taken").await;
    taken.end().await;
    let mut idle = open("idle").await;
    tokio::time::sleep(Duration::from_secs(16)).await;
    idle.end().await;
    let mut last = open("last").await;
    local.broker.end_all_connections();
    last.end().await;

    let some = Some;
    for (name, cause, reason) in [
        ("client", DisconnectCause::Client, some(ReasonCode::NORMAL_DISCONNECTION)),
        ("network", DisconnectCause::Network, None),
        ("wrong", DisconnectCause::ProtocolError, some(ReasonCode::MALFORMED_PACKET)),
        ("kicked", DisconnectCause::Kicked, some(ReasonCode::QUOTA_EXCEEDED)),
        ("taken", DisconnectCause::Takeover, some(ReasonCode::SESSION_TAKEN_OVER)),
        ("idle", DisconnectCause::KeepAlive, some(ReasonCode::KEEP_ALIVE_TIMEOUT)),
        ("last", DisconnectCause::Shutdown, some(ReasonCode::SERVER_SHUTTING_DOWN)),
    ] {
        assert_eq!(ended(name), Some((cause, reason)), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_session_has_its_cause() {
    let script = Script::default().shared();
    let local = Local::hooked(Options::default(), script.clone());
    let keeping = |name: &str| Connect { session_expiry_interval: Some(60), ..connect(V5, name) };
    local.connect(connect(V5, "disconnect")).await.disconnect().await;
    local.connect(keeping("expired")).await.disconnect().await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    local.connect(keeping("clean")).await.disconnect().await;
    let _clean = local.connect(keeping("clean")).await;
    local.connect(keeping("admin")).await.disconnect().await;
    assert!(local.broker.delete_session("admin"));
    for (name, expected) in [
        ("disconnect", SessionEnd::Disconnect),
        ("expired", SessionEnd::Expired),
        ("clean", SessionEnd::CleanStart),
        ("admin", SessionEnd::Admin),
    ] {
        let like = |what: &What| {
            matches!(what, What::SessionDeleted { client_identifier, cause }
                if **client_identifier == *name && *cause == expected)
        };
        assert_eq!(script.count(like), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_dropped_message_has_its_cause() {
    let script = Script::default().shared();
    let local = Local::hooked(Options { maximum_queued_messages: 2, ..Options::default() }, script.clone());
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish("t", "offline", QOS0).await;
    let properties = PublishProperties { message_expiry_interval: Some(1), ..Default::default() };
    let properties = Some(Box::new(properties));
    sender.publish_packet(Publish { qos: QOS1, properties, ..publish("t", "expires") }).await;
    sender.publish("t", &"large".repeat(100), QOS1).await;
    sender.publish("t", "one too many", QOS1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asks = Connect { maximum_packet_size: Some(100), ..persistent(V5, "receiver") };
    let mut receiver = local.connect(asks).await;
    receiver.assert_silent().await;
    let dropped: Vec<String> = words(&script).into_iter().filter(|word| word.contains("dropped")).collect();
    let expected = [
        (0, DropCause::SessionGone),
        (1, DropCause::QueueFull),
        (1, DropCause::Expired),
        (1, DropCause::TooLarge),
    ];
    let expected: Vec<String> =
        expected.iter().map(|(qos, cause)| format!("receiver dropped t {qos} {cause:?}")).collect();
    assert_eq!(dropped, expected);
}

#[tokio::test(start_paused = true)]
async fn changes_of_retained_messages_are_told() {
    let script = Script::default().shared();
    let local = Local::hooked(Options::default(), script.clone());
    let mut client = local.connect(connect(V5, "a")).await;
    client.publish_retained("t", "four", QOS1).await;
    client.publish_retained("t", "", QOS1).await;
    client.publish_retained("t", "", QOS1).await;
    let properties = PublishProperties { message_expiry_interval: Some(1), ..Default::default() };
    let properties = Some(Box::new(properties));
    let packet = Publish { qos: QOS1, retain: true, properties, ..publish("t", "short") };
    client.publish_packet(packet).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.subscribe("t", QOS0).await;
    client.assert_silent().await;
    let changes: Vec<_> = script
        .events()
        .into_iter()
        .filter_map(|what| match what {
            What::RetainedMessageChanged { change, payload_length, .. } => Some((change, payload_length)),
            _ => None,
        })
        .collect();
    let (set, cleared, expired) = (RetainedChange::Set, RetainedChange::Cleared, RetainedChange::Expired);
    assert_eq!(changes, [(set, 4), (cleared, 0), (set, 5), (expired, 0)]);
}

#[tokio::test]
async fn acknowledgements_of_receivers_are_told() {
    // The acknowledgement of a QoS 2 message was not told: PUBREC let go of the message, and when PUBCOMP
    // ended the flow there was nothing left to tell of.
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for qos in ALL_QOS {
        sender.publish("t", "x", qos).await;
        receiver.message().await;
    }
    receiver.ping().await;
    let told: Vec<String> = words(&script).into_iter().filter(|word| word.contains("acknowledged")).collect();
    assert_eq!(told, ["receiver acknowledged t 1 0x00", "receiver acknowledged t 2 0x00"]);
}
