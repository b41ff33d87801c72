//! `validating-connection`, its enhanced authentication: the plugin that challenged a client gets its answer,
//! any other packet goes to one plugin after the other.

use std::sync::Arc;

use bytes::Bytes;

use super::super::bindings::exports::tidegate::plugin::validating_connection::{
    AuthenticationVerdict, Purpose,
};
use super::super::error::CallError;
use super::super::host::Call;
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use super::connect;
use crate::hook::{
    AuthenticateContext, AuthenticateOutcome, AuthenticateVerdict, Challenge, ConnectContext, ConnectOutcome,
    ConnectVerdict, Exchange, Reply,
};
use crate::packet::{PacketType, ReasonCode};
use crate::plugin::convert;

const HOOK: Hook = Hook::ValidatingConnection;

/// Bytes that a plugin may leave with a connection.
const MOST_STATE: usize = 4096;

pub(in crate::plugin) fn run(
    plugins: &[Arc<Version>],
    context: &AuthenticateContext<'_>,
    place: Place,
) -> AuthenticateOutcome {
    // It gathers what several plugins set; the verdict is apart.
    let mut outcome = ConnectOutcome::default();
    let verdict = match context.exchange {
        None => begin(plugins, context, place, &mut outcome),
        Some(exchange) => go_on(plugins, exchange, context, place, &mut outcome),
    };
    AuthenticateOutcome { verdict, overrides: outcome.overrides, reply: outcome.reply }
}

/// What is answered where nobody can be asked.
pub(in crate::plugin) fn refused() -> AuthenticateOutcome {
    let verdict = AuthenticateVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    AuthenticateOutcome { verdict, ..AuthenticateOutcome::default() }
}

/// Each plugin may object to a CONNECT as such before it looks at the method.
fn begin(
    plugins: &[Arc<Version>],
    context: &AuthenticateContext<'_>,
    place: Place,
    outcome: &mut ConnectOutcome,
) -> AuthenticateVerdict {
    for plugin in plugins {
        if let Some(connect) = context.connect {
            let context = ConnectContext { client: context.client, connect };
            if let ConnectVerdict::Deny(reason) = connect::verdict(plugin, &context, place, outcome) {
                return AuthenticateVerdict::Deny(reason);
            }
        }
        let verdict = verdict(plugin, context, place, outcome);
        if verdict != AuthenticateVerdict::Next {
            return verdict;
        }
    }
    AuthenticateVerdict::Next
}

fn go_on(
    plugins: &[Arc<Version>],
    exchange: &Exchange,
    context: &AuthenticateContext<'_>,
    place: Place,
    outcome: &mut ConnectOutcome,
) -> AuthenticateVerdict {
    let owner = exchange.owner.as_deref();
    let Some(plugin) = plugins.iter().find(|plugin| Some(plugin.name()) == owner) else {
        let reason_string = Some("who asked this is no longer there; begin again".into());
        outcome.reply = Some(Box::new(Reply { reason_string, ..Reply::default() }));
        return refused().verdict;
    };
    match verdict(plugin, context, place, outcome) {
        // There is no next one to ask.
        AuthenticateVerdict::Next => AuthenticateVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
        verdict => verdict,
    }
}

fn verdict(
    plugin: &Version,
    context: &AuthenticateContext<'_>,
    place: Place,
    outcome: &mut ConnectOutcome,
) -> AuthenticateVerdict {
    match ask(plugin, context, place, outcome) {
        Ok(verdict) => verdict,
        Err(FailurePolicy::Allow) => AuthenticateVerdict::Allow(None),
        Err(FailurePolicy::Next) => AuthenticateVerdict::Next,
        Err(_) => refused().verdict,
    }
}

fn ask(
    plugin: &Version,
    context: &AuthenticateContext<'_>,
    place: Place,
    outcome: &mut ConnectOutcome,
) -> Result<AuthenticateVerdict, FailurePolicy> {
    let needs = plugin.needs();
    let about = |call: &mut Call| {
        needs.set_client(call, Some(context.client));
        if let Some(connect) = context.connect {
            needs.set_connect(call, connect, &outcome.overrides);
        }
    };
    let purpose = context.connect.map_or(Purpose::ReAuthenticate, |_| Purpose::Connect);
    let (verdict, effects) = plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.validating_connection else {
            return Ok(AuthenticateVerdict::Next);
        };
        let answer = guest.call_authenticate(
            &mut instance.store,
            context.client.key.0,
            purpose,
            context.method,
            context.data.map(Bytes::as_ref),
            context.exchange.map(|exchange| exchange.state.as_ref()),
        )?;
        checked(answer, purpose, plugin.name()).map_err(CallError::Rubbish)
    })?;
    connect::add(outcome, effects);
    Ok(verdict)
}

fn checked(
    answer: AuthenticationVerdict,
    purpose: Purpose,
    plugin: &str,
) -> Result<AuthenticateVerdict, String> {
    Ok(match answer {
        AuthenticationVerdict::Next => AuthenticateVerdict::Next,
        AuthenticationVerdict::Allow(data) => AuthenticateVerdict::Allow(sendable(data)?),
        AuthenticationVerdict::Deny(code) => AuthenticateVerdict::Deny(refusal(code, purpose)?),
        AuthenticationVerdict::Challenge(challenge) if challenge.state.len() > MOST_STATE => {
            return Err(format!("a challenge with more than {MOST_STATE} bytes of state"));
        }
        AuthenticationVerdict::Challenge(challenge) => AuthenticateVerdict::Challenge(Challenge {
            data: sendable(challenge.data)?,
            exchange: Exchange { owner: Some(plugin.into()), state: challenge.state.into() },
        }),
    })
}

/// What CONNACK cannot say DISCONNECT may.
fn refusal(code: u8, purpose: Purpose) -> Result<ReasonCode, String> {
    match convert::refusal(code, PacketType::Connack) {
        Err(_) if purpose == Purpose::ReAuthenticate => convert::refusal(code, PacketType::Disconnect),
        answer => answer,
    }
}

fn sendable(data: Option<Vec<u8>>) -> Result<Option<Bytes>, String> {
    match data {
        Some(data) if data.len() > usize::from(u16::MAX) => {
            Err(format!("Authentication Data of {} bytes", data.len()))
        }
        data => Ok(data.map(Bytes::from)),
    }
}
