//! What a client acknowledges: PUBACK, PUBREC, PUBREL and PUBCOMP.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::disconnect::Ended;
use super::pace::Pace;
use crate::broker::{End, give_back};
use crate::packet::{Ack, Packet, PacketType, ReasonCode};
use crate::session::Acknowledged;

/// Acknowledgements that are looked up under one lock, which is not to be held for long: each may go through the whole of
/// a client's window.
const TOGETHER: usize = 16;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// A client acknowledges one message, and mostly more of them behind: those that were read are looked up together.
    pub(super) fn pubacks(&mut self, first: Ack, pace: &mut Pace) -> Result<(), Ended> {
        let mut acks = vec![first];
        let read = loop {
            if acks.len() >= TOGETHER || self.io.input.next_type() != Some(PacketType::Puback) {
                break Ok(());
            }
            match self.io.next_packet(pace) {
                Ok(Some(Packet::Puback(ack))) => acks.push(ack),
                Ok(_) => break Ok(()),
                Err(ended) => break Err(ended),
            }
        };
        // Whoever acts on packets counts the first of them.
        pace.counts(acks.len() as u32 - 1);
        self.attachment.pubacks(&acks, give_back_of);
        read
    }

    pub(super) fn pubrec(&mut self, ack: &Ack) {
        let id = ack.packet_identifier;
        let Some(acknowledged) = self.attachment.pubrec(ack) else { return };
        match &acknowledged {
            Acknowledged::Release(..) => self.io.output.pubrel(id, ReasonCode::SUCCESS),
            Acknowledged::Complete(..) => {}
            Acknowledged::Unknown if ack.reason_code.is_error() => {}
            Acknowledged::Unknown => self.io.output.pubrel(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
        }
        give_back_of(acknowledged);
    }

    pub(super) fn pubrel(&mut self, ack: &Ack) -> Result<(), Ended> {
        let id = ack.packet_identifier;
        let reason = match self.attachment.release(id) {
            None => return Err(Ended::by_broker(&End::Takeover)),
            Some(true) => {
                self.unreleased = self.unreleased.saturating_sub(1);
                ReasonCode::SUCCESS
            }
            Some(false) => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        self.io.output.pubcomp(id, reason);
        Ok(())
    }

    pub(super) fn pubcomp(&mut self, ack: &Ack) {
        self.attachment.pubcomp(ack);
    }
}

/// The client has the message that it acknowledged.
fn give_back_of(acknowledged: Acknowledged) {
    if let Acknowledged::Complete(_, Some(delivery)) | Acknowledged::Release(_, Some(delivery)) = acknowledged
    {
        give_back(delivery.message);
    }
}
