//! The session that a bridge has here.

use std::sync::Arc;

use super::greeting::Greeted;
use super::options::{BridgeOptions, Direction};
use crate::broker::{Attachment, BRIDGES, Broker, Closing, OpenError, OpenRequest};
use crate::hook::{ClientInfo, DisconnectCause, ListenerPolicy};
use crate::packet::{QoS, RetainHandling};
use crate::session::{NEVER_EXPIRES, Subscription};
use crate::storage::Promise;
use crate::topic::TopicFilter;

/// The Client Identifier of its session.
pub(super) fn client_identifier(name: &str) -> String {
    format!("{BRIDGES}{name}")
}

/// Makes the session, which collects from now on what is to go out.
///
/// # Errors
/// Where there is no room for it, or the storage fails.
pub(super) fn prepare(options: &BridgeOptions, broker: &Arc<Broker>) -> Result<(), OpenError> {
    // Nobody is answered here.
    let outer = Promise::swap(Promise::default());
    let opened = open(options, broker, u16::MAX).map(|attachment| {
        subscribe(broker, &options.name, &filters(options, QoS::ExactlyOnce));
        let _no_will = attachment.close(Closing::Normal, DisconnectCause::Client, None, None);
    });
    Promise::swap(outer);
    opened
}

/// Takes the session up for a connection to the other broker.
///
/// # Errors
/// As [`prepare`].
pub(super) fn attach(
    options: &BridgeOptions,
    broker: &Arc<Broker>,
    greeted: &Greeted,
) -> Result<Attachment, OpenError> {
    let attachment = open(options, broker, greeted.receive_maximum)?;
    let filters = filters(options, greeted.maximum_qos);
    subscribe(broker, &options.name, &filters);
    Ok(attachment)
}

fn open(
    options: &BridgeOptions,
    broker: &Arc<Broker>,
    receive_maximum: u16,
) -> Result<Attachment, OpenError> {
    let client = ClientInfo {
        key: broker.next_client_key(),
        client_identifier: client_identifier(&options.name).into(),
        user_name: None,
        remote: None,
        protocol_version: options.protocol_version,
        listener: Arc::new(ListenerPolicy::open("bridge")),
        user_properties: Box::default(),
    };
    let opened = broker.open(OpenRequest {
        client: Arc::new(client),
        clean_start: false,
        expiry_interval: NEVER_EXPIRES,
        receive_maximum: receive_maximum.min(broker.options().maximum_inflight.max(1)),
        queue_limits: options.queue,
        will: None,
    })?;
    Ok(opened.attachment)
}

/// What is subscribed here, with the highest QoS of topics that share a filter.
fn filters(options: &BridgeOptions, maximum_qos: QoS) -> Vec<(TopicFilter, Subscription)> {
    let comes_back = options.topics.iter().any(|topic| topic.direction != Direction::Out);
    let mut wanted: Vec<(TopicFilter, Subscription)> = Vec::new();
    for topic in options.outgoing() {
        let qos = topic.qos.min(maximum_qos);
        if let Some((_, known)) = wanted.iter_mut().find(|(filter, _)| filter == topic.local()) {
            known.maximum_qos = known.maximum_qos.max(qos);
            continue;
        }
        let subscription = Subscription {
            maximum_qos: qos,
            // Only where something could come back: receivers that differ from sender to sender are not remembered.
            no_local: comes_back,
            retain_as_published: true,
            retain_handling: RetainHandling::SendAtNewSubscribe,
            identifier: None,
        };
        wanted.push((topic.local().clone(), subscription));
    }
    wanted
}

/// Has the session subscribe these and no others.
fn subscribe(broker: &Broker, name: &str, wanted: &[(TopicFilter, Subscription)]) {
    let session = client_identifier(name);
    let had = broker.subscriptions_of(&session);
    for (filter, _) in had.iter().filter(|(filter, _)| wanted.iter().all(|(other, _)| other != filter)) {
        broker.unsubscribe_session(&session, filter);
    }
    for (filter, subscription) in wanted.iter().filter(|wanted| !had.contains(wanted)) {
        if let Err(reason) = broker.subscribe_session_with(&session, filter.clone(), *subscription) {
            tracing::error!(bridge = name, %filter, %reason, "a bridge cannot subscribe here; nothing of it goes out");
        }
    }
}
