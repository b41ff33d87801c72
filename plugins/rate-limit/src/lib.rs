//! Limits how much clients, users and addresses send, and how often they connect: token buckets.
//!
//! - [`settings`]: the limits as they are written
//! - [`bucket`]: a token bucket in the plugin's state
//! - [`limit`]: who is charged how much, and what happens to who has too little

mod bucket;
mod limit;
mod settings;

#[cfg(test)]
mod tests;

use tidegate_plugin::prelude::*;

use crate::limit::{Charge, Limit, Over};
use crate::settings::{FullState, Settings};

struct RateLimit {
    limits: Vec<Limit>,
    full_state: FullState,
}

/// No client can publish it: what is registered where only connections are limited, so that no message makes a
/// call for nothing.
const NO_TOPIC: &str = "$rate-limit/connections-only";

impl Lifecycle for RateLimit {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let full_state = settings.full_state;
        let plugin = RateLimit { limits: settings.check()?, full_state };
        log::info!("ready", limits = plugin.limits.len());
        let topics = plugin.topics();
        Ok((plugin, Registration::new().topics(topics).eager_payload(0)))
    }
}

impl RateLimit {
    /// Whose messages are limited; empty: all.
    fn topics(&self) -> Vec<String> {
        let of_messages = || self.limits.iter().filter(|limit| !limit.is_about_connections());
        if of_messages().any(|limit| limit.topics.is_none()) {
            return Vec::new();
        }
        let topics: Vec<String> = of_messages().flat_map(|limit| limit.topics.clone()).flatten().collect();
        if topics.is_empty() { vec![NO_TOPIC.to_owned()] } else { topics }
    }
}

impl ValidatingConnection for RateLimit {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        let name = |limit: &Limit| match limit.per {
            limit::Per::Client => Some(connect.client_identifier().to_owned()),
            limit::Per::User => connect.user_name().map(str::to_owned),
            limit::Per::Address => Some(address()),
        };
        let charges: Vec<Charge<'_>> = self
            .limits
            .iter()
            .filter(|limit| limit.is_about_connections())
            .filter_map(|limit| Some(Charge { limit, name: name(limit)?, amount: 1 }))
            .collect();
        match limit::charge(&charges, self.full_state) {
            Ok(()) => ConnectVerdict::Next,
            Err(over) => {
                over.note(connect.client_identifier());
                ConnectVerdict::Deny(reason::CONNECTION_RATE_EXCEEDED).reason_string("connects too often")
            }
        }
    }
}

impl InterceptingPublish for RateLimit {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if publish.origin() != Origin::Client {
            return PublishVerdict::Continue;
        }
        let charges: Vec<Charge<'_>> = self
            .limits
            .iter()
            .filter(|limit| limit.is_about(publish.topic()))
            .filter_map(|limit| {
                Some(Charge { limit, name: sender(limit)?, amount: limit.amount_of(&publish) })
            })
            .collect();
        match limit::charge(&charges, self.full_state) {
            Ok(()) => PublishVerdict::Continue,
            Err(over) => {
                over.note(&client::identifier());
                answer(over)
            }
        }
    }
}

fn answer(over: &Limit) -> PublishVerdict {
    match over.over {
        Over::Reject => PublishVerdict::Reject(reason::QUOTA_EXCEEDED).reason_string("sends too much"),
        Over::Drop => PublishVerdict::Swallow,
        Over::Disconnect => PublishVerdict::Reject(reason::QUOTA_EXCEEDED)
            .reason_string("sends too much")
            .close(reason::MESSAGE_RATE_TOO_HIGH),
    }
}

/// Who is charged for what the current client sends; nobody where it has no User Name and users are charged.
fn sender(limit: &Limit) -> Option<String> {
    match limit.per {
        limit::Per::Client => Some(client::identifier()),
        limit::Per::User => client::user_name(),
        limit::Per::Address => Some(address()),
    }
}

/// Without the port.
fn address() -> String {
    let address = client::remote_address();
    address.rsplit_once(':').map_or(address.as_str(), |(address, _)| address).to_owned()
}

tidegate_plugin::export!(RateLimit: lifecycle, validating_connection, intercepting_publish);
