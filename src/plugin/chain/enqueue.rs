//! `intercepting-client-enqueue`: choices compose. Receivers that one plugin skips are not offered to the
//! next; receivers that share a copy are offered together, with that copy as their message.

use std::sync::Arc;

use super::super::bindings::exports::tidegate::plugin::intercepting_client_enqueue as wit;
use super::super::convert;
use super::super::error::CallError;
use super::super::host::{Call, PropertyChanges};
use super::super::options::{FailurePolicy, Hook};
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
    for plugin in plugins {
        for group in delivery.groups(context.receivers.len()) {
            let message = delivery.message(group, context.message);
            let members = delivery.members(group, context.receivers);
            match ask(plugin, context, message, &members, place) {
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
    fn groups(&self, receivers: usize) -> Vec<Choice> {
        let Some(choices) = &self.choices else {
            return if receivers == 0 { Vec::new() } else { vec![Choice::Deliver] };
        };
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
        groups
    }

    fn message<'a>(&'a self, group: Choice, original: &'a ApplicationMessage) -> &'a ApplicationMessage {
        match group {
            Choice::Copy(index) => &self.copies[index as usize],
            Choice::Skip | Choice::Deliver => original,
        }
    }

    fn members<'a>(&self, group: Choice, receivers: &'a [Receiver]) -> Vec<&'a Receiver> {
        match &self.choices {
            None => receivers.iter().collect(),
            Some(choices) => {
                receivers.iter().zip(choices).filter(|(_, c)| **c == group).map(|(r, _)| r).collect()
            }
        }
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

fn ask(
    plugin: &Version,
    context: &EnqueueContext<'_>,
    message: &ApplicationMessage,
    members: &[&Receiver],
    place: Place,
) -> Result<Answer, FailurePolicy> {
    let needs = plugin.needs();
    let about = |call: &mut Call| {
        needs.set_client(call, context.sender);
        needs.set_message(call, message, context.now);
        call.receivers = needs.receivers(members.iter().copied());
    };
    let receivers: Vec<wit::Receiver> = members.iter().map(|receiver| to_receiver(receiver)).collect();
    let (answer, _) = plugin.call(HOOK, place, about, |instance| {
        let Some(guest) = &instance.exports.intercepting_client_enqueue else { return Ok(Answer::Deliver) };
        let answer = guest.call_intercept(
            &mut instance.store,
            message.publisher.0,
            convert::to_origin(message.origin),
            message.topic.as_str(),
            plugin.eager(&message.payload),
            convert::length(message.payload.len()),
            &receivers,
        )?;
        let effects = instance.store.data().call.effects.as_deref();
        let changes = effects.and_then(|effects| effects.changes.as_deref());
        match answer {
            wit::Verdict::Deliver => Ok(Answer::Deliver),
            wit::Verdict::Skip => Ok(Answer::Skip),
            wit::Verdict::Choose(choices) => {
                checked(choices, changes, message, members.len(), context).map_err(CallError::Rubbish)
            }
        }
    })?;
    Ok(answer)
}

fn to_receiver(receiver: &Receiver) -> wit::Receiver {
    wit::Receiver {
        client: receiver.client.0,
        session: receiver.session,
        qos: convert::to_qos(receiver.qos),
        retain: receiver.retain,
    }
}

fn checked(
    choices: wit::Choices,
    changes: Option<&PropertyChanges>,
    message: &ApplicationMessage,
    receivers: usize,
    context: &EnqueueContext<'_>,
) -> Result<Answer, String> {
    let wit::Choices { per_receiver, copies } = choices;
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
        assert_eq!(delivery.groups(4), [Choice::Deliver]);
        delivery.choose(
            Choice::Deliver,
            &[Choice::Skip, Choice::Deliver, Choice::Copy(0), Choice::Copy(0)],
            vec![message("1")],
            4,
        );
        assert_eq!(delivery.groups(4), [Choice::Deliver, Choice::Copy(0)]);
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
        assert_eq!(delivery.groups(2), []);
        assert!(matches!(delivery.outcome(), EnqueueOutcome::Skip));
    }
}
