//! Changes to test with.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use tidegate::message::{ApplicationMessage, Origin, Timestamp};
use tidegate::packet::{PacketIdentifier, ProtocolVersion, PublishProperties, QoS, RetainHandling};
use tidegate::session::{Subscription, Will};
use tidegate::storage::{Change, ClientRecord, DeliveryRecord, DeliveryState, SessionRecord, WillRecord};
use tidegate::topic::{TopicFilter, TopicName};

pub fn topic(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

pub fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

pub fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

pub fn message(name: &str, payload: impl Into<Bytes>) -> ApplicationMessage {
    ApplicationMessage::new(topic(name), payload)
}

/// With all that a message can have.
pub fn full_message(name: &str) -> ApplicationMessage {
    let properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        content_type: Some("text/plain".into()),
        response_topic: Some("answer".into()),
        correlation_data: Some(Bytes::from_static(b"\0\xff'\\")),
        user_properties: vec![("a".into(), "1".into()), ("a".into(), "\u{1f30a}".into())],
    };
    ApplicationMessage {
        properties: Some(Box::new(properties)),
        origin: Origin::Will,
        expires_at: Some(Timestamp(1_800_000_000_123)),
        depth: 2,
        ..message(name, "payload").with_qos(QoS::ExactlyOnce).with_retain(true)
    }
}

pub fn client(name: &str) -> ClientRecord {
    ClientRecord {
        client_identifier: name.into(),
        user_name: None,
        listener: "tcp".into(),
        default_authorization: false,
        protocol_version: ProtocolVersion::V311,
    }
}

pub fn full_client(name: &str) -> ClientRecord {
    let user_name = Some("somebody".into());
    ClientRecord {
        user_name,
        default_authorization: true,
        protocol_version: ProtocolVersion::V5,
        ..client(name)
    }
}

pub fn session(number: u64, client: ClientRecord) -> Change {
    let (expires_at, is_connected) = (None, true);
    Change::PutSession(Box::new(SessionRecord {
        number,
        client,
        expiry_interval: 0,
        expires_at,
        is_connected,
    }))
}

pub fn full_session(number: u64) -> Change {
    Change::PutSession(Box::new(SessionRecord {
        number,
        client: full_client("c"),
        expiry_interval: u32::MAX,
        expires_at: Some(Timestamp(u64::MAX)),
        is_connected: false,
    }))
}

pub fn subscription() -> Subscription {
    Subscription {
        maximum_qos: QoS::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
        identifier: None,
    }
}

pub fn full_subscription() -> Subscription {
    Subscription {
        maximum_qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        identifier: NonZeroU32::new(268_435_455),
    }
}

pub fn subscribe(session: u64, text: &str) -> Change {
    Change::PutSubscription { session, filter: filter(text), routed: None, subscription: subscription() }
}

pub fn unsubscribe(session: u64, text: &str) -> Change {
    Change::DeleteSubscription { session, filter: filter(text) }
}

pub fn received(session: u64, identifier: u16) -> Change {
    Change::PutReceived { session, packet_identifier: id(identifier) }
}

pub fn item(session: u64, key: &str, value: impl Into<Bytes>) -> Change {
    Change::PutItem { session, key: key.into(), value: value.into() }
}

pub fn will(number: u64, message: ApplicationMessage) -> Change {
    let will = Will { message, delay_interval: 0, number };
    Change::PutWill(Box::new(WillRecord { number, client: client("c"), will, due: None }))
}

pub fn full_will(number: u64) -> Change {
    Change::PutWill(Box::new(WillRecord {
        number,
        client: full_client("w"),
        will: Will { message: full_message("will"), delay_interval: u32::MAX, number },
        due: Some(Timestamp(1)),
    }))
}

pub fn put_message(number: u64, message: ApplicationMessage) -> Change {
    Change::PutMessage { number, message: Arc::new(message) }
}

pub fn delivery(number: u64, session: u64, message: u64, state: DeliveryState) -> Change {
    Change::PutDelivery(Box::new(DeliveryRecord {
        number,
        session,
        message,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_identifiers: Box::default(),
        shared: None,
        state,
    }))
}

pub fn full_delivery(number: u64, session: u64, message: u64) -> Change {
    Change::PutDelivery(Box::new(DeliveryRecord {
        number,
        session,
        message,
        qos: QoS::ExactlyOnce,
        retain: true,
        subscription_identifiers: Box::new([1, 268_435_455]),
        shared: Some(filter("$share/g/a/#")),
        state: DeliveryState::Released(id(65_535)),
    }))
}

pub fn set_state(number: u64, state: DeliveryState) -> Change {
    Change::SetDeliveryState { number, state }
}

pub fn retain(message: ApplicationMessage) -> Change {
    Change::PutRetained(Arc::new(message))
}

pub fn forget(name: &str) -> Change {
    Change::DeleteRetained(topic(name))
}

pub fn plugin_state(plugin: &str, key: &str, value: impl Into<Bytes>) -> Change {
    Change::PutState { plugin: plugin.into(), key: key.into(), value: value.into(), expires_at: None }
}

/// One of each that puts something, with as little and as much as there can be.
pub fn all_puts() -> Vec<Change> {
    vec![
        Change::SetAlive(Timestamp(1_800_000_000_000)),
        session(1, client("")),
        full_session(2),
        subscribe(1, "a/+"),
        Change::PutSubscription {
            session: 2,
            filter: filter("$share/g/a/#"),
            routed: Some(filter("$share/g/b/#")),
            subscription: full_subscription(),
        },
        received(1, 1),
        received(1, 65_535),
        item(1, "key", ""),
        item(2, "key", &b"\0\xff"[..]),
        will(3, message("w", "")),
        full_will(4),
        put_message(1, message("a/b", "")),
        put_message(2, full_message("a/c")),
        delivery(5, 1, 1, DeliveryState::Queued),
        delivery(6, 2, 1, DeliveryState::Sent(id(1))),
        full_delivery(7, 2, 0),
        retain(message("r", "1").with_retain(true)),
        retain(full_message("r/full")),
        plugin_state("p", "k", "v"),
        Change::PutState {
            plugin: "p".into(),
            key: "until".into(),
            value: Bytes::from_static(b"\xff"),
            expires_at: Some(Timestamp(5)),
        },
    ]
}
