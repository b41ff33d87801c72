//! Lets in devices with OneNET credentials, each to its own topics.
//!
//! - [`settings`]: products, devices and their keys
//! - [`token`]: the password of the current platform
//! - [`credentials`]: who a CONNECT is from, on either platform
//! - [`topics`]: what a device may publish and subscribe
//! - [`limits`]: the platform's limits, for those who want them

mod credentials;
mod limits;
mod settings;
mod token;
mod topics;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tidegate_plugin::prelude::*;

use crate::credentials::{Identity, Refusal};
use crate::settings::{Products, Settings, UnknownProducts};

struct OnenetAuth {
    products: Products,
    unknown_products: UnknownProducts,
    cache: Duration,
    limits: bool,
}

impl Lifecycle for OnenetAuth {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let products = Products::check(settings.products)?;
        log::info!("ready", products = products.len(), devices = products.devices());
        let plugin = OnenetAuth {
            products,
            unknown_products: settings.unknown_products,
            cache: Duration::from_secs(settings.authorization_cache_seconds.into()),
            limits: settings.limits,
        };
        let topics: &[&str] = if settings.limits { &limits::TOPICS } else { &[limits::NO_TOPIC] };
        Ok((plugin, Registration::new().topics(topics.iter().copied()).eager_payload(0)))
    }
}

impl ValidatingConnection for OnenetAuth {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        match self.admit(&connect) {
            Ok(identity) => let_in(&identity),
            Err(Refusal::UnknownProduct) if self.unknown_products == UnknownProducts::Next => {
                ConnectVerdict::Next
            }
            Err(refusal) => refuse(&connect, &refusal),
        }
    }
}

impl OnenetAuth {
    fn admit(&self, connect: &Connect) -> Result<Identity, Refusal> {
        let identity = credentials::identify(&self.products, connect, clock::now_ms() / 1000)?;
        if self.limits {
            limits::check_connect(connect, &identity)?;
        }
        Ok(identity)
    }

    /// Whether the current client belongs to one of our products: `validate` let it in then, or an
    /// earlier plugin of the operator's choice did.
    fn is_ours(&self) -> bool {
        client::user_name().is_some_and(|product| self.products.get(&product).is_some())
    }
}

fn let_in(identity: &Identity) -> ConnectVerdict {
    log::debug!("connection accepted", product = identity.product, device = identity.device);
    match identity.expires_at_seconds {
        Some(seconds) => ConnectVerdict::Allow.expires_at(seconds.saturating_mul(1000)),
        None => ConnectVerdict::Allow,
    }
}

fn refuse(connect: &Connect, refusal: &Refusal) -> ConnectVerdict {
    log::info!(
        "connection refused",
        client = connect.client_identifier(),
        product = connect.user_name().unwrap_or_default(),
        reason = refusal,
    );
    ConnectVerdict::Deny(refusal.code()).reason_string(refusal.public())
}

impl Authorizer for OnenetAuth {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        let product_id = client::user_name().unwrap_or_default();
        let Some(product) = self.products.get(&product_id) else {
            return AuthorizerVerdict::Next;
        };
        let device = client::identifier();
        let own = topics::may(product, &product_id, &device, access.action(), access.topic());
        let verdict =
            if own { AuthorizerVerdict::allow() } else { AuthorizerVerdict::deny(reason::NOT_AUTHORIZED) };
        verdict.cached_for(self.cache)
    }
}

impl InterceptingPublish for OnenetAuth {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if self.limits && publish.origin() == Origin::Client && self.is_ours() {
            return limits::check_publish(&publish);
        }
        PublishVerdict::Continue
    }
}

impl InterceptingSubscription for OnenetAuth {
    fn intercept(&mut self, subscribe: Subscribe) -> Vec<SubscriptionVerdict> {
        if self.limits && self.is_ours() {
            return limits::check_subscribe(&subscribe);
        }
        subscribe.each(|_| SubscriptionVerdict::Next)
    }
}

tidegate_plugin::export!(OnenetAuth:
    lifecycle,
    validating_connection,
    authorizer,
    intercepting_publish,
    intercepting_subscription,
);
