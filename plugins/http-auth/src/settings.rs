//! What the operator wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    pub(crate) url: String,
    /// For who may ask: they are in no log.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) timeout_ms: Option<u32>,
    #[serde(default)]
    pub(crate) on_server_failure: OnServerFailure,
    #[serde(default = "a_minute")]
    cache_seconds: u32,
    #[serde(default)]
    cache_denied_seconds: u32,
    #[serde(default = "a_minute")]
    authorization_cache_seconds: u32,
}

fn a_minute() -> u32 {
    60
}

/// What it means that the server cannot be asked, or does not answer as it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnServerFailure {
    #[default]
    Deny,
    /// leave the client to the next plugin
    Next,
    Allow,
}

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        let is_url = ["http://", "https://"].iter().any(|scheme| {
            self.url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
        if !is_url {
            problems.push("url: should begin with http:// or https:// and a host");
        }
        if self.url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
            problems.push("url: has user information in it; send a header `authorization`");
        }
        if self.timeout_ms == Some(0) {
            problems.push("timeout-ms: should be 1 or more; leave it out for the broker's `http-timeout`");
        }
        if problems.is_empty() { Ok(()) } else { Err(format!("settings: {}", problems.join("; "))) }
    }

    pub(crate) fn cache(&self) -> Duration {
        Duration::from_secs(self.cache_seconds.into())
    }

    pub(crate) fn cache_denied(&self) -> Duration {
        Duration::from_secs(self.cache_denied_seconds.into())
    }

    pub(crate) fn authorization_cache(&self) -> Duration {
        Duration::from_secs(self.authorization_cache_seconds.into())
    }
}
