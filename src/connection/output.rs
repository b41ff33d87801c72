//! The writer: the only place where packets leave.
//!
//! Packets are gathered and written at once. A large payload is not copied: it is written from where it lies
//! (`unwritten`).

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use tokio::io::AsyncWrite;

use super::effort;
use super::held_back::HeldBack;
use super::mount::Mount;
use super::outgoing_alias::{Alias, OutgoingAliases};
use super::unwritten::Unwritten;
use crate::broker::guard::Guard;
use crate::broker::{Broker, Count, Counters, give_back};
use crate::hook::Reply;
use crate::message::{Origin, Timestamp};
use crate::packet::{
    Ack, AckProperties, Packet, PacketIdentifier, PacketType, ProtocolVersion, PublishHeader, QoS,
    ReasonCode, encode, encode_puback, encode_pubcomp, encode_publish, encode_publish_header, encode_pubrec,
    encode_pubrel, encoded_len, publish_encoded_len,
};
use crate::session::{Delivery, Outgoing};
use crate::storage::StorageError;
use crate::topic::TopicName;

/// Payloads from this size on are not copied.
const LARGE: usize = 8 * 1024;

pub(super) struct Output {
    /// Where is counted what could not be sent.
    broker: Arc<Broker>,
    version: ProtocolVersion,
    /// The client's Maximum Packet Size.
    maximum_packet_size: Option<u32>,
    /// Whether Reason Strings and User Properties may go into packets other than CONNACK, DISCONNECT and PUBLISH.
    problem_information: bool,
    /// An answer that the client waits for is larger than it takes.
    unanswerable: bool,
    /// Where the client takes some.
    aliases: Option<Box<OutgoingAliases>>,
    /// Where the client sees a part of all topics as the whole.
    mount: Option<Mount>,
    /// None where there is nothing.
    unwritten: Option<Box<Unwritten>>,
    /// Where there is a storage.
    held_back: Option<Box<HeldBack>>,
    /// Whether CONNACK was written, as far as it is known to be the first that is.
    is_greeted: bool,
}

/// What a client can take, apart from the output itself.
#[derive(Clone)]
pub(super) struct SizeLimit {
    version: ProtocolVersion,
    maximum_packet_size: Option<u32>,
    mount: Option<Mount>,
}

impl Output {
    pub(super) fn new(version: ProtocolVersion, broker: Arc<Broker>) -> Output {
        let held_back = broker.committer().map(|_| Box::default());
        Output {
            held_back,
            is_greeted: false,
            broker,
            version,
            maximum_packet_size: None,
            problem_information: true,
            unanswerable: false,
            aliases: None,
            mount: None,
            unwritten: None,
        }
    }

    /// What the client's CONNECT says about what it takes.
    pub(super) fn set_limits(&mut self, maximum_packet_size: Option<u32>, problem_information: bool) {
        self.maximum_packet_size = maximum_packet_size;
        self.problem_information = problem_information;
    }

    /// How many topics may have an alias [MQTT-3.1.2-26]; 0: none [MQTT-3.1.2-27].
    pub(super) fn set_topic_alias_maximum(&mut self, maximum: u16) {
        self.aliases = OutgoingAliases::new(maximum, fastrand::u64(..));
    }

    pub(super) fn set_mount(&mut self, mount: Option<Mount>) {
        self.mount = mount;
    }

