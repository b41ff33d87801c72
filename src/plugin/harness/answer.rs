//! What a plugin answered, in the words of a case.

use bytestring::ByteString;
use serde_json::{Map, Value, json};

use crate::hook::{
    AuthenticateOutcome, AuthenticateVerdict, Authorization, AuthorizationVerdict, Choice, ConnectOutcome,
    ConnectOverrides, ConnectVerdict, EnqueueOutcome, NotConsumedOutcome, PublishOutcome, PublishVerdict,
    Receiver, Reply, Request, SubscribeOutcome, SubscribeVerdict, UnsubscribeOutcome, UnsubscribeVerdict,
};
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::ReasonCode;

pub(super) type Table = Map<String, Value>;

/// What one call brought: its verdict and its effects.
#[derive(Clone, Debug)]
pub struct Found {
    /// The keys are those that a case may expect.
    pub fields: Table,
    /// Units of fuel; none where it is not metered.
    pub fuel: Option<u64>,
}

impl Found {
    pub fn verdict(&self) -> &str {
        self.fields.get("verdict").and_then(Value::as_str).unwrap_or_default()
    }

    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let mut fields = self.fields.clone();
        if let Some(fuel) = self.fuel {
            fields.insert("fuel".into(), fuel.into());
        }
        Value::Object(fields)
    }
}

/// What the chain answered.
pub(super) enum Outcome {
    Ready {
        topics: Vec<String>,
        authorize_deliveries: bool,
    },
    Refused(String),
    Connect(ConnectOutcome),
    Authenticate(AuthenticateOutcome),
    Authorize(Authorization, Option<ReasonCode>),
    /// With whether the plugin was asked about this topic at all.
    Publish(PublishOutcome, bool),
    Enqueue(EnqueueOutcome),
    Subscribe(SubscribeOutcome),
    Unsubscribe(UnsubscribeOutcome),
    NotConsumed(NotConsumedOutcome, bool),
    Observed,
    Failed(String),
}

impl Outcome {
    /// Tells apart what a call answered, quickly and roughly: verdict and Reason Code.
    pub(super) fn mark(&self) -> (u8, u8) {
        let code = |reason: &ReasonCode| reason.value();
        match self {
            Outcome::Connect(outcome) => match &outcome.verdict {
                ConnectVerdict::Next => (1, 0),
                ConnectVerdict::Allow => (2, 0),
                ConnectVerdict::Deny(reason) => (3, code(reason)),
            },
            Outcome::Authenticate(outcome) => match &outcome.verdict {
                AuthenticateVerdict::Next => (1, 0),
                AuthenticateVerdict::Allow(_) => (2, 0),
                AuthenticateVerdict::Deny(reason) => (3, code(reason)),
                AuthenticateVerdict::Challenge(_) => (4, 0),
            },
            Outcome::Authorize(answer, _) => match &answer.verdict {
                AuthorizationVerdict::Next => (1, 0),
                AuthorizationVerdict::Allow => (2, 0),
                AuthorizationVerdict::Deny(reason) => (3, code(reason)),
            },
            Outcome::Publish(outcome, _) => match &outcome.verdict {
                PublishVerdict::Continue => (1, 0),
                PublishVerdict::Modify(_) => (2, 0),
                PublishVerdict::Swallow => (3, 0),
                PublishVerdict::Reject(reason) => (4, code(reason)),
            },
            Outcome::Enqueue(outcome) => match outcome {
                EnqueueOutcome::Deliver => (1, 0),
                EnqueueOutcome::Skip => (2, 0),
                EnqueueOutcome::Choose { .. } => (3, 0),
            },
            Outcome::Subscribe(outcome) => match outcome.verdicts.first() {
                Some(SubscribeVerdict::Deny(reason)) => (2, code(reason)),
                Some(SubscribeVerdict::Grant { maximum_qos, .. }) => (3, *maximum_qos as u8),
                Some(SubscribeVerdict::GrantWithoutRouting) => (4, 0),
                Some(SubscribeVerdict::Next) | None => (1, 0),
            },
            Outcome::Unsubscribe(outcome) => match outcome.verdicts.first() {
                Some(UnsubscribeVerdict::Deny(reason)) => (2, code(reason)),
                Some(UnsubscribeVerdict::Keep) => (3, 0),
                Some(UnsubscribeVerdict::Next) | None => (1, 0),
            },
            Outcome::NotConsumed(outcome, _) => match outcome {
                NotConsumedOutcome::Observe => (1, 0),
                NotConsumedOutcome::Redirect(_) => (2, 0),
                NotConsumedOutcome::Answer(reason) => (3, code(reason)),
            },
            Outcome::Ready { .. } | Outcome::Observed => (1, 0),
            Outcome::Refused(_) => (2, 0),
            Outcome::Failed(_) => (0, 0),
        }
    }

