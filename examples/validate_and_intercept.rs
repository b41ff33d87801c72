//! The usual server of MQTTnet's users in a program of one's own: it validates connections, intercepts messages and
//! subscriptions, and says what nobody consumed. `docs/from-mqttnet.md` tells about it; the plugin
//! `plugins/testing/validate-and-intercept` is the same for a running broker.

use std::sync::Arc;

use tidegate::hook::{
    Answer, ConnectContext, ConnectOutcome, ConnectVerdict, HookSet, Hooks, NotConsumedContext,
    NotConsumedOutcome, PublishContext, PublishOutcome, PublishVerdict, Reply, SubscribeContext,
    SubscribeOutcome, SubscribeVerdict,
};
use tidegate::message::ApplicationMessage;
use tidegate::packet::ReasonCode;
use tidegate::server::{ListenerOptions, Server};

struct ValidateAndIntercept {
    user_name: String,
    password: String,
}

impl Hooks for ValidateAndIntercept {
    fn wanted(&self) -> HookSet {
        HookSet::VALIDATING_CONNECTION
            .with(HookSet::INTERCEPTING_PUBLISH)
            .with(HookSet::INTERCEPTING_SUBSCRIPTION)
            .with(HookSet::APPLICATION_MESSAGE_NOT_CONSUMED)
    }

    // ValidatingConnectionAsync; once WithConnectionValidator.
    fn validating_connection(&self, context: ConnectContext<'_>) -> Answer<ConnectOutcome> {
        let connect = context.connect;
        let user_name = connect.user_name.as_deref().unwrap_or_default();
        let password = connect.password.as_deref().unwrap_or_default();
        let verdict = if connect.client_identifier.len() < 10 {
            ConnectVerdict::Deny(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID)
        } else if user_name == self.user_name && password == self.password.as_bytes() {
            ConnectVerdict::Allow
        } else {
            ConnectVerdict::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD)
        };
        ConnectOutcome { verdict, ..ConnectOutcome::default() }.into()
    }

    // InterceptingPublishAsync; once WithApplicationMessageInterceptor.
    fn intercepting_publish(&self, context: PublishContext<'_>) -> Answer<PublishOutcome> {
        let topic = context.message.topic.as_str();
        if topic == "not/allowed" {
            // ProcessPublish = false and CloseConnection = true.
            let close = Reply { close: Some(ReasonCode::NOT_AUTHORIZED), ..Reply::default() };
            let verdict = PublishVerdict::Reject(ReasonCode::NOT_AUTHORIZED);
            return PublishOutcome { verdict, reply: Some(Box::new(close)), ..PublishOutcome::default() }
                .into();
        }
        if !topic.starts_with("stamped/") {
            return PublishOutcome::default().into();
        }
        let mut stamped: ApplicationMessage = context.message.clone();
        let received_at = ("received-at".into(), context.now.0.to_string().into());
        stamped.properties.get_or_insert_default().user_properties.push(received_at);
        PublishOutcome { verdict: PublishVerdict::Modify(Box::new(stamped)), ..PublishOutcome::default() }
            .into()
    }

    // InterceptingSubscriptionAsync; once WithSubscriptionInterceptor.
    fn intercepting_subscription(&self, context: SubscribeContext<'_>) -> Answer<SubscribeOutcome> {
        let mut outcome = SubscribeOutcome::all_next(context.subscriptions.len());
        for (verdict, subscription) in outcome.verdicts.iter_mut().zip(context.subscriptions) {
            if subscription.filter.as_str() == "admin/#" {
                *verdict = SubscribeVerdict::Deny(ReasonCode::NOT_AUTHORIZED);
            }
        }
        outcome.into()
    }

    // ApplicationMessageNotConsumedAsync; once WithUndeliveredMessageInterceptor.
    fn application_message_not_consumed(
        &self,
        context: NotConsumedContext<'_>,
    ) -> Answer<NotConsumedOutcome> {
        eprintln!("nobody took {}", context.message.topic.as_str());
        NotConsumedOutcome::Observe.into()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(1883), |port| port.parse())?;
    let hooks = ValidateAndIntercept { user_name: "device".to_owned(), password: "open sesame".to_owned() };
    // Who is let in may use every topic; the hook `authorizer` would decide it topic by topic.
    let listener = ListenerOptions { default_authorization: true, ..ListenerOptions::loopback(port) };
    let server = Server::builder().listener(listener).hooks(Arc::new(hooks)).start().await?;
    println!("listening on {}; the user is `device`, the password `open sesame`", server.addresses()[0]);
    std::future::pending::<()>().await;
    server.shutdown().await;
    Ok(())
}
