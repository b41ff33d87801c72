//! Carries out what hooks asked of the broker, outside of any hook.

use std::sync::Arc;

use crate::broker::{AuthorizationCache, Broker};
use crate::hook::{Request, Requests};

/// For as long as it is polled, or until no hook can ask any more.
pub(super) async fn carry_out(mut requests: Requests, broker: Arc<Broker>) {
    let mut verdicts = AuthorizationCache::default();
    while let Some(request) = requests.recv().await {
        match request {
            Request::Publish(message) => {
                broker.publish(None, *message, &mut verdicts).await;
            }
            Request::Disconnect { client_identifier, reason } => {
                if !broker.disconnect(&client_identifier, reason) {
                    tracing::debug!(client = %client_identifier, "a hook asked to disconnect a client that is not connected");
                }
            }
        }
    }
}
