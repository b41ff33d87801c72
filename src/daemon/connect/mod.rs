//! Options that the commands share that are clients, named as people know them from mosquitto_pub and mosquitto_sub,
//! and what becomes of them: a client that is connected.

mod failure;
mod interrupt;
mod place;
mod property;
#[cfg(feature = "tls")]
mod tls;
mod will;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use clap::{ArgAction, Args};

use super::exit::{Exit, Failure};
use crate::client::{Client, Event, Options, Reconnect};
use crate::packet::{Disconnect, ProtocolVersion, QoS, ReasonCode};
use crate::topic::{TopicFilter, TopicName};
pub(super) use failure::{not_connected, not_published};
pub(super) use interrupt::Interrupt;
use place::PlaceArguments;
pub(super) use property::Target;
use property::UserProperties;
use will::WillArguments;

/// The variable of the environment that may have the password.
const PASSWORD: &str = "TIDEGATE_PASSWORD";
/// No password is longer.
const LONGEST_PASSWORD: u64 = 65_535;

/// Ten years are for ever, and can be added to any time.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How to connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ClientArguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(flatten)]
    session: SessionArguments,
    #[command(flatten)]
    will: WillArguments,
    #[command(flatten)]
    properties: UserProperties,
    #[command(flatten)]
    telling: Telling,
}

/// What CONNECT says, and what becomes of a connection that is lost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session")]
struct SessionArguments {
    /// Client identifier; without it, one is made up
    #[arg(short = 'i', long, value_name = "ID")]
    id: Option<String>,
    /// The same with the number of the process at its end
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    id_prefix: Option<String>,
    /// The name to log in with
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password to log in with; others on this machine can see it, so prefer --pw-file
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<String>,
    /// A file with the password; the variable TIDEGATE_PASSWORD of the environment may have it too
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pw_file: Option<PathBuf>,
    /// mqttv311 (or 311) or mqttv5 (or 5, 5.0); without it 3.1.1, or 5.0 where -D, -x or the like need it
    #[arg(short = 'V', long, value_name = "VERSION", value_parser = parse_version)]
    protocol_version: Option<ProtocolVersion>,
    /// Keep the session when the connection ends; needs --id
    #[arg(short = 'c', long, requires = "id")]
    disable_clean_session: bool,
    /// Seconds after which a silent connection is checked; 0: never
    #[arg(short, long, default_value_t = 60, value_name = "SECONDS")]
    keepalive: u16,
    /// 5.0: seconds for which the session is kept after the connection; -1: for ever
    #[arg(short = 'x', long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = parse_expiry)]
    session_expiry_interval: Option<u32>,
    /// Seconds for an attempt to connect, until the broker has answered
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    connect_timeout: Duration,
    /// Go on trying where the first attempt to connect fails too
    ///
    /// Without it a connection is made again only after there was one. In both cases it is given up where the broker
    /// refuses for a reason that will not pass, such as a wrong password.
    #[arg(long)]
    retry: bool,
    /// End when the connection is lost
    #[arg(long, conflicts_with = "retry")]
    no_retry: bool,
}

/// What is told on stderr.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Telling {
    /// Tell on stderr what is done
    #[arg(short, long, help_heading = "Other")]
    debug: bool,
    /// Tell nothing on stderr but what is wrong with the command line
    #[arg(long, help_heading = "Other")]
    quiet: bool,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong, help_heading = "Other")]
    help: Option<bool>,
}

impl Telling {
    /// A line that is wanted with `-d` only.
    pub(super) fn tell(self, what: impl FnOnce() -> String) {
        if self.debug {
            eprintln!("{}", what());
        }
    }

    /// A line that is wanted without `--quiet`.
    pub(super) fn warn(self, what: impl FnOnce() -> String) {
        if !self.quiet {
            eprintln!("tidegate: {}", what());
        }
    }

    pub(super) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// The failure as it is told: with `--quiet` only its exit code is.
    pub(super) fn hush(self, failure: Failure) -> Failure {
        match failure.exit {
            Exit::Usage => failure,
            exit if self.quiet => Failure::new(exit, ""),
            _ => failure,
        }
    }
}

impl ClientArguments {
    pub(super) fn telling(&self) -> Telling {
        self.telling
    }

    /// The topic that stands in `-L`.
    pub(super) fn topic(&self) -> Option<&str> {
        self.place.url()?.topic.as_deref()
    }

