//! Where a connection came from.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::broker::guard::Pending;
use crate::hook::ListenerPolicy;
use crate::peer::Remote;

/// Where a connection came from.
#[derive(Debug)]
pub struct Peer {
    pub remote: Option<Remote>,
    pub listener: Arc<ListenerPolicy>,
    /// When it was accepted: what its transport took counts towards `connect-timeout`.
    pub since: Instant,
    /// Where those are counted that were not let in yet.
    pub pending: Option<Pending>,
}

impl Peer {
    /// One that was accepted now, of whom no guard knows.
    pub fn new(remote: Option<Remote>, listener: Arc<ListenerPolicy>) -> Peer {
        Peer { remote, listener, since: Instant::now(), pending: None }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.remote.as_ref().and_then(Remote::address)
    }
}
