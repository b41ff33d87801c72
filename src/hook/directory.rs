//! What hooks may look up in the broker while they answer: the trait [`Directory`].

use std::sync::Arc;

use bytes::Bytes;

use super::ClientInfo;
use crate::message::ApplicationMessage;
use crate::topic::{TopicFilter, TopicName};

/// Keys and values of one session together, in bytes.
pub const MAXIMUM_SESSION_ITEMS_BYTES: usize = 64 * 1024;
/// Keys of one session.
pub const MAXIMUM_SESSION_ITEMS: usize = 256;

/// The broker as hooks see it. Nothing here waits, and nothing asks a hook.
pub trait Directory: Send + Sync {
    fn session(&self, client_identifier: &str) -> Option<ClientStatus>;

    /// Client Identifiers of sessions in order, those after `after`, at most `limit`. Takes time that grows with
    /// the number of sessions.
    fn sessions(&self, after: Option<&str>, limit: usize, only: Sessions) -> Vec<Arc<str>>;

    fn retained(&self, topic: &TopicName) -> Option<Arc<ApplicationMessage>>;

    /// Topics with a retained message that `filter` matches and `granted` lets through, those after `after`, at
    /// most `limit`, in the order of their levels.
    fn retained_topics(
        &self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
        limit: usize,
        granted: &dyn Fn(&TopicName) -> bool,
    ) -> Vec<TopicName>;

    fn session_item(&self, client: &ClientInfo, key: &str) -> Option<Bytes>;

    /// Sets an item of the client's session.
    ///
    /// # Errors
    /// Where it has no session any more, or the session has too many items.
    fn set_session_item(
        &self,
        client: &ClientInfo,
        key: String,
        value: Bytes,
    ) -> Result<(), SessionItemError>;

    /// Says whether it was there.
    fn delete_session_item(&self, client: &ClientInfo, key: &str) -> bool;
}

/// Which sessions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    All,
    /// Those that a connection holds.
    Connected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionItemError {
    #[error("keep an item with a session: the client has none any more")]
    NoSession,
    #[error(
        "keep an item with a session: it has {MAXIMUM_SESSION_ITEMS} items or {MAXIMUM_SESSION_ITEMS_BYTES} bytes of them already"
    )]
    QuotaExceeded,
}

/// A session as a hook, an embedder or an operator sees it.
#[derive(Clone, Debug)]
pub struct ClientStatus {
    pub client_identifier: Arc<str>,
    /// None where no connection holds the session.
    pub client: Option<Arc<ClientInfo>>,
    pub subscriptions: usize,
    pub queued: usize,
    pub in_flight: usize,
    /// Seconds.
    pub expiry_interval: u32,
}
