//! Messages that one read brought, where hooks are asked about them: about several of them before the first is
//! routed.
//!
//! The broker's path and a call of a plugin do not fit into the 32 KB of a processor's instruction cache together:
//! taken in turns they push each other out, 314 lines of code per message; here it is 141 (`callgrind --cache-sim=yes`
//! on scenario C with a plugin that looks at the topic). It brings 185 of 1,970 ns per message.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::disconnect::Ended;
use super::pace::Pace;
use super::publish::Awaited;
use crate::hook::{Answer, PublishOutcome};
use crate::message::ApplicationMessage;
use crate::packet::{Packet, PacketIdentifier, QoS};

thread_local! {
    /// Kept, so that each read does not allocate it.
    static ADMITTED: Cell<Vec<Admitted>> = const { Cell::new(Vec::new()) };
}

/// A message between the limits that CONNACK told and the publish pipeline.
pub(super) struct Admitted {
    pub(super) qos: QoS,
    pub(super) id: Option<PacketIdentifier>,
    pub(super) message: Arc<ApplicationMessage>,
    /// None: not asked yet.
    pub(super) answer: Option<Answer<PublishOutcome>>,
}

/// What comes after a message that has to wait.
pub(super) struct Rest {
    messages: Vec<Admitted>,
    ended: Option<Ended>,
}

/// A message that has to wait, and what comes after it.
pub(super) type Held = (Awaited, Option<Box<Rest>>);

/// How far a connection came with what was read together.
pub(super) enum Together {
    Done,
    /// What is left of the read is not a whole packet.
    Partial,
    Waits(Awaited, Option<Box<Rest>>),
}

/// Whether somebody was asked: where plugins want other topics than the last message's, going together costs 115
/// instructions for nothing.
pub(super) fn asks(answer: &Answer<PublishOutcome>) -> bool {
    !matches!(answer, Answer::Ready(PublishOutcome { unasked: true, .. }))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Whether messages are to be published together in this turn.
    pub(super) fn publishes_together(&self) -> bool {
        let broker = self.attachment.broker();
        // What is answered where it is admitted must not overtake the answers of those before it.
        self.was_asked && broker.intercepts_publishes() && !broker.options().validate_payload_format
    }

    /// Whether the next packet is a message that can be published together with others: what becomes of one of QoS 2
    /// decides over the next of its identifier.
    pub(super) fn next_goes_together(&self) -> bool {
        matches!(self.io.input.next_publish(), Some(QoS::AtMostOnce | QoS::AtLeastOnce))
    }

    /// Publishes the messages that are next, as many as the pace allows.
    pub(super) fn publish_together(&mut self, pace: &mut Pace) -> Result<Together, Ended> {
        let mut messages = ADMITTED.take();
        let admitted = self.admit_some(pace, &mut messages);
        let asked = self.ask_about(&mut messages);
        let routed = self.route(&mut messages);
        if let Err(panic) = asked {
            resume_unwind(panic);
        }
        let Some(awaited) = routed? else {
            ADMITTED.set(messages);
            return admitted.map(|is_all| if is_all { Together::Partial } else { Together::Done });
        };
        let ended = admitted.err();
        let rest = (ended.is_some() || !messages.is_empty()).then(|| Box::new(Rest { messages, ended }));
        Ok(Together::Waits(awaited, rest))
    }

    /// Says whether nothing whole is left of what was read.
    fn admit_some(&mut self, pace: &mut Pace, admitted: &mut Vec<Admitted>) -> Result<bool, Ended> {
        while self.io.has_to_decode() && self.next_goes_together() {
            let Some(Packet::Publish(publish)) = self.io.next_packet(pace)? else { return Ok(true) };
            let (qos, id) = (publish.qos, publish.packet_identifier);
            if let Some(message) = self.admit(publish)? {
                admitted.push(Admitted { qos, id, message, answer: None });
            }
            if pace.counts(1) {
                break;
            }
        }
        Ok(false)
    }

    /// Asks about each message until one has to wait or ends the connection. Those before a hook that panics are routed
    /// all the same.
    fn ask_about(&mut self, messages: &mut [Admitted]) -> Result<(), Box<dyn Any + Send>> {
        let (broker, client) = (self.attachment.broker(), Some(self.attachment.client()));
        let mut was_asked = false;
        let asking = || {
            for one in messages {
                let answer = broker.intercept(client, &one.message, self.io.now);
                was_asked |= asks(&answer);
                let is_last = match &answer {
                    Answer::Ready(outcome) => {
                        outcome.reply.as_ref().is_some_and(|reply| reply.close.is_some())
                    }
                    Answer::Later(_) => true,
                };
                one.answer = Some(answer);
                if is_last {
                    break;
                }
            }
        };
        let asked = catch_unwind(AssertUnwindSafe(asking));
        self.was_asked = was_asked;
        asked
    }

    /// Routes messages until one has to wait, and leaves those behind it.
    fn route(&mut self, messages: &mut Vec<Admitted>) -> Result<Option<Awaited>, Ended> {
        let mut routed = messages.drain(..);
        for one in routed.by_ref() {
            if let Some(awaited) = self.publish_admitted(one)? {
                let rest = routed.collect();
                *messages = rest;
                return Ok(Some(awaited));
            }
        }
        Ok(None)
    }

    /// Publishes a message that had to wait, and what comes after it.
    pub(super) async fn go_on_together(
        &mut self,
        first: Awaited,
        rest: Option<Box<Rest>>,
    ) -> Result<(), Ended> {
        self.go_on(first).await?;
        let Some(rest) = rest else { return Ok(()) };
        for one in rest.messages {
            if let Some(awaited) = self.publish_admitted(one)? {
                self.go_on(awaited).await?;
            }
        }
        rest.ended.map_or(Ok(()), Err)
    }
}