    /// `asked` are the message and the receivers that the call was about.
    pub(super) fn describe(
        self,
        message: Option<&ApplicationMessage>,
        receivers: &[Receiver],
        now: Timestamp,
    ) -> Table {
        let mut table = Table::new();
        match self {
            Outcome::Ready { topics, authorize_deliveries } => {
                verdict(&mut table, "ready");
                table.insert("topics".into(), topics.into());
                table.insert("authorize-deliveries".into(), authorize_deliveries.into());
            }
            Outcome::Refused(error) => failed(&mut table, "refuse", error),
            Outcome::Failed(error) => failed(&mut table, "trap", error),
            Outcome::Observed => verdict(&mut table, "observe"),
            Outcome::Connect(outcome) => {
                match outcome.verdict {
                    ConnectVerdict::Next => verdict(&mut table, "next"),
                    ConnectVerdict::Allow => verdict(&mut table, "allow"),
                    ConnectVerdict::Deny(reason) => refusal(&mut table, "deny", reason),
                }
                overrides(&mut table, &outcome.overrides);
                reply(&mut table, outcome.reply.as_deref(), "user-properties");
            }
            Outcome::Authenticate(outcome) => authentication(&mut table, &outcome),
            Outcome::Authorize(answer, close) => {
                match answer.verdict {
                    AuthorizationVerdict::Next => verdict(&mut table, "next"),
                    AuthorizationVerdict::Allow => verdict(&mut table, "allow"),
                    AuthorizationVerdict::Deny(reason) => refusal(&mut table, "deny", reason),
                }
                let cache = u64::try_from(answer.cache.as_millis()).unwrap_or(u64::MAX);
                table.insert("cache-ms".into(), cache.into());
                put(&mut table, "close", close.map(ReasonCode::value));
            }
            Outcome::Publish(outcome, asked) => {
                publish(&mut table, &outcome, message, now);
                table.insert("asked".into(), asked.into());
                reply(&mut table, outcome.reply.as_deref(), "reply-user-properties");
            }
            Outcome::Enqueue(outcome) => enqueue(&mut table, &outcome, receivers, now),
            Outcome::Subscribe(outcome) => {
                each(&mut table, outcome.verdicts.iter().map(subscription).collect());
                reply(&mut table, outcome.reply.as_deref(), "user-properties");
            }
            Outcome::Unsubscribe(outcome) => {
                each(&mut table, outcome.verdicts.iter().map(unsubscription).collect());
                reply(&mut table, outcome.reply.as_deref(), "user-properties");
            }
            Outcome::NotConsumed(outcome, asked) => {
                match outcome {
                    NotConsumedOutcome::Observe => verdict(&mut table, "observe"),
                    NotConsumedOutcome::Redirect(topic) => {
                        verdict(&mut table, "redirect");
                        table.insert("topic".into(), topic.as_str().into());
                    }
                    NotConsumedOutcome::Answer(reason) => refusal(&mut table, "answer", reason),
                }
                table.insert("asked".into(), asked.into());
            }
        }
        table
    }
}

fn verdict(table: &mut Table, word: &str) {
    table.insert("verdict".into(), word.into());
}

fn refusal(table: &mut Table, word: &str, reason: ReasonCode) {
    verdict(table, word);
    table.insert("reason".into(), reason.value().into());
}

fn failed(table: &mut Table, word: &str, error: String) {
    verdict(table, word);
    table.insert("error".into(), error.into());
}

fn put<T: Into<Value>>(table: &mut Table, key: &str, value: Option<T>) {
    if let Some(value) = value {
        table.insert(key.into(), value.into());
    }
}

/// As text where it is text, else in hexadecimal digits.
pub(super) fn put_bytes(table: &mut Table, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => table.insert(key.into(), text.into()),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            table.insert(format!("{key}-hex"), digits.into())
        }
    };
}

