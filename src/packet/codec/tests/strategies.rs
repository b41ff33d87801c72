//! Arbitrary packets that decode to themselves, for one version and one receiving side.

use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::packet::*;

/// A packet that `side` may receive. CONNECT is a packet like any other here.
pub(super) fn packet(version: ProtocolVersion, side: Side) -> BoxedStrategy<Packet> {
    let from_both = prop_oneof![
        publish(version, side).prop_map(Packet::Publish),
        ack(version, side, PacketType::Puback).prop_map(Packet::Puback),
        ack(version, side, PacketType::Pubrec).prop_map(Packet::Pubrec),
        ack(version, side, PacketType::Pubrel).prop_map(Packet::Pubrel),
        ack(version, side, PacketType::Pubcomp).prop_map(Packet::Pubcomp),
    ];
    let of_version = match (version, side) {
        (ProtocolVersion::V5, _) => {
            prop_oneof![disconnect(side).prop_map(into_disconnect), auth(side).prop_map(into_auth)].boxed()
        }
        (ProtocolVersion::V311, Side::Server) => Just(into_disconnect(Disconnect::default())).boxed(),
        (ProtocolVersion::V311, Side::Client) => Just(Packet::Pingresp).boxed(),
    };
    let of_side = match side {
        Side::Server => prop_oneof![
            subscribe(version).prop_map(|subscribe| Packet::Subscribe(Box::new(subscribe))),
            unsubscribe(version).prop_map(|unsubscribe| Packet::Unsubscribe(Box::new(unsubscribe))),
            Just(Packet::Pingreq),
        ]
        .boxed(),
        Side::Client => prop_oneof![
            connack(version).prop_map(|connack| Packet::Connack(Box::new(connack))),
            suback(version).prop_map(Packet::Suback),
            unsuback(version).prop_map(Packet::Unsuback),
            Just(Packet::Pingresp),
        ]
        .boxed(),
    };
    prop_oneof![from_both, of_version, of_side].boxed()
}

pub(super) fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(ProtocolVersion::V311), Just(ProtocolVersion::V5)]
}

pub(super) fn connect(protocol_version: ProtocolVersion) -> BoxedStrategy<Connect> {
    let v5 = protocol_version == ProtocolVersion::V5;
    let fields =
        (any::<bool>(), any::<u16>(), string(), of(string()), of(binary()), of(will(v5).prop_map(Box::new)));
    let limits = (of(any::<u32>()), of(nonzero_u16()), of(1..=u32::MAX), any::<u16>());
    let rest = (any::<bool>(), any::<bool>(), user_properties(), of(string()), of(binary()));
    (fields, limits, rest)
        .prop_map(move |(fields, limits, rest)| {
            let (clean_start, keep_alive, client_identifier, user_name, password, will) = fields;
            let password = password.filter(|_| v5 || user_name.is_some());
            let plain = Connect::new(protocol_version, client_identifier);
            let connect = Connect { clean_start, keep_alive, user_name, password, will, ..plain };
            if !v5 {
                return Connect { is_bridge: limits.3 % 2 == 1, ..connect };
            }
            let (session_expiry_interval, receive_maximum, maximum_packet_size, topic_alias_maximum) = limits;
            let (response, problem, user_properties, authentication_method, data) = rest;
            Connect {
                session_expiry_interval,
                receive_maximum,
                maximum_packet_size,
                topic_alias_maximum,
                request_response_information: response,
                request_problem_information: problem,
                user_properties,
                authentication_data: data.filter(|_| authentication_method.is_some()),
                authentication_method,
                ..connect
            }
        })
        .boxed()
}

fn will(v5: bool) -> BoxedStrategy<Will> {
    let fields = (topic_name(), binary(), qos(), any::<bool>(), any::<u32>(), publish_properties());
    fields
        .prop_map(move |(topic, payload, qos, retain, delay_interval, properties)| {
            let delay_interval = if v5 { delay_interval } else { 0 };
            Will { topic, payload, qos, retain, delay_interval, properties: properties.filter(|_| v5) }
        })
        .boxed()
}

