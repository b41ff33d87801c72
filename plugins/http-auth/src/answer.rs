//! What the server says of a client. Nothing that it sends is quoted in the log.

use acl::Rule;
use serde::{Deserialize, Serialize};
use tidegate_plugin::{clock, http};

/// More rules are not kept with a session.
const MOST_RULES: usize = 1000;

/// As JSON. Members that are not known here are left alone, so that servers may say more.
#[derive(Debug, Deserialize)]
struct Body {
    result: Verdict,
    #[serde(default)]
    is_superuser: bool,
    /// seconds
    expires_in: Option<u64>,
    acl: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Allow,
    Deny,
    /// not this server's matter
    Ignore,
}

/// What is kept of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) expires_at: Option<u64>,
    pub(crate) is_superuser: bool,
    /// None: what the client may do is others' matter.
    pub(crate) rules: Option<Vec<Rule>>,
}

impl Answer {
    /// What is wrong with the answer is told without any of it.
    pub(crate) fn read(response: &http::Response) -> Result<Self, String> {
        if response.status != 200 {
            return Err(format!("it answered with status {}", response.status));
        }
        let body: Body = serde_json::from_slice(&response.body)
            .map_err(|error| format!("its answer is not as it should be, at column {}", error.column()))?;
        if let Some(problem) = body.acl.as_deref().and_then(acl::problem) {
            return Err(problem);
        }
        if body.acl.as_ref().is_some_and(|rules| rules.len() > MOST_RULES) {
            return Err(format!("it gave more than {MOST_RULES} rules"));
        }
        let until = |seconds: u64| clock::now_ms().saturating_add(seconds.saturating_mul(1000));
        Ok(Self {
            verdict: body.result,
            expires_at: body.expires_in.map(until),
            is_superuser: body.is_superuser,
            rules: body.acl,
        })
    }
}
