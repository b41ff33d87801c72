//! How a client connects, what it says there, and what it holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::Connector;
use super::authentication::{Authentication, Credentials};
use super::dial::{Dialer, ServerAddress};
use super::error::InvalidOptions;
use super::reconnect::Reconnect;
use super::store::Store;
use crate::packet::{Connect, EncodeError, ProtocolVersion, Will};
pub use crate::session::Overflow;
use crate::topic::TopicName;

/// What a client is made with. [`Options::new`] has a value for everything; change what differs.
///
/// ```
/// use std::time::Duration;
/// use tidegate::client::Options;
/// use tidegate::packet::Will;
///
/// let mut options = Options::new("broker.example", 1883, "thermometer-7");
/// options.connect.user_name = Some("thermometer".into());
/// options.connect.clean_start = false;
/// options.connect.session_expiry_interval = Some(3600);
/// options.connect.will = Some(Box::new(Will { topic: "t/7/state".into(), payload: "gone".into(), ..Will::default() }));
/// options.queue.messages = 100_000;
/// options.acknowledgement_timeout = Some(Duration::from_secs(20));
/// ```
#[derive(Clone)]
pub struct Options {
    /// Opens the byte stream.
    pub connector: Arc<dyn Connector>,
    /// What CONNECT says, under MQTT's names. With a Clean Start, the first CONNECT of a 5.0 client begins a new session and
    /// later ones go on with it; in 3.1.1, where the same flag says that the session ends with its connection, all do.
    pub connect: Connect,
    /// Asked before each CONNECT: for passwords and tokens that expire.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// Enhanced authentication, of 5.0.
    pub authentication: Option<Arc<dyn Authentication>>,
    /// Connect again, and when; `None`: the client ends with its connection.
    pub reconnect: Option<Reconnect>,
    /// Messages that wait to be sent.
    pub queue: Queue,
    /// Keeps messages of QoS 1 and 2 and received QoS 2 identifiers beyond the process. Needs a client identifier, and a
    /// session that the server keeps. QoS 0 and subscriptions are not kept.
    pub store: Option<Store>,
    /// Messages of QoS 1 and 2 without an acknowledgement, at most; fewer where the server's Receive Maximum is lower.
    pub maximum_in_flight: u16,
    /// Topics that get an alias, at most; fewer where the server's Topic Alias Maximum is lower. Where there are more
    /// topics, the one that has not been used for longest gives its alias away. 0: none.
    pub topic_aliases: u16,
    /// Bytes of the largest packet that is accepted. A 5.0 server is told, unless `connect` says something else; a 3.1.1
    /// server that sends a larger one loses the connection.
    pub maximum_packet_size: u32,
    /// Messages that wait for [`Client::messages`](super::Client::messages).
    pub maximum_waiting: usize,
    /// Where responses to [`Client::request`](super::Client::request) go.
    pub response_topic: Option<ByteString>,
    /// For one attempt, from opening the stream to CONNACK.
    pub connect_timeout: Duration,
    /// How long the server may take to answer a PUBLISH of QoS 1 or 2, PUBREL, SUBSCRIBE or UNSUBSCRIBE, before it is
    /// taken for gone and connected to again. `None`: for ever.
    pub acknowledgement_timeout: Option<Duration>,
    /// How long [`Client::disconnect`](super::Client::disconnect) waits for what is queued and in flight.
    pub disconnect_timeout: Duration,
}

/// Messages that wait for a connection, or for acknowledgements of those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many.
    pub messages: usize,
    /// Bytes of their packets; one message alone may be larger.
    pub bytes: usize,
    /// [`DropNewest`](Overflow::DropNewest) has `try_publish` refuse and `publish` wait where the queue is full.
    pub overflow: Overflow,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { messages: 10_000, bytes: 64 << 20, overflow: Overflow::DropNewest }
    }
}

/// Bytes of the largest packet that MQTT can say.
pub(super) const LARGEST_PACKET: u32 = 268_435_460;

