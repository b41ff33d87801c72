//! The usual server of MQTTnet's users as a plugin: it validates connections, intercepts messages and subscriptions,
//! and says what nobody consumed. `docs/from-mqttnet.md` tells about it; `examples/validate_and_intercept.rs` is the
//! same in a program of one's own.

use serde::Deserialize;
use tidegate_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    user_name: String,
    password: String,
}

struct ValidateAndIntercept {
    settings: Settings,
}

impl Lifecycle for ValidateAndIntercept {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        Ok((ValidateAndIntercept { settings }, Registration::new()))
    }
}

// ValidatingConnectionAsync; once WithConnectionValidator.
impl ValidatingConnection for ValidateAndIntercept {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        if connect.client_identifier().len() < 10 {
            return ConnectVerdict::Deny(reason::CLIENT_IDENTIFIER_NOT_VALID)
                .reason_string("a Client Identifier has ten characters at least");
        }
        let user_name = connect.user_name().unwrap_or_default();
        let password = connect.password().unwrap_or_default();
        let right = crypto::constant_time_equal(user_name.as_bytes(), self.settings.user_name.as_bytes())
            & crypto::constant_time_equal(password, self.settings.password.as_bytes());
        if right { ConnectVerdict::Allow } else { ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD) }
    }
}

// InterceptingPublishAsync; once WithApplicationMessageInterceptor.
impl InterceptingPublish for ValidateAndIntercept {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        if topic::matches("stamped/#", publish.topic()) {
            let mut properties = publish.user_properties();
            properties.push(UserProperty::new("received-at", clock::now_ms().to_string()));
            publish.set_user_properties(&properties);
        }
        if publish.topic() == "not/allowed" {
            // ProcessPublish = false and CloseConnection = true.
            return PublishVerdict::Reject(reason::NOT_AUTHORIZED).close(reason::NOT_AUTHORIZED);
        }
        PublishVerdict::Continue
    }
}

// InterceptingSubscriptionAsync; once WithSubscriptionInterceptor.
impl InterceptingSubscription for ValidateAndIntercept {
    fn intercept(&mut self, subscribe: Subscribe) -> Vec<SubscriptionVerdict> {
        subscribe.each(|subscription| match subscription.filter.as_str() {
            "admin/#" => SubscriptionVerdict::Deny(reason::NOT_AUTHORIZED),
            _ => SubscriptionVerdict::Next,
        })
    }
}

// ApplicationMessageNotConsumedAsync; once WithUndeliveredMessageInterceptor.
impl ApplicationMessageNotConsumed for ValidateAndIntercept {
    fn not_consumed(&mut self, message: NotConsumed) -> NotConsumedVerdict {
        log::info!("nobody took it", topic = message.topic());
        NotConsumedVerdict::Observe
    }
}

tidegate_plugin::export!(
    ValidateAndIntercept: lifecycle, validating_connection, intercepting_publish, intercepting_subscription,
    application_message_not_consumed
);
