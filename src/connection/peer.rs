//! Where a connection came from, and who guards the way.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::broker::guard::{Door, Pending};
use crate::hook::ListenerPolicy;

/// Where a connection came from.
#[derive(Debug)]
pub struct Peer {
    pub address: Option<SocketAddr>,
    pub listener: Arc<ListenerPolicy>,
    /// Where its listener has a guard: how fast all clients of that may publish.
    pub door: Option<Arc<Door>>,
    /// Where those are counted that were not let in yet.
    pub pending: Option<Pending>,
}

impl Peer {
    /// Of whom no guard knows.
    pub fn new(address: Option<SocketAddr>, listener: Arc<ListenerPolicy>) -> Peer {
        Peer { address, listener, door: None, pending: None }
    }
}
