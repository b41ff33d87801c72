//! Packets that a client may send, made of choices: mostly legal ones about few topics, clients and identifiers, so that
//! they meet.

use std::num::NonZeroU16;

use bytestring::ByteString;
use tidegate::packet::{
    Ack, AckProperties, Auth, Connect, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishProperties, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe,
    UserProperty, Will,
};

use super::choices::Choices;

const TOPICS: [&str; 10] =
    ["t", "t/u", "t/u/v", "/", "$own/t", "$SYS/broker/version", "\u{feff}t", "\u{e9}/\u{1f30a}", "", "t//"];
const FILTERS: [&str; 16] = [
    "t",
    "t/u",
    "#",
    "+",
    "t/#",
    "+/u",
    "$share/g/t",
    "$share/g/#",
    "$share/h/t",
    "$own/#",
    "$SYS/#",
    "t/+/v",
    "/+",
    "$share/g",
    "a/#/b",
    "",
];
const CLIENTS: [&str; 4] = ["", "a", "b", "c"];
const REASONS: [ReasonCode; 8] = [
    ReasonCode::SUCCESS,
    ReasonCode::DISCONNECT_WITH_WILL_MESSAGE,
    ReasonCode::NO_MATCHING_SUBSCRIBERS,
    ReasonCode::UNSPECIFIED_ERROR,
    ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
    ReasonCode::QUOTA_EXCEEDED,
    ReasonCode::CONTINUE_AUTHENTICATION,
    ReasonCode::RE_AUTHENTICATE,
];

/// None where the choices do not make one.
pub fn any(choices: &mut Choices<'_>, version: ProtocolVersion) -> Option<Packet> {
    Some(match choices.below(12) {
        0 => Packet::Publish(publish(choices)),
        1 => Packet::Puback(ack(choices)?),
        2 => Packet::Pubrec(ack(choices)?),
        3 => Packet::Pubrel(ack(choices)?),
        4 => Packet::Pubcomp(ack(choices)?),
        5 | 6 => Packet::Subscribe(Box::new(subscribe(choices, version)?)),
        7 => Packet::Unsubscribe(Box::new(unsubscribe(choices)?)),
        8 => Packet::Pingreq,
        9 => Packet::Disconnect(Box::new(disconnect(choices))),
        10 => Packet::Auth(Box::new(auth(choices))),
        _ => Packet::Connect(Box::new(connect(choices, version))),
    })
}

pub fn connect(choices: &mut Choices<'_>, version: ProtocolVersion) -> Connect {
    let client_identifier = ByteString::from_static(choices.one_of(&CLIENTS));
    let shape = choices.byte();
    let has = |bit: u8| shape & (1 << bit) != 0;
    let v5 = version == ProtocolVersion::V5;
    let mut connect = Connect::new(version, client_identifier);
    connect.clean_start = !has(0);
    connect.keep_alive = if has(1) { choices.word() } else { 0 };
    connect.will = has(2).then(|| Box::new(will(choices)));
    connect.user_name = has(3).then(|| choices.text());
    connect.password = (has(3) && choices.flag()).then(|| choices.binary());
    if v5 && has(4) {
        connect.session_expiry_interval = Some(choices.one_of(&[0, 1, 100, u32::MAX]));
        connect.receive_maximum = NonZeroU16::new(choices.one_of(&[0, 1, 2, 65_535]));
        connect.topic_alias_maximum = choices.one_of(&[0, 1, 2, 65_535]);
    }
    if v5 && has(5) {
        connect.maximum_packet_size = Some(choices.one_of(&[1, 4, 12, 40, 200, 100_000]));
        connect.request_problem_information = choices.flag();
        connect.request_response_information = choices.flag();
    }
    if v5 && has(6) {
        connect.user_properties = user_properties(choices);
        connect.authentication_method = choices.maybe(Choices::text);
        connect.authentication_data = choices.maybe(Choices::binary);
    }
    connect
}

fn will(choices: &mut Choices<'_>) -> Will {
    Will {
        topic: topic(choices),
        payload: choices.binary(),
        qos: qos(choices),
        retain: choices.flag(),
        delay_interval: choices.one_of(&[0, 1, 50, u32::MAX]),
        properties: publish_properties(choices),
    }
}

pub fn publish(choices: &mut Choices<'_>) -> Publish {
    let qos = qos(choices);
    let shape = choices.byte();
    Publish {
        dup: shape & 1 != 0 && qos > QoS::AtMostOnce,
        qos,
        retain: shape & 2 != 0,
        topic: topic(choices),
        packet_identifier: identifier(choices).filter(|_| qos > QoS::AtMostOnce),
        topic_alias: if shape & 4 != 0 { NonZeroU16::new(choices.one_of(&[1, 2, 16, 17, 0])) } else { None },
        subscription_identifiers: Vec::new(),
        properties: if shape & 8 != 0 { publish_properties(choices) } else { None },
        payload: choices.binary(),
    }
}

