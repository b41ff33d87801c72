//! Carries out what hooks asked of the broker, outside of any hook.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::broker::{AuthorizationCache, Broker};
use crate::hook::{Delayed, Request, Requests};
use crate::message::ApplicationMessage;

/// For as long as it is polled, or until no hook can ask any more.
pub(super) async fn carry_out(mut requests: Requests, broker: Arc<Broker>) {
    let mut later = Later::default();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => carry_out_one(request, &broker, &mut later).await,
                None => return,
            },
            delayed = later.next() => publish(&broker, *delayed.message).await,
        }
    }
}

async fn carry_out_one(request: Request, broker: &Arc<Broker>, later: &mut Later) {
    match request {
        Request::Publish(message) => publish(broker, *message).await,
        Request::PublishLater(delayed) => later.add(delayed),
        Request::Disconnect { client_identifier, reason } => {
            if !broker.disconnect(&client_identifier, reason) {
                tracing::debug!(client = %client_identifier, "a hook asked to disconnect a client that is not connected");
            }
        }
        Request::Subscribe { client_identifier, filter, maximum_qos } => {
            if let Err(why) = broker.subscribe_session(&client_identifier, filter, maximum_qos) {
                tracing::debug!(client = %client_identifier, %why, "a hook's subscription was not made");
            }
        }
        Request::Unsubscribe { client_identifier, filter } => {
            broker.unsubscribe_session(&client_identifier, &filter);
        }
    }
}

/// In a task of its own: a hook that panics ends only that.
async fn publish(broker: &Arc<Broker>, message: ApplicationMessage) {
    let broker = broker.clone();
    let publish = async move { broker.publish(None, message, &mut AuthorizationCache::default()).await };
    if let Err(error) = tokio::spawn(publish).await
        && error.is_panic()
    {
        tracing::error!(%error, "a hook panicked; the message that another had asked to publish is lost");
    }
}

/// Messages that are to be published later.
#[derive(Default)]
struct Later {
    /// Those of one instant in the order in which they were asked for.
    due: BTreeMap<(Instant, u64), Delayed>,
    last: u64,
}

impl Later {
    fn add(&mut self, delayed: Delayed) {
        // Beyond what a clock can say, it is never due.
        let Some(at) = Instant::now().checked_add(delayed.delay) else { return };
        self.last += 1;
        self.due.insert((at, self.last), delayed);
    }

    /// Waits until one is due. Nothing is lost where this is dropped before.
    async fn next(&mut self) -> Delayed {
        let Some(first) = self.due.first_entry() else { return std::future::pending().await };
        let (at, _) = *first.key();
        sleep_until(at).await;
        match self.due.pop_first() {
            Some((_, delayed)) => delayed,
            None => std::future::pending().await,
        }
    }
}