    pub(super) fn mount(&self) -> Option<&Mount> {
        self.mount.as_ref()
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// What all clients together may do.
    pub(super) fn guard(&self) -> &Arc<Guard> {
        self.broker.guard()
    }

    pub(super) fn counters(&self) -> &Counters {
        self.broker.counters()
    }

    /// For how long the socket may take nothing of what waits.
    pub(super) fn write_timeout(&self) -> Duration {
        self.broker.options().write_timeout
    }

    /// CONNACK is the next packet.
    pub(super) fn set_ungreeted(&mut self) {
        self.is_greeted = false;
    }

    /// Whether DISCONNECT may be sent [MQTT-3.14.0-1].
    pub(super) fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// Whether an answer could not be given. The client would wait for it for ever: the connection has to
    /// end.
    pub(super) fn is_unanswerable(&self) -> bool {
        self.unanswerable
    }

    /// Bytes that wait to be written.
    pub(super) fn len(&self) -> usize {
        self.unwritten.as_ref().map_or(0, |unwritten| unwritten.len())
    }

    /// The same with the memory that they lie in.
    pub(super) fn held(&self) -> usize {
        self.unwritten.as_ref().map_or(0, |unwritten| unwritten.held())
    }

    /// Whether connections whose sockets take nothing are to hold no more.
    pub(super) fn is_scarce(&self) -> bool {
        self.broker.unsent().is_scarce()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn size(&self) -> SizeLimit {
        let (version, maximum_packet_size) = (self.version, self.maximum_packet_size);
        SizeLimit { version, maximum_packet_size, mount: self.mount.clone() }
    }

    /// Adds a packet. One that the client's Maximum Packet Size does not allow loses its Reason String, then its
    /// User Properties ([MQTT-3.4.2-2], [MQTT-3.4.2-3] and their likes); one that is still too large is not sent
    /// [MQTT-3.1.2-24].
    pub(super) fn packet(&mut self, packet: &Packet) {
        // [MQTT-3.1.2-29]
        if !self.problem_information && !matches!(packet, Packet::Connack(_) | Packet::Disconnect(_)) {
            let mut bare = packet.clone();
            bare.remove_problem_information();
            self.write_within_size(&bare);
        } else {
            self.write_within_size(packet);
        }
    }

    fn write_within_size(&mut self, packet: &Packet) {
        match self.allowed(packet) {
            Some(Cow::Borrowed(packet)) => self.write(packet),
            Some(Cow::Owned(packet)) => {
                self.broker.counters().count(Count::AnswersShortened);
                self.write(&packet);
            }
            None => {
                self.broker.counters().count(Count::AnswersTooLarge);
                self.unanswerable = true;
            }
        }
    }

    /// Whether the client takes a packet, at least without what gives way.
    pub(super) fn can_say(&self, packet: &Packet) -> bool {
        self.allowed(packet).is_some()
    }

    /// What of a packet the client takes, if anything.
    fn allowed<'p>(&self, packet: &'p Packet) -> Option<Cow<'p, Packet>> {
        if self.fits(packet) {
            return Some(Cow::Borrowed(packet));
        }
        let mut shorter = packet.clone();
        for remove in [Packet::remove_reason_string, Packet::remove_problem_information] {
            remove(&mut shorter);
            if self.fits(&shorter) {
                return Some(Cow::Owned(shorter));
            }
        }
        None
    }

    /// An acknowledgement with what a hook has to say.
    pub(super) fn puback(&mut self, id: PacketIdentifier, reason: ReasonCode, reply: Option<Box<Reply>>) {
        let reason = legal(reason, PacketType::Puback);
        match self.properties(reply) {
            None => {
                self.broker.counters().count(Count::PacketsSent);
                encode_puback(id, reason, self.version, self.buffer());
            }
            properties => {
                self.packet(&Packet::Puback(Ack { packet_identifier: id, reason_code: reason, properties }))
            }
        }
    }

    /// The same for QoS 2.
    pub(super) fn pubrec(&mut self, id: PacketIdentifier, reason: ReasonCode, reply: Option<Box<Reply>>) {
        let reason = legal(reason, PacketType::Pubrec);
        match self.properties(reply) {
            None => {
                self.broker.counters().count(Count::PacketsSent);
                encode_pubrec(id, reason, self.version, self.buffer());
            }
            properties => {
                self.packet(&Packet::Pubrec(Ack { packet_identifier: id, reason_code: reason, properties }))
            }
        }
    }

    /// What of a hook's reply goes into an acknowledgement.
    pub(super) fn properties(&self, reply: Option<Box<Reply>>) -> Option<Box<AckProperties>> {
        let reply = reply.filter(|_| self.version == ProtocolVersion::V5)?;
        let Reply { reason_string, user_properties, .. } = *reply;
        let any = reason_string.is_some() || !user_properties.is_empty();
        any.then(|| Box::new(AckProperties { reason_string, user_properties }))
    }

    pub(super) fn pubrel(&mut self, id: PacketIdentifier, reason: ReasonCode) {
        self.broker.counters().count(Count::PacketsSent);
        encode_pubrel(id, reason, self.version, self.buffer());
    }

    pub(super) fn pubcomp(&mut self, id: PacketIdentifier, reason: ReasonCode) {
        self.broker.counters().count(Count::PacketsSent);
        encode_pubcomp(id, reason, self.version, self.buffer());
    }

    /// Adds what a session sends.
    pub(super) fn outgoing(&mut self, outgoing: Outgoing<'_>, now: Timestamp) {
        match outgoing {
            Outgoing::AtMostOnce(delivery) => {
                self.publish(&delivery, None, false, now);
                give_back(delivery.message);
            }
            Outgoing::Acknowledged { delivery, packet_identifier, dup } => {
                self.publish(delivery, Some(packet_identifier), dup, now)
            }
            Outgoing::Pubrel(id) => self.pubrel(id, ReasonCode::SUCCESS),
        }
    }

