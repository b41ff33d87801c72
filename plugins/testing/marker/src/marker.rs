use serde::Deserialize;
use tidegate_plugin::prelude::*;

/// `version` overrides the one that is built in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    version: Option<u32>,
}

struct Marker {
    version: u32,
}

impl Lifecycle for Marker {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        Ok((Marker { version: settings.version.unwrap_or(VERSION) }, Registration::new()))
    }
}

/// `hello` becomes `hello v1`, with a User Property `marker: 1`; what contains `forbidden` is swallowed.
impl InterceptingPublish for Marker {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if publish.payload().windows(9).any(|window| window == b"forbidden") {
            return PublishVerdict::Swallow;
        }
        let mut properties = publish.user_properties();
        properties.push(UserProperty::new("marker", self.version.to_string()));
        publish.set_user_properties(&properties);
        let mut payload = publish.into_payload();
        payload.extend_from_slice(format!(" v{}", self.version).as_bytes());
        PublishVerdict::Modify(Modification::new().payload(payload))
    }
}

tidegate_plugin::export!(Marker: lifecycle, intercepting_publish);
