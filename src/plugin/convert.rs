//! Between the types of `wit/` and those of the broker, with the checks of what comes from a plugin.

use bytes::Bytes;

use super::bindings::exports::tidegate::plugin as exports;
use super::bindings::tidegate::plugin::types;
use crate::hook::{Action, Receiver, SubscriptionRequest, WhyNotConsumed};
use crate::message::{ApplicationMessage, Origin};
use crate::packet::{PacketType, QoS, ReasonCode, RetainHandling};
use crate::topic::{TopicFilter, TopicName};

pub(super) fn to_qos(qos: QoS) -> types::Qos {
    match qos {
        QoS::AtMostOnce => types::Qos::AtMostOnce,
        QoS::AtLeastOnce => types::Qos::AtLeastOnce,
        QoS::ExactlyOnce => types::Qos::ExactlyOnce,
    }
}

pub(super) fn from_qos(qos: types::Qos) -> QoS {
    match qos {
        types::Qos::AtMostOnce => QoS::AtMostOnce,
        types::Qos::AtLeastOnce => QoS::AtLeastOnce,
        types::Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub(super) fn to_origin(origin: Origin) -> types::Origin {
    match origin {
        Origin::Client => types::Origin::Client,
        Origin::Will => types::Origin::Will,
        Origin::Injected => types::Origin::Injected,
        Origin::Bridge => types::Origin::Bridge,
        Origin::Cluster => types::Origin::Cluster,
        Origin::Retained => types::Origin::Retained,
    }
}

pub(super) fn to_action(action: Action) -> exports::authorizer::Action {
    match action {
        Action::Publish => exports::authorizer::Action::Publish,
        Action::Subscribe => exports::authorizer::Action::Subscribe,
        Action::Deliver => exports::authorizer::Action::Deliver,
    }
}

pub(super) fn to_why(why: WhyNotConsumed) -> exports::application_message_not_consumed::Why {
    match why {
        WhyNotConsumed::NoSubscriber => exports::application_message_not_consumed::Why::NoSubscriber,
        WhyNotConsumed::AllVetoed => exports::application_message_not_consumed::Why::AllVetoed,
    }
}

pub(super) fn to_subscription(
    request: &SubscriptionRequest,
) -> exports::intercepting_subscription::Subscription {
    exports::intercepting_subscription::Subscription {
        filter: request.filter.as_str().to_owned(),
        maximum_qos: to_qos(request.maximum_qos),
        no_local: request.no_local,
        retain_as_published: request.retain_as_published,
        retain_handling: match request.retain_handling {
            RetainHandling::SendAtSubscribe => 0,
            RetainHandling::SendAtNewSubscribe => 1,
            RetainHandling::DoNotSend => 2,
        },
    }
}

/// Numbers of a receiver.
pub(super) const RECEIVER: usize = 3;

/// Packed as `wit/intercepting-client-enqueue.wit` says.
pub(super) fn to_receiver(receiver: &Receiver) -> [u64; RECEIVER] {
    let with = receiver.qos as u64 | u64::from(receiver.retain) << 2;
    [receiver.client.0, receiver.session, with]
}

/// Lengths in the broker are below 2^32: no packet is longer than 256 MiB.
pub(super) fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A Reason Code that this packet may carry.
pub(super) fn reason_code(value: u8, packet: PacketType) -> Result<ReasonCode, String> {
    match ReasonCode::try_from(value) {
        Ok(code) if code.is_allowed_in(packet) => Ok(code),
        _ => Err(format!("{packet:?} has no Reason Code 0x{value:02x}")),
    }
}

/// The same, and it says that something failed.
pub(super) fn refusal(value: u8, packet: PacketType) -> Result<ReasonCode, String> {
    let code = reason_code(value, packet)?;
    if code.is_error() { Ok(code) } else { Err(format!("0x{value:02x} refuses nothing")) }
}

pub(super) fn topic_name(topic: &str) -> Result<TopicName, String> {
    TopicName::try_from(topic).map_err(|error| format!("{topic:?} is not a Topic Name: {error}"))
}

pub(super) fn topic_filter(filter: &str) -> Result<TopicFilter, String> {
    TopicFilter::try_from(filter).map_err(|error| format!("{filter:?} is not a Topic Filter: {error}"))
}

/// Changes the message as a plugin wants it.
pub(super) fn modify(
    message: &mut ApplicationMessage,
    modification: types::Modification,
) -> Result<(), String> {
    if let Some(topic) = modification.topic {
        message.topic = topic_name(&topic)?;
    }
    if let Some(payload) = modification.payload {
        message.payload = Bytes::from(payload);
    }
    if let Some(qos) = modification.qos {
        message.qos = from_qos(qos);
    }
    if let Some(retain) = modification.retain {
        message.retain = retain;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ClientKey;

    #[test]
    fn only_codes_of_the_packet_are_taken() {
        assert_eq!(refusal(0x87, PacketType::Puback), Ok(ReasonCode::NOT_AUTHORIZED));
        assert!(refusal(0x00, PacketType::Puback).is_err(), "success refuses nothing");
        assert!(refusal(0x86, PacketType::Puback).is_err(), "a code of CONNACK");
        assert!(refusal(0x42, PacketType::Connack).is_err(), "no code at all");
    }

    #[test]
    fn receivers_are_packed_as_the_interface_says() {
        let receiver = |client, qos, retain| Receiver {
            client: ClientKey(client),
            session: 5,
            client_identifier: "c".into(),
            qos,
            retain,
        };
        assert_eq!(to_receiver(&receiver(7, QoS::AtMostOnce, false)), [7, 5, 0]);
        assert_eq!(to_receiver(&receiver(7, QoS::AtLeastOnce, true)), [7, 5, 0b101]);
        assert_eq!(to_receiver(&receiver(0, QoS::ExactlyOnce, false)), [0, 5, 0b010]);
    }

    #[test]
    fn a_modification_with_a_wildcard_topic_is_refused() {
        let mut message = ApplicationMessage::new(TopicName::try_from("a").unwrap(), "x");
        let with_topic = |topic: &str| types::Modification {
            topic: Some(topic.into()),
            payload: None,
            qos: None,
            retain: Some(true),
        };
        assert!(modify(&mut message, with_topic("a/#")).is_err());
        assert!(modify(&mut message, with_topic("b")).is_ok());
        assert_eq!((message.topic.as_str(), message.retain), ("b", true));
    }
}
