//! Carries out what hooks asked of the broker, outside of any hook.

use std::sync::Arc;

use crate::broker::{AuthorizationCache, Broker};
use crate::hook::{Request, Requests};
use crate::message::ApplicationMessage;

/// For as long as it is polled, or until no hook can ask any more.
pub(super) async fn carry_out(mut requests: Requests, broker: Arc<Broker>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Publish(message) => publish(&broker, *message).await,
            Request::Disconnect { client_identifier, reason } => {
                if !broker.disconnect(&client_identifier, reason) {
                    tracing::debug!(client = %client_identifier, "a hook asked to disconnect a client that is not connected");
                }
            }
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
