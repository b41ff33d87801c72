//! The port to other nodes: the trait [`Cluster`].
//!
//! A broker tells it what it subscribes to and what it routes; a cluster carries messages to the nodes
//! that want them. [`standalone`] is the only node there is.

pub mod standalone;

use crate::message::ApplicationMessage;
use crate::topic::TopicFilter;

pub trait Cluster: Send + Sync + 'static {
    /// A session of this node subscribed to the filter.
    fn subscribed(&self, filter: &TopicFilter);

    /// A session of this node gave the filter up.
    fn unsubscribed(&self, filter: &TopicFilter);

    /// A message was routed on this node. Says how many other nodes it goes to.
    fn forward(&self, message: &ApplicationMessage) -> usize;
}
