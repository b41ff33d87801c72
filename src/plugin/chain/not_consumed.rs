//! `application-message-not-consumed`: the first who does more than observe wins.

use super::super::bindings::exports::tidegate::plugin::application_message_not_consumed::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::Call;
use super::super::options::{FailurePolicy, Hook};
use super::super::version::{Place, Version};
use super::by_topic::Asked;
use crate::hook::{NotConsumedContext, NotConsumedOutcome};
use crate::packet::{PacketType, ReasonCode};

const HOOK: Hook = Hook::ApplicationMessageNotConsumed;

pub(in crate::plugin) fn run(
    mut asked: Asked<'_>,
    context: &NotConsumedContext<'_>,
    place: Place,
) -> NotConsumedOutcome {
    while let Some(plugin) = asked.next(&context.message.topic) {
        match ask(plugin, context, place) {
            Ok(NotConsumedOutcome::Observe) | Err(FailurePolicy::Allow | FailurePolicy::Next) => {}
            Ok(outcome) => return outcome,
            Err(_) => return NotConsumedOutcome::Answer(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR),
        }
    }
    NotConsumedOutcome::Observe
}

fn ask(
    plugin: &Version,
    context: &NotConsumedContext<'_>,
    place: Place,
) -> Result<NotConsumedOutcome, FailurePolicy> {
    let message = context.message;
    let needs = plugin.needs();
    let about = |call: &mut Call| {
        needs.set_client(call, context.client);
        needs.set_message(call, message, context.now);
    };
    let (outcome, _) = plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.application_message_not_consumed else {
            return Ok(NotConsumedOutcome::Observe);
        };
        let answer = guest.call_not_consumed(
            &mut instance.store,
            message.publisher.0,
            convert::to_origin(message.origin),
            message.topic.as_str(),
            plugin.eager(&message.payload),
            convert::length(message.payload.len()),
            convert::to_qos(message.qos),
            convert::to_why(context.why),
        )?;
        checked(answer).map_err(CallError::Rubbish)
    })?;
    Ok(outcome)
}

fn checked(answer: Verdict) -> Result<NotConsumedOutcome, String> {
    Ok(match answer {
        Verdict::Observe => NotConsumedOutcome::Observe,
        Verdict::Redirect(topic) => NotConsumedOutcome::Redirect(convert::topic_name(&topic)?),
        Verdict::Answer(code) => NotConsumedOutcome::Answer(convert::reason_code(code, PacketType::Puback)?),
    })
}
