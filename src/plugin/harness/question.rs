//! What a plugin is asked without a broker: the input of a case, as the context that the broker would give.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::{Map, Value};

use super::super::options::Hook;
use super::events;
use super::fields::Fields;
use super::known;
use crate::hook::{Action, ClientInfo, Event, ListenerPolicy, Receiver, SubscriptionRequest, WhyNotConsumed};
use crate::message::{ApplicationMessage, ClientKey, Origin};
use crate::packet::{Connect, ProtocolVersion, PublishProperties, QoS, RetainHandling, Will};
use crate::topic::{TopicFilter, TopicName};

/// One call of one hook.
#[derive(Clone, Debug)]
pub struct Question {
    pub(super) asked: Asked,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Not a hook: whether the plugin starts with these settings.
    Init(Value),
    Connect {
        client: Arc<ClientInfo>,
        connect: Box<Connect>,
    },
    Authenticate {
        client: Arc<ClientInfo>,
        /// None: it is a re-authentication.
        connect: Option<Box<Connect>>,
        method: ByteString,
        data: Option<Bytes>,
        /// What the plugin left with its challenge.
        state: Option<Bytes>,
    },
    Authorize {
        client: Arc<ClientInfo>,
        action: Action,
        topic: String,
        qos: QoS,
        retain: bool,
    },
    Publish {
        client: Option<Arc<ClientInfo>>,
        message: Box<ApplicationMessage>,
    },
    Enqueue {
        sender: Option<Arc<ClientInfo>>,
        message: Box<ApplicationMessage>,
        receivers: Vec<Receiver>,
    },
    Subscribe {
        client: Arc<ClientInfo>,
        subscriptions: Vec<SubscriptionRequest>,
        identifier: Option<u32>,
    },
    Unsubscribe {
        client: Arc<ClientInfo>,
        filters: Vec<TopicFilter>,
    },
    NotConsumed {
        client: Option<Arc<ClientInfo>>,
        message: Box<ApplicationMessage>,
        why: WhyNotConsumed,
    },
    Events(Vec<Event>),
}

/// The name by which a case asks for `lifecycle.init`.
pub(super) const INIT: &str = "init";

impl Question {
    /// Reads the input for a hook, which is named as in the configuration; `init` starts the plugin anew.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(hook: &str, input: &Map<String, Value>) -> Result<Question, Vec<String>> {
        let problems = RefCell::default();
        let question = read(hook, Fields::new(input, "input", &problems));
        match (question, problems.into_inner()) {
            (Some(asked), problems) if problems.is_empty() => Ok(Question { asked }),
            (_, problems) => Err(problems),
        }
    }

    /// None for `init`.
    pub(super) fn hook(&self) -> Option<Hook> {
        Some(match &self.asked {
            Asked::Init(_) => return None,
            Asked::Connect { .. } | Asked::Authenticate { .. } => Hook::ValidatingConnection,
            Asked::Authorize { .. } => Hook::Authorizer,
            Asked::Publish { .. } => Hook::InterceptingPublish,
            Asked::Enqueue { .. } => Hook::InterceptingClientEnqueue,
            Asked::Subscribe { .. } => Hook::InterceptingSubscription,
            Asked::Unsubscribe { .. } => Hook::InterceptingUnsubscription,
            Asked::NotConsumed { .. } => Hook::ApplicationMessageNotConsumed,
            Asked::Events(_) => Hook::Events,
        })
    }
}

fn read(hook: &str, fields: Fields<'_>) -> Option<Asked> {
    let Some(known) = Hook::from_name(hook) else {
        return match hook {
            INIT => {
                let settings = fields.get("settings").cloned().unwrap_or_else(|| Map::new().into());
                fields.finish();
                Some(Asked::Init(settings))
            }
            _ => fields.problem("hook", format!("`{hook}` is no hook; hooks are {INIT}, {}", names())),
        };
    };
    let asked = match known {
        Hook::ValidatingConnection => read_connect(&fields),
        Hook::Authorizer => Asked::Authorize {
            client: client(&fields),
            action: fields.choice("action", &ACTIONS).unwrap_or(Action::Publish),
            topic: required(&fields, "topic").unwrap_or_default().to_owned(),
            qos: fields.qos("qos").unwrap_or_default(),
            retain: fields.boolean("retain").unwrap_or_default(),
        },
        Hook::InterceptingPublish => {
            let message = message(&fields);
            Asked::Publish { client: sender(&fields, &message), message: Box::new(message) }
        }
        Hook::InterceptingClientEnqueue => {
            let message = message(&fields);
            let sender = sender(&fields, &message);
            Asked::Enqueue { sender, message: Box::new(message), receivers: receivers(&fields) }
        }
        Hook::InterceptingSubscription => Asked::Subscribe {
            client: client(&fields),
            subscriptions: filters(&fields, subscription),
            identifier: fields.number("subscription-identifier"),
        },
        Hook::InterceptingUnsubscription => Asked::Unsubscribe {
            client: client(&fields),
            filters: filters(&fields, |fields| fields.parsed("filter", |text| TopicFilter::try_from(text))),
        },
        Hook::ApplicationMessageNotConsumed => {
            let message = message(&fields);
            let client = sender(&fields, &message);
            let why = fields.choice("why", &WHY).unwrap_or(WhyNotConsumed::NoSubscriber);
            Asked::NotConsumed { client, message: Box::new(message), why }
        }
        Hook::Events => Asked::Events(events::read(&fields)),
    };
    fields.finish();
    Some(asked)
}

