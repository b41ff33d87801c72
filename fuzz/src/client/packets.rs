//! Packets that a server may send, made of choices.

use std::num::NonZeroU16;

use bytestring::ByteString;
use tidegate::packet::{
    Ack, Auth, Connack, Packet, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, Suback,
    Subscribe, Unsuback, Unsubscribe,
};

use super::super::choices::Choices;
use super::super::packets::{ack, any as of_a_client, auth, disconnect, identifier, publish, reason};

/// Where responses to requests go.
pub const RESPONSES: &str = "responses";

const REFUSALS: [ReasonCode; 5] = [
    ReasonCode::SERVER_UNAVAILABLE,
    ReasonCode::NOT_AUTHORIZED,
    ReasonCode::BANNED,
    ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
    ReasonCode::SERVER_BUSY,
];
const GRANTED: [ReasonCode; 4] = [
    ReasonCode::GRANTED_QOS_0,
    ReasonCode::GRANTED_QOS_1,
    ReasonCode::GRANTED_QOS_2,
    ReasonCode::UNSPECIFIED_ERROR,
];

/// None where the choices do not make one.
pub fn any(choices: &mut Choices<'_>, version: ProtocolVersion) -> Option<Packet> {
    Some(match choices.below(14) {
        0..4 => Packet::Publish(message(choices, version)),
        4 => Packet::Puback(ack(choices)?),
        5 => Packet::Pubrec(ack(choices)?),
        6 => Packet::Pubrel(ack(choices)?),
        7 => Packet::Pubcomp(ack(choices)?),
        8 => Packet::Suback(Suback {
            packet_identifier: identifier(choices)?,
            reason_codes: (0..choices.below(4)).map(|_| choices.one_of(&GRANTED)).collect(),
            properties: None,
        }),
        9 => Packet::Unsuback(Unsuback {
            packet_identifier: identifier(choices)?,
            reason_codes: (0..choices.below(4)).map(|_| reason(choices)).collect(),
            properties: None,
        }),
        10 => Packet::Pingresp,
        11 => Packet::Disconnect(Box::new(disconnect(choices))),
        12 => Packet::Auth(Box::new(auth(choices))),
        _ => of_a_client(choices, version)?,
    })
}

fn message(choices: &mut Choices<'_>, version: ProtocolVersion) -> Publish {
    let mut publish = publish(choices);
    if version == ProtocolVersion::V5 {
        let count = choices.below(3);
        publish.subscription_identifiers =
            (0..count).map(|_| choices.one_of(&[1, 2, 3, 4, 5, 268_435_455])).collect();
    }
    publish
}

/// Lets the client in, in most cases.
pub fn connack(choices: &mut Choices<'_>, version: ProtocolVersion) -> Connack {
    let shape = choices.byte();
    let has = |bit: u8| shape & (1 << bit) != 0;
    if has(0) && has(1) {
        return Connack::refused(choices.one_of(&REFUSALS));
    }
    let mut connack = Connack { session_present: has(0), ..Connack::default() };
    if version == ProtocolVersion::V5 && has(2) {
        connack.receive_maximum = NonZeroU16::new(choices.one_of(&[1, 2, 0]));
        connack.maximum_packet_size = Some(choices.one_of(&[30, 100, 12, 5, 1, 4])).filter(|_| has(3));
        connack.maximum_qos = choices.one_of(&[None, Some(QoS::AtMostOnce), Some(QoS::AtLeastOnce)]);
    }
    if version == ProtocolVersion::V5 && has(4) {
        connack.retain_available = choices.maybe(Choices::flag);
        connack.subscription_identifiers_available = choices.maybe(Choices::flag);
        connack.topic_alias_maximum = choices.maybe(|choices| choices.one_of(&[0, 1, 2]));
        connack.server_keep_alive = choices.maybe(|choices| choices.one_of(&[0, 1, 30]));
    }
    if version == ProtocolVersion::V5 && has(5) {
        connack.assigned_client_identifier = choices.maybe(Choices::text);
        connack.response_information = choices.maybe(Choices::text);
        connack.authentication_method = choices.maybe(Choices::text);
        connack.authentication_data = choices.maybe(Choices::binary);
    }
    connack
}

pub fn granted(subscribe: &Subscribe) -> Packet {
    let granted = |qos: QoS| GRANTED[usize::from(u8::from(qos))];
    Packet::Suback(Suback {
        packet_identifier: subscribe.packet_identifier,
        reason_codes: subscribe.subscriptions.iter().map(|it| granted(it.qos)).collect(),
        properties: None,
    })
}

pub fn taken_back(unsubscribe: &Unsubscribe, version: ProtocolVersion) -> Packet {
    let count = if version == ProtocolVersion::V5 { unsubscribe.filters.len() } else { 0 };
    Packet::Unsuback(Unsuback {
        packet_identifier: unsubscribe.packet_identifier,
        reason_codes: vec![ReasonCode::SUCCESS; count],
        properties: None,
    })
}

/// What a server says who believes an AUTH.
pub fn believed(auth: &Auth) -> Packet {
    Packet::Auth(Box::new(Auth {
        reason_code: ReasonCode::SUCCESS,
        authentication_method: auth.authentication_method.clone(),
        ..Auth::default()
    }))
}

pub fn success(publish: &Publish) -> Option<Packet> {
    let ack = Ack::new(publish.packet_identifier?, ReasonCode::SUCCESS);
    Some(if publish.qos == QoS::ExactlyOnce { Packet::Pubrec(ack) } else { Packet::Puback(ack) })
}

/// The response to a request, if one was asked for.
pub fn response(request: &Publish) -> Option<Packet> {
    let properties = request.properties.as_deref()?;
    let topic: ByteString = properties.response_topic.clone()?;
    let answer = PublishProperties {
        correlation_data: properties.correlation_data.clone(),
        ..PublishProperties::default()
    };
    let mut response = Publish::new(topic, "ok".into());
    response.properties = Some(Box::new(answer));
    Some(Packet::Publish(response))
}