/// A table where each name comes once.
pub(super) fn properties(properties: &[(ByteString, ByteString)]) -> Value {
    let table: Table =
        properties.iter().map(|(name, value)| (name.to_string(), Value::from(value.to_string()))).collect();
    if table.len() == properties.len() {
        return Value::Object(table);
    }
    properties.iter().map(|(name, value)| json!([name.to_string(), value.to_string()])).collect()
}

fn reply(table: &mut Table, reply: Option<&Reply>, user_properties: &str) {
    let Some(reply) = reply else { return };
    put(table, "reason-string", reply.reason_string.as_ref().map(ByteString::to_string));
    put(table, "server-reference", reply.server_reference.as_ref().map(ByteString::to_string));
    put(table, "close", reply.close.map(ReasonCode::value));
    if !reply.user_properties.is_empty() {
        table.insert(user_properties.into(), properties(&reply.user_properties));
    }
}

fn overrides(table: &mut Table, overrides: &ConnectOverrides) {
    let text = |text: &Option<ByteString>| text.as_ref().map(ByteString::to_string);
    put(table, "assigned-client-identifier", text(&overrides.client_identifier));
    put(table, "assigned-user-name", text(&overrides.user_name));
    put(table, "session-expiry-cap", overrides.session_expiry_cap);
    put(table, "server-keep-alive", overrides.server_keep_alive);
    put(table, "receive-maximum", overrides.receive_maximum);
    put(table, "maximum-packet-size", overrides.maximum_packet_size);
    put(table, "expires-at-ms", overrides.expires_at.map(|at| at.0));
    put(table, "mount-prefix", overrides.mount_prefix.as_ref().map(ToString::to_string));
    let mut items = Table::new();
    for (key, value) in &overrides.session_items {
        put_bytes(&mut items, key, value);
    }
    if !items.is_empty() {
        table.insert("session-items".into(), Value::Object(items));
    }
}

fn authentication(table: &mut Table, outcome: &AuthenticateOutcome) {
    match &outcome.verdict {
        AuthenticateVerdict::Next => verdict(table, "next"),
        AuthenticateVerdict::Allow(data) => {
            verdict(table, "allow");
            if let Some(data) = data {
                put_bytes(table, "authentication-data", data);
            }
        }
        AuthenticateVerdict::Deny(reason) => refusal(table, "deny", *reason),
        AuthenticateVerdict::Challenge(challenge) => {
            verdict(table, "challenge");
            if let Some(data) = &challenge.data {
                put_bytes(table, "authentication-data", data);
            }
            put_bytes(table, "challenge-state", &challenge.exchange.state);
        }
    }
    overrides(table, &outcome.overrides);
    reply(table, outcome.reply.as_deref(), "user-properties");
}

fn publish(
    table: &mut Table,
    outcome: &PublishOutcome,
    message: Option<&ApplicationMessage>,
    now: Timestamp,
) {
    match &outcome.verdict {
        PublishVerdict::Continue => {
            verdict(table, "continue");
            table.insert("changed".into(), false.into());
            if let Some(message) = message {
                put_message(table, message, now);
            }
        }
        PublishVerdict::Modify(changed) => {
            verdict(table, "modify");
            table.insert("changed".into(), true.into());
            put_message(table, changed, now);
        }
        PublishVerdict::Swallow => verdict(table, "swallow"),
        PublishVerdict::Reject(reason) => refusal(table, "reject", *reason),
    }
}

pub(super) fn put_message(table: &mut Table, message: &ApplicationMessage, now: Timestamp) {
    table.insert("topic".into(), message.topic.as_str().into());
    put_bytes(table, "payload", &message.payload);
    table.insert("qos".into(), u8::from(message.qos).into());
    table.insert("retain".into(), message.retain.into());
    put(table, "message-expiry-interval", message.expiry_interval(now));
    let Some(of_message) = &message.properties else { return };
    put(table, "content-type", of_message.content_type.as_ref().map(ByteString::to_string));
    put(table, "response-topic", of_message.response_topic.as_ref().map(ByteString::to_string));
    put(table, "payload-format-indicator", of_message.payload_format_indicator);
    if let Some(data) = &of_message.correlation_data {
        put_bytes(table, "correlation-data", data);
    }
    if !of_message.user_properties.is_empty() {
        table.insert("user-properties".into(), properties(&of_message.user_properties));
    }
}

