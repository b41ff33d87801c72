//! `intercepting-client-enqueue`: choices compose. Receivers that one plugin skips are not offered to the
//! next; receivers that share a copy are offered together, with that copy as their message.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::bindings::exports::tidegate::plugin::intercepting_client_enqueue::Verdict;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::{Call, Choices, PropertyChanges};
use super::super::options::{FailurePolicy, Hook};
use super::super::tally;
use super::super::version::{Place, Version};
use crate::hook::{Choice, EnqueueContext, EnqueueOutcome, Receiver};
use crate::message::ApplicationMessage;

const HOOK: Hook = Hook::InterceptingClientEnqueue;

pub(in crate::plugin) fn run(
    plugins: &[Arc<Version>],
    context: &EnqueueContext<'_>,
    place: Place,
) -> EnqueueOutcome {
    let mut delivery = Delivery::default();
    if context.receivers.is_empty() {
        return EnqueueOutcome::Deliver;
    }
    for plugin in plugins {
        for &group in delivery.groups().iter() {
            // A copy may have another topic.
            let message = delivery.message(group, context.message);
            if !plugin.wants(&message.topic) {
                continue;
            }
            let members = delivery.members(group, context.receivers);
            match ask(plugin, context, message, members, place) {
                Ok(Answer::Deliver) | Err(FailurePolicy::Allow | FailurePolicy::Next) => {}
                Ok(Answer::Skip) | Err(_) => delivery.skip(group, context.receivers.len()),
                Ok(Answer::Choose(choices, copies)) => {
                    delivery.choose(group, &choices, copies, context.receivers.len());
                }
            }
        }
    }
    delivery.outcome()
}

/// What was chosen so far.
#[derive(Default)]
struct Delivery {
    /// None: every receiver gets the message as it is.
    choices: Option<Vec<Choice>>,
    copies: Vec<ApplicationMessage>,
}

impl Delivery {
    /// The different messages that there are receivers for.
    fn groups(&self) -> Cow<'static, [Choice]> {
        let Some(choices) = &self.choices else { return Cow::Borrowed(&[Choice::Deliver]) };
        let mut seen = vec![false; self.copies.len() + 1];
        let mut groups = Vec::new();
        for &choice in choices {
            let place = match choice {
                Choice::Skip => continue,
                Choice::Deliver => 0,
                Choice::Copy(index) => index as usize + 1,
            };
            if !std::mem::replace(&mut seen[place], true) {
                groups.push(choice);
            }
        }
        Cow::Owned(groups)
    }

    fn message<'a>(&'a self, group: Choice, original: &'a ApplicationMessage) -> &'a ApplicationMessage {
        match group {
            Choice::Copy(index) => &self.copies[index as usize],
            Choice::Skip | Choice::Deliver => original,
        }
    }

    fn members<'a>(
        &'a self,
        group: Choice,
        receivers: &'a [Receiver],
    ) -> impl Iterator<Item = &'a Receiver> + Clone {
        let is_member = move |place: usize| match &self.choices {
            None => true,
            Some(choices) => choices[place] == group,
        };
        receivers.iter().enumerate().filter(move |(place, _)| is_member(*place)).map(|(_, receiver)| receiver)
    }

    fn skip(&mut self, group: Choice, receivers: usize) {
        for choice in self.explicit(receivers).iter_mut().filter(|choice| **choice == group) {
            *choice = Choice::Skip;
        }
    }

    /// `chosen` is about the members of the group, in their order.
    fn choose(
        &mut self,
        group: Choice,
        chosen: &[Choice],
        copies: Vec<ApplicationMessage>,
        receivers: usize,
    ) {
        let first = convert::length(self.copies.len());
        self.copies.extend(copies);
        let members = self.explicit(receivers).iter_mut().filter(|choice| **choice == group);
        for (choice, &chosen) in members.zip(chosen) {
            *choice = match chosen {
                Choice::Skip => Choice::Skip,
                Choice::Deliver => group,
                Choice::Copy(index) => Choice::Copy(first + index),
            };
        }
    }

    fn explicit(&mut self, receivers: usize) -> &mut Vec<Choice> {
        self.choices.get_or_insert_with(|| vec![Choice::Deliver; receivers])
    }

    fn outcome(self) -> EnqueueOutcome {
        match self.choices {
            None => EnqueueOutcome::Deliver,
            Some(choices) if choices.iter().all(|choice| *choice == Choice::Deliver) => {
                EnqueueOutcome::Deliver
            }
            Some(choices) if choices.iter().all(|choice| *choice == Choice::Skip) => EnqueueOutcome::Skip,
            Some(choices) => EnqueueOutcome::Choose { choices, copies: self.copies },
        }
    }
}

enum Answer {
    Deliver,
    Skip,
    Choose(Vec<Choice>, Vec<ApplicationMessage>),
}

