//! A stand-in for the broker, for unit tests on the host. Every test thread has its own, so tests do not
//! disturb each other.
//!
//! ```
//! use tidegate_plugin::{clock, testing};
//! testing::reset();
//! testing::set_now_ms(1_000);
//! assert_eq!(clock::now_ms(), 1_000);
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::broker::{ConnectedClient, RetainedMessage, Session};
use crate::client::{CertificateFields, Credentials, ProxyHeader, TlsParameters, WebSocketRequest};
use crate::crypto::SignatureAlgorithm;
use crate::http;
use crate::log::Level;
use crate::{
    Access, Action, Authentication, Choices, Connect, Enqueue, Message, Modification, NotConsumed, Origin,
    Publish, Purpose, Qos, ReasonCode, Receiver, Subscribe, Subscription, Unsubscribe, UserProperty, Why,
    WillMessage,
};

/// All that the stand-in knows and was told.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: u64,
    /// What [`settings::get`](crate::settings::get) answers.
    pub settings: String,
    pub log: Vec<LogLine>,
    pub published: Vec<Published>,
    /// Client Identifier and Reason Code of those that were disconnected.
    pub disconnected: Vec<(String, ReasonCode)>,
    pub client: Client,
    pub connection: Connection,
    pub message: MessageProperties,
    pub reply: ReplyProperties,
    /// Of the session of the current client.
    pub session_items: BTreeMap<String, Vec<u8>>,
    /// Client Identifiers and Topic Filters that were subscribed, and those that were unsubscribed.
    pub subscribed: Vec<(String, String)>,
    pub unsubscribed: Vec<(String, String)>,
    /// What [`broker`](crate::broker) finds, by Client Identifier.
    pub sessions: BTreeMap<String, Session>,
    pub connected_clients: BTreeMap<String, ConnectedClient>,
    /// By topic.
    pub retained: BTreeMap<String, RetainedMessage>,
    /// Name, labels and value of each number, in the order in which they were given.
    pub metrics: Vec<Metric>,
    /// HTTP requests that the plugin made.
    pub http_requests: Vec<HttpRequest>,
    http_answers: VecDeque<Result<http::Response, http::Error>>,
    state: BTreeMap<String, Entry>,
    random: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: Level,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A message that the plugin published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: Qos,
    pub retain: bool,
    pub user_properties: Vec<UserProperty>,
    /// Milliseconds; zero: at once.
    pub delay_ms: u64,
}

/// A number that the plugin gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// An HTTP request that the plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Milliseconds; 0: the broker's.
    pub timeout_ms: u32,
}

/// What [`client`](crate::client) answers.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub identifier: String,
    pub user_name: Option<String>,
    pub remote_address: String,
    pub listener: String,
    pub protocol_version: u8,
    pub user_properties: Vec<UserProperty>,
    pub sessions: BTreeMap<u64, String>,
    /// `tcp`, `tls`, `ws`, `wss` or `unix`.
    pub transport: String,
    pub tls: Option<TlsParameters>,
    pub certificate: Option<CertificateFields>,
    pub certificate_chain: Vec<Vec<u8>>,
    pub unix_credentials: Option<Credentials>,
    pub proxy: Option<ProxyHeader>,
    pub web_socket: Option<WebSocketRequest>,
}

/// The CONNECT, and what the plugin wants of the connection.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    pub clean_start: bool,
    pub keep_alive: u16,
    pub session_expiry_interval: u32,
    pub will: Option<WillMessage>,
    pub authentication_method: Option<String>,
    pub password: Option<Vec<u8>>,

    pub assigned_user_name: Option<String>,
    pub assigned_client_identifier: Option<String>,
    pub session_expiry_cap: Option<u32>,
    pub server_keep_alive: Option<u16>,
    pub receive_maximum: Option<u16>,
    pub maximum_packet_size: Option<u32>,
    pub expires_at: Option<u64>,
    pub mount_prefix: Option<String>,
}