fn connack(version: ProtocolVersion) -> BoxedStrategy<Connack> {
    if version == ProtocolVersion::V311 {
        let plain = (any::<bool>(), 0..=5u8).prop_map(|(present, code)| Connack {
            session_present: present && code == 0,
            reason_code: ReasonCode::from_connect_return_code(code).unwrap(),
            ..Connack::default()
        });
        return plain.boxed();
    }
    let head =
        (any::<bool>(), reason_code(Side::Client, PacketType::Connack), of(any::<u32>()), of(nonzero_u16()));
    let maximum_qos = of(prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]);
    let limits = (maximum_qos, of(any::<bool>()), of(1..=u32::MAX), of(string()), of(any::<u16>()));
    let available = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<u16>()));
    let strings = (of(string()), user_properties(), of(string()), of(string()), of(string()), of(binary()));
    (head, limits, available, strings)
        .prop_map(|(head, limits, available, strings)| Connack {
            session_present: head.0 && head.1 == ReasonCode::SUCCESS,
            reason_code: head.1,
            session_expiry_interval: head.2,
            receive_maximum: head.3,
            maximum_qos: limits.0,
            retain_available: limits.1,
            maximum_packet_size: limits.2,
            assigned_client_identifier: limits.3,
            topic_alias_maximum: limits.4,
            wildcard_subscription_available: available.0,
            subscription_identifiers_available: available.1,
            shared_subscription_available: available.2,
            server_keep_alive: available.3,
            reason_string: strings.0,
            user_properties: strings.1,
            response_information: strings.2,
            server_reference: strings.3,
            authentication_data: strings.5.filter(|_| strings.4.is_some()),
            authentication_method: strings.4,
        })
        .boxed()
}

fn publish(version: ProtocolVersion, side: Side) -> BoxedStrategy<Publish> {
    let head = (any::<bool>(), qos(), any::<bool>(), packet_identifier());
    let identifiers = vec(1..=MAXIMUM_VARIABLE_BYTE_INTEGER, 0..3);
    let v5 = (of(nonzero_u16()), identifiers, publish_properties(), any::<bool>());
    (head, topic_name(), v5, binary())
        .prop_map(move |((dup, qos, retain, id), topic, v5, payload)| {
            let guaranteed = qos > QoS::AtMostOnce;
            let packet_identifier = guaranteed.then_some(id);
            let plain = Publish {
                qos,
                retain,
                packet_identifier,
                dup: dup && guaranteed,
                ..Publish::new(topic, payload)
            };
            if version == ProtocolVersion::V311 {
                return plain;
            }
            let (topic_alias, identifiers, properties, alias_only) = v5;
            let subscription_identifiers = if side == Side::Client { identifiers } else { Vec::new() };
            let topic = if alias_only && topic_alias.is_some() { ByteString::new() } else { plain.topic };
            Publish { topic, topic_alias, subscription_identifiers, properties, ..plain }
        })
        .boxed()
}

fn publish_properties() -> impl Strategy<Value = Option<Box<PublishProperties>>> {
    let numbers = (of(any::<bool>()), of(any::<u32>()));
    let strings = (of(string()), of(topic_name()), of(binary()), user_properties());
    (numbers, strings).prop_map(|(numbers, strings)| {
        let properties = PublishProperties {
            payload_format_indicator: numbers.0,
            message_expiry_interval: numbers.1,
            content_type: strings.0,
            response_topic: strings.1,
            correlation_data: strings.2,
            user_properties: strings.3,
        };
        // None at all is always decoded as `None`.
        Some(Box::new(properties)).filter(|properties| **properties != PublishProperties::default())
    })
}

fn ack(version: ProtocolVersion, side: Side, packet: PacketType) -> BoxedStrategy<Ack> {
    (packet_identifier(), reason_code(side, packet), ack_properties(version))
        .prop_map(move |(packet_identifier, reason_code, properties)| match version {
            ProtocolVersion::V311 => Ack::new(packet_identifier, ReasonCode::SUCCESS),
            ProtocolVersion::V5 => Ack { packet_identifier, reason_code, properties },
        })
        .boxed()
}

fn ack_properties(version: ProtocolVersion) -> impl Strategy<Value = Option<Box<AckProperties>>> {
    (of(string()), user_properties()).prop_map(move |(reason_string, user_properties)| {
        Some(Box::new(AckProperties { reason_string, user_properties }))
            .filter(|properties| version == ProtocolVersion::V5 && **properties != AckProperties::default())
    })
}

fn subscribe(version: ProtocolVersion) -> BoxedStrategy<Subscribe> {
    let v5 = version == ProtocolVersion::V5;
    let identifier = of(1..=MAXIMUM_VARIABLE_BYTE_INTEGER);
    (packet_identifier(), identifier, user_properties(), vec(subscribe_filter(v5), 1..4))
        .prop_map(move |(packet_identifier, identifier, user_properties, subscriptions)| Subscribe {
            packet_identifier,
            subscription_identifier: identifier.filter(|_| v5),
            user_properties: if v5 { user_properties } else { Vec::new() },
            subscriptions,
        })
        .boxed()
}

fn subscribe_filter(v5: bool) -> impl Strategy<Value = SubscribeFilter> {
    let retain_handling = prop_oneof![
        Just(RetainHandling::SendAtSubscribe),
        Just(RetainHandling::SendAtNewSubscribe),
        Just(RetainHandling::DoNotSend),
    ];
    (string(), qos(), any::<bool>(), any::<bool>(), retain_handling).prop_map(
        move |(filter, qos, no_local, retain_as_published, retain_handling)| {
            if v5 {
                SubscribeFilter { filter, qos, no_local, retain_as_published, retain_handling }
            } else {
                SubscribeFilter::new(filter, qos)
            }
        },
    )
}

