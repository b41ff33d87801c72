//! Stamps every message with the site it came through and a number per client, and keeps clients from publishing
//! below one topic.

use serde::Deserialize;
use tidegate_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    site: String,
    read_only: Option<String>,
}

struct Plugin {
    settings: Settings,
}

impl Lifecycle for Plugin {
    type Settings = Settings;

    /// An error keeps this version of the plugin from starting.
    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        if settings.site.is_empty() {
            return Err("settings: site: is missing".to_owned());
        }
        Ok((Plugin { settings }, Registration::new()))
    }
}

impl Authorizer for Plugin {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        match &self.settings.read_only {
            Some(prefix) if access.action() == Action::Publish && access.topic().starts_with(prefix) => {
                AuthorizerVerdict::deny(reason::NOT_AUTHORIZED)
            }
            _ => AuthorizerVerdict::Next,
        }
    }
}

impl InterceptingPublish for Plugin {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if publish.payload_length() == 0 {
            return PublishVerdict::Reject(reason::PAYLOAD_FORMAT_INVALID)
                .reason_string("an empty payload says nothing");
        }
        let Ok(number) = state::atomic_add(&format!("count/{}", client::identifier()), 1) else {
            return PublishVerdict::Continue;
        };
        let mut properties = publish.user_properties();
        properties.push(UserProperty::new("site", &self.settings.site));
        properties.push(UserProperty::new("number", number.to_string()));
        log::debug!("stamped", topic = publish.topic());
        publish.set_user_properties(&properties);
        PublishVerdict::Continue
    }
}

tidegate_plugin::export!(Plugin: lifecycle, authorizer, intercepting_publish);

#[cfg(test)]
mod tests {
    use tidegate_plugin::testing;

    use super::*;

    #[test]
    fn messages_are_numbered() {
        testing::reset();
        let settings = Settings { site: "north".to_owned(), read_only: None };
        let mut plugin = Plugin { settings };
        assert_eq!(plugin.intercept(testing::publish("a/b", "x")), PublishVerdict::Continue);
        assert_eq!(state::atomic_add(&format!("count/{}", client::identifier()), 0), Ok(1));
    }
}
