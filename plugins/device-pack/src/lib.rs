//! Lets in devices with the credentials that they have for Alibaba, Tuya, Huawei, Azure or ThingsBoard, each to its
//! own topics only.
//!
//! - [`settings`]: the clouds, their devices and secrets as they are written, and what can be wrong with them
//! - [`cloud`]: what the clouds have in common: identity, refusal, time, topics
//! - [`alibaba`], [`tuya`], [`huawei`], [`azure`], [`thingsboard`]: the form of each cloud's credentials

mod alibaba;
mod azure;
mod cloud;
mod huawei;
mod settings;
mod text;
mod thingsboard;
mod tuya;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tidegate_plugin::prelude::*;

use crate::cloud::{Cloud, Identity, Refusal, Verdict};
use crate::settings::{Others, Settings};

struct DevicePack {
    clouds: Vec<Box<dyn Cloud>>,
    others: Others,
    cache: Duration,
}

impl Lifecycle for DevicePack {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let others = settings.others;
        let cache = Duration::from_secs(settings.authorization_cache_seconds.into());
        let clouds = settings.check()?;
        log::info!("ready", clouds = clouds.len());
        Ok((DevicePack { clouds, others, cache }, Registration::new()))
    }
}

impl ValidatingConnection for DevicePack {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        let now = clock::now_ms() / 1000;
        for cloud in &self.clouds {
            match cloud.identify(&connect, now) {
                Verdict::NotMine => {}
                Verdict::In(identity) => return let_in(&**cloud, &identity),
                Verdict::Refused(refusal) => return refuse(&connect, cloud.name(), refusal),
            }
        }
        match self.others {
            Others::Next => ConnectVerdict::Next,
            Others::Deny => refuse(&connect, "none", Refusal::Unknown),
        }
    }
}

/// The Client Identifier is replaced too: it has a time in it with some clouds, and with others it is the device's
/// free choice, by which it could take over another's session.
fn let_in(cloud: &dyn Cloud, identity: &Identity) -> ConnectVerdict {
    let name = identity.canonical(cloud.name());
    log::debug!("connection accepted", device = name);
    metrics::count("accepted_total", &[("cloud", cloud.name())], 1);
    let verdict = ConnectVerdict::Allow.assign_user_name(&name).assign_client_identifier(&name);
    let verdict = match cloud.places().mount_prefix(identity) {
        Some(prefix) => verdict.mount_prefix(&prefix),
        None => verdict,
    };
    match identity.expires_at_seconds {
        Some(seconds) => verdict.expires_at(seconds.saturating_mul(1000)),
        None => verdict,
    }
}

fn refuse(connect: &Connect, cloud: &str, refusal: Refusal) -> ConnectVerdict {
    log::info!("connection refused", client = connect.client_identifier(), cloud = cloud, reason = refusal);
    metrics::count("refused_total", &[("cloud", cloud), ("why", refusal.name())], 1);
    ConnectVerdict::Deny(refusal.code()).reason_string(refusal.public())
}

impl Authorizer for DevicePack {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        let user_name = client::user_name().unwrap_or_default();
        let ours = self.clouds.iter().find_map(|cloud| {
            let identity = Identity::from_canonical(cloud.name(), &user_name)?;
            Some(cloud.places().may(&identity, access.action(), access.topic()))
        });
        match ours {
            None => AuthorizerVerdict::Next,
            Some(true) => AuthorizerVerdict::allow().cached_for(self.cache),
            Some(false) => AuthorizerVerdict::deny(reason::NOT_AUTHORIZED).cached_for(self.cache),
        }
    }
}

tidegate_plugin::export!(DevicePack: lifecycle, validating_connection, authorizer);
