//! What the packets of one connection mean to each other, without IO.
//!
//! ```text
//! to the server, QoS 1:  PUBLISH ──► Puback ──PUBACK──► done
//!                QoS 2:  PUBLISH ──► Pubrec ──PUBREC──► Pubcomp (PUBREL sent) ──PUBCOMP──► done
//! from the server,
//!                QoS 2:  PUBLISH ──► delivered, identifier kept, PUBREC ──PUBREL──► forgotten, PUBCOMP
//! ```

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;

use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{End, Error};
use crate::packet::{Ack, Packet, PacketIdentifier, Publish, QoS, ReasonCode, Suback, Unsuback};

/// Tells who asked what came of it.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a packet asks of the connection.
#[derive(Debug)]
pub(super) enum Step {
    Nothing,
    Send(Packet),
    /// Hand the message over, then acknowledge it.
    Deliver(Publish),
}

enum Pending {
    Puback(Reply<Ack>, OwnedSemaphorePermit),
    Pubrec(Reply<Ack>, OwnedSemaphorePermit),
    Pubcomp(Reply<Ack>, OwnedSemaphorePermit),
    Suback(Reply<Suback>),
    Unsuback(Reply<Unsuback>),
}

pub(super) struct Flow {
    pending: HashMap<PacketIdentifier, Pending>,
    /// Of QoS 2 messages that were delivered and not yet released.
    received: HashSet<PacketIdentifier>,
    aliases: HashMap<NonZeroU16, ByteString>,
    next: PacketIdentifier,
}

impl Flow {
    pub(super) fn new() -> Flow {
        Flow {
            pending: HashMap::new(),
            received: HashSet::new(),
            aliases: HashMap::new(),
            next: PacketIdentifier::FIRST,
        }
    }

    /// A packet identifier that is not in use.
    pub(super) fn identifier(&mut self) -> Option<PacketIdentifier> {
        if self.pending.len() >= usize::from(u16::MAX) {
            return None;
        }
        while self.pending.contains_key(&self.next) {
            self.next = self.next.next();
        }
        let found = self.next;
        self.next = found.next();
        Some(found)
    }

    /// A PUBLISH of QoS 1 or 2 goes out.
    pub(super) fn published(
        &mut self,
        id: PacketIdentifier,
        qos: QoS,
        reply: Reply<Ack>,
        permit: OwnedSemaphorePermit,
    ) {
        let pending = match qos {
            QoS::ExactlyOnce => Pending::Pubrec(reply, permit),
            _ => Pending::Puback(reply, permit),
        };
        self.pending.insert(id, pending);
    }

    pub(super) fn subscribed(&mut self, id: PacketIdentifier, reply: Reply<Suback>) {
        self.pending.insert(id, Pending::Suback(reply));
    }

    pub(super) fn unsubscribed(&mut self, id: PacketIdentifier, reply: Reply<Unsuback>) {
        self.pending.insert(id, Pending::Unsuback(reply));
    }

    /// A packet came.
    pub(super) fn receive(&mut self, packet: Packet) -> Result<Step, End> {
        match packet {
            Packet::Publish(publish) => self.receive_publish(publish),
            Packet::Puback(ack) => Ok(self.receive_puback(ack)),
            Packet::Pubrec(ack) => Ok(self.receive_pubrec(ack)),
            Packet::Pubrel(ack) => Ok(self.receive_pubrel(&ack)),
            Packet::Pubcomp(ack) => Ok(self.receive_pubcomp(ack)),
            Packet::Suback(suback) => Ok(self.receive_suback(suback)),
            Packet::Unsuback(unsuback) => Ok(self.receive_unsuback(unsuback)),
            Packet::Pingresp => Ok(Step::Nothing),
            Packet::Disconnect(disconnect) => Err(End::Server(disconnect)),
            other => Err(End::Unexpected(other.packet_type())),
        }
    }

