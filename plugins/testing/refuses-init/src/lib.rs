//! A plugin whose settings are never right.

use tidegate_plugin::prelude::*;

struct RefusesInit;

impl Lifecycle for RefusesInit {
    type Settings = NoSettings;

    fn init(_: NoSettings) -> Result<(Self, Registration), String> {
        Err("settings: set `moon` to full".to_owned())
    }
}

impl InterceptingPublish for RefusesInit {
    fn intercept(&mut self, _: Publish) -> PublishVerdict {
        PublishVerdict::Continue
    }
}

tidegate_plugin::export!(RefusesInit: lifecycle, intercepting_publish);
