//! One node alone.

use super::Cluster;
use crate::message::ApplicationMessage;
use crate::topic::TopicFilter;

pub struct Standalone;

impl Cluster for Standalone {
    fn subscribed(&self, _filter: &TopicFilter) {}

    fn unsubscribed(&self, _filter: &TopicFilter) {}

    fn forward(&self, _message: &ApplicationMessage) -> usize {
        0
    }
}