fn names() -> String {
    Hook::ALL.map(Hook::name).join(", ")
}

const ACTIONS: [(&str, Action); 3] =
    [("publish", Action::Publish), ("subscribe", Action::Subscribe), ("deliver", Action::Deliver)];

const WHY: [(&str, WhyNotConsumed); 2] =
    [("no-subscriber", WhyNotConsumed::NoSubscriber), ("all-vetoed", WhyNotConsumed::AllVetoed)];

const ORIGINS: [(&str, Origin); 6] = [
    ("client", Origin::Client),
    ("will", Origin::Will),
    ("injected", Origin::Injected),
    ("bridge", Origin::Bridge),
    ("cluster", Origin::Cluster),
    ("retained", Origin::Retained),
];

fn required<'a>(fields: &Fields<'a>, key: &str) -> Option<&'a str> {
    match fields.get(key) {
        Some(_) => fields.text(key),
        None => fields.problem(key, "is missing"),
    }
}

/// The client of a case has the key 1.
const CLIENT: ClientKey = ClientKey(1);
/// Hooks do not see it.
const ANOTHER: ClientKey = ClientKey(2);

pub(super) fn client(fields: &Fields<'_>) -> Arc<ClientInfo> {
    let user_properties = fields.properties("connect-user-properties").unwrap_or_default();
    client_with(fields, user_properties)
}

fn client_with(fields: &Fields<'_>, user_properties: Vec<(ByteString, ByteString)>) -> Arc<ClientInfo> {
    Arc::new(client_of(CLIENT, fields, user_properties))
}

/// One that a lookup finds.
pub(super) fn other_client(fields: &Fields<'_>) -> Arc<ClientInfo> {
    Arc::new(client_of(ANOTHER, fields, Vec::new()))
}

fn client_of(
    key: ClientKey,
    fields: &Fields<'_>,
    user_properties: Vec<(ByteString, ByteString)>,
) -> ClientInfo {
    let (remote, transport) = known::remote(fields);
    ClientInfo {
        key,
        client_identifier: fields.text("client").unwrap_or("client").into(),
        user_name: fields.text("user-name").map(Box::from),
        remote: Some(remote),
        protocol_version: protocol_version(fields),
        listener: Arc::new(ListenerPolicy {
            transport,
            ..ListenerPolicy::new(fields.text("listener").unwrap_or("default"))
        }),
        user_properties: user_properties.into(),
    }
}

fn protocol_version(fields: &Fields<'_>) -> ProtocolVersion {
    match fields.number::<u8>("protocol-version") {
        None | Some(5) => ProtocolVersion::V5,
        Some(4) => ProtocolVersion::V311,
        Some(_) => {
            fields.problem::<()>("protocol-version", "is 4 for MQTT 3.1.1 or 5 for MQTT 5.0");
            ProtocolVersion::V5
        }
    }
}

/// Who sent a message: a client, unless nobody did.
fn sender(fields: &Fields<'_>, message: &ApplicationMessage) -> Option<Arc<ClientInfo>> {
    let client = client(fields);
    matches!(message.origin, Origin::Client | Origin::Will).then_some(client)
}

pub(super) fn message(fields: &Fields<'_>) -> ApplicationMessage {
    let topic = required(fields, "topic").map(TopicName::try_from);
    let topic = match topic {
        Some(Ok(topic)) => topic,
        Some(Err(error)) => fields.problem("topic", error).unwrap_or_else(some_topic),
        None => some_topic(),
    };
    let origin = fields.choice("origin", &ORIGINS).unwrap_or(Origin::Client);
    let mut message = ApplicationMessage::new(topic, fields.bytes("payload").unwrap_or_default())
        .with_qos(fields.qos("qos").unwrap_or_default())
        .with_retain(fields.boolean("retain").unwrap_or_default());
    message.origin = origin;
    if matches!(origin, Origin::Client | Origin::Will) {
        message.publisher = CLIENT;
    }
    message.depth = fields.number("depth").unwrap_or_default();
    let properties = PublishProperties {
        payload_format_indicator: fields.boolean("payload-format-indicator"),
        message_expiry_interval: fields.number("message-expiry-interval"),
        content_type: fields.string("content-type"),
        response_topic: fields.string("response-topic"),
        correlation_data: fields.bytes("correlation-data"),
        user_properties: fields.properties("user-properties").unwrap_or_default(),
    };
    message.properties = (properties != PublishProperties::default()).then(|| Box::new(properties));
    message
}

