//! Subscriptions as handles ask for them and give them up.

use std::sync::Arc;

use super::{Core, Reply};
use crate::client::error::SubscribeError;
use crate::client::routes::Stream;
use crate::packet::{PacketIdentifier, Subscribe, Unsubscribe};
use crate::topic::TopicFilter;

impl Core {
    /// Asks for a subscription, whose messages come from now on. Gives its key.
    pub(in crate::client) fn subscribe(
        &mut self,
        subscribe: Subscribe,
        filters: Vec<TopicFilter>,
        stream: Option<Arc<Stream>>,
        reply: Reply,
    ) -> Result<u64, SubscribeError> {
        self.require_open()?;
        let key = self.requests.next_key();
        self.routes.add(key, filters, stream);
        self.requests.subscribe(key, subscribe, Some(reply));
        self.wake_driver();
        Ok(key)
    }

    /// Forgets a subscription. Gives the filters that are the server's to forget.
    pub(in crate::client) fn give_up(&mut self, key: u64) -> Vec<TopicFilter> {
        self.requests.forget(key);
        self.wake_driver();
        self.routes.remove(key)
    }

    /// Asks for the end of these filters. Says whether there is something to ask for.
    pub(in crate::client) fn unsubscribe(
        &mut self,
        filters: Vec<TopicFilter>,
        reply: Option<Reply>,
    ) -> Result<bool, SubscribeError> {
        if filters.is_empty() {
            return Ok(false);
        }
        let filters = filters.iter().map(|filter| filter.as_str().to_owned().into()).collect();
        let packet_identifier = PacketIdentifier::FIRST;
        let unsubscribe = Unsubscribe { packet_identifier, user_properties: Vec::new(), filters };
        self.ask_to_unsubscribe(unsubscribe, reply)?;
        Ok(true)
    }

    /// The same as it came; subscriptions without a stream are forgotten.
    pub(in crate::client) fn unsubscribe_with(
        &mut self,
        unsubscribe: Unsubscribe,
        reply: Option<Reply>,
    ) -> Result<(), SubscribeError> {
        for filter in &unsubscribe.filters {
            for key in self.routes.without_stream(filter) {
                if self.requests.forget_filter(key, filter) {
                    self.routes.remove(key);
                }
            }
        }
        self.ask_to_unsubscribe(unsubscribe, reply)
    }

    pub(in crate::client) fn add_unmatched(&mut self, stream: Arc<Stream>) {
        if self.end.is_some() {
            stream.buffer.close();
        } else {
            self.routes.add_unmatched(stream);
        }
    }

    fn ask_to_unsubscribe(
        &mut self,
        unsubscribe: Unsubscribe,
        reply: Option<Reply>,
    ) -> Result<(), SubscribeError> {
        self.require_open()?;
        self.requests.unsubscribe(unsubscribe, reply);
        self.wake_driver();
        Ok(())
    }

    fn require_open(&self) -> Result<(), SubscribeError> {
        self.closed().map_or(Ok(()), |end| Err(end.into()))
    }
}
