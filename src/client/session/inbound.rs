//! Messages from the server that are not yet answered, and the QoS 2 identifiers that are not yet released.
//!
//! ```text
//!   QoS 1:  PUBLISH ─► handed over ─► acknowledged ─► PUBACK, forgotten
//!   QoS 2:  PUBLISH ─► handed over ─► acknowledged ─► PUBREC, identifier kept ── PUBREL ─► PUBCOMP, forgotten
//! ```
//!
//! Where nobody acknowledges by hand, a message is acknowledged as soon as it is handed over. Answers go out in the order
//! in which the messages came ([MQTT-4.6.0-2], [MQTT-4.6.0-3]), so one that is acknowledged early waits for those before
//! it.

use std::collections::VecDeque;

use crate::packet::{PacketIdentifier, QoS};
use crate::session;

/// What a PUBLISH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Received {
    Fresh,
    /// It was handed over already, and is answered again.
    Again,
    /// It was handed over already, and is answered when it is acknowledged.
    Awaited,
    /// The server has sent more than it was allowed to.
    QuotaExceeded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum Answer {
    Puback(PacketIdentifier),
    Pubrec(PacketIdentifier),
}

#[derive(Debug, Default)]
pub(in crate::client) struct Inbound {
    /// QoS 2, not released.
    received: session::Inbound,
    /// In the order in which they came; QoS 1, and QoS 2.
    unanswered: [VecDeque<Unanswered>; 2],
    /// QoS 2 that was not acknowledged when its connection ended. The server sends it again.
    suspended: Vec<Unanswered>,
    tokens: u64,
}

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    packet_identifier: PacketIdentifier,
    token: u64,
    /// Acknowledgements that are missing.
    missing: usize,
}

impl Inbound {
    /// A PUBLISH of QoS 1 or 2 came; at most `maximum` may be unanswered.
    pub(in crate::client) fn receive(&mut self, qos: QoS, id: PacketIdentifier, maximum: u16) -> Received {
        if qos == QoS::ExactlyOnce && self.received.contains(id) {
            return self.receive_again(id);
        }
        // [MQTT-3.3.4-9], from the other side.
        if self.unanswered.iter().map(VecDeque::len).sum::<usize>() >= maximum.into() {
            return Received::QuotaExceeded;
        }
        Received::Fresh
    }

    /// [MQTT-4.3.3-10]: sent again before it was released, so it is no new message.
    fn receive_again(&mut self, id: PacketIdentifier) -> Received {
        if let Some(at) = self.suspended.iter().position(|it| it.packet_identifier == id) {
            let unanswered = self.suspended.swap_remove(at);
            self.unanswered[1].push_back(unanswered);
            return Received::Awaited;
        }
        let is_awaited = self.unanswered[1].iter().any(|it| it.packet_identifier == id);
        if is_awaited { Received::Awaited } else { Received::Again }
    }

    /// A fresh message was handed over to so many who acknowledge it by hand. Gives the token by which they do.
    pub(in crate::client) fn handed_over(&mut self, qos: QoS, id: PacketIdentifier, by_hand: usize) -> u64 {
        if qos == QoS::ExactlyOnce {
            self.received.restore(id);
        }
        self.tokens += 1;
        let unanswered = Unanswered { packet_identifier: id, token: self.tokens, missing: by_hand };
        self.unanswered[lane(qos)].push_back(unanswered);
        self.tokens
    }

    /// The token of the message that is handed over next.
    pub(in crate::client) fn next_token(&self) -> u64 {
        self.tokens + 1
    }

    /// One of those who acknowledge by hand does. Tokens of former connections mean nothing, but for QoS 2.
    pub(in crate::client) fn acknowledge(&mut self, token: u64) {
        for lane in &mut self.unanswered {
            if let Ok(at) = lane.binary_search_by_key(&token, |it| it.token) {
                lane[at].missing = lane[at].missing.saturating_sub(1);
                return;
            }
        }
        // Those taken up again are not in the order of their tokens.
        let others = self.unanswered[1].iter_mut().chain(&mut self.suspended);
        for unanswered in others.filter(|it| it.token == token) {
            unanswered.missing = unanswered.missing.saturating_sub(1);
        }
    }

    /// The next answer that can be given.
    pub(in crate::client) fn next_answer(&mut self) -> Option<Answer> {
        let [at_least_once, exactly_once] = &mut self.unanswered;
        if let Some(first) = at_least_once.pop_front_if(|first| first.missing == 0) {
            return Some(Answer::Puback(first.packet_identifier));
        }
        let first = exactly_once.pop_front_if(|first| first.missing == 0)?;
        Some(Answer::Pubrec(first.packet_identifier))
    }

    /// A PUBREL came. Says whether its identifier was known.
    pub(in crate::client) fn release(&mut self, id: PacketIdentifier) -> bool {
        self.received.release(id)
    }

    /// The connection is over: QoS 1 comes again as new, QoS 2 comes again and is known.
    pub(in crate::client) fn disconnected(&mut self) {
        self.unanswered[0].clear();
        self.suspended.extend(self.unanswered[1].drain(..));
    }

    /// The server has forgotten the session. Gives the identifiers that were not released.
    pub(in crate::client) fn restart(&mut self) -> Vec<PacketIdentifier> {
        self.disconnected();
        self.suspended.clear();
        std::mem::take(&mut self.received).iter().collect()
    }

    /// An identifier that was received before.
    pub(in crate::client) fn restore(&mut self, id: PacketIdentifier) {
        self.received.restore(id);
    }
}

fn lane(qos: QoS) -> usize {
    usize::from(qos == QoS::ExactlyOnce)
}
