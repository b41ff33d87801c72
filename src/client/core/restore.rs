//! Going on from what a store has kept.

use std::sync::Arc;

use super::{Core, prepare};
use crate::client::error::PublishResult;
use crate::client::session::{Identifiers, Outgoing};
use crate::client::store::{self, Found, Keeper};
use crate::message::{ApplicationMessage, Timestamp};
use crate::storage::{Committer, DeliveryRecord, DeliveryState, Promise};

impl Core {
    pub(super) fn restore(&mut self, keeper: Keeper, found: Found, now: Timestamp) {
        for (record, message) in &found.messages {
            self.restore_message(&keeper, found.is_same, record, message.as_deref(), now);
        }
        for id in found.received {
            if found.is_same {
                self.inbound.restore(id);
            }
        }
        self.keeper = Some(keeper);
    }

    fn restore_message(
        &mut self,
        keeper: &Keeper,
        is_same: bool,
        record: &DeliveryRecord,
        message: Option<&ApplicationMessage>,
        now: Timestamp,
    ) {
        if let (DeliveryState::Released(id), true) = (record.state, is_same) {
            self.identifiers = Identifiers::behind(id);
            self.outbound.restore(id, Outgoing::released(record.number), Some(PublishResult::default()));
            return;
        }
        let publish = message.map(|message| store::publish(record, message));
        let prepared = publish.and_then(|publish| prepare(publish, self.version, || now).ok());
        let (Some(mut outgoing), Some(message)) = (prepared, message) else {
            // Taken over by the server of another session, or of no version of the protocol.
            return keeper.done(record.number);
        };
        outgoing.number = record.number;
        outgoing.expires_at = message.expires_at;
        match record.state {
            DeliveryState::Sent(id) if is_same => {
                self.identifiers = Identifiers::behind(id);
                self.outbound.restore(id, outgoing, None);
            }
            DeliveryState::Sent(_) => {
                keeper.requeued(record.number);
                self.outbound.put_back(outgoing);
            }
            _ => self.outbound.put_back(outgoing),
        }
    }

    /// What has to be kept before anything is written.
    pub(in crate::client) fn promised(&self) -> Option<(Arc<Committer>, Promise)> {
        let keeper = self.keeper.as_ref()?;
        Some((keeper.committer().clone(), keeper.promised()))
    }
}
