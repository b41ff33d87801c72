//! From what waits to bytes.

use bytes::BytesMut;

use super::{Completion, Core, Reply, Terms, complete};
use crate::client::alias::{self, Alias};
use crate::client::error::{End, PublishError, PublishResult, SubscribeError};
use crate::client::options::LARGEST_PACKET;
use crate::client::session::{Answer, Outgoing, Put, Request, Sent};
use crate::client::store::Keeper;
use crate::message::Timestamp;
use crate::packet::{
    Auth, Disconnect, EncodeError, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishHeader,
    PublishProperties, QoS, ReasonCode, encode, encode_puback, encode_publish, encode_pubrec, encode_pubrel,
    encoded_len, publish_encoded_len,
};
use crate::storage::Promise;
use crate::topic::TopicName;

/// While more bytes than this wait to be written, nothing more is taken.
pub(in crate::client) const HIGH_WATER: usize = 64 * 1024;

/// What a turn leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Turn {
    Served,
    /// DISCONNECT stands at the end of what is to be written.
    Leaves,
}

/// What became of a message that was to be queued.
pub(in crate::client) enum Pushed {
    /// There was no room.
    Full(Outgoing<Completion>),
    /// It is; what has to be kept for it to outlive the process.
    Queued(Option<Promise>),
}

/// Makes of a message what can be sent: the fields of its connection are set here, and its size is known.
pub(in crate::client) fn prepare(
    mut publish: Publish,
    version: ProtocolVersion,
    now: impl FnOnce() -> Timestamp,
) -> Result<Outgoing<Completion>, PublishError> {
    publish.topic = TopicName::try_from(publish.topic)?.into_inner();
    publish.dup = false;
    publish.topic_alias = None;
    publish.subscription_identifiers = Vec::new();
    if version == ProtocolVersion::V5 {
        publish.properties.as_deref().map_or(Ok(()), PublishProperties::check_texts)?;
    }
    publish.packet_identifier = (publish.qos > QoS::AtMostOnce).then_some(PacketIdentifier::FIRST);
    let expiry = publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
    let expires_at =
        expiry.filter(|_| version == ProtocolVersion::V5).map(|seconds| now().after_secs(seconds));
    let size = publish_encoded_len(&publish.header(), publish.payload.len(), version)?;
    Ok(Outgoing { publish, size, expires_at, done: None, number: 0 })
}

impl Core {
    /// Writes what can go, as far as there is room. Says whether those who wait for room in the queue should look.
    pub(in crate::client) fn fill(&mut self, out: &mut BytesMut, now: Timestamp) -> Result<Turn, End> {
        if self.has_said_goodbye() {
            return Ok(Turn::Leaves);
        }
        self.begin_exchange(out);
        self.put_answers(out);
        self.put_requests(out, now);
        self.tell_resumed();
        self.put_messages(out, now);
        self.put_goodbye(out, now)
    }

    /// Who waits for room should look again.
    pub(in crate::client) fn takes_room(&mut self) -> bool {
        std::mem::take(&mut self.wants_room)
    }

    /// Queues a message, or gives it back where it would have to wait for room.
    pub(in crate::client) fn push(&mut self, mut message: Outgoing<Completion>) -> Pushed {
        let Core { outbound, keeper, .. } = self;
        if !outbound.takes(message.size) {
            self.wants_room = true;
            return Pushed::Full(message);
        }
        let mut kept = None;
        if let Some(keeper) = keeper {
            message.number = keeper.next_number();
            kept = keeper.queued(&message);
        }
        let given_back = outbound.push(message, |old| {
            forget(keeper, &old);
            complete(old.done, Err(PublishError::Dropped));
        });
        self.wake_driver();
        given_back.map_or(Pushed::Queued(kept), Pushed::Full)
    }

    pub(super) fn put_answers(&mut self, out: &mut BytesMut) {
        let version = self.version;
        while let Some(answer) = self.inbound.next_answer() {
            match answer {
                Answer::Puback(id) => encode_puback(id, ReasonCode::SUCCESS, version, out),
                Answer::Pubrec(id) => {
                    self.keeper.iter_mut().for_each(|keeper| keeper.received(id));
                    encode_pubrec(id, ReasonCode::SUCCESS, version, out);
                }
            }
        }
    }