/// What the message has beside topic and payload.
#[derive(Debug, Clone, Default)]
pub struct MessageProperties {
    /// For messages whose payload does not come with the call.
    pub payload: Vec<u8>,
    pub user_properties: Vec<UserProperty>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Vec<u8>>,
    pub payload_format_indicator: Option<bool>,
    pub message_expiry_interval: Option<u32>,

    /// What a call through the exported hook changed of topic, payload, QoS and RETAIN.
    pub modification: Option<Modification>,
    /// What a call through the exported hook chose for the receivers.
    pub choices: Option<Choices>,
}

/// What the plugin wants in the acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplyProperties {
    pub reason_string: Option<String>,
    pub user_properties: Vec<UserProperty>,
    pub server_reference: Option<String>,
    pub close: Option<ReasonCode>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    expires_ms: Option<u64>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::default();
}

/// Looks at the stand-in, or changes it. The plugin must not be called from within.
pub fn with<R>(look: impl FnOnce(&mut Host) -> R) -> R {
    HOST.with_borrow_mut(look)
}

/// Forgets everything.
pub fn reset() {
    with(|host| *host = Host::default());
}

pub fn set_now_ms(time: u64) {
    with(|host| host.now_ms = time);
}

pub fn advance(time: Duration) {
    with(|host| host.now_ms += time.as_millis() as u64);
}

/// What the next HTTP request gets, after those that were set before. A request for which nothing was set fails.
pub fn answer_http(answer: Result<http::Response, http::Error>) {
    with(|host| host.http_answers.push_back(answer));
}

/// A response without headers.
pub fn http_response(status: u16, body: impl Into<Vec<u8>>) -> http::Response {
    http::Response { status, headers: Vec::new(), body: body.into() }
}

/// What [`crypto::verify_signature`](crate::crypto::verify_signature) takes for a signature by this key.
pub fn sign(algorithm: SignatureAlgorithm, key: &[u8], message: &[u8]) -> Vec<u8> {
    let signed = [&[algorithm as u8], key, message].concat();
    host::crypto::digest(crate::crypto::Algorithm::Sha256, &signed)
}

/// What the plugin answered beside its verdicts since the last time; forgets it.
pub fn take_reply() -> ReplyProperties {
    with(|host| std::mem::take(&mut host.reply))
}

/// A CONNECT; the current client is set to the same.
pub fn connect(client_identifier: &str, user_name: Option<&str>, password: Option<&[u8]>) -> Connect {
    with(|host| {
        host.client.identifier = client_identifier.to_owned();
        host.client.user_name = user_name.map(str::to_owned);
    });
    Connect {
        client: 1,
        client_identifier: client_identifier.to_owned(),
        user_name: user_name.map(str::to_owned),
        password: password.map(<[u8]>::to_vec),
    }
}

/// A CONNECT with an Authentication Method. The current client is that of [`connect`], or nobody.
pub fn authentication(method: &str, data: &[u8]) -> Authentication {
    Authentication {
        client: 1,
        purpose: Purpose::Connect,
        method: method.to_owned(),
        data: Some(data.to_vec()),
        state: None,
    }
}

impl Authentication {
    /// The same without data.
    pub fn without_data(self) -> Self {
        Self { data: None, ..self }
    }

    /// AUTH that answers the challenge which left this.
    pub fn answering(self, state: &[u8]) -> Self {
        Self { state: Some(state.to_vec()), ..self }
    }

    /// The same for a client that is in.
    pub fn again(self) -> Self {
        Self { purpose: Purpose::ReAuthenticate, ..self }
    }
}

/// A PUBLISH of a client with QoS 1, its payload with the call.
pub fn publish(topic: &str, payload: impl Into<Vec<u8>>) -> Publish {
    let message = message(topic, payload.into());
    Publish { message, qos: Qos::AtLeastOnce, retain: false }
}

impl Publish {
    /// The same with another QoS.
    pub fn with_qos(self, qos: Qos) -> Self {
        Self { qos, ..self }
    }

