//! A storage that was read, with the committer that writes to it from now on.

use std::sync::Arc;

use bytes::Bytes;

use super::{Change, Committer, Durability, Storage, StorageError};
use crate::message::Timestamp;

/// What a broker, and the plugins it is started with, are to go on from.
pub struct OpenedStorage {
    committer: Arc<Committer>,
    found: Vec<Change>,
    state: Vec<KeptState>,
}

/// A key of a plugin's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptState {
    pub plugin: String,
    pub key: String,
    pub value: Bytes,
    pub expires_at: Option<Timestamp>,
}

impl OpenedStorage {
    /// Reads all that a storage holds. Nobody else may write to it from now on.
    ///
    /// # Errors
    /// Where it cannot be read, or there is no thread to be had.
    pub fn new(storage: Arc<dyn Storage>, durability: Durability) -> Result<OpenedStorage, StorageError> {
        let (mut found, mut state) = (Vec::new(), Vec::new());
        let committer = Committer::start(storage, durability, |change| match change {
            Change::PutState { plugin, key, value, expires_at } => {
                state.push(KeptState { plugin, key, value, expires_at });
            }
            change => found.push(change),
        })?;
        Ok(OpenedStorage { committer: Arc::new(committer), found, state })
    }

    pub fn committer(&self) -> &Arc<Committer> {
        &self.committer
    }

    /// What plugins kept. It is given out once.
    pub fn take_state(&mut self) -> Vec<KeptState> {
        std::mem::take(&mut self.state)
    }

    /// The committer, and all that is the broker's.
    pub fn into_parts(self) -> (Arc<Committer>, Vec<Change>) {
        (self.committer, self.found)
    }
}
