//! From packets to those who wait for them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::send::forget;
use super::{Core, Reply, complete};
use crate::client::authentication::Exchange;
use crate::client::error::{ConnectError, End, PublishError, PublishResult, SubscribeError};
use crate::client::message::Message;
use crate::client::routes::Stream;
use crate::client::session::{Pubrec, Received, Request};
use crate::message::Timestamp;
use crate::packet::{
    Ack, Auth, Decoder, Packet, PacketType, Publish, QoS, ReasonCode, Suback, Unsuback, encode_pubcomp,
    encode_pubrec,
};

/// A stream in which so many wait gets copies that share no memory with a read buffer.
const DETACH_BEHIND: usize = 64;

impl Core {
    /// Takes in what was received, up to a message for which there is no room.
    pub(in crate::client) fn take_in(
        &mut self,
        decoder: &mut Decoder,
        received: &mut BytesMut,
        out: &mut BytesMut,
        now: Timestamp,
    ) -> Result<(), End> {
        if let Some(publish) = self.held.take() {
            self.hand_over(publish);
        }
        while self.held.is_none() {
            let Some(packet) = decoder.decode(received)? else { break };
            self.receive(packet, out, now)?;
        }
        self.put_answers(out);
        Ok(())
    }

    fn receive(&mut self, packet: Packet, out: &mut BytesMut, now: Timestamp) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => self.receive_publish(publish, out)?,
            Packet::Puback(ack) => self.receive_puback(ack),
            Packet::Pubrec(ack) => self.receive_pubrec(ack, out, now),
            Packet::Pubrel(ack) => self.receive_pubrel(&ack, out),
            Packet::Pubcomp(ack) => self.receive_pubcomp(ack),
            Packet::Suback(suback) => self.receive_suback(suback)?,
            Packet::Unsuback(unsuback) => self.receive_unsuback(unsuback)?,
            Packet::Pingresp => {}
            Packet::Auth(auth) => self.receive_auth(*auth, out)?,
            Packet::Disconnect(disconnect) => return Err(End::Server(disconnect)),
            other => return Err(End::Unexpected(other.packet_type())),
        }
        Ok(())
    }

    fn receive_publish(&mut self, mut publish: Publish, out: &mut BytesMut) -> Result<(), End> {
        if let Some(alias) = publish.topic_alias {
            publish.topic = self.taken.resolve(alias, &publish.topic).ok_or(End::TopicAlias)?;
        }
        let Some(id) = publish.packet_identifier else {
            self.hand_over(publish);
            return Ok(());
        };
        match self.inbound.receive(publish.qos, id, self.terms.own_receive_maximum) {
            Received::Fresh => self.hand_over(publish),
            Received::Again => encode_pubrec(id, ReasonCode::SUCCESS, self.version, out),
            Received::Awaited => {}
            Received::QuotaExceeded => return Err(End::ReceiveMaximum),
        }
        Ok(())
    }

    /// Puts a message into the streams that take it, or into none of them yet.
    fn hand_over(&mut self, publish: Publish) {
        let streams = self.routes.find(&publish);
        if streams.iter().any(|stream| !stream.buffer.can_take_one()) {
            self.stuck = streams.iter().any(|stream| stream.buffer.is_stuck());
            self.held = Some(publish);
            return;
        }
        let by_hand = match publish.qos {
            QoS::AtMostOnce => 0,
            _ => streams.iter().filter(|stream| stream.by_hand).count(),
        };
        let handed_over = publish.packet_identifier.map(|id| (publish.qos, id));
        let token = self.inbound.next_token();
        let message = |publish: Publish, stream: &Stream| match self.shared.upgrade() {
            Some(shared) if stream.by_hand && by_hand > 0 => Message::by_hand(publish, token, shared),
            _ => Message::new(publish),
        };
        let bytes = publish.topic.len() + publish.payload.len();
        match streams.split_last() {
            None => self.unclaimed += 1,
            Some((last, others)) => {
                for stream in others {
                    let publish = detached(publish.clone(), stream);
                    self.wake.extend(stream.buffer.put(message(publish, stream), bytes));
                }
                let publish = detached(publish, last);
                self.wake.extend(last.buffer.put(message(publish, last), bytes));
            }
        }
        if let Some((qos, id)) = handed_over {
            self.inbound.handed_over(qos, id, by_hand);
        }
    }

    fn receive_puback(&mut self, ack: Ack) {
        if let Some(message) = self.outbound.puback(ack.packet_identifier) {
            forget(&mut self.keeper, &message);
            complete(message.done, answer(said(ack)));
        }
    }

    fn receive_pubrec(&mut self, ack: Ack, out: &mut BytesMut, now: Timestamp) {
        let id = ack.packet_identifier;
        match self.outbound.pubrec(id, said(ack), now) {
            // [MQTT-4.3.3-4]
            Pubrec::Release(number) => {
                if let (Some(keeper), Some(number)) = (&mut self.keeper, number) {
                    keeper.released(number, id);
                }
                self.put_pubrel(id, ReasonCode::SUCCESS, out);
            }
            Pubrec::Refused(message, said) => {
                forget(&mut self.keeper, &message);
                complete(message.done, answer(said));
            }
            // What a session that we do not know left behind.
            Pubrec::Unknown => self.put_pubrel(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, out),
        }
    }

    fn receive_pubrel(&mut self, ack: &Ack, out: &mut BytesMut) {
        let id = ack.packet_identifier;
        let known = self.inbound.release(id);
        if known {
            self.keeper.iter_mut().for_each(|keeper| keeper.released_received(id));
        }
        let reason = if known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        // [MQTT-4.3.3-11]
        encode_pubcomp(id, reason, self.version, out);
    }

    fn receive_pubcomp(&mut self, ack: Ack) {
        if let Some((message, mut said)) = self.outbound.pubcomp(ack.packet_identifier) {
            forget(&mut self.keeper, &message);
            // What became of the message stood in PUBREC; PUBCOMP is about the identifier.
            said.properties = said.properties.or(ack.properties);
            complete(message.done, Ok(said));
        }
    }

    fn receive_suback(&mut self, suback: Suback) -> Result<(), End> {
        let Some(Request::Subscribe { key, reply }) = self.requests.answered(suback.packet_identifier, true)
        else {
            return Ok(());
        };
        let asked = self.requests.get(key).map(|subscribe| subscribe.subscriptions.len());
        let answered = suback.reason_codes.len();
        // [MQTT-3.8.4-6]
        if let Some(asked) = asked.filter(|asked| *asked != answered) {
            self.requests.forget(key);
            self.routes.remove(key);
            let error = SubscribeError::WrongAnswer { asked, answered };
            reply.into_iter().for_each(|reply| reply.fail(error.clone()));
            return Err(End::WrongAnswer { asked, answered });
        }
        if suback.reason_codes.iter().all(|code| code.is_error()) {
            self.requests.forget(key);
            self.routes.remove(key);
        }
        if let Some(Reply::Suback(reply)) = reply {
            let _ = reply.send(Ok(suback));
        }
        Ok(())
    }

    fn receive_unsuback(&mut self, unsuback: Unsuback) -> Result<(), End> {
        let request = self.requests.answered(unsuback.packet_identifier, false);
        let Some(Request::Unsubscribe { unsubscribe, reply }) = request else { return Ok(()) };
        let (asked, answered) = (unsubscribe.filters.len(), unsuback.reason_codes.len());
        // [MQTT-3.11.3-1]; 3.1.1 has no Reason Codes.
        if answered > 0 && asked != answered {
            let error = SubscribeError::WrongAnswer { asked, answered };
            reply.into_iter().for_each(|reply| reply.fail(error.clone()));
            return Err(End::WrongAnswer { asked, answered });
        }
        if let Some(Reply::Unsuback(reply)) = reply {
            let _ = reply.send(Ok(unsuback));
        }
        Ok(())
    }

    fn receive_auth(&mut self, auth: Auth, out: &mut BytesMut) -> Result<(), End> {
        let Some(mut running) = self.exchange.take() else { return Err(End::Unexpected(PacketType::Auth)) };
        let failed = |error| ConnectError::Authentication(Arc::from(error));
        if auth.reason_code == ReasonCode::SUCCESS {
            let finished = running.exchange.finish(auth.authentication_data).map_err(failed);
            let trusted = finished.is_ok();
            let _ = running.reply.send(finished);
            return if trusted { Ok(()) } else { Err(End::Unexpected(PacketType::Auth)) };
        }
        match continued(running.exchange.as_mut(), &running.method, auth.authentication_data) {
            Ok(auth) => {
                let put = self.put_auth(auth, out);
                self.exchange = Some(running);
                put
            }
            Err(error) => {
                let _ = running.reply.send(Err(failed(error)));
                Err(End::Unexpected(PacketType::Auth))
            }
        }
    }
}

/// The AUTH that answers one of the server's.
pub(in crate::client) fn continued(
    exchange: &mut dyn Exchange,
    method: &ByteString,
    data: Option<Bytes>,
) -> Result<Auth, crate::client::authentication::BoxError> {
    Ok(Auth {
        reason_code: ReasonCode::CONTINUE_AUTHENTICATION,
        authentication_method: Some(method.clone()),
        authentication_data: exchange.proceed(data)?,
        ..Auth::default()
    })
}

/// What an acknowledgement says of a message.
fn said(ack: Ack) -> PublishResult {
    PublishResult { reason_code: ack.reason_code, properties: ack.properties }
}

fn answer(result: PublishResult) -> Result<PublishResult, PublishError> {
    if result.reason_code.is_error() { Err(PublishError::Refused(result)) } else { Ok(result) }
}

/// What waits for long keeps no read buffer alive.
fn detached(mut publish: Publish, stream: &Stream) -> Publish {
    if stream.buffer.len() >= DETACH_BEHIND {
        publish.detach();
    }
    publish
}
