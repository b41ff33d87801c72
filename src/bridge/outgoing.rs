//! From the session here to the other broker.

use bytes::BytesMut;

use super::link::{HIGH_WATER, Link};
use super::options::BridgeOptions;
use super::path;
use super::status::count;
use crate::broker::Broker;
use crate::message::Timestamp;
use crate::packet::{
    Ack, PacketIdentifier, ProtocolVersion, PublishHeader, PublishProperties, QoS, ReasonCode,
    encode_publish, encode_pubrel, publish_encoded_len,
};
use crate::session::{Delivery, Outgoing};
use crate::storage::Promise;
use crate::topic::TopicName;

/// A message as the other broker is to get it.
struct Outbound {
    topic: TopicName,
    properties: Option<Box<PublishProperties>>,
}

/// Why a message does not go out.
enum Kept {
    Looped,
    Unmapped,
}

/// What of a session is not sent and is therefore done.
#[derive(Default)]
struct Spared {
    acknowledged: Vec<(PacketIdentifier, QoS)>,
    released: Vec<PacketIdentifier>,
}

/// How messages become what the other broker is to get.
struct Carrier<'l> {
    options: &'l BridgeOptions,
    broker: &'l Broker,
    /// Of the other broker.
    identity: Option<&'l str>,
    maximum_packet_size: u32,
    retains: bool,
}

impl Link<'_> {
    /// Puts out what the session has ready, and has it line up what is retained.
    pub(super) async fn collect(&mut self) {
        let now = self.broker.now();
        if self.attachment.wants_replay() {
            self.attachment.replay_retained(now).await;
        }
        let spared = self.take_outgoing(now);
        for (identifier, qos) in spared.acknowledged {
            // Neither side heard of it: what is in flight of QoS 2 ends with a refusal.
            self.promising(|attachment| match qos {
                QoS::ExactlyOnce => {
                    attachment.pubrec(&Ack::new(identifier, ReasonCode::UNSPECIFIED_ERROR));
                }
                _ => attachment.pubacks(&[Ack::new(identifier, ReasonCode::SUCCESS)], drop),
            });
        }
        for identifier in spared.released {
            self.promising(|attachment| attachment.pubcomp(&Ack::new(identifier, ReasonCode::SUCCESS)));
        }
    }

    fn take_outgoing(&mut self, now: Timestamp) -> Spared {
        let is_new_there = !self.greeted.session_present;
        let (version, tally) = (self.version(), self.tally);
        let (mut packets, mut spared) = (BytesMut::new(), Spared::default());
        let carrier = Carrier {
            options: self.options,
            broker: self.broker,
            identity: self.greeted.identity.as_deref(),
            maximum_packet_size: self.greeted.maximum_packet_size,
            retains: self.greeted.retains,
        };
        let outer = Promise::swap(self.promised);
        self.attachment.take_outgoing(
            now,
            |delivery, now| carrier.fits(delivery, now),
            |outgoing| {
                let (delivery, id, dup) = match &outgoing {
                    Outgoing::AtMostOnce(delivery) => (delivery, None, false),
                    Outgoing::Acknowledged { delivery, packet_identifier, dup } => {
                        (*delivery, Some(*packet_identifier), *dup)
                    }
                    // The session there ended, and with it the flow: the message was the other broker's already.
                    Outgoing::Pubrel(id) if is_new_there => {
                        spared.released.push(*id);
                        return true;
                    }
                    Outgoing::Pubrel(id) => {
                        encode_pubrel(*id, ReasonCode::SUCCESS, version, &mut packets);
                        return true;
                    }
                };
                match carrier.outbound(delivery) {
                    Ok(outbound) => {
                        let header = carrier.header(delivery, &outbound, id, dup && !is_new_there, now);
                        match encode_publish(&header, &delivery.message.payload, version, &mut packets) {
                            Ok(()) if !dup => count(&tally.forwarded_out),
                            Ok(()) => {}
                            Err(error) => {
                                tracing::warn!(bridge = carrier.options.name, %error, "a message cannot go out");
                                count(&tally.refused);
                                spared.acknowledged.extend(id.map(|id| (id, delivery.qos)));
                            }
                        }
                    }
                    Err(why) => {
                        count(match why {
                            Kept::Looped => &tally.looped,
                            Kept::Unmapped => &tally.unmapped,
                        });
                        spared.acknowledged.extend(id.map(|id| (id, delivery.qos)));
                    }
                }
                packets.len() < HIGH_WATER
            },
        );
        self.promised = Promise::swap(outer);
        self.unwritten.put(self.promised, packets);
        spared
    }

    /// The other broker has nothing of a session that this one has: what it was sent is sent again as if for the first
    /// time, and what it sends has new identifiers.
    pub(super) fn begin_anew(&mut self) {
        for identifier in self.attachment.received() {
            self.promising(|attachment| attachment.release(identifier));
        }
    }
}

impl Carrier<'_> {
    fn outbound(&self, delivery: &Delivery) -> Result<Outbound, Kept> {
        let message = &delivery.message;
        let given = message.properties.as_deref();
        let was_there = self.identity.is_some_and(|identity| path::has_been_at(given, identity));
        if was_there || path::is_at_its_end(given) {
            return Err(Kept::Looped);
        }
        let topic = self.options.remote_name(&message.topic).ok_or(Kept::Unmapped)?;
        if self.options.protocol_version == ProtocolVersion::V311 {
            return Ok(Outbound { topic, properties: None });
        }
        let mut properties = message.properties.clone();
        path::note(&mut properties, self.broker.identity());
        Ok(Outbound { topic, properties })
    }

    fn header<'o>(
        &self,
        delivery: &Delivery,
        outbound: &'o Outbound,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
        now: Timestamp,
    ) -> PublishHeader<'o> {
        PublishHeader {
            dup,
            qos: delivery.qos,
            retain: delivery.retain && self.retains,
            topic: outbound.topic.as_str(),
            packet_identifier,
            topic_alias: None,
            subscription_identifiers: &[],
            message_expiry_interval: delivery.message.expiry_interval(now),
            properties: outbound.properties.as_deref(),
        }
    }

    /// Whether a message is within the other broker's Maximum Packet Size [MQTT-3.2.2-15].
    fn fits(&self, delivery: &Delivery, now: Timestamp) -> bool {
        // What is not sent for another reason is not too large.
        self.maximum_packet_size == u32::MAX
            || self.outbound(delivery).ok().is_none_or(|outbound| {
                let identifier = (delivery.qos > QoS::AtMostOnce).then_some(PacketIdentifier::FIRST);
                let header = self.header(delivery, &outbound, identifier, false, now);
                let len = delivery.message.payload.len();
                publish_encoded_len(&header, len, self.options.protocol_version)
                    .is_ok_and(|len| len <= self.maximum_packet_size as usize)
            })
    }
}