    /// The version that is spoken. `needs_v5`: something was asked for that 3.1.1 has not.
    pub(super) fn version(&self, needs_v5: bool) -> ProtocolVersion {
        let session = &self.session;
        let needs_v5 = needs_v5 || session.session_expiry_interval.is_some() || !self.properties.is_empty();
        let unless_said = if needs_v5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 };
        session.protocol_version.unwrap_or(unless_said)
    }

    /// Where to connect and what CONNECT says.
    pub(super) fn options(&self, version: ProtocolVersion) -> Result<Options, Failure> {
        let session = &self.session;
        let mut options = Options::with_connector(self.place.dialer()?, session.client_identifier());
        options.connect_timeout = session.connect_timeout;
        options.reconnect = session.reconnect();
        let connect = &mut options.connect;
        connect.protocol_version = version;
        connect.keep_alive = session.keepalive;
        connect.clean_start = !session.disable_clean_session;
        (connect.user_name, connect.password) = self.credentials()?;
        connect.will = self.will.will()?.map(Box::new);
        if version == ProtocolVersion::V5 {
            // A 3.1.1 client that keeps its session keeps it for ever; here it has to be said.
            let kept = session.disable_clean_session.then_some(u32::MAX);
            connect.session_expiry_interval = session.session_expiry_interval.or(kept);
        } else if session.session_expiry_interval.is_some() || !self.properties.is_empty() {
            return Err(Failure::usage("--property and -x need MQTT 5.0; write -V mqttv5"));
        }
        self.apply(&mut Target::Connect(connect))?;
        if let Some(will) = &mut connect.will {
            self.apply(&mut Target::Will(will))?;
        }
        options.validate().map_err(|error| Failure::usage(format!("failed to {error}")))?;
        Ok(options)
    }

    /// Connects, and tells of what becomes of the connection.
    pub(super) async fn connect(&self, client: &Client) -> Result<(), Failure> {
        let events = client.events();
        let connected = if self.session.retry {
            client.start();
            tokio::spawn(tell_events(events, self.telling));
            client.connected().await
        } else {
            let connected = client.connect().await;
            tokio::spawn(tell_events(events, self.telling));
            connected
        };
        connected.map_err(|error| not_connected(&error))?;
        self.telling.tell(|| format!("connected as {}", client.options().connect.client_identifier));
        Ok(())
    }

    /// Sets the properties that `--property` names for this packet.
    pub(super) fn apply(&self, target: &mut Target<'_>) -> Result<(), Failure> {
        self.properties.apply(target).map_err(Failure::usage)
    }

    /// The DISCONNECT with its properties.
    pub(super) fn disconnect(&self) -> Result<Disconnect, Failure> {
        let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        self.apply(&mut Target::Disconnect(&mut disconnect))?;
        Ok(disconnect)
    }

    fn credentials(&self) -> Result<(Option<ByteString>, Option<Bytes>), Failure> {
        let (session, uri) = (&self.session, self.place.url().map(|url| &url.server));
        let user_name = session.username.clone().map(ByteString::from);
        let user_name = user_name.or_else(|| uri.and_then(|uri| uri.user_name().cloned()));
        if let Some(password) = &session.password {
            return Ok((user_name, Some(password.clone().into())));
        }
        if let Some(file) = &session.pw_file {
            return Ok((user_name, Some(read_password(file)?)));
        }
        let password = uri.and_then(|uri| uri.password().cloned()).or_else(|| {
            // It may be meant for another command, where nobody logs in.
            user_name.as_ref()?;
            Some(std::env::var(PASSWORD).ok()?.into())
        });
        Ok((user_name, password))
    }
}

impl SessionArguments {
    fn client_identifier(&self) -> String {
        match (&self.id, &self.id_prefix) {
            (Some(id), _) => id.clone(),
            (None, Some(prefix)) => format!("{prefix}{}", std::process::id()),
            (None, None) => format!("tidegate-{:08x}", fastrand::u32(..)),
        }
    }

    /// Sooner than a device would: somebody waits for the command.
    fn reconnect(&self) -> Option<Reconnect> {
        let (from, to) = (Duration::from_millis(500), Duration::from_secs(10));
        (!self.no_retry).then(|| Reconnect { from, to, ..Reconnect::default() })
    }
}

/// Without the end of its line.
fn read_password(file: &Path) -> Result<Bytes, Failure> {
    use std::io::Read;
    let mut password = Vec::new();
    let opened = fs::File::open(file);
    let read = opened.and_then(|file| file.take(LONGEST_PASSWORD + 3).read_to_end(&mut password));
    read.map_err(|error| unreadable(file, "--pw-file", &error))?;
    while password.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        password.pop();
    }
    Ok(password.into())
}

/// A file that an option names.
pub(super) fn unreadable(file: &Path, option: &str, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("failed to read {}: {error}; check {option}", file.display()))
}

/// Tells of interruptions. The first connection is told of by who asked for it.
async fn tell_events(mut events: crate::client::Events, telling: Telling) {
    while let Some(event) = events.next().await {
        match event {
            Event::Connecting { attempt } => telling.tell(|| format!("connecting, attempt {attempt}")),
            Event::Disconnected { reason, retry_in: Some(wait) } => {
                telling.warn(|| format!("{reason}; again in {:.1} s", wait.as_secs_f64()));
            }
            Event::Resumed { session_present } => {
                let session = if session_present { "the session was kept" } else { "with a new session" };
                telling.warn(|| format!("connected again, {session}"));
            }
            _ => {}
        }
    }
}

/// A Topic Name, or what is wrong with it.
pub(super) fn topic_name(text: &str) -> Result<TopicName, Failure> {
    TopicName::try_from(text)
        .map_err(|error| Failure::usage(format!("`{text}` is no topic to publish to: {error}")))
}

/// A Topic Filter, or what is wrong with it.
pub(super) fn topic_filter(text: &str) -> Result<TopicFilter, Failure> {
    TopicFilter::try_from(text)
        .map_err(|error| Failure::usage(format!("`{text}` is no topic filter to subscribe to: {error}")))
}

pub(super) fn parse_qos(text: &str) -> Result<QoS, String> {
    let number = text.parse::<u8>().ok().and_then(|number| QoS::try_from(number).ok());
    number.ok_or_else(|| "write 0, 1 or 2".to_owned())
}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.map(|time| time.min(LONGEST_TIME)).ok_or_else(|| "write a number of seconds".to_owned())
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
