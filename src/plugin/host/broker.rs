//! `broker`: requests that are carried out after the hook.

use bytes::Bytes;

use super::{HostData, mqtt_string, mqtt_user_properties};
use crate::hook::{Request, RequestError};
use crate::message::ApplicationMessage;
use crate::packet::{PacketType, PublishProperties};
use crate::plugin::bindings::tidegate::plugin::broker::{
    ConnectedClient, Error, Host, RetainedMessage, Session,
};
use crate::plugin::bindings::tidegate::plugin::types::{Qos, UserProperty};
use crate::plugin::convert;
use crate::topic::TopicName;

type Outcome = wasmtime::Result<Result<(), Error>>;

impl Host for HostData {
    fn publish(
        &mut self,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        user_properties: Vec<UserProperty>,
    ) -> Outcome {
        let Ok(topic) = TopicName::try_from(topic.as_str()) else { return Ok(Err(Error::Invalid)) };
        if !self.services.grants.publish.iter().any(|filter| filter.matches(&topic)) {
            return Ok(Err(Error::Denied));
        }
        if self.call.publishes >= self.services.publishes_per_call {
            return Ok(Err(Error::Busy));
        }
        self.call.publishes += 1;
        let mut message = ApplicationMessage::new(topic, Bytes::from(payload))
            .with_qos(convert::from_qos(qos))
            .with_retain(retain);
        message.depth = self.call.depth.saturating_add(1);
        if !user_properties.is_empty() {
            let user_properties = mqtt_user_properties(user_properties)?;
            message.properties =
                Some(Box::new(PublishProperties { user_properties, ..PublishProperties::default() }));
        }
        Ok(self.request(Request::Publish(Box::new(message))))
    }

    fn publish_later(
        &mut self,
        _delay_ms: u64,
        _topic: String,
        _payload: Vec<u8>,
        _qos: Qos,
        _retain: bool,
        _user_properties: Vec<UserProperty>,
    ) -> Outcome {
        Ok(Err(Error::Denied))
    }

    fn subscribe(&mut self, _client_identifier: String, _filter: String, _maximum_qos: Qos) -> Outcome {
        Ok(Err(Error::Denied))
    }

    fn unsubscribe(&mut self, _client_identifier: String, _filter: String) -> Outcome {
        Ok(Err(Error::Denied))
    }

    fn get_session(
        &mut self,
        _client_identifier: String,
    ) -> wasmtime::Result<Result<Option<Session>, Error>> {
        Ok(Err(Error::Denied))
    }

    fn get_client(
        &mut self,
        _client_identifier: String,
    ) -> wasmtime::Result<Result<Option<ConnectedClient>, Error>> {
        Ok(Err(Error::Denied))
    }

    fn list_sessions(
        &mut self,
        _after: Option<String>,
        _limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        Ok(Err(Error::Denied))
    }

    fn list_clients(
        &mut self,
        _after: Option<String>,
        _limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        Ok(Err(Error::Denied))
    }

    fn get_retained(&mut self, _topic: String) -> wasmtime::Result<Result<Option<RetainedMessage>, Error>> {
        Ok(Err(Error::Denied))
    }

    fn match_retained(
        &mut self,
        _filter: String,
        _after: Option<String>,
        _limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, Error>> {
        Ok(Err(Error::Denied))
    }

    fn disconnect(&mut self, client_identifier: String, reason: u8) -> Outcome {
        if !self.services.grants.clients {
            return Ok(Err(Error::Denied));
        }
        let Ok(reason) = convert::reason_code(reason, PacketType::Disconnect) else {
            return Ok(Err(Error::Invalid));
        };
        let client_identifier = mqtt_string(client_identifier)?;
        Ok(self.request(Request::Disconnect { client_identifier, reason }))
    }
}

impl HostData {
    fn request(&self, request: Request) -> Result<(), Error> {
        self.services.requester.request(request).map_err(|error| match error {
            RequestError::Busy => Error::Busy,
            RequestError::TooDeep => Error::TooDeep,
        })
    }
}