fn publish_properties(choices: &mut Choices<'_>) -> Option<Box<PublishProperties>> {
    choices.maybe(|choices| {
        Box::new(PublishProperties {
            payload_format_indicator: choices.maybe(Choices::flag),
            message_expiry_interval: choices.maybe(|choices| choices.one_of(&[0, 1, 60, u32::MAX])),
            content_type: choices.maybe(Choices::text),
            response_topic: choices.maybe(topic),
            correlation_data: choices.maybe(Choices::binary),
            user_properties: user_properties(choices),
        })
    })
}

pub fn subscribe(choices: &mut Choices<'_>, version: ProtocolVersion) -> Option<Subscribe> {
    let v5 = version == ProtocolVersion::V5;
    let packet_identifier = identifier(choices)?;
    let subscription_identifier =
        choices.maybe(|choices| choices.one_of(&[1, 2, 268_435_455])).filter(|_| v5);
    let count = choices.below(4) + 1;
    let subscriptions = (0..count).map(|_| subscribe_filter(choices, version)).collect();
    let user_properties = if v5 { user_properties(choices) } else { Vec::new() };
    Some(Subscribe { packet_identifier, subscription_identifier, user_properties, subscriptions })
}

fn subscribe_filter(choices: &mut Choices<'_>, version: ProtocolVersion) -> SubscribeFilter {
    let mut subscription = SubscribeFilter::new(filter(choices), qos(choices));
    let options = choices.byte();
    if version == ProtocolVersion::V5 {
        subscription.no_local = options & 3 == 3;
        subscription.retain_as_published = options & 4 != 0;
        subscription.retain_handling = match options >> 3 & 3 {
            1 => RetainHandling::SendAtNewSubscribe,
            2 => RetainHandling::DoNotSend,
            _ => RetainHandling::SendAtSubscribe,
        };
    }
    subscription
}

pub fn unsubscribe(choices: &mut Choices<'_>) -> Option<Unsubscribe> {
    let packet_identifier = identifier(choices)?;
    let filters = (0..choices.below(4) + 1).map(|_| filter(choices)).collect();
    Some(Unsubscribe { packet_identifier, user_properties: user_properties(choices), filters })
}

pub fn ack(choices: &mut Choices<'_>) -> Option<Ack> {
    let mut ack = Ack::new(identifier(choices)?, reason(choices));
    ack.properties = choices.maybe(|choices| {
        let reason_string = choices.maybe(Choices::text);
        Box::new(AckProperties { reason_string, user_properties: user_properties(choices) })
    });
    Some(ack)
}

pub fn disconnect(choices: &mut Choices<'_>) -> Disconnect {
    Disconnect {
        session_expiry_interval: choices.maybe(|choices| choices.one_of(&[0, 1, 100, u32::MAX])),
        reason_string: choices.maybe(Choices::text),
        user_properties: user_properties(choices),
        ..Disconnect::new(reason(choices))
    }
}

pub fn auth(choices: &mut Choices<'_>) -> Auth {
    Auth {
        reason_code: reason(choices),
        authentication_method: choices.maybe(Choices::text),
        authentication_data: choices.maybe(Choices::binary),
        reason_string: choices.maybe(Choices::text),
        user_properties: user_properties(choices),
    }
}

fn user_properties(choices: &mut Choices<'_>) -> Vec<UserProperty> {
    (0..choices.below(3)).map(|_| (choices.text(), choices.text())).collect()
}

fn topic(choices: &mut Choices<'_>) -> ByteString {
    match choices.below(TOPICS.len() + 1) {
        0 => ByteString::from_static(TOPICS[0]),
        1 => choices.text(),
        n => ByteString::from_static(TOPICS[n - 1]),
    }
}

fn filter(choices: &mut Choices<'_>) -> ByteString {
    match choices.below(FILTERS.len() + 1) {
        0 => ByteString::from_static(FILTERS[0]),
        1 => choices.text(),
        n => ByteString::from_static(FILTERS[n - 1]),
    }
}

fn qos(choices: &mut Choices<'_>) -> QoS {
    choices.one_of(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

pub fn reason(choices: &mut Choices<'_>) -> ReasonCode {
    choices.one_of(&REASONS)
}

/// Mostly one of few.
pub fn identifier(choices: &mut Choices<'_>) -> Option<PacketIdentifier> {
    let value = match choices.byte() {
        0 => 1,
        255 => choices.word(),
        small => u16::from(small % 8),
    };
    PacketIdentifier::new(value)
}