/// In place of one that is wrong, and told as such.
pub(super) fn some_topic() -> TopicName {
    TopicName::try_from("wrong").unwrap_or_else(|_| unreachable!("a word is a Topic Name"))
}

fn read_connect(fields: &Fields<'_>) -> Asked {
    let user_properties = fields.properties("user-properties").unwrap_or_default();
    let client = client_with(fields, user_properties.clone());
    let mut connect = Connect::new(client.protocol_version, ByteString::from(&*client.client_identifier));
    connect.user_name = client.user_name.as_deref().map(ByteString::from);
    connect.password = fields.bytes("password");
    connect.clean_start = fields.boolean("clean-start").unwrap_or(true);
    connect.keep_alive = fields.number("keep-alive").unwrap_or(60);
    connect.session_expiry_interval = fields.number("session-expiry-interval");
    connect.user_properties = user_properties;
    connect.will = fields.fields("will").map(|will| Box::new(read_will(will)));
    let method = fields.string("authentication-method");
    let data = fields.bytes("authentication-data");
    let state = fields.bytes("challenge-state");
    let again = fields.boolean("re-authenticate").unwrap_or_default();
    let connect = Box::new(connect);
    let Some(method) = method else { return Asked::Connect { client, connect } };
    let connect = Box::new(Connect {
        authentication_method: Some(method.clone()),
        authentication_data: data.clone(),
        ..*connect
    });
    Asked::Authenticate { client, connect: (!again).then_some(connect), method, data, state }
}

fn read_will(fields: Fields<'_>) -> Will {
    let will = Will {
        topic: fields.string("topic").unwrap_or_default(),
        payload: fields.bytes("payload").unwrap_or_default(),
        qos: fields.qos("qos").unwrap_or_default(),
        retain: fields.boolean("retain").unwrap_or_default(),
        delay_interval: fields.number("delay-interval").unwrap_or_default(),
        properties: None,
    };
    fields.finish();
    will
}

/// `filters`, a list of texts and tables, or one `filter` with what belongs to it.
fn filters<T>(fields: &Fields<'_>, read: impl Fn(&Fields<'_>) -> Option<T>) -> Vec<T> {
    let Some(list) = fields.list("filters") else {
        if fields.get("filter").is_none() {
            fields.problem::<()>("filters", "is missing");
        }
        return read(fields).into_iter().collect();
    };
    each(fields, "filters", "filter", list, read)
}

/// Of entries that are a text, which stands for a table with this one key, or a table.
pub(super) fn each<T>(
    fields: &Fields<'_>,
    name: &str,
    key: &str,
    list: &[Value],
    read: impl Fn(&Fields<'_>) -> Option<T>,
) -> Vec<T> {
    let read_one = |(index, value): (usize, &Value)| {
        let map = match value {
            Value::String(_) => Map::from_iter([(key.to_owned(), value.clone())]),
            Value::Object(map) => map.clone(),
            _ => return fields.problem(name, "expects texts and tables"),
        };
        let problems = RefCell::default();
        let nested = Fields::new(&map, format!("{name} {}", index + 1), &problems);
        let found = read(&nested);
        nested.finish();
        for problem in problems.into_inner() {
            fields.problem::<()>(name, problem);
        }
        found
    };
    list.iter().enumerate().filter_map(read_one).collect()
}

fn subscription(fields: &Fields<'_>) -> Option<SubscriptionRequest> {
    let filter = fields.parsed("filter", |text| TopicFilter::try_from(text));
    let request = |filter| SubscriptionRequest {
        filter,
        maximum_qos: fields.qos("qos").unwrap_or(QoS::ExactlyOnce),
        no_local: fields.boolean("no-local").unwrap_or_default(),
        retain_as_published: fields.boolean("retain-as-published").unwrap_or_default(),
        retain_handling: fields.choice("retain-handling", &RETAIN_HANDLING).unwrap_or_default(),
    };
    filter.map(request)
}

const RETAIN_HANDLING: [(&str, RetainHandling); 3] = [
    ("send", RetainHandling::SendAtSubscribe),
    ("send-if-new", RetainHandling::SendAtNewSubscribe),
    ("do-not-send", RetainHandling::DoNotSend),
];

/// Their keys begin with 101, their sessions with 1.
fn receivers(fields: &Fields<'_>) -> Vec<Receiver> {
    let Some(list) = fields.list("receivers") else {
        return fields.problem("receivers", "is missing").unwrap_or_default();
    };
    let numbers = std::cell::Cell::new(0);
    each(fields, "receivers", "client", list, |fields| {
        numbers.set(numbers.get() + 1);
        let is_offline = fields.boolean("offline").unwrap_or_default();
        Some(Receiver {
            client: ClientKey(if is_offline { 0 } else { 100 + numbers.get() }),
            session: numbers.get(),
            client_identifier: fields.text("client").unwrap_or_default().into(),
            qos: fields.qos("qos").unwrap_or(QoS::AtLeastOnce),
            retain: fields.boolean("retain").unwrap_or_default(),
        })
    })
}