    fn put_messages(&mut self, out: &mut BytesMut, now: Timestamp) {
        let Core { outbound, identifiers, requests, terms, given, keeper, .. } = self;
        while out.len() < HIGH_WATER {
            let sent = outbound.send_next(
                now,
                |oldest| identifiers.take(oldest, |id| requests.uses(id)),
                |message| terms.judge(message),
                |put| {
                    keep_sent(keeper, &put);
                    write(put, terms, given, out).map_err(PublishError::from)
                },
            );
            let (message, result) = match sent {
                Sent::Nothing => break,
                Sent::One => continue,
                Sent::Done(message) => (message, Ok(PublishResult::default())),
                Sent::Expired(message) => (message, Err(PublishError::Expired)),
                Sent::Refused(message, why) => (message, Err(why)),
            };
            forget(keeper, &message);
            complete(message.done, result);
        }
    }

    fn put_requests(&mut self, out: &mut BytesMut, now: Timestamp) {
        while out.len() < HIGH_WATER && self.requests.can_send() {
            let oldest = self.outbound.oldest_identifier();
            let Some(id) = self.identifiers.take(oldest, |id| self.requests.uses(id)) else { break };
            if let Some(request) = self.requests.next_to_send() {
                self.put_request(request, id, out, now);
            }
        }
    }

    fn put_request(
        &mut self,
        request: Request<Reply>,
        id: PacketIdentifier,
        out: &mut BytesMut,
        now: Timestamp,
    ) {
        let Some(packet) = self.packet_of(&request, id) else { return };
        match self.put_limited(&packet, out) {
            Ok(()) => self.requests.sent(id, request, now),
            Err(error) => self.fail_request(request, error),
        }
    }

    fn packet_of(&self, request: &Request<Reply>, id: PacketIdentifier) -> Option<Packet> {
        match request {
            Request::Subscribe { key, .. } => {
                let mut subscribe = Box::new(self.requests.get(*key)?.clone());
                subscribe.packet_identifier = id;
                let has_identifiers = self.terms.subscription_identifiers;
                let identifier = u32::try_from(*key).ok().filter(|_| has_identifiers);
                subscribe.subscription_identifier = identifier;
                Some(Packet::Subscribe(subscribe))
            }
            Request::Unsubscribe { unsubscribe, .. } => {
                let mut unsubscribe = unsubscribe.clone();
                unsubscribe.packet_identifier = id;
                Some(Packet::Unsubscribe(unsubscribe))
            }
        }
    }

    fn put_limited(&self, packet: &Packet, out: &mut BytesMut) -> Result<(), SubscribeError> {
        self.require_size(packet).map_err(|end| match end {
            End::TooLarge { size, limit, .. } => SubscribeError::TooLarge { size, limit },
            other => other.into(),
        })?;
        encode(packet, self.version, out)?;
        Ok(())
    }

    /// [MQTT-3.2.2-15]
    fn require_size(&self, packet: &Packet) -> Result<(), End> {
        let size = encoded_len(packet, self.version)?;
        let limit = self.terms.maximum_packet_size;
        if size > limit as usize {
            return Err(End::TooLarge { packet: packet.packet_type(), size, limit });
        }
        Ok(())
    }

    pub(super) fn put_auth(&self, auth: Auth, out: &mut BytesMut) -> Result<(), End> {
        let packet = Packet::Auth(Box::new(auth));
        self.require_size(&packet)?;
        Ok(encode(&packet, self.version, out)?)
    }

    fn fail_request(&mut self, request: Request<Reply>, error: SubscribeError) {
        let reply = match request {
            Request::Subscribe { key, reply } => {
                self.requests.forget(key);
                self.routes.remove(key);
                reply
            }
            Request::Unsubscribe { reply, .. } => reply,
        };
        reply.into_iter().for_each(|reply| reply.fail(error.clone()));
    }

    fn begin_exchange(&mut self, out: &mut BytesMut) {
        let Some(exchange) = self.exchange.as_mut().filter(|exchange| !exchange.begun) else { return };
        exchange.begun = true;
        let auth = Auth {
            reason_code: ReasonCode::RE_AUTHENTICATE,
            authentication_method: Some(exchange.method.clone()),
            authentication_data: exchange.exchange.initial(),
            ..Auth::default()
        };
        // Where it cannot be said, the server has not begun one, and all else goes on.
        if let Err(end) = self.put_auth(auth, out)
            && let Some(exchange) = self.exchange.take()
        {
            let _ = exchange.reply.send(Err(end.into()));
        }
    }

