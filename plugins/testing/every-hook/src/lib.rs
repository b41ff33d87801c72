//! Exports every hook and uses every power. What it does, the first level of the topic or filter says,
//! or the User Name; anything else passes. Its settings: `topics`, `eager-payload`,
//! `authorize-deliveries` go into its registration.

use serde::Deserialize;
use std::time::Duration;
use tidegate_plugin::Challenge;
use tidegate_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[derive(Default)]
struct Settings {
    topics: Vec<String>,
    eager_payload: Option<u32>,
    authorize_deliveries: bool,
}

struct EveryHook;

impl Lifecycle for EveryHook {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        log::info!("init");
        let Settings { topics, eager_payload, authorize_deliveries } = settings;
        Ok((EveryHook, Registration { topics, eager_payload, authorize_deliveries }))
    }

    fn drain(self) -> Option<Handover> {
        log::info!("drain");
        Some(Handover { state_version: 7, bytes: b"handed over".to_vec() })
    }

    fn migrate(&mut self, handover: Handover) -> Result<(), String> {
        log::info!("migrate", state_version = handover.state_version, bytes = handover.bytes.len());
        state::set("handover", &handover.bytes).map_err(|error| error.to_string())
    }
}

impl ValidatingConnection for EveryHook {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        match connect.user_name().unwrap_or_default() {
            "next" => ConnectVerdict::Next,
            "deny" => ConnectVerdict::Deny(reason::NOT_AUTHORIZED)
                .reason_string("denied as asked")
                .user_property("hook", "validating-connection"),
            "banned" => ConnectVerdict::Deny(reason::BANNED),
            "busy" => ConnectVerdict::Deny(reason::SERVER_BUSY),
            "moved" => ConnectVerdict::Deny(reason::USE_ANOTHER_SERVER).server_reference("elsewhere:1883"),
            "password" if connect.password() == Some(b"right") => ConnectVerdict::Allow,
            "password" => ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD),
            "renamed" => ConnectVerdict::Allow
                .assign_client_identifier(&format!("renamed-{}", connect.client_identifier())),
            "limits" => ConnectVerdict::Allow
                .cap_session_expiry(60)
                .server_keep_alive(30)
                .receive_maximum(5)
                .maximum_packet_size(1000)
                .user_property("hook", "validating-connection"),
            "expires" => ConnectVerdict::Allow.expires_at(clock::now_ms() + 1000),
            "describe" => describe(&connect),
            _ => ConnectVerdict::Allow,
        }
    }

    /// The method `every-hook`. Its data say what to do; a challenge is answered with what is to be done
    /// next.
    fn authenticate(&mut self, authentication: Authentication) -> AuthenticationVerdict {
        if authentication.method() != "every-hook" {
            return AuthenticationVerdict::Next;
        }
        let wish = authentication.data().map(String::from_utf8_lossy).unwrap_or_default();
        match &*wish {
            "allow" => AuthenticationVerdict::allow(),
            "welcome" => AuthenticationVerdict::allow_with("welcome"),
            "renew" => AuthenticationVerdict::allow().expires_at(clock::now_ms() + 1000),
            "named" => AuthenticationVerdict::allow().assign_user_name("proved").cap_session_expiry(60),
            "deny" => AuthenticationVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD)
                .reason_string("denied as asked")
                .user_property("hook", "validating-connection"),
            "banned" => AuthenticationVerdict::Deny(reason::BANNED),
            "quiet" => AuthenticationVerdict::Challenge(Challenge { data: None, state: Vec::new() }),
            "much" => AuthenticationVerdict::challenge("", vec![0; 4097]),
            "too-much" => AuthenticationVerdict::allow_with(vec![0; 65_536]),
            "rubbish" => AuthenticationVerdict::Deny(reason::SUCCESS),
            "panic" => panic!("as asked"),
            "describe" => describe_authentication(&authentication),
            "next" => AuthenticationVerdict::Next,
            // Each challenge tells all that was said so far.
            _ => {
                let state = [authentication.state().unwrap_or_default(), wish.as_bytes(), b";"].concat();
                AuthenticationVerdict::challenge(String::from_utf8_lossy(&state).into_owned(), state)
            }
        }
    }
}

