//! Options that `pub` and `sub` share, named as people know them from mosquitto_pub and mosquitto_sub.

mod property;

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use clap::{ArgAction, Args};

use super::exit::{Exit, Failure};
use crate::client::{ConnectError, DialError, Options};
use crate::packet::{ProtocolVersion, QoS, Will};
use crate::topic::TopicName;
pub(super) use property::Target;
use property::UserProperties;

/// How to connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ClientArguments {
    /// The broker, a name or an address
    #[arg(short = 'h', long, default_value = "localhost", value_name = "HOST")]
    host: String,
    /// The port of its listener
    #[arg(short, long, default_value_t = 1883, value_name = "PORT")]
    port: u16,
    /// Client identifier; without it, one is made up
    #[arg(short = 'i', long, value_name = "ID")]
    id: Option<String>,
    /// The name to log in with
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password to log in with
    #[arg(
        short = 'P',
        long = "pw",
        value_name = "PASSWORD",
        allow_hyphen_values = true,
        requires = "username"
    )]
    password: Option<String>,
    /// mqttv311 (or 311) or mqttv5 (or 5, 5.0)
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "mqttv311", value_parser = parse_version)]
    protocol_version: ProtocolVersion,
    /// Keep the session when the connection ends; needs --id
    #[arg(short = 'c', long, requires = "id")]
    disable_clean_session: bool,
    /// Seconds after which a silent connection is checked; 0: never
    #[arg(short, long, default_value_t = 60, value_name = "SECONDS")]
    keepalive: u16,
    /// 5.0: seconds for which the session is kept after the connection; -1: for ever
    #[arg(short = 'x', long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = parse_expiry)]
    session_expiry_interval: Option<u32>,
    /// Tell on stderr what is done
    #[arg(short, long)]
    pub(super) debug: bool,
    /// Topic of a message that the broker publishes if the connection breaks
    #[arg(long, value_name = "TOPIC")]
    will_topic: Option<String>,
    /// That message; empty without it
    #[arg(long, value_name = "TEXT", requires = "will_topic", allow_hyphen_values = true)]
    will_payload: Option<String>,
    /// Its QoS
    #[arg(long, value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    will_qos: QoS,
    /// The broker keeps it for those who subscribe later
    #[arg(long, requires = "will_topic")]
    will_retain: bool,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    help: Option<bool>,
    #[command(flatten)]
    properties: UserProperties,
}

impl ClientArguments {
    pub(super) fn version(&self) -> ProtocolVersion {
        self.protocol_version
    }

    /// Where to connect and what CONNECT says.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        let id = self.id.clone().unwrap_or_else(|| format!("tidegate-{:08x}", fastrand::u32(..)));
        let mut options = Options::new(self.host.clone(), self.port, id);
        // Who calls a command wants to know that the connection is lost.
        options.reconnect = None;
        let connect = &mut options.connect;
        connect.protocol_version = self.protocol_version;
        connect.keep_alive = self.keepalive;
        connect.clean_start = !self.disable_clean_session;
        connect.user_name = self.username.clone().map(ByteString::from);
        connect.password = self.password.clone().map(Bytes::from);
        if self.protocol_version == ProtocolVersion::V5 {
            // A 3.1.1 client that keeps its session keeps it for ever; here it has to be said.
            let kept = self.disable_clean_session.then_some(u32::MAX);
            connect.session_expiry_interval = self.session_expiry_interval.or(kept);
        } else if self.session_expiry_interval.is_some() || !self.properties.is_empty() {
            return Err(Failure::usage("--property and -x need MQTT 5.0; add -V mqttv5"));
        }
        if let Some(topic) = &self.will_topic {
            connect.will = Some(Box::new(self.will(topic)?));
        }
        self.apply(&mut Target::Connect(&mut options.connect))?;
        if let Some(will) = &mut options.connect.will {
            self.apply(&mut Target::Will(will))?;
        }
        Ok(options)
    }

    /// Sets the properties that `--property` names for this packet.
    pub(super) fn apply(&self, target: &mut Target<'_>) -> Result<(), Failure> {
        self.properties.apply(target).map_err(Failure::usage)
    }

    /// A line on stderr, with `-d`.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if self.debug {
            eprintln!("{}", what());
        }
    }

    fn will(&self, topic: &str) -> Result<Will, Failure> {
        let topic = topic_name(topic)?;
        let payload = self.will_payload.clone().unwrap_or_default().into();
        Ok(Will {
            topic: topic.into_inner(),
            payload,
            qos: self.will_qos,
            retain: self.will_retain,
            ..Will::default()
        })
    }
}

/// A Topic Name, or what is wrong with it.
pub(super) fn topic_name(text: &str) -> Result<TopicName, Failure> {
    TopicName::try_from(text)
        .map_err(|error| Failure::usage(format!("`{text}` is no topic to publish to: {error}")))
}

/// Why there is no connection, with what to do about it.
pub(super) fn not_connected(error: ConnectError) -> Failure {
    let hint = match &error {
        ConnectError::Dial(DialError::Unreachable { .. }) => {
            "; is the broker running there? Start one with `tidegate run`"
        }
        ConnectError::Dial(DialError::Resolve { .. }) => "; check -h",
        ConnectError::TimedOut(_) => "; check -h and -p",
        ConnectError::Refused(_) => "; check -i, -u and -P, and what the broker's configuration allows",
        ConnectError::Encode(_) | ConnectError::Options(_) => {
            return Failure::usage(format!("failed to {error}"));
        }
        _ => "",
    };
    Failure::new(Exit::Unavailable, format!("failed to {error}{hint}"))
}

pub(super) fn parse_qos(text: &str) -> Result<QoS, String> {
    let number = text.parse::<u8>().ok().and_then(|number| QoS::try_from(number).ok());
    number.ok_or_else(|| "write 0, 1 or 2".to_owned())
}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "write a number of seconds".to_owned())
}

fn parse_version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "mqttv311" | "311" | "3.1.1" | "4" => Ok(ProtocolVersion::V311),
        "mqttv5" | "5" | "5.0" => Ok(ProtocolVersion::V5),
        _ => Err("write mqttv311 or mqttv5".to_owned()),
    }
}

fn parse_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "write a number of seconds, or -1 for ever".to_owned()),
    }
}
