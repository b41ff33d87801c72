//! Allows everything for a minute; topics that begin with `deny/` it denies for a minute.

use std::time::Duration;

use tidegate_plugin::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct CachedAuthorizer;

impl Authorizer for CachedAuthorizer {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        let verdict = if access.topic().starts_with("deny/") {
            AuthorizerVerdict::deny(reason::NOT_AUTHORIZED)
        } else {
            AuthorizerVerdict::allow()
        };
        verdict.cached_for(MINUTE)
    }
}

tidegate_plugin::export!(CachedAuthorizer: authorizer);
