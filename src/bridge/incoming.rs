//! From the other broker into this one's pipeline.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::link::{Link, LinkError};
use super::path;
use super::status::count;
use crate::broker::{End, Published};
use crate::message::{ApplicationMessage, Origin};
use crate::packet::{
    Ack, Packet, PacketIdentifier, PacketType, ProtocolVersion, Publish, QoS, ReasonCode, Suback, Unsuback,
};
use crate::session::{Acknowledged, Received};
use crate::storage::{Committer, Promise};
use crate::topic::TopicName;

impl Link<'_> {
    /// Acts on a packet.
    pub(super) async fn take(&mut self, packet: Packet) -> Result<(), LinkError> {
        match packet {
            Packet::Publish(publish) => self.receive(publish).await,
            Packet::Puback(ack) => {
                self.note_refusal(&ack);
                self.promising(|attachment| attachment.pubacks(&[ack], drop));
                Ok(())
            }
            Packet::Pubrec(ack) => self.pubrec(&ack),
            Packet::Pubcomp(ack) => {
                self.promising(|attachment| attachment.pubcomp(&ack));
                Ok(())
            }
            Packet::Pubrel(ack) => self.pubrel(&ack),
            Packet::Suback(suback) => self.suback(&suback),
            Packet::Unsuback(unsuback) => self.unsuback(&unsuback),
            Packet::Pingresp => {
                self.ponged();
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(LinkError::Server(disconnect)),
            other => Err(LinkError::Unexpected(other.packet_type())),
        }
    }

    fn pubrec(&mut self, ack: &Ack) -> Result<(), LinkError> {
        self.note_refusal(ack);
        let reason = match self.promising(|attachment| attachment.pubrec(ack)) {
            None | Some(Acknowledged::Complete(..)) => return Ok(()),
            Some(Acknowledged::Release(..)) => ReasonCode::SUCCESS,
            Some(Acknowledged::Unknown) => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        self.put(&Packet::Pubrel(Ack::new(ack.packet_identifier, reason)))
    }

    fn pubrel(&mut self, ack: &Ack) -> Result<(), LinkError> {
        let id = ack.packet_identifier;
        let known = self.promising(|attachment| attachment.release(id));
        let reason = match known {
            None => return Err(LinkError::Ended(End::Takeover)),
            Some(true) => ReasonCode::SUCCESS,
            Some(false) => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        self.put(&Packet::Pubcomp(Ack::new(id, reason)))
    }

    fn suback(&mut self, suback: &Suback) -> Result<(), LinkError> {
        let asked = self.subscribing.iter().position(|(id, _)| *id == suback.packet_identifier);
        let asked = asked.ok_or(LinkError::Rules("a SUBACK that nothing was asked for"))?;
        let (_, filters) = self.subscribing.swap_remove(asked);
        if filters.len() != suback.reason_codes.len() {
            return Err(LinkError::Rules("a SUBACK with another number of Reason Codes than filters"));
        }
        self.note_readiness();
        for (filter, reason) in filters.iter().zip(&suback.reason_codes) {
            if reason.is_error() {
                let bridge = &self.options.name;
                tracing::error!(bridge, %filter, %reason, "the other broker refuses a subscription; nothing of it comes in");
            }
        }
        Ok(())
    }

    fn unsuback(&mut self, unsuback: &Unsuback) -> Result<(), LinkError> {
        let asked = self.unsubscribing.iter().position(|id| *id == unsuback.packet_identifier);
        let asked = asked.ok_or(LinkError::Rules("an UNSUBACK that nothing was asked for"))?;
        self.unsubscribing.swap_remove(asked);
        self.note_readiness();
        self.still_has |= unsuback.reason_codes.iter().any(|reason| reason.is_error());
        if self.unsubscribing.is_empty() && !self.still_has {
            self.note_asked(&[]);
        }
        Ok(())
    }

    fn note_refusal(&self, ack: &Ack) {
        if ack.reason_code.is_error() {
            count(&self.tally.refused);
            let (bridge, reason) = (&self.options.name, ack.reason_code);
            tracing::debug!(bridge, %reason, "the other broker refuses a message");
        }
    }

    async fn receive(&mut self, publish: Publish) -> Result<(), LinkError> {
        let (qos, id) = (publish.qos, publish.packet_identifier);
        if let (QoS::ExactlyOnce, Some(id)) = (qos, id) {
            match self
                .promising(|attachment| attachment.receive(id, attachment.broker().options().receive_maximum))
            {
                Some(Received::Fresh) => {}
                Some(Received::Duplicate) => {
                    // What was received may not be kept yet.
                    self.promising(|attachment| {
                        attachment.committer().into_iter().for_each(Committer::promise_all);
                    });
                    return self.put(&Packet::Pubrec(Ack::new(id, ReasonCode::SUCCESS)));
                }
                Some(Received::QuotaExceeded) => {
                    return Err(LinkError::Rules("more messages of QoS 2 than were allowed"));
                }
                None => return Err(LinkError::Ended(End::Takeover)),
            }
        }
        let reason = match self.admit(publish)? {
            None => ReasonCode::SUCCESS,
            Some(message) => self.publish_here(message, id.filter(|_| qos == QoS::ExactlyOnce)).await?,
        };
        self.acknowledge(qos, id, reason)
    }

    /// The message as it is to be here. None where there is none for here.
    fn admit(&mut self, publish: Publish) -> Result<Option<ApplicationMessage>, LinkError> {
        if publish.topic_alias.is_some() {
            return Err(LinkError::Rules("a Topic Alias, of which none were allowed"));
        }
        let mut properties = publish.properties;
        if path::has_been_at(properties.as_deref(), self.broker.identity()) {
            count(&self.tally.looped);
            return Ok(None);
        }
        let remote =
            TopicName::try_from(publish.topic).map_err(|_| LinkError::Rules("a topic that is none"))?;
        let Some(topic) = self.options.local_name(&remote) else {
            count(&self.tally.unmapped);
            return Ok(None);
        };
        if !self.broker.options().accepts_payload(&publish.payload, properties.as_deref()) {
            count(&self.tally.refused);
            return Ok(None);
        }
        let expiry = properties.as_ref().and_then(|all| all.message_expiry_interval);
        if let Some(identity) = &self.greeted.identity {
            path::note(&mut properties, identity);
        }
        Ok(Some(ApplicationMessage {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties,
            origin: Origin::Bridge,
            publisher: self.client().key,
            expires_at: expiry.map(|seconds| self.broker.now().after_secs(seconds)),
            depth: 0,
        }))
    }

    /// Takes a message through the broker's pipeline. What it put into queues and that it was received lie in one batch of
    /// the storage: after a crash it is neither lost nor published again.
    async fn publish_here(
        &mut self,
        message: ApplicationMessage,
        id: Option<PacketIdentifier>,
    ) -> Result<ReasonCode, LinkError> {
        let Published { reason, failed, .. } = self.published(message, id).await;
        if failed {
            // The other broker sends it again over the next connection.
            id.map(|id| self.promising(|attachment| attachment.release(id)));
            return Err(LinkError::NotKept);
        }
        count(if reason.is_error() { &self.tally.refused } else { &self.tally.forwarded_in });
        Ok(reason)
    }

    async fn published(&mut self, message: ApplicationMessage, id: Option<PacketIdentifier>) -> Published {
        let version = self.version();
        let (broker, attachment, promised) = (self.broker, &self.attachment, &mut self.promised);
        let mut publishing = pin!(broker.publish(Some(attachment.client()), message, &mut self.verdicts));
        poll_fn(|cx| {
            let outer = Promise::swap(*promised);
            let polled = {
                let _group = id.and(attachment.committer()).map(Committer::group);
                let polled = publishing.as_mut().poll(cx);
                let is_received = matches!(&polled, Poll::Ready(published) if published.is_received(version));
                if let (true, Some(id), Some(_)) = (is_received, id, attachment.committer()) {
                    broker.deliver_gathered();
                    attachment.keep_received(id);
                }
                polled
            };
            *promised = Promise::swap(outer);
            polled
        })
        .await
    }

    fn acknowledge(
        &mut self,
        qos: QoS,
        id: Option<PacketIdentifier>,
        reason: ReasonCode,
    ) -> Result<(), LinkError> {
        let is_told = self.version() == ProtocolVersion::V5 && reason.is_error();
        let reason = if is_told { reason } else { ReasonCode::SUCCESS };
        let legal =
            |packet| if reason.is_allowed_in(packet) { reason } else { ReasonCode::UNSPECIFIED_ERROR };
        match (qos, id) {
            (QoS::AtLeastOnce, Some(id)) => {
                self.put(&Packet::Puback(Ack::new(id, legal(PacketType::Puback))))
            }
            (QoS::ExactlyOnce, Some(id)) => {
                if is_told {
                    // A refused message does not use its identifier up [MQTT-4.3.3-9].
                    self.promising(|attachment| attachment.release(id));
                }
                self.put(&Packet::Pubrec(Ack::new(id, legal(PacketType::Pubrec))))
            }
            _ => Ok(()),
        }
    }
}
