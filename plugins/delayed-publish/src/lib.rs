//! Publishes messages to `$delayed/{seconds}/{topic}` after so many seconds.
//!
//! The authorizer is asked about what a client publishes after this hook, and not about what plugins publish. So the
//! plugin has a list of its own of what clients may reach.

mod settings;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tidegate_plugin::prelude::*;

use crate::settings::{Settings, fill_in};

struct DelayedPublish {
    /// with the slash behind it
    prefix: String,
    topics: Vec<String>,
    maximum_delay: Duration,
}

impl Lifecycle for DelayedPublish {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let plugin = settings.check()?;
        let registration = Registration::new().topics([format!("{}#", plugin.prefix)]);
        Ok((plugin, registration))
    }
}

impl InterceptingPublish for DelayedPublish {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let Some(rest) = publish.topic().strip_prefix(&self.prefix) else {
            return PublishVerdict::Continue;
        };
        if !matches!(publish.origin(), Origin::Client | Origin::Will) {
            return PublishVerdict::Continue;
        }
        match self.delay(rest, &publish) {
            Ok(()) => {
                metrics::count("delayed_total", &[], 1);
                PublishVerdict::Swallow
            }
            Err(refusal) => {
                metrics::count("refused_total", &[("why", refusal.name())], 1);
                log::debug!("refused", topic = publish.topic(), why = refusal);
                PublishVerdict::Reject(refusal.code()).reason_string(&refusal.to_string())
            }
        }
    }
}

impl DelayedPublish {
    /// `rest` is `{seconds}/{topic}`.
    fn delay(&self, rest: &str, publish: &Publish) -> Result<(), Refusal> {
        let (seconds, topic) = rest.split_once('/').ok_or(Refusal::NoTopic)?;
        let delay = parse_seconds(seconds)?;
        if topic.is_empty() || topic.starts_with(&self.prefix) {
            return Err(Refusal::NoTopic);
        }
        if delay > self.maximum_delay {
            return Err(Refusal::TooLong(self.maximum_delay));
        }
        if !self.may_reach(topic) {
            return Err(Refusal::NotAllowed);
        }
        // It would be expired by then.
        if publish.message_expiry_interval().is_some_and(|interval| delay.as_secs() >= interval.into()) {
            return Ok(());
        }
        let properties = publish.user_properties();
        broker::publish_later(delay, topic, publish.payload(), publish.qos(), publish.retain(), &properties)
            .map_err(Refusal::Broker)
    }

    fn may_reach(&self, topic: &str) -> bool {
        self.topics.iter().any(|filter| fill_in(filter).is_some_and(|filter| topic::matches(&filter, topic)))
    }
}

#[derive(Debug, Clone, Copy)]
enum Refusal {
    NoTopic,
    NotANumber,
    TooLong(Duration),
    NotAllowed,
    Broker(broker::Error),
}

impl Refusal {
    fn code(self) -> ReasonCode {
        match self {
            Self::NoTopic | Self::NotANumber | Self::TooLong(_) | Self::Broker(broker::Error::Invalid) => {
                reason::TOPIC_NAME_INVALID
            }
            Self::NotAllowed => reason::NOT_AUTHORIZED,
            Self::Broker(broker::Error::Busy | broker::Error::TooDeep) => reason::QUOTA_EXCEEDED,
            Self::Broker(broker::Error::Denied) => reason::IMPLEMENTATION_SPECIFIC_ERROR,
        }
    }

    /// For metrics.
    fn name(self) -> &'static str {
        match self {
            Self::NoTopic | Self::NotANumber => "malformed",
            Self::TooLong(_) => "too-long",
            Self::NotAllowed => "not-allowed",
            Self::Broker(broker::Error::Busy | broker::Error::TooDeep) => "busy",
            Self::Broker(broker::Error::Invalid) => "invalid",
            Self::Broker(broker::Error::Denied) => "not-granted",
        }
    }
}

/// For the client and the log.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTopic => f.write_str("no topic behind the delay"),
            Self::NotANumber => f.write_str("the delay is no number of seconds"),
            Self::TooLong(maximum) => write!(f, "the delay is over {} seconds", maximum.as_secs()),
            Self::NotAllowed => f.write_str("not authorized"),
            Self::Broker(broker::Error::Busy | broker::Error::TooDeep) => {
                f.write_str("too many messages wait")
            }
            Self::Broker(broker::Error::Invalid) => f.write_str("not a topic to publish to"),
            Self::Broker(broker::Error::Denied) => f.write_str("the broker does not grant this topic"),
        }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, Refusal> {
    // `parse` alone would take a plus sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::NotANumber);
    }
    // What does not fit is longer than any maximum.
    Ok(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

tidegate_plugin::export!(DelayedPublish: lifecycle, intercepting_publish);
