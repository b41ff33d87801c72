//! Between the types of `wit/` and those of the broker, with the checks of what comes from a plugin.

use bytes::Bytes;

use super::bindings::exports::tidegate::plugin as exports;
use super::bindings::tidegate::plugin::types;
use crate::hook::{
    Action, ClientInfo, DisconnectCause, DropCause, Event, RetainedChange, SessionEnd, SubscriptionRequest,
    What, WhyNotConsumed,
};
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

pub(super) fn to_event(event: &Event) -> exports::events::Event {
    exports::events::Event { time_ms: event.time.0, what: to_what(&event.what) }
}

fn to_what(what: &What) -> exports::events::What {
    use exports::events as wit;
    match what {
        What::Started => wit::What::Started,
        What::Stopped => wit::What::Stopped,
        What::ClientConnected { client, session_present } => {
            wit::What::ClientConnected(wit::ClientConnected {
                who: to_who(client),
                remote_address: client.remote_address.map(|a| a.to_string()).unwrap_or_default(),
                listener: client.listener.name.clone(),
                protocol_version: client.protocol_version.level(),
                session_present: *session_present,
            })
        }
        What::ClientDisconnected { client, cause, reason } => {
            wit::What::ClientDisconnected(wit::ClientDisconnected {
                who: to_who(client),
                cause: to_cause(*cause),
                reason: reason.map(ReasonCode::value),
            })
        }
        What::ClientSubscribedTopic { client, filter, qos } => {
            wit::What::ClientSubscribedTopic(wit::ClientSubscribedTopic {
                who: to_who(client),
                filter: filter.as_str().to_owned(),
                qos: to_qos(*qos),
            })
        }
        What::ClientUnsubscribedTopic { client, filter } => {
            wit::What::ClientUnsubscribedTopic(wit::ClientUnsubscribedTopic {
                who: to_who(client),
                filter: filter.as_str().to_owned(),
            })
        }
        What::ClientAcknowledgedPublishPacket { client, topic, qos, reason } => {
            wit::What::ClientAcknowledgedPublishPacket(wit::ClientAcknowledgedPublishPacket {
                who: to_who(client),
                topic: topic.as_str().to_owned(),
                qos: to_qos(*qos),
                reason: reason.value(),
            })
        }
        What::SessionCreated { client_identifier } => {
            wit::What::SessionCreated(client_identifier.to_string())
        }
        What::SessionDeleted { client_identifier, cause } => wit::What::SessionDeleted(wit::SessionDeleted {
            client_identifier: client_identifier.to_string(),
            cause: match cause {
                SessionEnd::CleanStart => wit::SessionEnd::CleanStart,
                SessionEnd::Expired => wit::SessionEnd::Expired,
                SessionEnd::Disconnect => wit::SessionEnd::Disconnect,
                SessionEnd::Admin => wit::SessionEnd::Admin,
            },
        }),
        What::MessageDropped { client_identifier, topic, qos, cause } => {
            wit::What::MessageDropped(wit::MessageDropped {
                client_identifier: client_identifier.to_string(),
                topic: topic.as_str().to_owned(),
                qos: to_qos(*qos),
                cause: match cause {
                    DropCause::QueueFull => wit::DropCause::QueueFull,
                    DropCause::Expired => wit::DropCause::Expired,
                    DropCause::TooLarge => wit::DropCause::TooLarge,
                    DropCause::SessionGone => wit::DropCause::SessionGone,
                },
            })
        }
        What::RetainedMessageChanged { topic, change, payload_length } => {
            wit::What::RetainedMessageChanged(wit::RetainedMessageChanged {
                topic: topic.as_str().to_owned(),
                change: match change {
                    RetainedChange::Set => wit::RetainedChange::Set,
                    RetainedChange::Cleared => wit::RetainedChange::Cleared,
                    RetainedChange::Expired => wit::RetainedChange::Expired,
                },
                payload_length: length(*payload_length),
            })
        }
    }
}

fn to_who(client: &ClientInfo) -> exports::events::Who {
    exports::events::Who {
        client: client.key.0,
        client_identifier: client.client_identifier.to_string(),
        user_name: client.user_name.as_ref().map(ToString::to_string),
    }
}

fn to_cause(cause: DisconnectCause) -> exports::events::DisconnectCause {
    use exports::events::DisconnectCause as Wit;
    match cause {
        DisconnectCause::Client => Wit::Client,
        DisconnectCause::Network => Wit::Network,
        DisconnectCause::KeepAlive => Wit::KeepAlive,
        DisconnectCause::Takeover => Wit::Takeover,
        DisconnectCause::Kicked => Wit::Kicked,
        DisconnectCause::ProtocolError => Wit::ProtocolError,
        DisconnectCause::AuthenticationExpired => Wit::AuthenticationExpired,
        DisconnectCause::Shutdown => Wit::Shutdown,
        DisconnectCause::Hook => Wit::Hook,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_the_packet_are_taken() {
        assert_eq!(refusal(0x87, PacketType::Puback), Ok(ReasonCode::NOT_AUTHORIZED));
        assert!(refusal(0x00, PacketType::Puback).is_err(), "success refuses nothing");
        assert!(refusal(0x86, PacketType::Puback).is_err(), "a code of CONNACK");
        assert!(refusal(0x42, PacketType::Connack).is_err(), "no code at all");
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