/// The data of CONNACK say what the plugin saw.
fn describe_authentication(authentication: &Authentication) -> AuthenticationVerdict {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    AuthenticationVerdict::allow_with(format!(
        "{:?} client={} user={} method={} password={} state={}",
        authentication.purpose(),
        client::identifier(),
        client::user_name().unwrap_or_default(),
        authentication.method(),
        authentication.password().map(|password| text(&password)).unwrap_or_default(),
        authentication.state().map(text).unwrap_or_default(),
    ))
}

/// CONNACK's Reason String says what the plugin saw.
fn describe(connect: &Connect) -> ConnectVerdict {
    let will = connect.will().map(|will| format!("{}:{}", will.topic, will.payload_length));
    ConnectVerdict::Allow.reason_string(&format!(
        "client={} listener={} version={} clean-start={} keep-alive={} expiry={} will={} method={}",
        client::identifier(),
        client::listener(),
        client::protocol_version(),
        connect.clean_start(),
        connect.keep_alive(),
        connect.session_expiry_interval(),
        will.unwrap_or_default(),
        connect.authentication_method().unwrap_or_default(),
    ))
}

impl Authorizer for EveryHook {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        match (first_level(access.topic()), access.action()) {
            ("deny", _) => AuthorizerVerdict::deny(reason::NOT_AUTHORIZED).reason_string("denied as asked"),
            ("deny-publish", Action::Publish)
            | ("deny-subscribe", Action::Subscribe)
            | ("deny-delivery", Action::Deliver) => AuthorizerVerdict::deny(reason::NOT_AUTHORIZED),
            ("deny-cached", _) => {
                AuthorizerVerdict::deny(reason::NOT_AUTHORIZED).cached_for(Duration::from_secs(60))
            }
            ("next", _) => AuthorizerVerdict::Next,
            _ => AuthorizerVerdict::allow(),
        }
    }
}

impl InterceptingPublish for EveryHook {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        match first_level(publish.topic()) {
            "swallow" => PublishVerdict::Swallow,
            "reject" => PublishVerdict::Reject(reason::NOT_AUTHORIZED)
                .reason_string("rejected as asked")
                .user_property("hook", "intercepting-publish"),
            "reject-quota" => PublishVerdict::Reject(reason::QUOTA_EXCEEDED),
            "reject-format" => PublishVerdict::Reject(reason::PAYLOAD_FORMAT_INVALID),
            "modify" => modify(&publish),
            "reverse" => PublishVerdict::Modify(
                Modification::new().payload(publish.payload().iter().rev().copied().collect::<Vec<u8>>()),
            ),
            "retain" => PublishVerdict::Modify(Modification::new().retain(true)),
            "unretain" => PublishVerdict::Modify(Modification::new().retain(false)),
            "qos0" => PublishVerdict::Modify(Modification::new().qos(Qos::AtMostOnce)),
            "properties" => properties(&publish),
            "close" => PublishVerdict::Continue.close(reason::ADMINISTRATIVE_ACTION),
            "reject-close" => {
                PublishVerdict::Reject(reason::QUOTA_EXCEEDED).close(reason::MESSAGE_RATE_TOO_HIGH)
            }
            "publish" => publish_another(&publish),
            "disconnect" => disconnect(&publish),
            "ask" => answer(&publish),
            _ => PublishVerdict::Continue,
        }
    }
}

/// To `modified/…`, payload in capitals, QoS 0, not retained.
fn modify(publish: &Publish) -> PublishVerdict {
    PublishVerdict::Modify(Modification {
        topic: Some(instead(publish.topic(), "modified")),
        payload: Some(publish.payload().to_ascii_uppercase()),
        qos: Some(Qos::AtMostOnce),
        retain: Some(false),
    })
}

