//! `authorizer`: the first `allow` or `deny` wins. It may be repeated without asking for the shortest time
//! that those who were asked named; `next` names none, so that whoever says it is asked every time.

use std::sync::Arc;
use std::time::Duration;

use super::super::bindings::exports::tidegate::plugin::authorizer::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::Call;
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use crate::hook::{Action, Authorization, AuthorizationVerdict, AuthorizeContext};
use crate::packet::{PacketType, ReasonCode};

const HOOK: Hook = Hook::Authorizer;

/// The answer, and the Reason Code with which the connection is to end, should it.
pub(in crate::plugin) fn run(
    plugins: &[Arc<Version>],
    context: &AuthorizeContext<'_>,
    place: Place,
) -> (Authorization, Option<ReasonCode>) {
    let mut close = None;
    for (index, plugin) in plugins.iter().enumerate() {
        match ask(plugin, context, place, &mut close) {
            Ok(Authorization { verdict: AuthorizationVerdict::Next, .. }) | Err(FailurePolicy::Next) => {}
            Ok(answer) if index == 0 => return (answer, close),
            Ok(answer) => return (Authorization { cache: Duration::ZERO, ..answer }, close),
            Err(FailurePolicy::Allow) => {
                return (
                    Authorization { verdict: AuthorizationVerdict::Allow, cache: Duration::ZERO },
                    close,
                );
            }
            Err(FailurePolicy::Disconnect) => {
                return (refused(), Some(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR));
            }
            Err(FailurePolicy::Deny | FailurePolicy::LastGood) => return (refused(), close),
        }
    }
    (Authorization::default(), close)
}

/// What is answered where nobody can be asked.
pub(in crate::plugin) fn refused() -> Authorization {
    let verdict = AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED);
    Authorization { verdict, cache: Duration::ZERO }
}

#[inline]
fn ask(
    plugin: &Version,
    context: &AuthorizeContext<'_>,
    place: Place,
    close: &mut Option<ReasonCode>,
) -> Result<Authorization, FailurePolicy> {
    let about = |call: &mut Call| plugin.needs().set_client(call, Some(context.client));
    let (answer, effects) = plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.authorizer else { return Ok(Authorization::default()) };
        let answer = guest.call_authorize(
            &mut instance.store,
            context.client.key.0,
            convert::to_action(context.action),
            context.topic,
            convert::to_qos(context.qos),
            context.retain,
        )?;
        checked(answer, context.action).map_err(CallError::Rubbish)
    })?;
    // No packet answers an authorization alone: of a reply, only the end of the connection has a place.
    *close = effects.and_then(|effects| effects.reply?.close).or(*close);
    Ok(answer)
}

fn checked(answer: Verdict, action: Action) -> Result<Authorization, String> {
    let (verdict, cache) = match answer {
        Verdict::Next => (AuthorizationVerdict::Next, 0),
        Verdict::Allow(cache) => (AuthorizationVerdict::Allow, cache),
        Verdict::Deny(denial) => {
            let packet = match action {
                Action::Subscribe => PacketType::Suback,
                Action::Publish | Action::Deliver => PacketType::Puback,
            };
            (AuthorizationVerdict::Deny(convert::refusal(denial.reason, packet)?), denial.cache_ms)
        }
    };
    Ok(Authorization { verdict, cache: Duration::from_millis(cache.into()) })
}
