//! The hook `events`.

use crate::__private::{Exported, Instance, with};
use crate::bindings::events::exports::tidegate::plugin::events as generated;

pub use generated::{
    ClientAcknowledgedPublishPacket, ClientConnected, ClientDisconnected, ClientSubscribedTopic,
    ClientUnsubscribedTopic, DisconnectCause, DropCause, Event, MessageDropped, RetainedChange,
    RetainedMessageChanged, SessionDeleted, SessionEnd, What, Who,
};

/// Observes what happened: after the fact, in batches, off the packet path, from a bounded queue.
pub trait Events {
    fn handle(&mut self, events: Vec<Event>);
}

impl<P: Instance + Events> generated::Guest for Exported<P> {
    fn handle(events: Vec<Event>) {
        with(|plugin: &mut P| plugin.handle(events));
    }
}