    /// Writes all of it.
    pub(super) async fn write_all(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while !self.is_empty() {
            let writable = poll_fn(|cx| self.poll_writable(cx)).await.map_err(io::Error::other)?;
            poll_fn(|cx| self.poll_write(cx, stream, writable)).await?;
        }
        Ok(())
    }

    /// How many bytes may be written now; waits where all of them stand for what the storage has not kept yet.
    ///
    /// # Errors
    /// Where it fails.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, StorageError>> {
        self.seal();
        match (&mut self.held_back, self.broker.committer()) {
            (Some(held_back), Some(committer)) => held_back.poll_writable(committer, cx),
            _ => Poll::Ready(Ok(self.len())),
        }
    }

    /// What was added so far waits for what this thread has promised.
    pub(super) fn seal(&mut self) {
        let len = self.len();
        if let (Some(held_back), Some(committer)) = (&mut self.held_back, self.broker.committer()) {
            held_back.seal(committer, len);
        }
    }

    /// The last packet says that a message could not be kept.
    pub(super) fn note_refusal(&mut self) {
        let len = self.len();
        self.held_back.iter_mut().for_each(|held_back| held_back.refuse(len));
    }

    /// Whether the client has not been written yet that a message could not be kept.
    pub(super) fn holds_refusal(&self) -> bool {
        self.held_back.as_ref().is_some_and(|held_back| held_back.holds_refusal())
    }

    /// Forgets what waits for the storage, and what comes now waits for nothing.
    pub(super) fn give_up_held_back(&mut self) {
        self.seal();
        if let Some(held_back) = self.held_back.take() {
            let left = held_back.writable_at_once();
            self.unwritten.iter_mut().for_each(|unwritten| unwritten.truncate(left));
        }
    }

    /// Writes once, and no more than is [writable](Output::poll_writable).
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        writable: usize,
    ) -> Poll<io::Result<()>> {
        let Some(unwritten) = &mut self.unwritten else { return Poll::Ready(Ok(())) };
        // Before they are written: who has received one finds it counted.
        count_messages(&self.broker, unwritten.take_messages());
        let written = ready!(unwritten.poll_write(cx, Pin::new(stream), writable))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.broker.counters().add(Count::BytesSent, written);
        effort::moved(written);
        self.is_greeted = true;
        unwritten.advance(written);
        self.held_back.iter_mut().for_each(|held_back| held_back.advance(written));
        if unwritten.len() == 0 {
            self.unwritten.take().into_iter().for_each(Unwritten::give_back);
        }
        Poll::Ready(Ok(()))
    }

    fn publish(&mut self, delivery: &Delivery, id: Option<PacketIdentifier>, dup: bool, now: Timestamp) {
        let message = &delivery.message;
        let mount = self.mount.as_ref();
        let mut header =
            PublishHeader { packet_identifier: id, dup, ..header(delivery, self.version, mount, now) };
        let seen =
            mount.zip(message.properties.as_deref()).and_then(|(mount, all)| mount.seen_properties(all));
        if seen.is_some() {
            header.properties = seen.as_ref();
        }
        if self.aliases.is_some() && !dup {
            self.name_by_alias(&mut header, &message.topic, message.payload.len());
        }
        let encoded = if message.payload.len() < LARGE {
            encode_publish(&header, &message.payload, self.version, self.buffer())
        } else {
            let encoded = encode_publish_header(&header, message.payload.len(), self.version, self.buffer());
            if encoded.is_ok() {
                self.unwritten().push(message.payload.clone());
            }
            encoded
        };
        match encoded {
            Ok(()) => self.unwritten().note_message(message.payload.len()),
            Err(error) => {
                tracing::error!(%error, "a message could not be encoded");
                // The client has not heard of an alias that this message would have set.
                self.aliases.iter_mut().for_each(|aliases| aliases.forget());
            }
        }
    }

    /// Puts an alias beside the topic or in its place. A message that is sent again says its topic in full:
    /// what its client knew of aliases ended with the connection before [MQTT-3.3.2-7].
    fn name_by_alias(&mut self, header: &mut PublishHeader<'_>, topic: &TopicName, payload_len: usize) {
        let size = self.size();
        // One that the alias would make too large is sent without.
        let may_set = |alias| size.takes(&PublishHeader { topic_alias: Some(alias), ..*header }, payload_len);
        let Some(aliases) = &mut self.aliases else { return };
        let is_full = aliases.is_full();
        match aliases.alias(topic, may_set) {
            Some(Alias::Known(alias)) => (header.topic, header.topic_alias) = ("", Some(alias)),
            Some(Alias::New(alias)) => {
                header.topic_alias = Some(alias);
                if is_full {
                    self.broker.counters().count(Count::LimitOutgoingTopicAlias);
                }
            }
            None => {}
        }
    }

    fn fits(&self, packet: &Packet) -> bool {
        // A text of a hook may also be longer than any packet takes.
        encoded_len(packet, self.version)
            .is_ok_and(|len| self.maximum_packet_size.is_none_or(|maximum| len <= maximum as usize))
    }

    fn write(&mut self, packet: &Packet) {
        match encode(packet, self.version, self.buffer()) {
            Ok(_) => self.broker.counters().count(Count::PacketsSent),
            Err(error) => tracing::error!(%error, "a packet could not be encoded"),
        }
    }

    fn buffer(&mut self) -> &mut BytesMut {
        self.unwritten().buffer()
    }

    fn unwritten(&mut self) -> &mut Unwritten {
        self.unwritten.get_or_insert_with(Unwritten::take)
    }
}

