//! `intercepting-unsubscription`: a denial is final, `keep` outlasts `next`.

use std::sync::Arc;

use super::super::bindings::exports::tidegate::plugin::intercepting_unsubscription::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::{Call, Effects};
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use super::{close, merge_reply};
use crate::hook::{UnsubscribeContext, UnsubscribeOutcome, UnsubscribeVerdict};
use crate::packet::{PacketType, ReasonCode};

const HOOK: Hook = Hook::InterceptingUnsubscription;
const REFUSAL: UnsubscribeVerdict = UnsubscribeVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);

pub(in crate::plugin) fn run(
    plugins: &[Arc<Version>],
    context: &UnsubscribeContext<'_>,
    place: Place,
) -> UnsubscribeOutcome {
    let mut outcome = UnsubscribeOutcome::all_next(context.filters.len());
    for plugin in plugins {
        let open: Vec<usize> = (0..outcome.verdicts.len())
            .filter(|&i| !matches!(outcome.verdicts[i], UnsubscribeVerdict::Deny(_)))
            .collect();
        if open.is_empty() {
            break;
        }
        let filters: Vec<String> = open.iter().map(|&i| context.filters[i].as_str().to_owned()).collect();
        match ask(plugin, context, &filters, place) {
            Ok((verdicts, mut effects)) => {
                merge_reply(&mut outcome.reply, effects.as_deref_mut());
                for (&i, verdict) in open.iter().zip(verdicts) {
                    if verdict != UnsubscribeVerdict::Next {
                        outcome.verdicts[i] = verdict;
                    }
                }
            }
            Err(FailurePolicy::Allow | FailurePolicy::Next) => {}
            Err(policy) => {
                open.iter().for_each(|&i| outcome.verdicts[i] = REFUSAL);
                if policy == FailurePolicy::Disconnect {
                    close(&mut outcome.reply);
                }
            }
        }
    }
    outcome
}

/// What is answered where nobody can be asked.
pub(in crate::plugin) fn refused(count: usize) -> UnsubscribeOutcome {
    UnsubscribeOutcome { verdicts: vec![REFUSAL; count], reply: None }
}

fn ask(
    plugin: &Version,
    context: &UnsubscribeContext<'_>,
    filters: &[String],
    place: Place,
) -> Result<(Vec<UnsubscribeVerdict>, Option<Box<Effects>>), FailurePolicy> {
    let about = |call: &mut Call| plugin.needs().set_client(call, Some(context.client));
    plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.intercepting_unsubscription else {
            return Ok(vec![UnsubscribeVerdict::Next; filters.len()]);
        };
        let answers = guest.call_intercept(&mut instance.store, context.client.key.0, filters)?;
        if answers.len() != filters.len() {
            let why = format!("{} verdicts for {} filters", answers.len(), filters.len());
            return Err(CallError::Rubbish(why));
        }
        answers.into_iter().map(checked).collect::<Result<_, String>>().map_err(CallError::Rubbish)
    })
}

fn checked(answer: Verdict) -> Result<UnsubscribeVerdict, String> {
    Ok(match answer {
        Verdict::Next => UnsubscribeVerdict::Next,
        Verdict::Keep => UnsubscribeVerdict::Keep,
        Verdict::Deny(code) => UnsubscribeVerdict::Deny(convert::refusal(code, PacketType::Unsuback)?),
    })
}
