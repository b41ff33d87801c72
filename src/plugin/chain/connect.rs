//! `validating-connection`: the first `allow` or `deny` wins; what was set before it is kept.

use std::sync::Arc;

use super::super::bindings::exports::tidegate::plugin::validating_connection::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::{Call, Effects};
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use super::merge_reply;
use crate::hook::{ConnectContext, ConnectOutcome, ConnectVerdict};
use crate::packet::{PacketType, ReasonCode};

const HOOK: Hook = Hook::ValidatingConnection;

pub(in crate::plugin) fn run(
    plugins: &[Arc<Version>],
    context: &ConnectContext<'_>,
    place: Place,
) -> ConnectOutcome {
    let mut outcome = ConnectOutcome::default();
    for plugin in plugins {
        outcome.verdict = verdict(plugin, context, place, &mut outcome);
        if outcome.verdict != ConnectVerdict::Next {
            break;
        }
    }
    outcome
}

/// What one plugin says, or its failure policy. What it sets beside that is added to the outcome.
pub(super) fn verdict(
    plugin: &Version,
    context: &ConnectContext<'_>,
    place: Place,
    outcome: &mut ConnectOutcome,
) -> ConnectVerdict {
    match ask(plugin, context, place, outcome) {
        Ok(verdict) => verdict,
        Err(FailurePolicy::Allow) => ConnectVerdict::Allow,
        Err(FailurePolicy::Next) => ConnectVerdict::Next,
        Err(_) => refused().verdict,
    }
}

/// What is answered where nobody can be asked.
pub(in crate::plugin) fn refused() -> ConnectOutcome {
    let verdict = ConnectVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    ConnectOutcome { verdict, ..ConnectOutcome::default() }
}

fn ask(
    plugin: &Version,
    context: &ConnectContext<'_>,
    place: Place,
    outcome: &mut ConnectOutcome,
) -> Result<ConnectVerdict, FailurePolicy> {
    let needs = plugin.needs();
    let about = |call: &mut Call| {
        needs.set_client(call, Some(context.client));
        needs.set_connect(call, context.connect, &outcome.overrides);
    };
    let (verdict, effects) = plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.validating_connection else { return Ok(ConnectVerdict::Next) };
        let answer = guest.call_validate(
            &mut instance.store,
            context.client.key.0,
            &context.client.client_identifier,
            context.connect.user_name.as_deref(),
            context.connect.password.as_deref(),
        )?;
        match answer {
            Verdict::Next => Ok(ConnectVerdict::Next),
            Verdict::Allow => Ok(ConnectVerdict::Allow),
            Verdict::Deny(code) => {
                let code = convert::refusal(code, PacketType::Connack).map_err(CallError::Rubbish)?;
                Ok(ConnectVerdict::Deny(code))
            }
        }
    })?;
    add(outcome, effects);
    Ok(verdict)
}

pub(super) fn add(outcome: &mut ConnectOutcome, mut effects: Option<Box<Effects>>) {
    merge_reply(&mut outcome.reply, effects.as_deref_mut());
    if let Some(overrides) = effects.and_then(|effects| effects.overrides) {
        outcome.overrides.merge(*overrides);
    }
}
