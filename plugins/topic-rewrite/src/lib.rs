//! Puts other topics in place of those that clients use.
//!
//! - [`settings`]: the rules as they are written, and what can be wrong with them

mod settings;

#[cfg(test)]
mod tests;

use tidegate_plugin::prelude::*;
use topic_pattern::{Client, NoFilter, Pattern};

use crate::settings::Settings;

struct TopicRewrite {
    rules: Vec<Rule>,
}

struct Rule {
    pattern: Pattern,
    publish: bool,
    subscribe: bool,
}

/// No client can publish it: what is registered where only filters are rewritten, so that no message makes a call
/// for nothing.
const NO_TOPIC: &str = "$topic-rewrite/filters-only";

impl Lifecycle for TopicRewrite {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let plugin = TopicRewrite { rules: settings.check()? };
        log::info!("ready", rules = plugin.rules.len());
        let topics = plugin.topics();
        Ok((plugin, Registration::new().topics(topics).eager_payload(0)))
    }
}

impl InterceptingPublish for TopicRewrite {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let names = Names::default();
        let rewritten = self
            .publish_rules()
            .find_map(|rule| rule.pattern.rewrite(publish.topic(), &names.of(&rule.pattern).client()));
        match rewritten {
            Some(topic) => PublishVerdict::Modify(Modification::new().topic(topic)),
            None => PublishVerdict::Continue,
        }
    }
}

impl InterceptingSubscription for TopicRewrite {
    fn intercept(&mut self, subscribe: Subscribe) -> Vec<SubscriptionVerdict> {
        subscribe.each(|subscription| match self.rewrite_filter(&subscription.filter) {
            None => SubscriptionVerdict::Next,
            Some(Ok(filter)) => SubscriptionVerdict::instead(filter, subscription.maximum_qos),
            Some(Err(NoFilter)) => SubscriptionVerdict::Deny(reason::TOPIC_FILTER_INVALID)
                .reason_string("wildcards cannot stand there"),
        })
    }
}

impl TopicRewrite {
    fn publish_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.publish)
    }

    fn topics(&self) -> Vec<String> {
        let topics: Vec<String> = self.publish_rules().map(|rule| rule.pattern.filter()).collect();
        if topics.is_empty() { vec![NO_TOPIC.to_owned()] } else { topics }
    }

    /// `$share/{ShareName}/` stays in front.
    fn rewrite_filter(&self, filter: &str) -> Option<Result<String, NoFilter>> {
        let wanted = topic::without_share(filter);
        let share = &filter[..filter.len() - wanted.len()];
        let names = Names::default();
        let rewritten = self
            .rules
            .iter()
            .filter(|rule| rule.subscribe)
            .find_map(|rule| rule.pattern.rewrite_filter(wanted, &names.of(&rule.pattern).client()))?;
        Some(rewritten.map(|rewritten| format!("{share}{rewritten}")))
    }
}

/// Names of the current client, asked for where a rule needs them.
#[derive(Default)]
struct Names {
    asked: std::cell::OnceCell<Asked>,
}

#[derive(Default)]
struct Asked {
    identifier: String,
    user_name: Option<String>,
}

const NOBODY: &Asked = &Asked { identifier: String::new(), user_name: None };

impl Names {
    fn of(&self, pattern: &Pattern) -> &Asked {
        if !pattern.needs_client() {
            return NOBODY;
        }
        self.asked.get_or_init(|| Asked { identifier: client::identifier(), user_name: client::user_name() })
    }
}

impl Asked {
    fn client(&self) -> Client<'_> {
        Client { identifier: &self.identifier, user_name: self.user_name.as_deref() }
    }
}

tidegate_plugin::export!(TopicRewrite: lifecycle, intercepting_publish, intercepting_subscription);