impl SizeLimit {
    /// Whether a message is within the client's Maximum Packet Size [MQTT-3.1.2-24]. Its topic counts in full: an
    /// alias may shorten the packet, and whether a message arrives is not to depend on those before it.
    pub(super) fn fits(&self, delivery: &Delivery, now: Timestamp) -> bool {
        // It is asked before the message has an identifier; all are of one length.
        let packet_identifier = (delivery.qos > QoS::AtMostOnce).then_some(PacketIdentifier::FIRST);
        self.maximum_packet_size.is_none() || {
            let mount = self.mount.as_ref();
            let header = PublishHeader { packet_identifier, ..header(delivery, self.version, mount, now) };
            self.takes(&header, delivery.message.payload.len())
        }
    }

    fn takes(&self, header: &PublishHeader<'_>, payload_len: usize) -> bool {
        let Some(maximum) = self.maximum_packet_size else { return true };
        publish_encoded_len(header, payload_len, self.version).is_ok_and(|len| len <= maximum as usize)
    }
}

/// The header of a delivery before it has a packet identifier.
#[inline]
fn header<'d>(
    delivery: &'d Delivery,
    version: ProtocolVersion,
    mount: Option<&Mount>,
    now: Timestamp,
) -> PublishHeader<'d> {
    let message = &delivery.message;
    // In MQTT 3.1.1 the flag says that the message is an old one [MQTT-3.3.1-9], also where the subscription was
    // made in 5.0 and asks for it as published.
    let retain = delivery.retain && (version == ProtocolVersion::V5 || message.origin == Origin::Retained);
    PublishHeader {
        dup: false,
        qos: delivery.qos,
        retain,
        topic: mount.map_or(message.topic.as_str(), |mount| mount.seen(message.topic.as_str())),
        packet_identifier: None,
        topic_alias: None,
        subscription_identifiers: &delivery.subscription_identifiers,
        message_expiry_interval: message.expiry_interval(now),
        properties: message.properties.as_deref(),
    }
}

fn count_messages(broker: &Broker, (messages, payload_bytes): (usize, usize)) {
    if messages > 0 {
        broker.counters().add_all([
            (Count::PacketsSent, messages),
            (Count::MessagesSent, messages),
            (Count::PayloadBytesSent, payload_bytes),
        ]);
    }
}

/// A Reason Code that we may send in the packet: a hook can answer with any.
pub(super) fn legal(reason: ReasonCode, packet: PacketType) -> ReasonCode {
    match reason {
        reason if reason.is_allowed_in(packet) && !reason.is_only_for_clients_in(packet) => reason,
        reason if reason.is_error() => ReasonCode::UNSPECIFIED_ERROR,
        _ => ReasonCode::SUCCESS,
    }
}

/// A reply's text for CONNACK and DISCONNECT, which may always carry it: Reason String and User Properties, and
/// where the Reason Code sends the client elsewhere, the Server Reference (MQTT 5.0, 4.11).
pub(super) fn texts(
    reply: Option<Box<Reply>>,
    reason: ReasonCode,
) -> (Option<ByteString>, Vec<(ByteString, ByteString)>, Option<ByteString>) {
    reply.map_or_else(Default::default, |reply| {
        let server_reference = reply.server_reference.filter(|_| reason.is_redirection());
        (reply.reason_string, reply.user_properties, server_reference)
    })
}
