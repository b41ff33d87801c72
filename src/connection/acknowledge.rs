//! What a client acknowledges: PUBACK, PUBREC, PUBREL and PUBCOMP.

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::disconnect::Ended;
use crate::broker::End;
use crate::packet::{Ack, ReasonCode};
use crate::session::Acknowledged;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) fn puback(&mut self, ack: &Ack) {
        self.attachment.puback(ack.packet_identifier, ack.reason_code);
    }

    pub(super) fn pubrec(&mut self, ack: &Ack) {
        let id = ack.packet_identifier;
        match self.attachment.pubrec(id, ack.reason_code) {
            Acknowledged::Release(..) => self.io.output.pubrel(id, ReasonCode::SUCCESS),
            Acknowledged::Complete(..) => {}
            Acknowledged::Unknown if ack.reason_code.is_error() => {}
            Acknowledged::Unknown => self.io.output.pubrel(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND),
        }
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
        self.attachment.pubcomp(ack.packet_identifier, ack.reason_code);
    }
}
