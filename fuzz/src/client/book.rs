//! What a server has said and heard, and what may therefore come from the client.
//!
//! Where the client may have heard less than was said, since its connection ended before, the book forgives what it cannot
//! know.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate::packet::{Ack, Connack, Connect, Packet, PacketIdentifier as Id, Publish, QoS, ReasonCode};

#[derive(Default)]
pub struct Book {
    connection: Connection,
    /// By their numbers, messages of QoS 1 and 2 that came since the session began.
    messages: BTreeMap<u32, Sent>,
    /// Identifiers of messages without an acknowledgement, and the numbers of these.
    in_use: BTreeMap<Id, u32>,
    /// Identifiers for which there was a PUBREC.
    received: BTreeSet<Id>,
    /// QoS 2 identifiers of the server that it has not released.
    open: BTreeSet<Id>,
    /// How often each was opened.
    opened: BTreeMap<Id, u64>,
    /// All messages that ever came, by number.
    published: BTreeSet<u32>,
}

/// Of one connection.
#[derive(Default)]
struct Connection {
    connect: Option<Connect>,
    connack: Option<Connack>,
    /// Messages in flight to the server.
    in_flight: BTreeSet<Id>,
    /// QoS 1 of the server, in its order.
    pubacks: VecDeque<Id>,
    /// PUBREC and PUBCOMP that the client may still give.
    pubrecs: Owed,
    pubcomps: Owed,
    aliases: BTreeSet<u16>,
    over: bool,
}

/// By identifier, how many.
#[derive(Default)]
struct Owed(BTreeMap<Id, u64>);

struct Sent {
    id: Id,
    qos: QoS,
    /// PUBREL has come.
    released: bool,
}

impl Book {
    pub fn has_let_in(&self) -> bool {
        self.connection.connack.is_some()
    }

    pub fn has_come(&self, number: u32) -> bool {
        self.published.contains(&number)
    }

    /// How often a user may get a QoS 2 message with this identifier.
    pub fn opened(&self, id: Id) -> u64 {
        self.opened.get(&id).copied().unwrap_or(0)
    }

    pub fn begin_connection(&mut self) {
        self.connection = Connection::default();
    }

    /// The client gets this packet, if it has not ended the connection before.
    pub fn said(&mut self, packet: &Packet) {
        match packet {
            Packet::Connack(connack) => self.said_connack(connack),
            Packet::Publish(publish) => self.said_publish(publish),
            Packet::Puback(ack) => self.acknowledged(ack.packet_identifier),
            Packet::Pubrec(ack) => self.said_pubrec(ack),
            Packet::Pubrel(ack) => {
                self.open.remove(&ack.packet_identifier);
                self.connection.pubcomps.add(ack.packet_identifier);
            }
            Packet::Pubcomp(ack) => self.acknowledged(ack.packet_identifier),
            _ => {}
        }
    }

    fn said_connack(&mut self, connack: &Connack) {
        if connack.reason_code.is_error() || self.has_let_in() {
            return;
        }
        self.connection.connack = Some(connack.clone());
        if !connack.session_present {
            self.messages.clear();
            self.in_use.clear();
            self.open.clear();
        }
    }

    fn said_publish(&mut self, publish: &Publish) {
        let Some(id) = publish.packet_identifier else { return };
        if publish.qos == QoS::AtLeastOnce {
            self.connection.pubacks.push_back(id);
            return;
        }
        self.connection.pubrecs.add(id);
        if self.open.insert(id) {
            *self.opened.entry(id).or_default() += 1;
        }
    }

    fn said_pubrec(&mut self, ack: &Ack) {
        let id = ack.packet_identifier;
        if ack.reason_code.is_error() {
            self.acknowledged(id);
        }
        self.received.insert(id);
    }

    fn acknowledged(&mut self, id: Id) {
        self.in_use.remove(&id);
        self.connection.in_flight.remove(&id);
    }