impl Options {
    /// MQTT 5.0 over TCP, a Clean Start, a keep-alive of a minute, connecting again.
    ///
    /// ```
    /// use tidegate::client::Options;
    /// use tidegate::packet::ProtocolVersion;
    ///
    /// let options = Options::new("broker.example", 1883, "thermometer-7");
    /// assert_eq!(options.connect.protocol_version, ProtocolVersion::V5);
    /// assert!(options.connect.clean_start && options.reconnect.is_some());
    /// assert_eq!(options.connector.describe(), "mqtt://broker.example:1883");
    /// ```
    pub fn new(host: impl Into<String>, port: u16, client_identifier: impl Into<ByteString>) -> Options {
        let address = ServerAddress::Host { host: host.into(), port };
        Options::with_connector(Dialer::new(address), client_identifier)
    }

    /// The same over another transport.
    ///
    /// ```
    /// use tidegate::client::{Options, connector_fn};
    ///
    /// // Over what an embedder has, here a pipe within the process.
    /// let options = Options::with_connector(connector_fn(|| async { Ok(tokio::io::duplex(1024).0) }), "thermometer-7");
    /// assert_eq!(options.connect.client_identifier, "thermometer-7");
    /// ```
    pub fn with_connector(connector: impl Connector, client_identifier: impl Into<ByteString>) -> Options {
        let mut connect = Connect::new(ProtocolVersion::V5, client_identifier.into());
        connect.keep_alive = 60;
        Options {
            connector: Arc::new(connector),
            connect,
            credentials: None,
            authentication: None,
            reconnect: Some(Reconnect::default()),
            queue: Queue::default(),
            store: None,
            maximum_in_flight: 1024,
            topic_aliases: 16,
            maximum_packet_size: LARGEST_PACKET,
            maximum_waiting: 1024,
            response_topic: None,
            connect_timeout: Duration::from_secs(10),
            acknowledgement_timeout: Some(Duration::from_secs(60)),
            disconnect_timeout: Duration::from_secs(5),
        }
    }

    /// Whether everything that is asked for exists in the protocol version, and fits together.
    ///
    /// # Errors
    /// The first option that does not.
    ///
    /// ```
    /// use tidegate::client::Options;
    /// use tidegate::packet::ProtocolVersion;
    ///
    /// let mut options = Options::new("broker.example", 1883, "thermometer-7");
    /// options.connect.session_expiry_interval = Some(3600);
    /// assert!(options.validate().is_ok());
    /// options.connect.protocol_version = ProtocolVersion::V311;
    /// assert!(options.validate().unwrap_err().to_string().contains("session_expiry_interval"));
    /// ```
    pub fn validate(&self) -> Result<(), InvalidOptions> {
        let connect = &self.connect;
        if let Some(will) = &connect.will {
            validate_will(will)?;
        }
        if let Err(EncodeError::Invalid { field, problem }) = connect.check_texts() {
            return Err(contradiction(field, problem));
        }
        if connect.maximum_packet_size == Some(0) {
            return Err(contradiction("maximum_packet_size of CONNECT", "no packet is so small"));
        }
        if self.store.is_some() && connect.client_identifier.is_empty() {
            return Err(contradiction("store", "there is no client identifier"));
        }
        if connect.protocol_version == ProtocolVersion::V311 {
            return self.validate_v311();
        }
        if connect.authentication_data.is_some() && connect.authentication_method.is_none() {
            // MQTT 5.0 section 3.1.2.11.10
            return Err(contradiction("authentication_data", "there is no authentication method"));
        }
        if self.authentication.is_some() && connect.authentication_method.is_some() {
            return Err(contradiction("authentication_method", "the authentication handler has one"));
        }
        Ok(())
    }

