//! Looks at the first and the last byte of the payload and lets everything pass: what a call costs with
//! a payload.

use tidegate_plugin::prelude::*;

#[derive(Default)]
struct ReadsPayload;

impl InterceptingPublish for ReadsPayload {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let payload = publish.payload();
        if payload.first() == Some(&0xFF) && payload.last() == Some(&0xFF) {
            return PublishVerdict::Swallow;
        }
        PublishVerdict::Continue
    }
}

tidegate_plugin::export!(ReadsPayload: intercepting_publish);
