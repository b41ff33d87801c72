//! A client's PUBLISH: limits, alias, duplicate, then the broker's pipeline, then the acknowledgement.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::disconnect::Ended;
use super::intercept::{Admitted, asks};
use super::{Connection, wait};
use crate::broker::{Attachment, Count, End, Published, Publishing, Step, share};
use crate::message::{ApplicationMessage, Origin};
use crate::packet::{PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode};
use crate::session::Received;
use crate::storage::Committer;
use crate::topic::TopicName;

/// How long a message waits for those of the connection before. Hooks have deadlines of their own, but an
/// embedder's may have none.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message for which a hook has to be waited for, and how its client is answered.
pub(super) struct Awaited {
    qos: QoS,
    id: Option<PacketIdentifier>,
    publishing: Box<Publishing>,
}

/// Publishes a message, or goes a step further with it. Where that is done, one of QoS 2 whose session is kept is known
/// as received in the same group as what it put into queues: after a crash it is neither lost nor routed again.
fn keeping<T>(
    attachment: &Attachment,
    version: ProtocolVersion,
    (qos, id): (QoS, Option<PacketIdentifier>),
    publish: impl FnOnce() -> T,
    done: impl FnOnce(&T) -> Option<&Published>,
) -> T {
    let id = id.filter(|_| qos == QoS::ExactlyOnce);
    let Some((committer, id)) = attachment.committer().zip(id) else { return publish() };
    let _group = committer.group();
    let published = publish();
    if done(&published).is_some_and(|published| published.is_received(version)) {
        attachment.broker().deliver_gathered();
        attachment.keep_received(id);
    }
    published
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn publish(&mut self, publish: Publish) -> Result<(), Ended> {
        if self.attachment.has_former() {
            self.wait_for_formers(&publish).await;
        }
        match self.publish_at_once(publish)? {
            Some(awaited) => self.go_on(awaited).await,
            None => Ok(()),
        }
    }

    /// Publishes a message once a hook has answered.
    pub(super) async fn go_on(&mut self, awaited: Awaited) -> Result<(), Ended> {
        let Awaited { qos, id, publishing } = awaited;
        let published = {
            let (attachment, version) = (&self.attachment, self.io.output.version());
            let client = attachment.client();
            let mut answer = pin!(attachment.broker().go_on(Some(client), publishing, &mut self.verdicts));
            let poll = |cx: &mut Context<'_>| {
                keeping(
                    attachment,
                    version,
                    (qos, id),
                    || answer.as_mut().poll(cx),
                    |polled| match polled {
                        Poll::Ready(published) => Some(published),
                        Poll::Pending => None,
                    },
                )
            };
            let answer = pin!(poll_fn(poll));
            wait(&mut self.io, attachment, answer).await
        };
        self.answer(qos, id, published)
    }

    /// Publishes a message, unless a hook has to be waited for: then what is returned is to be given to
    /// [`go_on`](Connection::go_on). No connection before may have to come first.
    pub(super) fn publish_at_once(&mut self, publish: Publish) -> Result<Option<Awaited>, Ended> {
        let (qos, id) = (publish.qos, publish.packet_identifier);
        let Some(message) = self.admit(publish)? else { return Ok(None) };
        if let Some(refused) = self.refused_too(qos) {
            return self.answer(qos, id, refused).map(|()| None);
        }
        let (attachment, version) = (&self.attachment, self.io.output.version());
        let (broker, client) = (attachment.broker(), Some(attachment.client()));
        let (verdicts, now, was_asked) = (&mut self.verdicts, self.io.now, &mut self.was_asked);
        let publish = || {
            if broker.intercepts_publishes() {
                let answer = broker.intercept(client, &message, now);
                *was_asked = asks(&answer);
                broker.publish_intercepted(client, message, answer, verdicts, now)
            } else {
                broker.publish_at_once(client, message, verdicts, now)
            }
        };
        let step = keeping(attachment, version, (qos, id), publish, |step| match step {
            Step::Done(published) => Some(published),
            Step::Waits(_) => None,
        });
        self.stepped(qos, id, step)
    }

    /// The same for one that was admitted, and that hooks may have been asked about.
    pub(super) fn publish_admitted(&mut self, admitted: Admitted) -> Result<Option<Awaited>, Ended> {
        let Admitted { qos, id, message, answer } = admitted;
        if let Some(refused) = self.refused_too(qos) {
            return self.answer(qos, id, refused).map(|()| None);
        }
        let (broker, client) = (self.attachment.broker(), Some(self.attachment.client()));
        let step = match answer {
            Some(answer) => {
                broker.publish_intercepted(client, message, answer, &mut self.verdicts, self.io.now)
            }
            None => broker.publish_at_once(client, message, &mut self.verdicts, self.io.now),
        };
        self.stepped(qos, id, step)
    }

    /// Until a client was written that a message could not be kept, those behind it are refused too, and no more of them are
    /// read: where the connection ends before, it sends all of them again in their order [MQTT-4.6.0-5].
    fn refused_too(&mut self, qos: QoS) -> Option<Published> {
        let refused_with = &mut self.seldom.as_mut()?.refused_with;
        if !self.io.output.holds_refusal() {
            *refused_with = None;
        }
        refused_with.filter(|_| qos > QoS::AtMostOnce).map(Published::failed)
    }

    fn stepped(
        &mut self,
        qos: QoS,
        id: Option<PacketIdentifier>,
        step: Step,
    ) -> Result<Option<Awaited>, Ended> {
        match step {
            Step::Done(published) => self.answer(qos, id, published).map(|()| None),
            Step::Waits(publishing) => Ok(Some(Awaited { qos, id, publishing })),
        }
    }

    /// The message, where it is one to publish: not a duplicate, and within what CONNACK said. What is no message
    /// is answered here.
    pub(super) fn admit(&mut self, mut publish: Publish) -> Result<Option<Arc<ApplicationMessage>>, Ended> {
        let payload = (Count::PayloadBytesReceived, publish.payload.len());
        self.attachment.broker().counters().add_all([(Count::PublishesReceived, 1), payload]);
        self.io.timers.published(publish.topic.len() + publish.payload.len());
        self.check_limits(&publish)?;
        let topic = self.topic_of(&mut publish)?;
        let topic = self.mounted(topic, &mut publish)?;
        let id = publish.packet_identifier;
        if publish.qos == QoS::ExactlyOnce
            && let Some(id) = id
            && !self.is_fresh(id)?
        {
            return Ok(None);
        }
        if publish.qos == QoS::AtLeastOnce && self.quota() == 0 {
            // Messages of QoS 2 and of QoS 1 share the quota [MQTT-3.3.4-7].
            return Err(Ended::refused(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED));
        }
        self.attachment.broker().counters().count(Count::MessagesReceived);
        if !self.accepts_payload(&publish) {
            return self.refuse_payload(publish.qos, id).map(|()| None);
        }
        Ok(Some(share(self.message(topic, publish))))
    }

    /// The connection that had the session before may still be at a message, which comes before this one
    /// [MQTT-4.6.0-5]. One that it has received is answered without waiting, unless that has to be kept first.
    async fn wait_for_formers(&mut self, publish: &Publish) {
        let is_answered = publish.qos == QoS::ExactlyOnce && self.attachment.committer().is_none();
        if publish.packet_identifier.is_some_and(|id| is_answered && self.attachment.knows(id)) {
            return;
        }
        let formers = self.attachment.take_formers();
        let done = async {
            for former in formers {
                let _ = former.await;
            }
        };
        let _ = wait(&mut self.io, &self.attachment, pin!(timeout(PATIENCE, done))).await;
    }

    /// What CONNACK said: Maximum QoS and Retain Available.
    fn check_limits(&self, publish: &Publish) -> Result<(), Ended> {
        let options = self.attachment.broker().options();
        if publish.qos > options.maximum_qos {
            // [MQTT-3.2.2-11]
            return Err(Ended::refused(ReasonCode::QOS_NOT_SUPPORTED));
        }
        if publish.retain && !options.retain_available {
            // [MQTT-3.2.2-14]
            return Err(Ended::refused(ReasonCode::RETAIN_NOT_SUPPORTED));
        }
        Ok(())
    }

    fn accepts_payload(&self, publish: &Publish) -> bool {
        let options = self.attachment.broker().options();
        options.accepts_payload(&publish.payload, publish.properties.as_deref())
    }

    /// In the acknowledgement, or where there is none in DISCONNECT (MQTT 5.0, 3.3.2.3.2).
    fn refuse_payload(&mut self, qos: QoS, id: Option<PacketIdentifier>) -> Result<(), Ended> {
        self.attachment.broker().counters().count(Count::PayloadsRefused);
        let reason = ReasonCode::PAYLOAD_FORMAT_INVALID;
        if qos == QoS::AtMostOnce {
            return Err(Ended::refused(reason));
        }
        self.answer(qos, id, Published { reason, reply: None, failed: false, routed: false })
    }

    /// The topic, given or by its alias.
    fn topic_of(&mut self, publish: &mut Publish) -> Result<TopicName, Ended> {
        // [MQTT-3.2.2-17], [MQTT-3.2.2-18]
        if publish.topic_alias.is_some_and(|alias| alias.get() > self.io.topic_alias_maximum) {
            return Err(Ended::refused(ReasonCode::TOPIC_ALIAS_INVALID));
        }
        if publish.topic.is_empty() {
            // The decoder lets an empty topic pass only beside an alias.
            let known = publish.topic_alias.and_then(|alias| self.seldom.as_ref()?.aliases.get(alias));
            let unknown = || Ended::protocol_error("a Topic Alias that was never set (MQTT 5.0, 3.3.4)");
            return known.ok_or_else(unknown);
        }
        let topic = TopicName::of_publish(std::mem::take(&mut publish.topic));
        if let Some(alias) = publish.topic_alias {
            self.seldom.get_or_insert_default().aliases.set(alias, &topic);
        }
        Ok(topic)
    }

    /// The whole topic, where the client sees only a part of it.
    fn mounted(&self, topic: TopicName, publish: &mut Publish) -> Result<TopicName, Ended> {
        let Some(mount) = self.io.output.mount() else { return Ok(topic) };
        let whole = mount.whole(topic.as_str());
        let properties = publish.properties.as_deref_mut().map_or(Ok(()), |all| mount.whole_properties(all));
        properties.and(whole).map_err(|_| Ended::refused(ReasonCode::TOPIC_NAME_INVALID))
    }

    /// How many messages of QoS 1 and 2 the client may still send before one of them is finished.
    fn quota(&self) -> u16 {
        self.receive_maximum.get().saturating_sub(self.unreleased)
    }

    /// Whether a QoS 2 message is to be routed; a duplicate is answered here.
    fn is_fresh(&mut self, id: PacketIdentifier) -> Result<bool, Ended> {
        match self.attachment.receive(id, self.quota()) {
            None => Err(Ended::by_broker(&End::Takeover)),
            Some(Received::Fresh) => {
                self.unreleased = self.unreleased.saturating_add(1);
                Ok(true)
            }
            Some(Received::Duplicate) => {
                // What was received may not be kept yet.
                self.attachment.committer().into_iter().for_each(Committer::promise_all);
                self.io.output.pubrec(id, ReasonCode::SUCCESS, None);
                Ok(false)
            }
            Some(Received::QuotaExceeded) => Err(Ended::refused(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED)),
        }
    }

    fn message(&self, topic: TopicName, publish: Publish) -> ApplicationMessage {
        let expiry = publish.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        ApplicationMessage {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties,
            origin: Origin::Client,
            publisher: self.attachment.client().key,
            expires_at: expiry.map(|seconds| self.io.now.after_secs(seconds)),
            depth: 0,
        }
    }

    /// PUBACK or PUBREC with the Reason Code; MQTT 3.1.1 knows none and acknowledges all alike.
    fn answer(&mut self, qos: QoS, id: Option<PacketIdentifier>, published: Published) -> Result<(), Ended> {
        let Published { reason, reply, failed, .. } = published;
        if qos == QoS::AtMostOnce && reply.is_none() && !failed {
            return Ok(());
        }
        if failed {
            if self.io.output.version() == ProtocolVersion::V311 {
                return Err(self.not_acknowledged(id));
            }
            self.seldom.get_or_insert_default().refused_with = Some(reason);
        }
        let close = reply.as_ref().and_then(|reply| reply.close);
        let ended = close.map(|reason| Ended::by_hook(reason, reply.clone()));
        let told = match self.io.output.version() {
            ProtocolVersion::V5 => reason,
            ProtocolVersion::V311 => ReasonCode::SUCCESS,
        };
        match (qos, id) {
            (QoS::AtLeastOnce, Some(id)) => self.io.output.puback(id, told, reply),
            (QoS::ExactlyOnce, Some(id)) => {
                // A refused message does not use its identifier up [MQTT-4.3.3-9].
                if told.is_error() && self.attachment.release(id) == Some(true) {
                    self.unreleased = self.unreleased.saturating_sub(1);
                }
                self.io.output.pubrec(id, told, reply);
            }
            _ => {}
        }
        if failed {
            self.io.output.note_refusal();
        }
        ended.map_or(Ok(()), Err)
    }

    /// MQTT 3.1.1 cannot say that something failed, only close, so that the client sends the message again
    /// [MQTT-4.8.0-2].
    fn not_acknowledged(&self, id: Option<PacketIdentifier>) -> Ended {
        if let Some(id) = id {
            self.attachment.release(id);
        }
        Ended::network("a message could not be kept, and MQTT 3.1.1 cannot be told")
    }
}