    /// The same with another RETAIN flag.
    pub fn with_retain(self, retain: bool) -> Self {
        Self { retain, ..self }
    }

    /// The same from elsewhere.
    pub fn with_origin(self, origin: Origin) -> Self {
        let qos = self.qos;
        let retain = self.retain;
        let topic = self.topic().to_owned();
        let payload = self.into_payload();
        let length = payload.len() as u32;
        Self { message: Message::new(0, origin, topic, Some(payload), length), qos, retain }
    }
}

/// A PUBLISH whose payload is left with the broker.
pub fn publish_without_payload(topic: &str, payload: impl Into<Vec<u8>>) -> Publish {
    let payload = payload.into();
    let length = payload.len() as u32;
    with(|host| host.message.payload = payload);
    let message = Message::new(1, Origin::Client, topic.to_owned(), None, length);
    Publish { message, qos: Qos::AtLeastOnce, retain: false }
}

pub fn enqueue(topic: &str, payload: impl Into<Vec<u8>>, receivers: Vec<Receiver>) -> Enqueue {
    let packed = receivers.into_iter().flat_map(Receiver::pack).collect();
    Enqueue::new(message(topic, payload.into()), packed)
}

pub fn not_consumed(topic: &str, payload: impl Into<Vec<u8>>, why: Why) -> NotConsumed {
    NotConsumed { message: message(topic, payload.into()), qos: Qos::AtLeastOnce, why }
}

pub fn access(action: Action, topic: &str) -> Access {
    Access { client: 1, action, topic: topic.to_owned(), qos: Qos::AtLeastOnce, retain: false }
}

/// A SUBSCRIBE with QoS 1 for these filters.
pub fn subscribe(filters: &[&str]) -> Subscribe {
    let subscriptions = filters
        .iter()
        .map(|filter| Subscription {
            filter: (*filter).to_owned(),
            maximum_qos: Qos::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
        })
        .collect();
    Subscribe { client: 1, subscriptions, subscription_identifier: None }
}

pub fn unsubscribe(filters: &[&str]) -> Unsubscribe {
    Unsubscribe { client: 1, filters: filters.iter().map(|filter| (*filter).to_owned()).collect() }
}

fn message(topic: &str, payload: Vec<u8>) -> Message {
    let length = payload.len() as u32;
    Message::new(1, Origin::Client, topic.to_owned(), Some(payload), length)
}

/// The functions that are imports on Wasm, with the same signatures.
pub(crate) mod host {
    pub(crate) mod log {
        use crate::log::Level;
        use crate::testing::{LogLine, with};

        pub(crate) fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
            let fields = fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            with(|host| host.log.push(LogLine { level, message: message.to_owned(), fields }));
        }

