//! `intercepting-subscription`: a denial is final, grants compose: the lowest QoS holds, and the next plugin
//! sees the filter as the one before rewrote it.

use std::sync::Arc;

use super::super::bindings::exports::tidegate::plugin::intercepting_subscription::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::{Call, Effects};
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use super::{close, merge_reply};
use crate::hook::{SubscribeContext, SubscribeOutcome, SubscribeVerdict, SubscriptionRequest};
use crate::packet::{PacketType, ReasonCode};

const HOOK: Hook = Hook::InterceptingSubscription;
const REFUSAL: SubscribeVerdict = SubscribeVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);

pub(in crate::plugin) fn run(
    plugins: &[Arc<Version>],
    context: &SubscribeContext<'_>,
    place: Place,
) -> SubscribeOutcome {
    let mut outcome = SubscribeOutcome::all_next(context.subscriptions.len());
    for plugin in plugins {
        let open: Vec<usize> =
            (0..outcome.verdicts.len()).filter(|&i| !is_denied(&outcome.verdicts[i])).collect();
        if open.is_empty() {
            break;
        }
        let asked: Vec<SubscriptionRequest> =
            open.iter().map(|&i| as_granted(&context.subscriptions[i], &outcome.verdicts[i])).collect();
        match ask(plugin, context, &asked, place) {
            Ok((verdicts, mut effects)) => {
                merge_reply(&mut outcome.reply, effects.as_deref_mut());
                for (&i, verdict) in open.iter().zip(verdicts) {
                    compose(&mut outcome.verdicts[i], verdict);
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
pub(in crate::plugin) fn refused(count: usize) -> SubscribeOutcome {
    SubscribeOutcome { verdicts: vec![REFUSAL; count], reply: None }
}

fn is_denied(verdict: &SubscribeVerdict) -> bool {
    matches!(verdict, SubscribeVerdict::Deny(_))
}

/// The subscription as the plugins before left it.
fn as_granted(request: &SubscriptionRequest, verdict: &SubscribeVerdict) -> SubscriptionRequest {
    let mut request = request.clone();
    if let SubscribeVerdict::Grant { maximum_qos, filter } = verdict {
        request.maximum_qos = *maximum_qos;
        if let Some(filter) = filter {
            request.filter = filter.clone();
        }
    }
    request
}

fn compose(before: &mut SubscribeVerdict, verdict: SubscribeVerdict) {
    let composed = match (&*before, verdict) {
        (_, SubscribeVerdict::Next) => return,
        (_, denial @ SubscribeVerdict::Deny(_)) => denial,
        (SubscribeVerdict::GrantWithoutRouting, _) => return,
        (
            SubscribeVerdict::Grant { maximum_qos: cap, filter: rewritten },
            SubscribeVerdict::Grant { maximum_qos, filter },
        ) => SubscribeVerdict::Grant {
            maximum_qos: maximum_qos.min(*cap),
            filter: filter.or_else(|| rewritten.clone()),
        },
        (_, verdict) => verdict,
    };
    *before = composed;
}

fn ask(
    plugin: &Version,
    context: &SubscribeContext<'_>,
    asked: &[SubscriptionRequest],
    place: Place,
) -> Result<(Vec<SubscribeVerdict>, Option<Box<Effects>>), FailurePolicy> {
    let subscriptions: Vec<_> = asked.iter().map(convert::to_subscription).collect();
    let about = |call: &mut Call| plugin.needs().set_client(call, Some(context.client));
    plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.intercepting_subscription else {
            return Ok(vec![SubscribeVerdict::Next; asked.len()]);
        };
        let answers = guest.call_intercept(
            &mut instance.store,
            context.client.key.0,
            &subscriptions,
            context.subscription_identifier,
        )?;
        if answers.len() != asked.len() {
            let why = format!("{} verdicts for {} filters", answers.len(), asked.len());
            return Err(CallError::Rubbish(why));
        }
        let verdicts = answers.into_iter().zip(asked).map(|(answer, asked)| checked(answer, asked));
        verdicts.collect::<Result<_, String>>().map_err(CallError::Rubbish)
    })
}

fn checked(answer: Verdict, asked: &SubscriptionRequest) -> Result<SubscribeVerdict, String> {
    Ok(match answer {
        Verdict::Next => SubscribeVerdict::Next,
        Verdict::Grant(grant) => SubscribeVerdict::Grant {
            maximum_qos: convert::from_qos(grant.maximum_qos).min(asked.maximum_qos),
            filter: grant.filter.as_deref().map(convert::topic_filter).transpose()?,
        },
        Verdict::GrantWithoutRouting => SubscribeVerdict::GrantWithoutRouting,
        Verdict::Deny(code) => SubscribeVerdict::Deny(convert::refusal(code, PacketType::Suback)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::QoS;
    use crate::topic::TopicFilter;

    fn grant(maximum_qos: QoS, filter: Option<&str>) -> SubscribeVerdict {
        SubscribeVerdict::Grant { maximum_qos, filter: filter.map(|f| TopicFilter::try_from(f).unwrap()) }
    }

    #[test]
    fn grants_compose_and_a_denial_is_final() {
        let mut verdict = SubscribeVerdict::Next;
        compose(&mut verdict, grant(QoS::AtLeastOnce, Some("a")));
        compose(&mut verdict, grant(QoS::ExactlyOnce, None));
        assert_eq!(verdict, grant(QoS::AtLeastOnce, Some("a")));
        compose(&mut verdict, SubscribeVerdict::GrantWithoutRouting);
        compose(&mut verdict, grant(QoS::AtMostOnce, None));
        assert_eq!(verdict, SubscribeVerdict::GrantWithoutRouting);
        compose(&mut verdict, REFUSAL);
        assert_eq!(verdict, REFUSAL);
    }
}
