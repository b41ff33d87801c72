//! What a client may do, kept with its session for the authorizer, which may be another instance.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_plugin::{Access, AuthorizerVerdict, ClientKey, client, reason, session_items};

use crate::{Names, Permission, Rule, decide};

/// Of one connection. Items live as long as a session: what was kept for an earlier connection of it, perhaps
/// another user's, does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    connection: ClientKey,
    is_superuser: bool,
    rules: Vec<Rule>,
}

impl Rights {
    /// A superuser may do anything; who is none may do what the rules allow.
    pub fn new(connection: ClientKey, is_superuser: bool, rules: Vec<Rule>) -> Self {
        Self { connection, is_superuser, rules }
    }

    /// Keeps them in this item of the session.
    pub fn keep(&self, item: &str) -> Result<(), session_items::Error> {
        session_items::set(item, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// What an authorizer answers by what was kept in this item; it has no opinion about clients for whom nothing was.
    /// `cache`: how long the broker may repeat it.
    pub fn authorize(item: &str, access: &Access, cache: Duration) -> AuthorizerVerdict {
        let Some(rights) = Self::kept(item, access.client()) else { return AuthorizerVerdict::Next };
        let verdict = if rights.allow(access) {
            AuthorizerVerdict::allow()
        } else {
            AuthorizerVerdict::deny(reason::NOT_AUTHORIZED)
        };
        verdict.cached_for(cache)
    }

    /// Those that were kept for this connection.
    pub fn kept(item: &str, connection: ClientKey) -> Option<Self> {
        let rights: Self = serde_json::from_slice(&session_items::get(item)?).ok()?;
        (rights.connection == connection).then_some(rights)
    }

    /// What no rule is about is not allowed.
    fn allow(&self, access: &Access) -> bool {
        let (client, user) = (client::identifier(), client::user_name().unwrap_or_default());
        let names = Names { client: &client, user: &user };
        self.is_superuser
            || decide(&self.rules, access.action(), access.topic(), names) == Some(Permission::Allow)
    }
}
