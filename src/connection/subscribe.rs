//! A client's SUBSCRIBE and UNSUBSCRIBE.

use std::num::NonZeroU32;
use std::pin::pin;

use bytestring::ByteString;
use tokio::io::{AsyncRead, AsyncWrite};

use super::disconnect::Ended;
use super::output::legal;
use super::{Connection, wait};
use crate::broker::{Count, Subscribed, Unsubscribed};
use crate::hook::SubscriptionRequest;
use crate::packet::{
    Packet, PacketType, ProtocolVersion, ReasonCode, Suback, Subscribe, Unsuback, Unsubscribe,
};
use crate::topic::TopicFilter;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Ended> {
        let identifier = subscribe.subscription_identifier.and_then(NonZeroU32::new);
        if identifier.is_some() && !self.attachment.broker().options().subscription_identifiers_available {
            return Err(self.unavailable(ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED));
        }
        let mut requests = Vec::with_capacity(subscribe.subscriptions.len());
        for wanted in &subscribe.subscriptions {
            let filter = filter(&wanted.filter)?;
            self.check_available(&filter)?;
            let filter = self.mounted_filter(filter)?;
            // Of MQTT 3.1.1, where nothing else says so.
            let as_bridge = self.is_bridge && filter.share_name().is_none();
            requests.push(SubscriptionRequest {
                filter,
                maximum_qos: wanted.qos,
                no_local: wanted.no_local || as_bridge,
                retain_as_published: wanted.retain_as_published,
                retain_handling: wanted.retain_handling,
            });
        }
        let answer = pin!(self.attachment.subscribe(requests, identifier, &mut self.verdicts, self.io.now));
        let Subscribed { reason_codes, reply } = wait(&mut self.io, &self.attachment, answer).await;
        let close = reply.as_ref().and_then(|reply| reply.close);
        let ended = close.map(|reason| Ended::by_hook(reason, reply.clone()));
        let properties = self.io.output.properties(reply);
        let packet_identifier = subscribe.packet_identifier;
        let reason_codes = reason_codes.into_iter().map(|code| legal(code, PacketType::Suback)).collect();
        self.io.output.packet(&Packet::Suback(Suback { packet_identifier, reason_codes, properties }));
        ended.map_or(Ok(()), Err)
    }

    /// A client that was told in CONNACK breaks the protocol (MQTT 5.0, 3.2.2.3.11 to 3.2.2.3.13). MQTT 3.1.1
    /// clients cannot be told: each such filter of theirs fails by itself.
    fn check_available(&self, filter: &TopicFilter) -> Result<(), Ended> {
        let reason = self.attachment.broker().options().unavailable(filter);
        match reason.filter(|_| self.io.output.version() == ProtocolVersion::V5) {
            Some(reason) => Err(self.unavailable(reason)),
            None => Ok(()),
        }
    }

    /// The whole filter, where the client sees only a part of all topics.
    fn mounted_filter(&self, filter: TopicFilter) -> Result<TopicFilter, Ended> {
        let Some(mount) = self.io.output.mount() else { return Ok(filter) };
        mount.whole_filter(&filter).map_err(|_| Ended::refused(ReasonCode::TOPIC_FILTER_INVALID))
    }

    fn unavailable(&self, reason: ReasonCode) -> Ended {
        self.attachment.broker().counters().count(Count::SubscriptionsUnavailable);
        Ended::refused(reason)
    }

    pub(super) async fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), Ended> {
        let whole = |text| self.mounted_filter(filter(text)?);
        let filters = unsubscribe.filters.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        let answer = pin!(self.attachment.unsubscribe(filters));
        let Unsubscribed { reason_codes, reply } = wait(&mut self.io, &self.attachment, answer).await;
        let close = reply.as_ref().and_then(|reply| reply.close);
        let ended = close.map(|reason| Ended::by_hook(reason, reply.clone()));
        let properties = self.io.output.properties(reply);
        let packet_identifier = unsubscribe.packet_identifier;
        let reason_codes = reason_codes.into_iter().map(|code| legal(code, PacketType::Unsuback)).collect();
        self.io.output.packet(&Packet::Unsuback(Unsuback { packet_identifier, reason_codes, properties }));
        ended.map_or(Ok(()), Err)
    }
}

/// What is not a Topic Filter makes the packet malformed [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1].
fn filter(text: &ByteString) -> Result<TopicFilter, Ended> {
    TopicFilter::try_from(&**text).map_err(|error| Ended::malformed(error.to_string()))
}
