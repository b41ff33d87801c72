//! `session-items`: what plugins keep with sessions.

use bytes::Bytes;

use super::HostData;
use crate::hook::{MAXIMUM_SESSION_ITEMS, MAXIMUM_SESSION_ITEMS_BYTES, SessionItemError, SessionItems};
use crate::plugin::bindings::tidegate::plugin::session_items::{Error, Host};

impl Host for HostData {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.count_host_call()?;
        if !self.services.grants.session_items {
            return Ok(None);
        }
        if self.is_being_let_in() {
            return Ok(self.noted_item(&key).map(|value| value.to_vec()));
        }
        let (Some(client), Some(directory)) = (&self.call.client, self.directory()) else { return Ok(None) };
        Ok(directory.session_item(client, &key).map(|value| value.to_vec()))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        self.count_host_call()?;
        if !self.services.grants.session_items {
            return Ok(Err(Error::Denied));
        }
        if self.is_being_let_in() {
            return Ok(self.note_item(key, value.into()));
        }
        let (Some(client), Some(directory)) = (&self.call.client, self.directory()) else {
            return Ok(Err(Error::NoSession));
        };
        Ok(directory.set_session_item(client, key, value.into()).map_err(Error::from))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        self.count_host_call()?;
        if !self.services.grants.session_items {
            return Ok(false);
        }
        if self.is_being_let_in() {
            return Ok(self.items().remove(&key).is_some());
        }
        let (Some(client), Some(directory)) = (&self.call.client, self.directory()) else { return Ok(false) };
        Ok(directory.delete_session_item(client, &key))
    }
}

impl HostData {
    /// The call is about a client that has no session yet.
    fn is_being_let_in(&self) -> bool {
        self.call.items_so_far.is_some()
    }

    /// What this call has noted for the session that the client gets if it is let in.
    fn items(&mut self) -> &mut SessionItems {
        &mut self.call.effects().overrides.get_or_insert_default().session_items
    }

    fn noted_item(&mut self, key: &str) -> Option<Bytes> {
        let noted = self.items().get(key).cloned();
        noted.or_else(|| self.call.items_so_far.as_ref()?.get(key).cloned())
    }

    fn note_item(&mut self, key: String, value: Bytes) -> Result<(), Error> {
        let items = self.items();
        let others = items.iter().filter(|(name, _)| **name != key);
        let bytes: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        let fits = bytes + key.len() + value.len() <= MAXIMUM_SESSION_ITEMS_BYTES
            && (items.len() < MAXIMUM_SESSION_ITEMS || items.contains_key(&key));
        if !fits {
            return Err(Error::QuotaExceeded);
        }
        items.insert(key, value);
        Ok(())
    }
}

impl From<SessionItemError> for Error {
    fn from(error: SessionItemError) -> Error {
        match error {
            SessionItemError::NoSession => Error::NoSession,
            SessionItemError::QuotaExceeded => Error::QuotaExceeded,
        }
    }
}