/// What each receiver gets, in their order.
fn enqueue(table: &mut Table, outcome: &EnqueueOutcome, receivers: &[Receiver], now: Timestamp) {
    let word = match outcome {
        EnqueueOutcome::Deliver => "deliver",
        EnqueueOutcome::Skip => "skip",
        EnqueueOutcome::Choose { .. } => "choose",
    };
    verdict(table, word);
    let gets = |(index, receiver): (usize, &Receiver)| {
        let mut gets = Table::new();
        gets.insert("client".into(), receiver.client_identifier.to_string().into());
        match outcome {
            EnqueueOutcome::Choose { choices, copies } => match choices.get(index) {
                Some(Choice::Copy(copy)) => {
                    verdict(&mut gets, "copy");
                    if let Some(copy) = copies.get(*copy as usize) {
                        put_message(&mut gets, copy, now);
                    }
                }
                Some(Choice::Skip) => verdict(&mut gets, "skip"),
                Some(Choice::Deliver) | None => verdict(&mut gets, "deliver"),
            },
            _ => verdict(&mut gets, word),
        }
        Value::Object(gets)
    };
    let receivers = receivers.iter().enumerate().map(gets).collect();
    table.insert("receivers".into(), Value::Array(receivers));
}

/// Of several filters a list; of one what there is at once.
fn each(table: &mut Table, verdicts: Vec<Table>) {
    if let [only] = &verdicts[..] {
        table.extend(only.clone());
    } else {
        verdict(table, "several");
    }
    table.insert("verdicts".into(), verdicts.into_iter().map(Value::Object).collect());
}

fn subscription(answer: &SubscribeVerdict) -> Table {
    let mut table = Table::new();
    match answer {
        SubscribeVerdict::Next => verdict(&mut table, "next"),
        SubscribeVerdict::Grant { maximum_qos, filter } => {
            verdict(&mut table, "grant");
            table.insert("qos".into(), u8::from(*maximum_qos).into());
            put(&mut table, "filter", filter.as_ref().map(|filter| filter.as_str().to_owned()));
        }
        SubscribeVerdict::GrantWithoutRouting => verdict(&mut table, "grant-without-routing"),
        SubscribeVerdict::Deny(reason) => refusal(&mut table, "deny", *reason),
    }
    table
}

fn unsubscription(answer: &UnsubscribeVerdict) -> Table {
    let mut table = Table::new();
    match answer {
        UnsubscribeVerdict::Next => verdict(&mut table, "next"),
        UnsubscribeVerdict::Keep => verdict(&mut table, "keep"),
        UnsubscribeVerdict::Deny(reason) => refusal(&mut table, "deny", *reason),
    }
    table
}

/// What the plugin asked of the broker, as lists by what it was.
pub(super) fn put_requests(table: &mut Table, requests: Vec<Request>, now: Timestamp) {
    let mut add = |list: &str, entry: Table| {
        if let Value::Array(entries) = table.entry(list).or_insert_with(|| json!([])) {
            entries.push(Value::Object(entry));
        }
    };
    for request in requests {
        let mut entry = Table::new();
        match request {
            Request::Publish(message) => {
                put_message(&mut entry, &message, now);
                add("published", entry);
            }
            Request::PublishLater(delayed) => {
                put_message(&mut entry, &delayed.message, now);
                let delay = u64::try_from(delayed.delay.as_millis()).unwrap_or(u64::MAX);
                entry.insert("delay-ms".into(), delay.into());
                add("published", entry);
            }
            Request::Disconnect { client_identifier, reason } => {
                entry.insert("client".into(), client_identifier.to_string().into());
                entry.insert("reason".into(), reason.value().into());
                add("disconnected", entry);
            }
            Request::Subscribe { client_identifier, filter, maximum_qos } => {
                entry.insert("client".into(), client_identifier.to_string().into());
                entry.insert("filter".into(), filter.as_str().into());
                entry.insert("qos".into(), u8::from(maximum_qos).into());
                add("subscribed", entry);
            }
            Request::Unsubscribe { client_identifier, filter } => {
                entry.insert("client".into(), client_identifier.to_string().into());
                entry.insert("filter".into(), filter.as_str().into());
                add("unsubscribed", entry);
            }
        }
    }
}
