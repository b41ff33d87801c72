//! `broker`: what a plugin does with the broker, which is carried out after the hook, and what it looks up,
//! which is answered at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{HostData, mqtt_string, mqtt_user_properties, user_properties};
use crate::hook::{Directory, Request, RequestError, Sessions};
use crate::message::ApplicationMessage;
use crate::packet::{PacketType, PublishProperties};
use crate::plugin::bindings::tidegate::plugin::broker::{
    ConnectedClient, Error, Host, RetainedMessage, Session,
};
use crate::plugin::bindings::tidegate::plugin::types::{Qos, UserProperty};
use crate::plugin::convert;
use crate::topic::{TopicFilter, TopicName};

/// Names in one answer.
const MOST_LISTED: u32 = 1000;
/// Milliseconds that a message may wait to be published: a year.
const LONGEST_DELAY: u64 = 366 * 24 * 3600 * 1000;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// Ends a host function with an error that the plugin sees.
macro_rules! answer {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl Host for HostData {
    fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        user_properties: Vec<UserProperty>,
    ) -> Answer<()> {
        self.count_host_call()?;
        let topic = answer!(self.publishable(&topic));
        let message = self.message(topic, payload, qos, retain, user_properties)?;
        Ok(self.request(Request::Publish(Box::new(message))))
    }

    fn publish_later(
        &mut self,
        delay_ms: u64,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        user_properties: Vec<UserProperty>,
    ) -> Answer<()> {
        self.count_host_call()?;
        let topic = answer!(self.publishable(&topic));
        if delay_ms > LONGEST_DELAY {
            return Ok(Err(Error::Invalid));
        }
        let message = self.message(topic, payload, qos, retain, user_properties)?;
        let delay = Duration::from_millis(delay_ms);
        let topic = message.topic.clone();
        let put_off = self.services.requester.publish_later(delay, message);
        Ok(put_off.map_err(|error| self.refused(&topic, error)))
    }

    fn disconnect(&mut self, client_identifier: String, reason: u8) -> Answer<()> {
        self.count_host_call()?;
        answer!(self.granted_clients());
        let Ok(reason) = convert::reason_code(reason, PacketType::Disconnect) else {
            return Ok(Err(Error::Invalid));
        };
        let client_identifier = mqtt_string(client_identifier)?;
        Ok(self.request(Request::Disconnect { client_identifier, reason }))
    }

    fn subscribe(&mut self, client_identifier: String, filter: String, maximum_qos: Qos) -> Answer<()> {
        self.count_host_call()?;
        answer!(self.granted_clients());
        let filter = answer!(legal_filter(&filter));
        let client_identifier = mqtt_string(client_identifier)?;
        let maximum_qos = convert::from_qos(maximum_qos);
        Ok(self.request(Request::Subscribe { client_identifier, filter, maximum_qos }))
    }

    fn unsubscribe(&mut self, client_identifier: String, filter: String) -> Answer<()> {
        self.count_host_call()?;
        answer!(self.granted_clients());
        let filter = answer!(legal_filter(&filter));
        let client_identifier = mqtt_string(client_identifier)?;
        Ok(self.request(Request::Unsubscribe { client_identifier, filter }))
    }

    fn get_session(&mut self, client_identifier: String) -> Answer<Option<Session>> {
        self.count_host_call()?;
        answer!(self.granted_clients());
        let found = self.directory().and_then(|directory| directory.session(&client_identifier));
        Ok(Ok(found.map(|session| Session {
            connected: session.client.is_some(),
            subscriptions: convert::length(session.subscriptions),
            queued: convert::length(session.queued + session.in_flight),
        })))
    }

    fn get_client(&mut self, client_identifier: String) -> Answer<Option<ConnectedClient>> {
        self.count_host_call()?;
        answer!(self.granted_clients());
        let found = self.directory().and_then(|directory| directory.session(&client_identifier));
        Ok(Ok(found.and_then(|session| session.client).map(|client| ConnectedClient {
            user_name: client.user_name.as_ref().map(ToString::to_string),
            remote_address: client.remote_address().map(|address| address.to_string()).unwrap_or_default(),
            listener: client.listener.name.clone(),
            protocol_version: client.protocol_version.level(),
        })))
    }

    fn list_sessions(&mut self, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        self.count_host_call()?;
        Ok(self.list(after.as_deref(), limit, Sessions::All))
    }

    fn list_clients(&mut self, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        self.count_host_call()?;
        Ok(self.list(after.as_deref(), limit, Sessions::Connected))
    }

    fn get_retained(&mut self, topic: String) -> Answer<Option<RetainedMessage>> {
        self.count_host_call()?;
        let topic = answer!(legal_name(&topic));
        if !self.may_read(&topic) {
            return Ok(Err(Error::Denied));
        }
        let found = self.directory().and_then(|directory| directory.retained(&topic));
        Ok(Ok(found.map(|message| RetainedMessage {
            payload: message.payload.to_vec(),
            qos: convert::to_qos(message.qos),
            user_properties: message
                .properties
                .as_ref()
                .map(|properties| user_properties(&properties.user_properties))
                .unwrap_or_default(),
        })))
    }

    fn match_retained(&mut self, filter: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        self.count_host_call()?;
        if self.services.grants.retained.is_empty() {
            return Ok(Err(Error::Denied));
        }
        let filter = answer!(legal_filter(&filter));
        let after = match after {
            Some(after) => Some(answer!(legal_name(&after))),
            None => None,
        };
        let limit = limit.min(MOST_LISTED) as usize;
        let granted = |topic: &TopicName| self.may_read(topic);
        let topics = self
            .directory()
            .map(|directory| directory.retained_topics(&filter, after.as_ref(), limit, &granted))
            .unwrap_or_default();
        Ok(Ok(topics.iter().map(TopicName::to_string).collect()))
    }
}