fn properties(publish: &Publish) -> PublishVerdict {
    let mut properties = publish.user_properties();
    properties.push(UserProperty::new("origin", format!("{:?}", publish.origin())));
    publish.set_user_properties(&properties);
    publish.set_content_type(Some("text/plain"));
    publish.set_response_topic(Some("answers"));
    publish.set_message_expiry_interval(Some(60));
    PublishVerdict::Continue
}

/// Loops, unless the broker's guard ends it: the message goes to its own topic again.
fn publish_another(publish: &Publish) -> PublishVerdict {
    let verdict = broker::publish(publish.topic(), publish.payload(), publish.qos(), publish.retain());
    log::info!("published another", result = format!("{verdict:?}"));
    PublishVerdict::Continue
}

/// `disconnect/{client identifier}`.
fn disconnect(publish: &Publish) -> PublishVerdict {
    let client = instead(publish.topic(), "");
    let result = broker::disconnect(client.trim_start_matches('/'), reason::ADMINISTRATIVE_ACTION);
    log::info!("disconnect", result = format!("{result:?}"));
    PublishVerdict::Continue
}

/// `ask/{key}` makes the plugin publish that key of its state as `answer/{key}`.
fn answer(publish: &Publish) -> PublishVerdict {
    let answer = instead(publish.topic(), "answer");
    let value = state::get(answer.trim_start_matches("answer/")).unwrap_or_default();
    match broker::publish(&answer, &value, Qos::AtLeastOnce, false) {
        Ok(()) => PublishVerdict::Swallow,
        Err(_) => PublishVerdict::Reject(reason::QUOTA_EXCEEDED),
    }
}

impl InterceptingClientEnqueue for EveryHook {
    fn intercept(&mut self, enqueue: Enqueue) -> EnqueueVerdict {
        match first_level(enqueue.topic()) {
            "skip" => EnqueueVerdict::Skip,
            "skip-sender" => except_sender(&enqueue),
            "copy" => shared_copy(&enqueue),
            "name" => named_copies(&enqueue),
            "groups" => grouped_copies(&enqueue),
            "short" => {
                EnqueueVerdict::Choose(Choices::deliver_all(enqueue.receivers().len().saturating_sub(1)))
            }
            _ => EnqueueVerdict::Deliver,
        }
    }
}

fn except_sender(enqueue: &Enqueue) -> EnqueueVerdict {
    let mut choices = enqueue.choices();
    for (index, receiver) in enqueue.receivers().iter().enumerate() {
        if receiver.client == enqueue.client() {
            choices.skip(index);
        }
    }
    choices.into()
}

/// The first receiver gets it as it is, all others share a copy that ends in ` copy`.
fn shared_copy(enqueue: &Enqueue) -> EnqueueVerdict {
    let mut choices = enqueue.choices();
    let copy = choices.copy(Modification::new().payload([enqueue.payload(), b" copy"].concat()));
    for index in 1..enqueue.receivers().len() {
        choices.deliver_copy(index, copy);
    }
    choices.into()
}

/// `groups/{count}`: so many groups of receivers, told apart by their sessions, each of which shares a copy that begins
/// with the group's number.
fn grouped_copies(enqueue: &Enqueue) -> EnqueueVerdict {
    let groups = enqueue.topic().rsplit('/').next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let mut choices = enqueue.choices();
    let mut copies = vec![None; groups];
    for (index, receiver) in enqueue.receivers().iter().enumerate() {
        let group = receiver.session as usize % groups;
        let copy = *copies[group].get_or_insert_with(|| {
            let mut payload = enqueue.payload().to_vec();
            payload.insert(0, group as u8);
            choices.copy(Modification::new().payload(payload))
        });
        choices.deliver_copy(index, copy);
    }
    choices.into()
}