    /// The acknowledgement of a message that was handed over.
    pub(super) fn delivered(&mut self, qos: QoS, id: Option<PacketIdentifier>) -> Option<Packet> {
        let id = id?;
        match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(Packet::Puback(Ack::new(id, ReasonCode::SUCCESS))),
            QoS::ExactlyOnce => {
                self.received.insert(id);
                Some(Packet::Pubrec(Ack::new(id, ReasonCode::SUCCESS)))
            }
        }
    }

    /// Nobody gets an answer any more.
    pub(super) fn end(&mut self, end: &End) {
        for (_, pending) in self.pending.drain() {
            let error = Error::Ended(end.clone());
            // Whoever does not wait any more does not want to know.
            match pending {
                Pending::Puback(reply, _) | Pending::Pubrec(reply, _) | Pending::Pubcomp(reply, _) => {
                    let _ = reply.send(Err(error));
                }
                Pending::Suback(reply) => drop(reply.send(Err(error))),
                Pending::Unsuback(reply) => drop(reply.send(Err(error))),
            }
        }
    }

    fn receive_publish(&mut self, mut publish: Publish) -> Result<Step, End> {
        if let Some(alias) = publish.topic_alias {
            if publish.topic.is_empty() {
                publish.topic = self.aliases.get(&alias).ok_or(End::TopicAlias)?.clone();
            } else {
                self.aliases.insert(alias, publish.topic.clone());
            }
        }
        match publish.packet_identifier {
            // [MQTT-4.3.3-10]: sent again before it was released, so it was delivered already.
            Some(id) if publish.qos == QoS::ExactlyOnce && self.received.contains(&id) => {
                Ok(Step::Send(Packet::Pubrec(Ack::new(id, ReasonCode::SUCCESS))))
            }
            _ => Ok(Step::Deliver(publish)),
        }
    }

    fn receive_puback(&mut self, ack: Ack) -> Step {
        if let Some(Pending::Puback(..)) = self.pending.get(&ack.packet_identifier) {
            self.finish(ack);
        }
        Step::Nothing
    }

    fn receive_pubrec(&mut self, ack: Ack) -> Step {
        let id = ack.packet_identifier;
        match self.pending.remove(&id) {
            Some(Pending::Pubrec(reply, permit)) if ack.reason_code.is_error() => {
                drop(permit);
                let _ = reply.send(Ok(ack));
                Step::Nothing
            }
            Some(Pending::Pubrec(reply, permit) | Pending::Pubcomp(reply, permit)) => {
                self.pending.insert(id, Pending::Pubcomp(reply, permit));
                Step::Send(Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS)))
            }
            other => {
                if let Some(pending) = other {
                    self.pending.insert(id, pending);
                }
                // What an earlier connection left behind.
                Step::Send(Packet::Pubrel(Ack::new(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)))
            }
        }
    }

    fn receive_pubrel(&mut self, ack: &Ack) -> Step {
        let id = ack.packet_identifier;
        let known = self.received.remove(&id);
        let reason = if known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        Step::Send(Packet::Pubcomp(Ack::new(id, reason)))
    }

    fn receive_pubcomp(&mut self, ack: Ack) -> Step {
        if let Some(Pending::Pubcomp(..)) = self.pending.get(&ack.packet_identifier) {
            self.finish(ack);
        }
        Step::Nothing
    }

    fn receive_suback(&mut self, suback: Suback) -> Step {
        match self.pending.remove(&suback.packet_identifier) {
            Some(Pending::Suback(reply)) => drop(reply.send(Ok(suback))),
            Some(other) => drop(self.pending.insert(suback.packet_identifier, other)),
            None => {}
        }
        Step::Nothing
    }

    fn receive_unsuback(&mut self, unsuback: Unsuback) -> Step {
        match self.pending.remove(&unsuback.packet_identifier) {
            Some(Pending::Unsuback(reply)) => drop(reply.send(Ok(unsuback))),
            Some(other) => drop(self.pending.insert(unsuback.packet_identifier, other)),
            None => {}
        }
        Step::Nothing
    }

    fn finish(&mut self, ack: Ack) {
        if let Some(Pending::Puback(reply, permit) | Pending::Pubcomp(reply, permit)) =
            self.pending.remove(&ack.packet_identifier)
        {
            drop(permit);
            let _ = reply.send(Ok(ack));
        }
    }
}
