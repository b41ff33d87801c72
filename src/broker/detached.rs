//! When a message that waits gives up its share of a read buffer.
//!
//! Messages are slices of the buffer they were read into, and a few bytes keep all of it. So those that wait for
//! long are copies. To copy what is sent in the next moment costs three allocations for nothing (a sixth of the
//! CPU of a fan-in, `benches/compare -- --scenario A1`): as long as a thread has few buffers in use, only messages
//! for sessions without a connection are copied.

use std::cell::Cell;
use std::sync::Arc;

use crate::message::ApplicationMessage;
use crate::session::Delivery;

/// Where many buffers are in use, those who wait behind this many others are copies.
const BEHIND: usize = 32;

thread_local! {
    static MANY_BUFFERS: Cell<bool> = const { Cell::new(false) };
}

/// Says whether messages that were read on this thread keep many buffers.
pub fn note_many_buffers(many: bool) {
    MANY_BUFFERS.set(many);
}

/// Whether a message is to be copied that waits behind so many others for a connection to send it.
pub(super) fn is_due(behind: usize) -> bool {
    behind >= BEHIND && MANY_BUFFERS.get()
}

/// The copy of a message that shares no memory with a read buffer, made when it is first needed and then
/// shared by all receivers.
#[derive(Default)]
pub(super) struct Detached(Option<(Arc<ApplicationMessage>, Arc<ApplicationMessage>)>);

impl Detached {
    pub fn detach(&mut self, delivery: &mut Delivery) {
        if !delivery.detached {
            delivery.message = self.of(&delivery.message);
            delivery.detached = true;
            delivery.detach_original();
        }
    }

    fn of(&mut self, message: &Arc<ApplicationMessage>) -> Arc<ApplicationMessage> {
        match &self.0 {
            Some((original, copy)) if Arc::ptr_eq(original, message) => copy.clone(),
            _ => {
                let copy = Arc::new(message.to_detached());
                self.0 = Some((message.clone(), copy.clone()));
                copy
            }
        }
    }
}
