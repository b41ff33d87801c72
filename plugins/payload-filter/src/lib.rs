//! Checks and trims JSON payloads by rules that the operator writes.
//!
//! - [`settings`]: the rules as they are written, and what can be wrong with them
//! - [`path`]: a field within a document
//! - [`rule`]: what one rule does to one document

mod path;
mod rule;
mod settings;

#[cfg(test)]
mod tests;

use serde_json::Value;
use tidegate_plugin::prelude::*;

use crate::rule::{OnInvalidJson, OnViolation, Rule};
use crate::settings::Settings;

struct PayloadFilter {
    rules: Vec<Rule>,
}

impl Lifecycle for PayloadFilter {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let rules = settings.check()?;
        log::info!("ready", rules = rules.len());
        let topics: Vec<String> = rules.iter().flat_map(|rule| rule.topics.iter().cloned()).collect();
        Ok((PayloadFilter { rules }, Registration::new().topics(topics)))
    }
}

impl InterceptingPublish for PayloadFilter {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let mut rules = self.rules.iter().filter(|rule| rule.is_about(publish.topic())).peekable();
        if rules.peek().is_none() || clears_retained(&publish) {
            return PublishVerdict::Continue;
        }
        let mut document = Document::read(publish.payload());
        for rule in rules {
            if let Err(verdict) = document.apply(rule, publish.topic()) {
                return verdict;
            }
        }
        document.into_verdict()
    }
}

/// An empty retained message is MQTT's way to remove one, not a document [MQTT-3.3.1-6].
fn clears_retained(publish: &Publish) -> bool {
    publish.retain() && publish.payload_length() == 0
}

/// A payload on its way through the rules. Without a value it is not JSON.
struct Document {
    value: Option<Value>,
    changed: bool,
}

impl Document {
    fn read(payload: &[u8]) -> Self {
        Self { value: serde_json::from_slice(payload).ok(), changed: false }
    }

    fn apply(&mut self, rule: &Rule, topic: &str) -> Result<(), PublishVerdict> {
        let Some(value) = &mut self.value else {
            return match rule.on_invalid_json {
                OnInvalidJson::Pass => Ok(()),
                OnInvalidJson::Reject => Err(reject(rule, topic, "the payload is not JSON")),
            };
        };
        if let Some(violation) = rule.violation(value) {
            return Err(match rule.on_violation {
                OnViolation::Reject => reject(rule, topic, &violation),
                OnViolation::Swallow => swallow(topic, &violation),
            });
        }
        self.changed |= rule.rewrite(value);
        Ok(())
    }

    /// Written again only where a rule changed something: else the sender's bytes go on as they are.
    fn into_verdict(self) -> PublishVerdict {
        match self.value {
            Some(value) if self.changed => {
                PublishVerdict::Modify(Modification::new().payload(value.to_string()))
            }
            _ => PublishVerdict::Continue,
        }
    }
}

fn reject(rule: &Rule, topic: &str, why: &str) -> PublishVerdict {
    log::debug!("rejected", topic = topic, why = why);
    PublishVerdict::Reject(rule.reason_code).reason_string(why)
}

fn swallow(topic: &str, why: &str) -> PublishVerdict {
    log::debug!("swallowed", topic = topic, why = why);
    PublishVerdict::Swallow
}

tidegate_plugin::export!(PayloadFilter: lifecycle, intercepting_publish);