/// A copy for every receiver, with its Client Identifier as payload.
fn named_copies(enqueue: &Enqueue) -> EnqueueVerdict {
    let mut choices = enqueue.choices();
    for (index, receiver) in enqueue.receivers().iter().enumerate() {
        let name = client::session_identifier(receiver.session).unwrap_or_default();
        let copy = choices.copy(Modification::new().payload(name));
        choices.deliver_copy(index, copy);
    }
    choices.into()
}

impl InterceptingSubscription for EveryHook {
    fn intercept(&mut self, subscribe: Subscribe) -> Vec<SubscriptionVerdict> {
        if subscribe.subscriptions().iter().any(|subscription| first_level(&subscription.filter) == "too-few")
        {
            return Vec::new();
        }
        subscribe.each(judge)
    }
}

fn judge(subscription: &Subscription) -> SubscriptionVerdict {
    match first_level(topic::without_share(&subscription.filter)) {
        "cap0" => SubscriptionVerdict::at_most(Qos::AtMostOnce),
        "cap1" => SubscriptionVerdict::at_most(Qos::AtLeastOnce),
        "rewrite" => {
            SubscriptionVerdict::instead(instead(&subscription.filter, "rewritten"), subscription.maximum_qos)
        }
        "nowhere" => SubscriptionVerdict::GrantWithoutRouting,
        "deny-filter" => SubscriptionVerdict::Deny(reason::NOT_AUTHORIZED)
            .reason_string("denied as asked")
            .user_property("hook", "intercepting-subscription"),
        _ => SubscriptionVerdict::Next,
    }
}

impl InterceptingUnsubscription for EveryHook {
    fn intercept(&mut self, unsubscribe: Unsubscribe) -> Vec<UnsubscriptionVerdict> {
        unsubscribe.each(|filter| match first_level(filter) {
            "keep" => UnsubscriptionVerdict::Keep,
            "locked" => UnsubscriptionVerdict::Deny(reason::NOT_AUTHORIZED).reason_string("denied as asked"),
            _ => UnsubscriptionVerdict::Next,
        })
    }
}

impl ApplicationMessageNotConsumed for EveryHook {
    fn not_consumed(&mut self, message: NotConsumed) -> NotConsumedVerdict {
        match first_level(message.topic()) {
            "redirect" => NotConsumedVerdict::Redirect(instead(message.topic(), "redirected")),
            "answer-quota" => NotConsumedVerdict::Answer(reason::QUOTA_EXCEEDED),
            _ => NotConsumedVerdict::Observe,
        }
    }
}

/// Counts events in the state, under `events/{kind}`; `ask/events/{kind}` tells.
impl Events for EveryHook {
    fn handle(&mut self, events: &[Event<'_>]) {
        for event in events {
            let kind = kind(&event.what);
            log::info!("event", kind = kind);
            let _ = state::atomic_add(&format!("events/{kind}"), 1);
        }
    }
}

fn kind(what: &What<'_>) -> &'static str {
    match what {
        What::Started => "started",
        What::Stopped => "stopped",
        What::ClientConnected(_) => "client-connected",
        What::ClientDisconnected(_) => "client-disconnected",
        What::ClientSubscribedTopic(_) => "client-subscribed-topic",
        What::ClientUnsubscribedTopic(_) => "client-unsubscribed-topic",
        What::ClientAcknowledgedPublishPacket(_) => "client-acknowledged-publish-packet",
        What::SessionCreated(_) => "session-created",
        What::SessionDeleted(_) => "session-deleted",
        What::MessageDropped(_) => "message-dropped",
        What::RetainedMessageChanged(_) => "retained-message-changed",
    }
}

fn first_level(topic: &str) -> &str {
    topic.split('/').next().unwrap_or_default()
}

fn instead(topic: &str, first: &str) -> String {
    let rest = &topic[first_level(topic).len()..];
    format!("{first}{rest}")
}

tidegate_plugin::export!(EveryHook:
    lifecycle,
    validating_connection,
    authorizer,
    intercepting_publish,
    intercepting_client_enqueue,
    intercepting_subscription,
    intercepting_unsubscription,
    application_message_not_consumed,
    events,
);