    /// The client has sent this packet; may it?
    pub fn heard(&mut self, packet: &Packet) {
        assert!(!self.connection.over, "{packet:?} behind DISCONNECT");
        match packet {
            Packet::Connect(connect) => return self.connection.connect = Some((**connect).clone()),
            Packet::Auth(_) => return self.heard_auth(),
            _ => assert!(self.has_let_in(), "{packet:?} before CONNACK"),
        }
        match packet {
            Packet::Publish(publish) => self.heard_publish(publish),
            // [MQTT-4.6.0-2]
            Packet::Puback(ack) => {
                assert_eq!(self.connection.pubacks.pop_front(), Some(ack.packet_identifier), "PUBACK");
            }
            Packet::Pubrec(ack) => self.connection.pubrecs.take(ack.packet_identifier),
            Packet::Pubcomp(ack) => self.connection.pubcomps.take(ack.packet_identifier),
            Packet::Pubrel(ack) => self.heard_pubrel(ack),
            // [MQTT-2.2.1-3]
            Packet::Subscribe(subscribe) => {
                assert!(!self.in_use.contains_key(&subscribe.packet_identifier));
                let connack = self.connection.connack.as_ref();
                let takes = connack.and_then(|connack| connack.subscription_identifiers_available);
                assert!(subscribe.subscription_identifier.is_none() || takes.unwrap_or(true));
            }
            Packet::Unsubscribe(unsubscribe) => {
                assert!(!self.in_use.contains_key(&unsubscribe.packet_identifier));
            }
            Packet::Disconnect(_) => self.connection.over = true,
            _ => {}
        }
    }

    fn heard_auth(&self) {
        let connect = self.connection.connect.as_ref();
        assert!(connect.is_some_and(|connect| connect.authentication_method.is_some()), "AUTH");
    }

    fn heard_pubrel(&mut self, ack: &Ack) {
        let id = ack.packet_identifier;
        assert!(self.received.contains(&id), "PUBREL of what was not received");
        if let Some(number) = self.in_use.get(&id)
            && let Some(message) = self.messages.get_mut(number)
        {
            message.released |= ack.reason_code == ReasonCode::SUCCESS && message.qos == QoS::ExactlyOnce;
        }
    }

    fn heard_publish(&mut self, publish: &Publish) {
        self.connection.heard_publish(publish);
        let Some(number) = number(publish) else { return };
        self.published.insert(number);
        let Some(id) = publish.packet_identifier else { return };
        if let Some(before) = self.messages.get(&number) {
            // [MQTT-4.4.0-1] [MQTT-3.3.1-1]
            assert!(publish.dup && before.id == id, "sent again as another: {publish:?}");
            // [MQTT-4.3.3-6]
            assert!(!before.released, "sent again after PUBREL: {publish:?}");
        }
        // [MQTT-2.2.1-3]
        let user = self.in_use.insert(id, number);
        assert!(user.is_none_or(|user| user == number), "the identifier is in use: {publish:?}");
        self.messages.insert(number, Sent { id, qos: publish.qos, released: false });
    }
}

impl Connection {
    /// Whether the server has agreed to it.
    fn heard_publish(&mut self, publish: &Publish) {
        let Some(connack) = &self.connack else { return };
        // [MQTT-3.2.2-11]
        assert!(publish.qos <= connack.maximum_qos.unwrap_or(QoS::ExactlyOnce), "{publish:?}");
        // [MQTT-3.2.2-14]
        assert!(!publish.retain || connack.retain_available.unwrap_or(true), "{publish:?}");
        if let Some(alias) = publish.topic_alias {
            // [MQTT-3.2.2-17]
            assert!(alias.get() <= connack.topic_alias_maximum.unwrap_or(0), "{publish:?}");
            assert!(!publish.topic.is_empty() || self.aliases.contains(&alias.get()), "{publish:?}");
            self.aliases.insert(alias.get());
        }
        if let Some(id) = publish.packet_identifier {
            self.in_flight.insert(id);
        }
        // [MQTT-3.3.4-7]
        let most = connack.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
        assert!(self.in_flight.len() <= most.into(), "{} in flight of {most}", self.in_flight.len());
    }
}

impl Owed {
    fn add(&mut self, id: Id) {
        *self.0.entry(id).or_default() += 1;
    }

    fn take(&mut self, id: Id) {
        let left = self.0.get_mut(&id).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("an answer to nothing: {id}")) -= 1;
    }
}

/// What the user has numbered a message with.
pub fn number(publish: &Publish) -> Option<u32> {
    publish.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