fn suback(version: ProtocolVersion) -> BoxedStrategy<Suback> {
    (packet_identifier(), vec(reason_code(Side::Client, PacketType::Suback), 1..5), ack_properties(version))
        .prop_map(move |(packet_identifier, mut reason_codes, properties)| {
            if version == ProtocolVersion::V311 {
                reason_codes.iter_mut().filter(|code| code.is_error()).for_each(|code| {
                    *code = ReasonCode::UNSPECIFIED_ERROR;
                });
            }
            Suback { packet_identifier, reason_codes, properties }
        })
        .boxed()
}

fn unsubscribe(version: ProtocolVersion) -> BoxedStrategy<Unsubscribe> {
    (packet_identifier(), user_properties(), vec(string(), 1..4))
        .prop_map(move |(packet_identifier, user_properties, filters)| {
            let v5 = version == ProtocolVersion::V5;
            let user_properties = if v5 { user_properties } else { Vec::new() };
            Unsubscribe { packet_identifier, user_properties, filters }
        })
        .boxed()
}

fn unsuback(version: ProtocolVersion) -> BoxedStrategy<Unsuback> {
    (packet_identifier(), vec(reason_code(Side::Client, PacketType::Unsuback), 1..5), ack_properties(version))
        .prop_map(move |(packet_identifier, reason_codes, properties)| {
            let reason_codes = if version == ProtocolVersion::V5 { reason_codes } else { Vec::new() };
            Unsuback { packet_identifier, reason_codes, properties }
        })
        .boxed()
}

fn disconnect(side: Side) -> impl Strategy<Value = Disconnect> {
    let strings = (of(string()), user_properties(), of(string()));
    (reason_code(side, PacketType::Disconnect), of(any::<u32>()), strings)
        .prop_map(|(reason_code, session_expiry_interval, strings)| Disconnect {
            reason_code,
            session_expiry_interval,
            reason_string: strings.0,
            user_properties: strings.1,
            server_reference: strings.2,
        })
        .prop_map(move |mut disconnect| {
            if side == Side::Client {
                disconnect.session_expiry_interval = None;
            }
            disconnect
        })
}

fn auth(side: Side) -> impl Strategy<Value = Auth> {
    let own = match side {
        Side::Server => ReasonCode::RE_AUTHENTICATE,
        Side::Client => ReasonCode::SUCCESS,
    };
    let reason_code = prop_oneof![Just(own), Just(ReasonCode::CONTINUE_AUTHENTICATION)];
    (reason_code, string(), of(binary()), of(string()), user_properties()).prop_map(
        |(reason_code, method, authentication_data, reason_string, user_properties)| Auth {
            reason_code,
            authentication_method: Some(method),
            authentication_data,
            reason_string,
            user_properties,
        },
    )
}

fn into_disconnect(disconnect: Disconnect) -> Packet {
    Packet::Disconnect(Box::new(disconnect))
}

fn into_auth(auth: Auth) -> Packet {
    Packet::Auth(Box::new(auth))
}

/// What this side accepts from the other.
fn reason_code(side: Side, packet: PacketType) -> impl Strategy<Value = ReasonCode> + Clone {
    let foreign = |code: &ReasonCode| match side {
        Side::Server => code.is_only_for_servers_in(packet),
        Side::Client => code.is_only_for_clients_in(packet),
    };
    let codes: Vec<ReasonCode> = (0..=255)
        .filter_map(|value| ReasonCode::try_from(value).ok())
        .filter(|code| code.is_allowed_in(packet) && !foreign(code))
        .collect();
    proptest::sample::select(codes)
}

fn packet_identifier() -> impl Strategy<Value = PacketIdentifier> {
    nonzero_u16().prop_map(PacketIdentifier)
}

fn nonzero_u16() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|value| NonZeroU16::new(value).unwrap())
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

/// Any characters but U+0000, from one to four bytes each.
fn string() -> impl Strategy<Value = ByteString> {
    let character =
        prop_oneof![Just('a'), Just('/'), Just('\u{1}'), Just('ä'), Just('水'), Just('\u{10FFFF}')];
    vec(character, 0..40).prop_map(|characters| ByteString::from(characters.into_iter().collect::<String>()))
}

fn topic_name() -> impl Strategy<Value = ByteString> {
    string().prop_map(|string| ByteString::from(format!("t/{string}")))
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn user_properties() -> impl Strategy<Value = Vec<UserProperty>> {
    vec((string(), string()), 0..3)
}