    /// DISCONNECT follows once all before it is done, or the time for that is over.
    fn put_goodbye(&mut self, out: &mut BytesMut, _now: Timestamp) -> Result<Turn, End> {
        let is_done = self.outbound.is_empty() && self.requests.is_empty();
        let Some(leaving) = &mut self.leaving else { return Ok(Turn::Served) };
        if !is_done && tokio::time::Instant::now() < leaving.deadline {
            return Ok(Turn::Served);
        }
        leaving.said = true;
        let asked = leaving.disconnect.clone();
        encode(&self.sayable(*asked), self.version, out)?;
        Ok(Turn::Leaves)
    }

    /// What of a DISCONNECT can be said [MQTT-3.14.2-3], [MQTT-3.14.2-4]: what was asked for is to leave.
    fn sayable(&self, asked: Disconnect) -> Packet {
        let bare = Disconnect { reason_string: None, user_properties: Vec::new(), ..asked.clone() };
        let reason = Disconnect::new(asked.reason_code);
        for disconnect in [asked, bare, reason] {
            let has_texts = disconnect.check_texts().is_ok();
            let packet = Packet::Disconnect(Box::new(disconnect));
            if has_texts && self.require_size(&packet).is_ok() {
                return packet;
            }
        }
        // 3.1.1 has no reasons.
        Packet::Disconnect(Box::default())
    }

    pub(super) fn put_pubrel(&self, id: PacketIdentifier, reason: ReasonCode, out: &mut BytesMut) {
        encode_pubrel(id, reason, self.version, out);
    }
}

impl Terms {
    /// Whether the server takes a message.
    fn judge(&self, message: &Outgoing<Completion>) -> Result<(), PublishError> {
        let publish = &message.publish;
        // [MQTT-3.2.2-15]
        if message.size > self.maximum_packet_size as usize {
            return Err(PublishError::TooLarge { size: message.size, limit: self.maximum_packet_size });
        }
        // [MQTT-3.2.2-11]
        if publish.qos > self.maximum_qos {
            return Err(PublishError::Qos { asked: publish.qos, maximum: self.maximum_qos });
        }
        // [MQTT-3.2.2-14]
        if publish.retain && !self.retain_available {
            return Err(PublishError::Retain);
        }
        Ok(())
    }
}

/// Nothing is left to do for a message.
pub(super) fn forget(keeper: &mut Option<Keeper>, message: &Outgoing<Completion>) {
    if message.publish.qos > QoS::AtMostOnce {
        keeper.iter().for_each(|keeper| keeper.done(message.number));
    }
}

/// A message goes out, perhaps for the first time.
fn keep_sent(keeper: &mut Option<Keeper>, put: &Put<'_>) {
    if let Some(keeper) = keeper
        && let Put::Publish { publish, packet_identifier: Some(id), dup: false, number, .. } = put
    {
        keeper.sent(*number, *id, publish.qos);
    }
}

/// What an alias adds to a PUBLISH: its property, and a longer Property Length.
const ALIAS: usize = 3 + 1;

/// Whether a PUBLISH of this size may have an alias, within what the server takes and what MQTT can say.
fn has_room_for_alias(size: usize, maximum_packet_size: u32) -> bool {
    size + ALIAS <= maximum_packet_size.min(LARGEST_PACKET) as usize
}

fn write(
    put: Put<'_>,
    terms: &Terms,
    given: &mut alias::Given,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let (publish, packet_identifier, dup, expiry_interval, size) = match put {
        Put::Pubrel(id) => {
            encode_pubrel(id, ReasonCode::SUCCESS, terms.version, out);
            return Ok(());
        }
        Put::Publish { publish, packet_identifier, dup, expiry_interval, size, .. } => {
            (publish, packet_identifier, dup, expiry_interval, size)
        }
    };
    let alias = if has_room_for_alias(size, terms.maximum_packet_size) {
        given.of(&publish.topic)
    } else {
        Alias::None
    };
    let (topic, topic_alias) = match alias {
        Alias::None => (publish.topic.as_ref(), None),
        Alias::New(alias) => (publish.topic.as_ref(), Some(alias)),
        Alias::Known(alias) => ("", Some(alias)),
    };
    let header = PublishHeader {
        dup,
        topic,
        topic_alias,
        packet_identifier,
        message_expiry_interval: expiry_interval,
        ..publish.header()
    };
    encode_publish(&header, &publish.payload, terms.version, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_makes_no_packet_larger_than_one_may_be() {
        for (size, maximum, has_room) in [
            (96, 100, true),
            (97, 100, false),
            (LARGEST_PACKET - 4, u32::MAX, true),
            (LARGEST_PACKET - 3, u32::MAX, false),
        ] {
            assert_eq!(has_room_for_alias(size as usize, maximum), has_room, "{size} of {maximum}");
        }
    }
}
