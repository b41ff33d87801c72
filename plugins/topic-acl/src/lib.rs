//! Says who may use which topics, by an `acl_file` of Mosquitto.
//!
//! - [`settings`]: the plugin's settings
//! - [`file`]: the text of an `acl_file`, and what can be wrong with it
//! - [`rules`]: what the rules say of a client, an action and a topic

mod file;
mod rules;
mod settings;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tidegate_plugin::prelude::*;

use crate::rules::{Rules, Verdict, Who};
use crate::settings::{Otherwise, Settings, Subscriptions};

struct TopicAcl {
    rules: Rules,
    subscriptions: Subscriptions,
    otherwise: Otherwise,
    cache: Duration,
}

impl Lifecycle for TopicAcl {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let rules = settings.check()?;
        log::info!("ready", users = rules.users(), rules = rules.len());
        let registration = Registration::new();
        let registration =
            if settings.authorize_deliveries { registration.authorize_deliveries() } else { registration };
        let plugin = TopicAcl {
            rules,
            subscriptions: settings.subscriptions(),
            otherwise: settings.otherwise,
            cache: Duration::from_secs(settings.cache_seconds.into()),
        };
        Ok((plugin, registration))
    }
}

impl Authorizer for TopicAcl {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        let user_name = client::user_name();
        let identifier = client::identifier();
        let who = Who { user_name: user_name.as_deref(), client_identifier: &identifier };
        match self.judge(&who, access.action(), access.topic()) {
            Verdict::Allow => AuthorizerVerdict::allow().cached_for(self.cache),
            Verdict::Unmentioned if self.otherwise == Otherwise::Next => AuthorizerVerdict::Next,
            Verdict::Deny | Verdict::Unmentioned => {
                AuthorizerVerdict::deny(reason::NOT_AUTHORIZED).cached_for(self.cache)
            }
        }
    }
}

impl TopicAcl {
    fn judge(&self, who: &Who<'_>, action: Action, topic: &str) -> Verdict {
        match action {
            Action::Publish => self.rules.may_write(who, topic),
            Action::Deliver => self.rules.may_read(who, topic),
            Action::Subscribe if self.subscriptions == Subscriptions::Any => Verdict::Allow,
            Action::Subscribe => self.rules.may_read_all_of(who, topic::without_share(topic)),
        }
    }
}

tidegate_plugin::export!(TopicAcl: lifecycle, authorizer);
