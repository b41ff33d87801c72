//! `intercepting-publish`: each plugin sees the message as the one before left it; `swallow` and `reject`
//! end the chain.

use super::super::bindings::exports::tidegate::plugin::intercepting_publish::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::{Call, Effects};
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use super::by_topic::Asked;
use super::{close, merge_reply};
use crate::hook::{PublishContext, PublishOutcome, PublishVerdict};
use crate::message::ApplicationMessage;
use crate::packet::{PacketType, ReasonCode};

const HOOK: Hook = Hook::InterceptingPublish;

/// Where a chain met a plugin that may wait, on a thread where it may not: it goes on from there on another.
pub(in crate::plugin) struct PutOff {
    /// The plugin's.
    pub(in crate::plugin) number: u32,
    pub(in crate::plugin) outcome: PublishOutcome,
}

/// The message as the plugins that were asked left it.
pub(in crate::plugin) fn message<'a>(
    outcome: &'a PublishOutcome,
    published: &'a ApplicationMessage,
) -> &'a ApplicationMessage {
    match &outcome.verdict {
        PublishVerdict::Modify(modified) => modified,
        _ => published,
    }
}

/// `outcome` is that of the plugins before those that are asked.
pub(in crate::plugin) fn run(
    mut asked: Asked<'_>,
    mut outcome: PublishOutcome,
    context: &PublishContext<'_>,
    place: Place,
) -> Result<PublishOutcome, PutOff> {
    loop {
        let message = message(&outcome, context.message);
        let Some(plugin) = asked.next(&message.topic) else { break };
        if plugin.waiting().is_some() && place == Place::Inline {
            return Err(PutOff { number: asked.number(), outcome });
        }
        match ask(plugin, context, message, place) {
            Ok((verdict, mut effects)) => {
                merge_reply(&mut outcome.reply, effects.as_deref_mut());
                match verdict {
                    PublishVerdict::Continue => {}
                    PublishVerdict::Modify(_) => {
                        outcome.verdict = verdict;
                        asked.topic_may_be_another();
                    }
                    PublishVerdict::Swallow | PublishVerdict::Reject(_) => {
                        outcome.verdict = verdict;
                        break;
                    }
                }
            }
            Err(FailurePolicy::Allow | FailurePolicy::Next) => {}
            Err(policy) => {
                outcome.verdict = refused().verdict;
                if policy == FailurePolicy::Disconnect {
                    close(&mut outcome.reply);
                }
                break;
            }
        }
    }
    Ok(outcome)
}

/// What is answered where nobody can be asked.
pub(in crate::plugin) fn refused() -> PublishOutcome {
    let verdict = PublishVerdict::Reject(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    PublishOutcome { verdict, ..PublishOutcome::default() }
}

#[inline]
fn ask(
    plugin: &Version,
    context: &PublishContext<'_>,
    message: &ApplicationMessage,
    place: Place,
) -> Result<(PublishVerdict, Option<Box<Effects>>), FailurePolicy> {
    let needs = plugin.needs();
    let about = |call: &mut Call| {
        needs.set_client(call, context.client);
        needs.set_message(call, message, context.now);
    };
    plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.intercepting_publish else {
            return Ok(PublishVerdict::Continue);
        };
        let answer = guest.call_intercept(
            &mut instance.store,
            message.publisher.0,
            convert::to_origin(message.origin),
            message.topic.as_str(),
            plugin.eager(&message.payload),
            convert::length(message.payload.len()),
            convert::to_qos(message.qos),
            message.retain,
        )?;
        let effects = instance.store.data_mut().call.effects.as_deref_mut();
        checked(answer, effects, message, context).map_err(CallError::Rubbish)
    })
}

#[inline]
fn checked(
    answer: Verdict,
    effects: Option<&mut Effects>,
    message: &ApplicationMessage,
    context: &PublishContext<'_>,
) -> Result<PublishVerdict, String> {
    match (answer, effects) {
        (Verdict::Continue, None) => Ok(PublishVerdict::Continue),
        (Verdict::Continue, Some(effects)) => changed(effects, message, context),
        (Verdict::Swallow, _) => Ok(PublishVerdict::Swallow),
        (Verdict::Reject(code), _) => Ok(PublishVerdict::Reject(convert::refusal(code, PacketType::Puback)?)),
    }
}

fn changed(
    effects: &mut Effects,
    message: &ApplicationMessage,
    context: &PublishContext<'_>,
) -> Result<PublishVerdict, String> {
    if effects.modification.is_none() && effects.changes.is_none() {
        return Ok(PublishVerdict::Continue);
    }
    let mut message = Box::new(message.clone());
    if let Some(modification) = effects.modification.take() {
        convert::modify(&mut message, *modification)?;
    }
    if let Some(changes) = &effects.changes {
        changes.apply(&mut message, context.now);
    }
    Ok(PublishVerdict::Modify(message))
}
