//! Wills: which is due when a connection ends or a session goes on, and how it is published.
//!
//! One that is kept stays with the storage until what it has put into queues is kept too, so that a crash neither loses it
//! nor has it published again. `housekeeping` publishes those whose delay passes, `restore` finds those of a broker
//! before.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::authorize::AuthorizationCache;
use super::session_entry::EntryState;
use super::{Broker, Closing, Published};
use crate::hook::ClientInfo;
use crate::message::{ApplicationMessage, Timestamp};
use crate::session::Will;
use crate::storage::Committer;

/// A Will Message whose time has come.
pub struct DueWill {
    pub client: Arc<ClientInfo>,
    pub message: ApplicationMessage,
    /// By which the storage knows it; 0 where it does not.
    pub number: u64,
}

impl DueWill {
    pub(super) fn new(client: Arc<ClientInfo>, will: Will) -> DueWill {
        DueWill { client, message: will.message, number: will.number }
    }
}

impl Broker {
    /// What becomes of the Will at the end of a connection.
    pub(super) fn settle_will(
        &self,
        state: &mut EntryState,
        closing: Closing,
        session_ends: bool,
        now: Timestamp,
    ) -> Option<DueWill> {
        if closing == Closing::Normal {
            let will = state.session.will.take();
            will.into_iter().for_each(|will| self.keep_will_no_longer(will.number));
        }
        let delay = state.session.will.as_ref()?.delay_interval;
        if delay == 0 || session_ends {
            let will = state.session.will.take()?;
            return Some(DueWill::new(state.last_client.clone(), *will));
        }
        state.change_due(|due| due.will = Some(now.after_secs(delay)));
        None
    }

    /// That of the connection before, where the next one takes its session or ends it.
    pub(super) fn will_of_former(
        &self,
        state: &mut EntryState,
        is_connected: bool,
        session_ends: bool,
        now: Timestamp,
    ) -> Option<DueWill> {
        let waits_until = state.change_due(|due| due.will.take());
        let will = state.session.will.take().filter(|_| is_connected || waits_until.is_some())?;
        // Where the session goes on before the delay has passed, the Will is not sent [MQTT-3.1.3-9]. It has passed where
        // the broker was away meanwhile, and the client is back before that was looked at.
        let is_due = session_ends
            || waits_until.is_some_and(|at| at <= now)
            || is_connected && will.delay_interval == 0;
        if is_due {
            return Some(DueWill::new(state.last_client.clone(), *will));
        }
        self.keep_will_no_longer(will.number);
        None
    }

    /// Publishes a Will Message as the client that left it.
    pub async fn publish_will(&self, mut will: DueWill) {
        // Its Message Expiry Interval begins now (MQTT 5.0, 3.1.3.2.4).
        let expiry =
            will.message.properties.as_ref().and_then(|properties| properties.message_expiry_interval);
        will.message.expires_at = expiry.map(|seconds| self.now().after_secs(seconds));
        let mut cache = AuthorizationCache::default();
        let mut publishing = pin!(self.publish(Some(&will.client), will.message, &mut cache));
        // In one group with what it puts into queues: after a crash it is neither lost nor published again.
        let Published { reason, .. } = poll_fn(|cx| {
            let _group = self.committer().filter(|_| will.number > 0).map(Committer::group);
            let published = publishing.as_mut().poll(cx);
            if published.is_ready() {
                self.deliver_gathered();
                self.keep_will_no_longer(will.number);
            }
            published
        })
        .await;
        if reason.is_error() {
            let client = &will.client.client_identifier;
            tracing::debug!(%client, %reason, "a Will Message was not published");
        }
    }
}
