//! Looks at who and what an event is about, and does nothing with it: what an event costs.

use tidegate_plugin::prelude::*;

#[derive(Default)]
struct CountsEvents {
    characters: usize,
}

impl Events for CountsEvents {
    fn handle(&mut self, events: &[Event<'_>]) {
        for event in events {
            if let What::ClientAcknowledgedPublishPacket(acknowledged) = event.what {
                self.characters += acknowledged.who.client_identifier.len() + acknowledged.topic.len();
            }
        }
    }
}

tidegate_plugin::export!(CountsEvents: events);