impl tally::Verdict for Answer {
    #[inline]
    fn count(&self, verdicts: &tally::Verdicts) {
        verdicts.add(match self {
            Answer::Deliver => 0,
            Answer::Skip => 1,
            Answer::Choose(..) => 2,
        });
    }
}

fn ask<'a>(
    plugin: &Version,
    context: &EnqueueContext<'_>,
    message: &ApplicationMessage,
    members: impl Iterator<Item = &'a Receiver> + Clone,
    place: Place,
) -> Result<Answer, FailurePolicy> {
    let needs = plugin.needs();
    let about = |call: &mut Call| {
        needs.set_client(call, context.sender);
        needs.set_message(call, message, context.now);
        needs.set_receivers(call, members.clone());
    };
    let (answer, _) = plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.intercepting_client_enqueue else { return Ok(Answer::Deliver) };
        let mut packed = std::mem::take(&mut instance.store.data_mut().packed);
        packed.clear();
        packed.extend(members.clone().flat_map(convert::to_receiver));
        let answer = guest.call_intercept(
            &mut instance.store,
            message.publisher.0,
            convert::to_origin(message.origin),
            message.topic.as_str(),
            plugin.eager(&message.payload),
            convert::length(message.payload.len()),
            &packed,
        )?;
        let data = instance.store.data_mut();
        let receivers = packed.len() / convert::RECEIVER;
        data.packed = packed;
        let Some(effects) = data.call.effects.as_deref_mut() else { return Ok(unchanged(answer)) };
        match (answer, effects.choices.take()) {
            (Verdict::Deliver, Some(choices)) => {
                let changes = effects.changes.as_deref();
                checked(*choices, changes, message, receivers, context).map_err(CallError::Rubbish)
            }
            _ => Ok(unchanged(answer)),
        }
    })?;
    Ok(answer)
}

fn unchanged(answer: Verdict) -> Answer {
    match answer {
        Verdict::Deliver => Answer::Deliver,
        Verdict::Skip => Answer::Skip,
    }
}

fn checked(
    choices: Choices,
    changes: Option<&PropertyChanges>,
    message: &ApplicationMessage,
    receivers: usize,
    context: &EnqueueContext<'_>,
) -> Result<Answer, String> {
    let Choices { per_receiver, copies } = choices;
    if per_receiver.len() != receivers {
        return Err(format!("{} choices for {receivers} receivers", per_receiver.len()));
    }
    if copies.len() > receivers {
        return Err(format!("{} copies for {receivers} receivers", copies.len()));
    }
    let count = copies.len();
    let per_receiver = per_receiver.into_iter().map(|choice| match choice {
        0 => Ok(Choice::Skip),
        1 => Ok(Choice::Deliver),
        copy if (copy as usize - 2) < count => Ok(Choice::Copy(copy - 2)),
        copy => Err(format!("choice {copy} is none of {count} copies")),
    });
    let per_receiver: Vec<Choice> = per_receiver.collect::<Result<_, String>>()?;
    let mut changed = Vec::with_capacity(count);
    for modification in copies {
        let mut copy = message.clone();
        convert::modify(&mut copy, modification)?;
        if let Some(changes) = changes {
            changes.apply(&mut copy, context.now);
        }
        changed.push(copy);
    }
    Ok(Answer::Choose(per_receiver, changed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicName;

    fn message(payload: &'static str) -> ApplicationMessage {
        ApplicationMessage::new(TopicName::try_from("a").unwrap(), payload)
    }

    #[test]
    fn choices_of_two_plugins_compose() {
        let mut delivery = Delivery::default();
        assert_eq!(*delivery.groups(), [Choice::Deliver]);
        delivery.choose(
            Choice::Deliver,
            &[Choice::Skip, Choice::Deliver, Choice::Copy(0), Choice::Copy(0)],
            vec![message("1")],
            4,
        );
        assert_eq!(*delivery.groups(), [Choice::Deliver, Choice::Copy(0)]);
        // The second plugin skips the original, and makes a copy of the copy for the last receiver.
        delivery.skip(Choice::Deliver, 4);
        delivery.choose(Choice::Copy(0), &[Choice::Deliver, Choice::Copy(0)], vec![message("2")], 4);
        let EnqueueOutcome::Choose { choices, copies } = delivery.outcome() else { panic!() };
        assert_eq!(choices, [Choice::Skip, Choice::Skip, Choice::Copy(0), Choice::Copy(1)]);
        assert_eq!(copies.len(), 2);
    }

    #[test]
    fn nobody_left_is_skip_and_everybody_as_it_is_is_deliver() {
        let mut delivery = Delivery::default();
        delivery.choose(Choice::Deliver, &[Choice::Deliver; 2], Vec::new(), 2);
        assert!(matches!(delivery.outcome(), EnqueueOutcome::Deliver));
        let mut delivery = Delivery::default();
        delivery.skip(Choice::Deliver, 2);
        assert_eq!(*delivery.groups(), []);
        assert!(matches!(delivery.outcome(), EnqueueOutcome::Skip));
    }
}
