//! What a token that was signed claims, and whether that lets the client in.

use acl::{Actions, Permission, Rule};
use serde_json::{Map, Value};
use tidegate_plugin::Connect;

use crate::Refusal;
use crate::settings::Settings;

/// More are not kept with a session.
const MOST_RULES: usize = 1000;

/// What a client gets.
#[derive(Debug, PartialEq)]
pub(crate) struct Granted {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) expires_at: Option<u64>,
    pub(crate) user_name: Option<String>,
    /// None: what it may do is others' matter.
    pub(crate) rules: Option<Vec<Rule>>,
}

pub(crate) fn check(
    claims: &Map<String, Value>,
    settings: &Settings,
    connect: &Connect,
    now_ms: u64,
) -> Result<Granted, Refusal> {
    let expires_at = check_times(claims, settings, now_ms)?;
    if let Some(issuer) = &settings.issuer {
        demand(claims, "iss", |value| value == issuer.as_str())?;
    }
    if let Some(audience) = &settings.audience {
        let is_it = |value: &Value| value == audience.as_str();
        demand(claims, "aud", |value| {
            is_it(value) || value.as_array().is_some_and(|all| all.iter().any(is_it))
        })?;
    }
    for (name, pattern) in &settings.claims {
        let wanted = pattern
            .replace("%c", connect.client_identifier())
            .replace("%u", connect.user_name().unwrap_or_default());
        demand(claims, name, |value| value == wanted.as_str())?;
    }
    Ok(Granted {
        expires_at,
        user_name: user_name(claims, settings)?,
        rules: rules(claims, &settings.acl_claim)?,
    })
}

fn demand(claims: &Map<String, Value>, name: &str, holds: impl Fn(&Value) -> bool) -> Result<(), Refusal> {
    if claims.get(name).is_some_and(holds) { Ok(()) } else { Err(Refusal::Claim(name.to_owned())) }
}

/// When the token ends.
fn check_times(
    claims: &Map<String, Value>,
    settings: &Settings,
    now_ms: u64,
) -> Result<Option<u64>, Refusal> {
    let leeway_ms = u64::from(settings.leeway_seconds) * 1000;
    if time(claims, "nbf")?.is_some_and(|begin| begin > now_ms.saturating_add(leeway_ms)) {
        return Err(Refusal::NotYet);
    }
    match time(claims, "exp")? {
        None if settings.accept_without_end => Ok(None),
        None => Err(Refusal::Claim("exp".to_owned())),
        Some(end) => {
            let end = end.saturating_add(leeway_ms);
            if end <= now_ms { Err(Refusal::Expired) } else { Ok(Some(end)) }
        }
    }
}

/// A NumericDate, which may have decimals, in milliseconds. What is no number, or before 1970, is no date.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(seconds) if seconds >= 0.0 => Ok(Some((seconds * 1000.0) as u64)),
        _ => Err(Refusal::Claim(name.to_owned())),
    }
}

fn user_name(claims: &Map<String, Value>, settings: &Settings) -> Result<Option<String>, Refusal> {
    let Some(name) = &settings.user_name_claim else { return Ok(None) };
    match claims.get(name).and_then(Value::as_str) {
        Some(user) if !user.is_empty() && !user.contains('\0') => Ok(Some(user.to_owned())),
        _ => Err(Refusal::Claim(name.clone())),
    }
}

/// `[{ "permission": …, "action": …, "topic": … }]`, or `{ "pub": […], "sub": […], "all": […] }`.
fn rules(claims: &Map<String, Value>, name: &str) -> Result<Option<Vec<Rule>>, Refusal> {
    let bad = || Refusal::Claim(name.to_owned());
    let rules = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Array(rules)) => {
            let read = rules.iter().map(|rule| serde_json::from_value(rule.clone()));
            read.collect::<Result<Vec<Rule>, _>>().map_err(|_| bad())?
        }
        Some(Value::Object(lists)) => {
            let mut rules = Vec::new();
            for (key, topics) in lists {
                let action = match key.as_str() {
                    "pub" => Actions::Publish,
                    "sub" => Actions::Subscribe,
                    "all" => Actions::All,
                    _ => return Err(bad()),
                };
                for topic in topics.as_array().ok_or_else(bad)? {
                    let topic = topic.as_str().ok_or_else(bad)?.to_owned();
                    rules.push(Rule { permission: Permission::Allow, action, topic });
                }
            }
            rules
        }
        Some(_) => return Err(bad()),
    };
    if rules.len() > MOST_RULES || acl::problem(&rules).is_some() {
        return Err(bad());
    }
    Ok(Some(rules))
}
