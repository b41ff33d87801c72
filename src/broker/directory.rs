//! What hooks may look up: see [`Directory`].

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::Broker;
use crate::hook::{ClientInfo, ClientStatus, Directory, SessionItemError, Sessions};
use crate::message::{ApplicationMessage, ClientKey};
use crate::storage::{Change, Op};
use crate::topic::{TopicFilter, TopicName};

impl Directory for Broker {
    fn session(&self, client_identifier: &str) -> Option<ClientStatus> {
        self.client(client_identifier)
    }

    fn sessions(&self, after: Option<&str>, limit: usize, only: Sessions) -> Vec<Arc<str>> {
        // The first so many of all that come after, without putting all of them in order.
        let mut first = BTreeSet::new();
        self.registry.for_each(|entry| {
            let name = &entry.client_identifier;
            let is_meant = after.is_none_or(|after| &**name > after)
                && (only == Sessions::All || entry.connected() != ClientKey(0));
            let is_early = first.len() < limit || first.last().is_some_and(|last| name < last);
            if is_meant && is_early && first.insert(name.clone()) && first.len() > limit {
                first.pop_last();
            }
        });
        first.into_iter().collect()
    }

    fn retained(&self, topic: &TopicName) -> Option<Arc<ApplicationMessage>> {
        self.retained_message(topic)
    }

    fn retained_topics(
        &self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        limit: usize,
        granted: &dyn Fn(&TopicName) -> bool,
    ) -> Vec<TopicName> {
        self.matching_retained(filter, after, limit, granted)
    }

    fn session_item(&self, client: &ClientInfo, key: &str) -> Option<Bytes> {
        self.session_items.get(self.session_number(client)?, key)
    }

    fn set_session_item(
        &self,
        client: &ClientInfo,
        key: String,
        value: Bytes,
    ) -> Result<(), SessionItemError> {
        let session = self.session_number(client).ok_or(SessionItemError::NoSession)?;
        self.session_items.set(session, key.clone(), value.clone())?;
        self.keep_item(client, |session| Change::PutItem { session, key, value });
        // Whoever ended the session meanwhile may have come before the item.
        if self.session_number(client) != Some(session) {
            self.session_items.forget(session);
            return Err(SessionItemError::NoSession);
        }
        Ok(())
    }

    fn delete_session_item(&self, client: &ClientInfo, key: &str) -> bool {
        let deleted =
            self.session_number(client).is_some_and(|session| self.session_items.delete(session, key));
        if deleted {
            let key = key.to_string();
            self.keep_item(client, |session| Change::DeleteItem { session, key });
        }
        deleted
    }
}

impl Broker {
    fn keep_item(&self, client: &ClientInfo, change: impl FnOnce(u64) -> Change) {
        if let Some(committer) = self.committer()
            && let Some(entry) = self.registry.find(&client.client_identifier)
            && entry.lock().kept
        {
            committer.promise(Op::Change(change(entry.number)));
        }
    }

    fn session_number(&self, client: &ClientInfo) -> Option<u64> {
        self.registry.find(&client.client_identifier).map(|entry| entry.number)
    }
}