    fn validate_v311(&self) -> Result<(), InvalidOptions> {
        let connect = &self.connect;
        let will = connect.will.as_deref();
        let unknown = [
            ("session_expiry_interval", connect.session_expiry_interval.is_some()),
            ("receive_maximum", connect.receive_maximum.is_some()),
            ("maximum_packet_size of CONNECT", connect.maximum_packet_size.is_some()),
            ("topic_alias_maximum", connect.topic_alias_maximum != 0),
            ("request_response_information", connect.request_response_information),
            ("request_problem_information", !connect.request_problem_information),
            ("user_properties", !connect.user_properties.is_empty()),
            ("authentication_method", connect.authentication_method.is_some()),
            ("authentication_data", connect.authentication_data.is_some()),
            ("authentication", self.authentication.is_some()),
            ("delay_interval of the will", will.is_some_and(|will| will.delay_interval != 0)),
            ("properties of the will", will.is_some_and(|will| will.properties.is_some())),
        ];
        if let Some((option, _)) = unknown.into_iter().find(|(_, is_set)| *is_set) {
            return Err(InvalidOptions::NotInVersion { option, version: ProtocolVersion::V311 });
        }
        // 3.1.1 [MQTT-3.1.2-22]
        if connect.password.is_some() && connect.user_name.is_none() && self.credentials.is_none() {
            return Err(contradiction("password", "mqtt 3.1.1 has none without a user name"));
        }
        // 3.1.1 [MQTT-3.1.3-8]
        if connect.client_identifier.is_empty() && !connect.clean_start {
            return Err(contradiction("clean_start = false", "there is no client identifier"));
        }
        Ok(())
    }

    /// Whether the session may outlive a connection.
    pub(super) fn keeps_session(&self) -> bool {
        match self.connect.protocol_version {
            ProtocolVersion::V311 => !self.connect.clean_start,
            ProtocolVersion::V5 => self.connect.session_expiry_interval.unwrap_or(0) > 0,
        }
    }

    /// Bytes of the largest packet that is accepted.
    pub(super) fn accepted_packet_size(&self) -> u32 {
        self.connect.maximum_packet_size.unwrap_or(self.maximum_packet_size).min(self.maximum_packet_size)
    }

    /// What a CONNECT says: the first, or one of those after it.
    pub(super) fn connect_packet(&self, first: bool) -> Connect {
        let mut connect = self.connect.clone();
        if connect.protocol_version == ProtocolVersion::V5 {
            connect.clean_start &= first;
            if connect.maximum_packet_size.is_none() && self.maximum_packet_size < LARGEST_PACKET {
                connect.maximum_packet_size = Some(self.maximum_packet_size.max(1));
            }
        }
        connect
    }
}

/// Names the server and the client, and no secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("server", &self.connector.describe())
            .field("client_identifier", &self.connect.client_identifier)
            .finish_non_exhaustive()
    }
}

fn validate_will(will: &Will) -> Result<(), InvalidOptions> {
    if TopicName::try_from(will.topic.clone()).is_err() {
        return Err(contradiction("topic of the will", "it is no topic name"));
    }
    Ok(())
}

fn contradiction(option: &'static str, reason: &'static str) -> InvalidOptions {
    InvalidOptions::Contradiction { option, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v311() -> Options {
        let mut options = Options::new("localhost", 1883, "c");
        options.connect.protocol_version = ProtocolVersion::V311;
        options
    }

    #[test]
    fn what_3_1_1_has_not_is_refused_by_its_name() {
        let mut options = v311();
        assert_eq!(options.validate(), Ok(()));
        options.connect.session_expiry_interval = Some(1);
        let error = options.validate().unwrap_err().to_string();
        assert_eq!(error, "use session_expiry_interval: mqtt 3.1.1 has no such thing");
    }

    #[test]
    fn a_3_1_1_client_without_an_identifier_cannot_keep_its_session() {
        // 3.1.1 [MQTT-3.1.3-8]
        let mut options = v311();
        options.connect.client_identifier = "".into();
        assert_eq!(options.validate(), Ok(()));
        options.connect.clean_start = false;
        assert!(options.validate().is_err());
    }

    #[test]
    fn only_the_first_connect_of_a_5_0_client_begins_a_new_session() {
        let options = Options::new("localhost", 1883, "c");
        assert!(options.connect_packet(true).clean_start && !options.connect_packet(false).clean_start);
        assert!(v311().connect_packet(true).clean_start && v311().connect_packet(false).clean_start);
    }

    #[test]
    fn options_show_no_password() {
        let mut options = v311();
        options.connect.password = Some("secret".into());
        let shown = format!("{options:?}");
        assert!(shown.contains("mqtt://localhost:1883") && !shown.contains("secret"), "{shown}");
    }
}