        pub(crate) fn enabled(_: Level) -> bool {
            true
        }
    }

    pub(crate) mod settings {
        pub(crate) fn get() -> String {
            crate::testing::with(|host| match host.settings.as_str() {
                "" => "{}".to_owned(),
                settings => settings.to_owned(),
            })
        }
    }

    pub(crate) mod state {
        use crate::state::Error;
        use crate::testing::{Entry, Host, with};

        pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
            with(|host| live(host, key).map(|entry| entry.value.clone()))
        }

        pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Error> {
            with(|host| {
                let expires_ms = ttl_ms.map(|ttl| host.now_ms.saturating_add(ttl));
                host.state.insert(key.to_owned(), Entry { value: value.to_vec(), expires_ms });
            });
            Ok(())
        }

        pub(crate) fn delete(key: &str) -> bool {
            with(|host| live(host, key).is_some() && host.state.remove(key).is_some())
        }

        pub(crate) fn compare_and_set(
            key: &str,
            old: Option<&[u8]>,
            new: Option<&[u8]>,
        ) -> Result<bool, Error> {
            with(|host| {
                let entry = live(host, key);
                if entry.as_ref().map(|entry| entry.value.as_slice()) != old {
                    return Ok(false);
                }
                let expires_ms = entry.and_then(|entry| entry.expires_ms);
                match new {
                    Some(value) => {
                        host.state.insert(key.to_owned(), Entry { value: value.to_vec(), expires_ms });
                    }
                    None => {
                        host.state.remove(key);
                    }
                }
                Ok(true)
            })
        }

        pub(crate) fn atomic_add(key: &str, delta: i64) -> Result<i64, Error> {
            with(|host| {
                let entry = live(host, key);
                let before = match &entry {
                    None => 0,
                    Some(entry) => str::from_utf8(&entry.value)
                        .ok()
                        .and_then(|text| text.parse::<i64>().ok())
                        .ok_or(Error::NotANumber)?,
                };
                let sum = before.wrapping_add(delta);
                let expires_ms = entry.and_then(|entry| entry.expires_ms);
                host.state.insert(key.to_owned(), Entry { value: sum.to_string().into_bytes(), expires_ms });
                Ok(sum)
            })
        }

        pub(crate) fn scan(prefix: &str, limit: u32) -> Vec<String> {
            with(|host| {
                let keys: Vec<String> =
                    host.state.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
                keys.into_iter().filter(|key| live(host, key).is_some()).take(limit as usize).collect()
            })
        }

        fn live(host: &mut Host, key: &str) -> Option<Entry> {
            let now = host.now_ms;
            host.state.get(key).filter(|entry| entry.expires_ms.is_none_or(|at| now < at)).cloned()
        }
    }

    pub(crate) mod broker {
        use crate::broker::{ConnectedClient, Error, RetainedMessage, Session};
        use crate::testing::{Published, with};
        use crate::{Qos, ReasonCode, UserProperty};

        pub(crate) fn publish(
            topic: &str,
            payload: &[u8],
            qos: Qos,
            retain: bool,
            user_properties: &[&UserProperty],
        ) -> Result<(), Error> {
            publish_later(0, topic, payload, qos, retain, user_properties)
        }

        pub(crate) fn publish_later(
            delay_ms: u64,
            topic: &str,
            payload: &[u8],
            qos: Qos,
            retain: bool,
            user_properties: &[&UserProperty],
        ) -> Result<(), Error> {
            with(|host| {
                host.published.push(Published {
                    topic: topic.to_owned(),
                    payload: payload.to_vec(),
                    qos,
                    retain,
                    user_properties: user_properties.iter().map(|&property| property.clone()).collect(),
                    delay_ms,
                });
            });
            Ok(())
        }

        pub(crate) fn disconnect(client_identifier: &str, reason: ReasonCode) -> Result<(), Error> {
            with(|host| host.disconnected.push((client_identifier.to_owned(), reason)));
            Ok(())
        }

        pub(crate) fn subscribe(client_identifier: &str, filter: &str, _: Qos) -> Result<(), Error> {
            with(|host| host.subscribed.push((client_identifier.to_owned(), filter.to_owned())));
            Ok(())
        }

        pub(crate) fn unsubscribe(client_identifier: &str, filter: &str) -> Result<(), Error> {
            with(|host| host.unsubscribed.push((client_identifier.to_owned(), filter.to_owned())));
            Ok(())
        }

        pub(crate) fn get_session(client_identifier: &str) -> Result<Option<Session>, Error> {
            Ok(with(|host| host.sessions.get(client_identifier).cloned()))
        }

        pub(crate) fn get_client(client_identifier: &str) -> Result<Option<ConnectedClient>, Error> {
            Ok(with(|host| host.connected_clients.get(client_identifier).cloned()))
        }

        pub(crate) fn list_sessions(after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
            Ok(with(|host| some_of(host.sessions.keys(), after, limit)))
        }

        pub(crate) fn list_clients(after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
            Ok(with(|host| some_of(host.connected_clients.keys(), after, limit)))
        }

        pub(crate) fn get_retained(topic: &str) -> Result<Option<RetainedMessage>, Error> {
            Ok(with(|host| host.retained.get(topic).cloned()))
        }

        pub(crate) fn match_retained(
            filter: &str,
            after: Option<&str>,
            limit: u32,
        ) -> Result<Vec<String>, Error> {
            let matching = |topic: &&String| crate::topic::matches(filter, topic);
            Ok(with(|host| some_of(host.retained.keys().filter(matching), after, limit)))
        }

        fn some_of<'a>(
            names: impl Iterator<Item = &'a String>,
            after: Option<&str>,
            limit: u32,
        ) -> Vec<String> {
            let later = names.filter(|name| after.is_none_or(|after| name.as_str() > after));
            later.take(limit as usize).cloned().collect()
        }
    }

    pub(crate) mod session_items {
        use crate::session_items::Error;
        use crate::testing::with;

        pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
            with(|host| host.session_items.get(key).cloned())
        }

        pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
            with(|host| host.session_items.insert(key.to_owned(), value.to_vec()));
            Ok(())
        }

        pub(crate) fn delete(key: &str) -> bool {
            with(|host| host.session_items.remove(key).is_some())
        }
    }

    pub(crate) mod metrics {
        use crate::testing::{Metric, with};

        pub(crate) fn count(name: &str, labels: &[(&str, &str)], by: u64) {
            gauge(name, labels, by as f64);
        }

        pub(crate) fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
            let labels = labels.iter().map(|&(label, of)| (label.to_owned(), of.to_owned())).collect();
            with(|host| host.metrics.push(Metric { name: name.to_owned(), labels, value }));
        }

        pub(crate) fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
            gauge(name, labels, value);
        }
    }

    pub(crate) mod crypto {
        use hmac::{Hmac, KeyInit, Mac};
        use md5::Md5;
        use sha1::Sha1;
        use sha2::{Digest, Sha256, Sha512};

        use crate::crypto::{Algorithm, SignatureAlgorithm, SignatureError};

        pub(crate) fn digest(algorithm: Algorithm, data: &[u8]) -> Vec<u8> {
            match algorithm {
                Algorithm::Md5 => Md5::digest(data).to_vec(),
                Algorithm::Sha1 => Sha1::digest(data).to_vec(),
                Algorithm::Sha256 => Sha256::digest(data).to_vec(),
                Algorithm::Sha512 => Sha512::digest(data).to_vec(),
            }
        }

        pub(crate) fn hmac(algorithm: Algorithm, key: &[u8], data: &[u8]) -> Vec<u8> {
            match algorithm {
                Algorithm::Md5 => mac::<Hmac<Md5>>(key, data),
                Algorithm::Sha1 => mac::<Hmac<Sha1>>(key, data),
                Algorithm::Sha256 => mac::<Hmac<Sha256>>(key, data),
                Algorithm::Sha512 => mac::<Hmac<Sha512>>(key, data),
            }
        }

        /// Not in constant time: only tests run this.
        pub(crate) fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
            a == b
        }

        /// As [`sign`](crate::testing::sign) signs. An empty key is none.
        pub(crate) fn verify_signature(
            algorithm: SignatureAlgorithm,
            public_key: &[u8],
            message: &[u8],
            signature: &[u8],
        ) -> Result<bool, SignatureError> {
            if public_key.is_empty() {
                return Err(SignatureError::InvalidKey);
            }
            Ok(crate::testing::sign(algorithm, public_key, message) == signature)
        }

        fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            let mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.chain_update(data).finalize().into_bytes().to_vec()
        }
    }

    pub(crate) mod passwords {
        use crate::passwords::Error;

        /// What is behind it is the password; no other format is known here.
        const PLAIN: &str = "$plain$";

        pub(crate) fn verify(password: &[u8], hash: &str) -> Result<bool, Error> {
            match hash.strip_prefix(PLAIN) {
                Some(plain) => Ok(plain.as_bytes() == password),
                None if hash.starts_with("$costly$") => Err(Error::TooCostly),
                None => Err(Error::UnknownFormat),
            }
        }

        pub(crate) fn hash(password: &[u8]) -> String {
            format!("{PLAIN}{}", String::from_utf8_lossy(password))
        }
    }

    pub(crate) mod http {
        use crate::bindings::host::tidegate::plugin::http::{Error, Request, Response};
        use crate::testing::{HttpRequest, with};

        pub(crate) fn send(request: Request<'_>) -> Result<Response, Error> {
            let headers = request.headers.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
            let made = HttpRequest {
                method: request.method.to_owned(),
                url: request.url.to_owned(),
                headers: headers.collect(),
                body: request.body.to_vec(),
                timeout_ms: request.timeout_ms,
            };
            with(|host| {
                host.http_requests.push(made);
                let none = || Err(Error::Failed("the test set no answer".to_owned()));
                host.http_answers.pop_front().unwrap_or_else(none)
            })
        }
    }

    pub(crate) mod clock {
        pub(crate) fn now_ms() -> u64 {
            crate::testing::with(|host| host.now_ms)
        }

        pub(crate) fn monotonic_ns() -> u64 {
            now_ms() * 1_000_000
        }
    }

    pub(crate) mod random {
        /// A fixed sequence (splitmix64), so that tests repeat.
        pub(crate) fn bytes(length: u32) -> Vec<u8> {
            crate::testing::with(|host| (0..length).map(|_| next(&mut host.random)).collect())
        }

        fn next(state: &mut u64) -> u8 {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed >> 56) as u8
        }
    }

    pub(crate) mod client {
        use crate::UserProperty;
        use crate::client::{CertificateFields, Credentials, ProxyHeader, TlsParameters, WebSocketRequest};
        use crate::testing::with;

        pub(crate) fn identifier() -> String {
            with(|host| host.client.identifier.clone())
        }

        pub(crate) fn user_name() -> Option<String> {
            with(|host| host.client.user_name.clone())
        }

        pub(crate) fn remote_address() -> String {
            with(|host| host.client.remote_address.clone())
        }

        pub(crate) fn listener() -> String {
            with(|host| host.client.listener.clone())
        }

        pub(crate) fn protocol_version() -> u8 {
            with(|host| host.client.protocol_version)
        }

        pub(crate) fn user_properties() -> Vec<UserProperty> {
            with(|host| host.client.user_properties.clone())
        }

        pub(crate) fn session_identifier(session: u64) -> Option<String> {
            with(|host| host.client.sessions.get(&session).cloned())
        }

        pub(crate) fn transport() -> String {
            with(|host| host.client.transport.clone())
        }

        pub(crate) fn tls() -> Option<TlsParameters> {
            with(|host| host.client.tls.clone())
        }

        pub(crate) fn certificate() -> Option<CertificateFields> {
            with(|host| host.client.certificate.clone())
        }

        pub(crate) fn certificate_chain() -> Vec<Vec<u8>> {
            with(|host| host.client.certificate_chain.clone())
        }

        pub(crate) fn unix_credentials() -> Option<Credentials> {
            with(|host| host.client.unix_credentials)
        }

        pub(crate) fn proxy() -> Option<ProxyHeader> {
            with(|host| host.client.proxy.clone())
        }

        pub(crate) fn web_socket() -> Option<WebSocketRequest> {
            with(|host| host.client.web_socket.clone())
        }
    }

    pub(crate) mod connection {
        use crate::WillMessage;
        use crate::testing::with;

        pub(crate) fn clean_start() -> bool {
            with(|host| host.connection.clean_start)
        }

        pub(crate) fn keep_alive() -> u16 {
            with(|host| host.connection.keep_alive)
        }

        pub(crate) fn session_expiry_interval() -> u32 {
            with(|host| host.connection.session_expiry_interval)
        }

        pub(crate) fn will() -> Option<WillMessage> {
            with(|host| host.connection.will.clone())
        }

        pub(crate) fn authentication_method() -> Option<String> {
            with(|host| host.connection.authentication_method.clone())
        }

        pub(crate) fn password() -> Option<Vec<u8>> {
            with(|host| host.connection.password.clone())
        }

        pub(crate) fn assign_user_name(name: &str) {
            with(|host| host.connection.assigned_user_name = Some(name.to_owned()));
        }

        pub(crate) fn assign_client_identifier(identifier: &str) {
            with(|host| host.connection.assigned_client_identifier = Some(identifier.to_owned()));
        }

        pub(crate) fn cap_session_expiry(seconds: u32) {
            with(|host| host.connection.session_expiry_cap = Some(seconds));
        }

        pub(crate) fn set_server_keep_alive(seconds: u16) {
            with(|host| host.connection.server_keep_alive = Some(seconds));
        }

        pub(crate) fn set_receive_maximum(maximum: u16) {
            with(|host| host.connection.receive_maximum = Some(maximum));
        }

        pub(crate) fn set_maximum_packet_size(bytes: u32) {
            with(|host| host.connection.maximum_packet_size = Some(bytes));
        }

        pub(crate) fn set_expires_at(time_ms: u64) {
            with(|host| host.connection.expires_at = Some(time_ms));
        }

        pub(crate) fn set_mount_prefix(prefix: &str) {
            with(|host| host.connection.mount_prefix = Some(prefix.to_owned()));
        }
    }

    pub(crate) mod message {
        use crate::bindings::host::tidegate::plugin::types;
        use crate::testing::with;
        use crate::{Choices, Modification, UserProperty};

        pub(crate) fn payload(offset: u32, length: u32) -> Vec<u8> {
            with(|host| {
                host.message.payload.iter().skip(offset as usize).take(length as usize).copied().collect()
            })
        }

        pub(crate) fn user_properties() -> Vec<UserProperty> {
            with(|host| host.message.user_properties.clone())
        }

        pub(crate) fn content_type() -> Option<String> {
            with(|host| host.message.content_type.clone())
        }

        pub(crate) fn response_topic() -> Option<String> {
            with(|host| host.message.response_topic.clone())
        }

        pub(crate) fn correlation_data() -> Option<Vec<u8>> {
            with(|host| host.message.correlation_data.clone())
        }

        pub(crate) fn payload_format_indicator() -> Option<bool> {
            with(|host| host.message.payload_format_indicator)
        }

        pub(crate) fn message_expiry_interval() -> Option<u32> {
            with(|host| host.message.message_expiry_interval)
        }

        pub(crate) fn modify(modification: types::Modification<'_>) {
            with(|host| host.message.modification = Some(Modification::of(&modification)));
        }

        pub(crate) fn set_user_properties(properties: &[&UserProperty]) {
            let properties = properties.iter().map(|&property| property.clone()).collect();
            with(|host| host.message.user_properties = properties);
        }

        pub(crate) fn set_content_type(content_type: Option<&str>) {
            with(|host| host.message.content_type = content_type.map(str::to_owned));
        }

        pub(crate) fn set_response_topic(topic: Option<&str>) {
            with(|host| host.message.response_topic = topic.map(str::to_owned));
        }

        pub(crate) fn set_message_expiry_interval(seconds: Option<u32>) {
            with(|host| host.message.message_expiry_interval = seconds);
        }

        pub(crate) fn choose(per_receiver: &[u32], copies: &[types::Modification<'_>]) {
            let copies = copies.iter().map(Modification::of).collect();
            let choices = Choices { per_receiver: per_receiver.to_vec(), copies };
            with(|host| host.message.choices = Some(choices));
        }
    }

    pub(crate) mod reply {
        use crate::testing::with;
        use crate::{ReasonCode, UserProperty};

        pub(crate) fn reason_string(text: &str) {
            with(|host| host.reply.reason_string = Some(text.to_owned()));
        }

        pub(crate) fn user_property(name: &str, value: &str) {
            with(|host| host.reply.user_properties.push(UserProperty::new(name, value)));
        }

        pub(crate) fn server_reference(server: &str) {
            with(|host| host.reply.server_reference = Some(server.to_owned()));
        }

        pub(crate) fn close(reason: ReasonCode) {
            with(|host| host.reply.close = Some(reason));
        }
    }
}
