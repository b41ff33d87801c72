//! Looks at the topic and lets everything pass: what a call costs without a payload.

use tidegate_plugin::prelude::*;

struct TopicOnly;

impl Lifecycle for TopicOnly {
    type Settings = NoSettings;

    fn init(_: NoSettings) -> Result<(Self, Registration), String> {
        Ok((TopicOnly, Registration::new().eager_payload(0)))
    }
}

impl InterceptingPublish for TopicOnly {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if publish.topic() == "forbidden" { PublishVerdict::Swallow } else { PublishVerdict::Continue }
    }
}

tidegate_plugin::export!(TopicOnly: lifecycle, intercepting_publish);
