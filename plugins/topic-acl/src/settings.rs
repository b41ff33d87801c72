//! What the operator wrote.

use serde::Deserialize;

use crate::file;
use crate::rules::Rules;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    acl: String,
    #[serde(default = "yes")]
    pub(crate) authorize_deliveries: bool,
    subscriptions: Option<Subscriptions>,
    #[serde(default)]
    pub(crate) otherwise: Otherwise,
    #[serde(default = "a_minute")]
    pub(crate) cache_seconds: u32,
}

/// Which filters a client may subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subscriptions {
    /// all, as Mosquitto has it: each delivery is looked at
    Any,
    /// those all of whose topics it may read
    Covered,
}

/// A topic that no rule of the client speaks of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Otherwise {
    #[default]
    Deny,
    /// leave it to the next plugin
    Next,
}

fn yes() -> bool {
    true
}

fn a_minute() -> u32 {
    60
}

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(&self) -> Result<Rules, String> {
        let (rules, mut problems) = file::parse(&self.acl);
        if self.subscriptions == Some(Subscriptions::Any) && !self.authorize_deliveries {
            problems.push(
                "subscriptions: with \"any\" and without `authorize-deliveries` everybody could read \
                 everything; set it to \"covered\", or `authorize-deliveries` to true"
                    .to_owned(),
            );
        }
        if problems.is_empty() { Ok(rules) } else { Err(format!("settings: {}", problems.join("; "))) }
    }

    pub(crate) fn subscriptions(&self) -> Subscriptions {
        let usual = if self.authorize_deliveries { Subscriptions::Any } else { Subscriptions::Covered };
        self.subscriptions.unwrap_or(usual)
    }
}