impl HostData {
    fn request(&self, request: Request) -> Result<(), Error> {
        let topic = match &request {
            Request::Publish(message) => Some(message.topic.clone()),
            _ => None,
        };
        self.services.requester.request(request).map_err(|error| match topic {
            Some(topic) => self.refused(&topic, error),
            None => Error::from(error),
        })
    }

    /// Counts and tells that a message is not published.
    fn refused(&self, topic: &TopicName, error: RequestError) -> Error {
        self.services.refusals.note(&self.services.plugin, topic.as_str(), &error.to_string());
        Error::from(error)
    }

    pub(super) fn directory(&self) -> Option<Arc<dyn Directory>> {
        self.services.requester.directory()
    }

    fn granted_clients(&self) -> Result<(), Error> {
        if self.services.grants.clients { Ok(()) } else { Err(Error::Denied) }
    }

    fn may_read(&self, topic: &TopicName) -> bool {
        self.services.grants.retained.iter().any(|filter| filter.matches(topic))
    }

    fn list(&self, after: Option<&str>, limit: u32, only: Sessions) -> Result<Vec<String>, Error> {
        self.granted_clients()?;
        let limit = limit.min(MOST_LISTED) as usize;
        let names =
            self.directory().map(|directory| directory.sessions(after, limit, only)).unwrap_or_default();
        Ok(names.iter().map(ToString::to_string).collect())
    }

    /// A topic that the plugin may publish to now.
    fn publishable(&mut self, topic: &str) -> Result<TopicName, Error> {
        let topic = legal_name(topic)?;
        if !self.services.grants.publish.iter().any(|filter| filter.matches(&topic)) {
            return Err(Error::Denied);
        }
        let most = at_most(self.services.publishes_per_call, self.call.depth);
        if self.call.publishes >= most {
            let why = format!("more than {most} messages in one call (`publishes-per-call`)");
            self.services.refusals.note(&self.services.plugin, topic.as_str(), &why);
            return Err(Error::Busy);
        }
        self.call.publishes += 1;
        Ok(topic)
    }

    fn message(
        &self,
        topic: TopicName,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        user_properties: Vec<UserProperty>,
    ) -> wasmtime::Result<ApplicationMessage> {
        let mut message = ApplicationMessage::new(topic, Bytes::from(payload))
            .with_qos(convert::from_qos(qos))
            .with_retain(retain);
        message.depth = self.call.depth.saturating_add(1);
        if !user_properties.is_empty() {
            let user_properties = mqtt_user_properties(user_properties)?;
            message.properties =
                Some(Box::new(PublishProperties { user_properties, ..PublishProperties::default() }));
        }
        Ok(message)
    }
}

/// What one call may publish: about a message that plugins caused a quarter as much for each in the chain, and one at least.
/// Else it would be 16 to the power of the chain's length.
fn at_most(publishes_per_call: u32, depth: u8) -> u32 {
    let quartered = publishes_per_call.checked_shr(2 * u32::from(depth)).unwrap_or(0);
    quartered.max(publishes_per_call.min(1))
}

fn legal_name(topic: &str) -> Result<TopicName, Error> {
    TopicName::try_from(topic).map_err(|_| Error::Invalid)
}

fn legal_filter(filter: &str) -> Result<TopicFilter, Error> {
    TopicFilter::try_from(filter).map_err(|_| Error::Invalid)
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Error {
        match error {
            RequestError::Busy => Error::Busy,
            RequestError::TooDeep => Error::TooDeep,
        }
    }
}
