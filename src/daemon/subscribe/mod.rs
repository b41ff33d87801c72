//! `tidegate sub`: prints the messages of some topics.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::arguments::long;
use super::connect::Target;
use super::connect::{ClientArguments, not_connected, parse_qos, parse_seconds};
use super::exit::{Exit, Failure, written};
use crate::client::{Client, End, Messages, SubscribeOptions};
use crate::packet::{
    Disconnect, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode, Suback, Subscribe,
    SubscribeFilter, Unsubscribe,
};
use crate::topic::TopicFilter;

/// Subscribe to topics and print their messages
///
/// The options are those of mosquitto_sub: -h is the host, help is --help. Ends at Ctrl-C, after -C messages or
/// after -W seconds.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
pub(super) struct SubscribeArguments {
    /// Topic to subscribe to, with + for one level and # for all that follow; may be given several times
    #[arg(short, long, value_name = "FILTER", required_unless_present = "unsubscribe")]
    topic: Vec<String>,
    /// Topic to unsubscribe from first, for a kept session; may be given several times
    #[arg(short = 'U', long, value_name = "FILTER")]
    unsubscribe: Vec<String>,
    /// The highest QoS of what is received
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// End after so many messages
    #[arg(short = 'C', value_name = "COUNT")]
    count: Option<u64>,
    /// End after so many seconds, with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// Print the topic before each message
    #[arg(short, long)]
    verbose: bool,
    /// Print no end of line after a message
    #[arg(short = 'N')]
    no_end_of_line: bool,
    /// Leave out messages that the broker had kept
    #[arg(short = 'R')]
    no_retained: bool,
    /// End once the subscriptions are acknowledged
    #[arg(short = 'E')]
    exit_after_subscribe: bool,
    #[command(flatten)]
    client: ClientArguments,
}

const EXAMPLES: &str = "\
Examples:
  tidegate sub -t '#' -v
  tidegate sub -h broker.example -t 'sensors/+/temp' -t alarms -q 1
  tidegate sub -t greeting -C 1 -W 10";

pub(super) async fn run(arguments: SubscribeArguments) -> Result<(), Failure> {
    let deadline = arguments.timeout.map(|timeout| Instant::now() + timeout);
    let (client, messages) = before(deadline, subscribed(&arguments)).await?;
    let printed = match arguments.exit_after_subscribe {
        true => Ok(()),
        false => tokio::select! {
            printed = before(deadline, arguments.print(messages)) => printed,
            _ = tokio::signal::ctrl_c() => Ok(()),
        },
    };
    leave(&client, &arguments).await;
    printed
}

async fn subscribed(arguments: &SubscribeArguments) -> Result<(Client, Messages), Failure> {
    let options = arguments.client.options()?;
    let subscribe = arguments.subscribe()?;
    let unsubscribe = arguments.unsubscribe()?;
    let name = options.connect.client_identifier.clone();
    let client = Client::new(options).map_err(|error| not_connected(error.into()))?;
    let messages = client.messages();
    client.connect().await.map_err(not_connected)?;
    arguments.client.tell(|| format!("connected as {name}"));
    if !unsubscribe.filters.is_empty() {
        client.unsubscribe_with(unsubscribe).await.map_err(|error| lost("unsubscribe", &error))?;
    }
    if !subscribe.filters.is_empty() {
        let suback = client.subscribe_only(subscribe).await.map_err(|error| lost("subscribe", &error))?;
        arguments.granted(&suback)?;
    }
    Ok((client, messages))
}

impl SubscribeArguments {
    fn subscribe(&self) -> Result<SubscribeOptions, Failure> {
        let mut subscribe = Subscribe {
            packet_identifier: PacketIdentifier::FIRST,
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: Vec::new(),
        };
        for topic in &self.topic {
            let filter = filter(topic)?;
            subscribe.subscriptions.push(SubscribeFilter::new(filter.as_str().into(), self.qos));
        }
        self.client.apply(&mut Target::Subscribe(&mut subscribe))?;
        let user_properties = subscribe.user_properties;
        Ok(SubscribeOptions { user_properties, ..subscribe.subscriptions.into() })
    }

    fn unsubscribe(&self) -> Result<Unsubscribe, Failure> {
        let filters: Result<Vec<TopicFilter>, Failure> = self.unsubscribe.iter().map(|t| filter(t)).collect();
        let mut unsubscribe = Unsubscribe {
            packet_identifier: PacketIdentifier::FIRST,
            user_properties: Vec::new(),
            filters: filters?.iter().map(|filter| filter.as_str().into()).collect(),
        };
        self.client.apply(&mut Target::Unsubscribe(&mut unsubscribe))?;
        Ok(unsubscribe)
    }

    /// Tells about refused filters; fails where all were.
    fn granted(&self, suback: &Suback) -> Result<(), Failure> {
        let refused: Vec<String> = (self.topic.iter().zip(&suback.reason_codes))
            .filter(|(_, code)| code.is_error())
            .map(|(topic, code)| format!("the broker refused `{topic}`: {}", self.describe(*code)))
            .collect();
        if refused.len() < suback.reason_codes.len() {
            for line in &refused {
                eprintln!("tidegate: {line}");
            }
            self.client.tell(|| format!("subscribed: {:?}", suback.reason_codes));
            return Ok(());
        }
        let reason = suback.properties.as_ref().and_then(|properties| properties.reason_string.as_ref());
        let reason = reason.map(|text| format!(" ({text})")).unwrap_or_default();
        Err(Failure::new(Exit::Unavailable, format!("{}{reason}", refused.join("\ntidegate: "))))
    }

    /// 3.1.1 knows one way to refuse, so its name would mislead.
    fn describe(&self, code: ReasonCode) -> String {
        match self.client.version() {
            ProtocolVersion::V311 => "it does not say why (0x80); with -V mqttv5 it may".to_owned(),
            ProtocolVersion::V5 => format!("{code} (0x{:02X})", code.value()),
        }
    }

    async fn print(&self, mut messages: Messages) -> Result<(), Failure> {
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(publish) = messages.next().await else {
                return match messages.end() {
                    None | Some(End::Client) => Ok(()),
                    Some(end) => Err(lost("receive", &end)),
                };
            };
            if publish.retain && self.no_retained {
                continue;
            }
            match self.print_one(&publish) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                result => written(result)?,
            }
            left -= 1;
        }
        Ok(())
    }

    fn print_one(&self, publish: &Publish) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.verbose {
            write!(out, "{} ", publish.topic)?;
        }
        out.write_all(&publish.payload)?;
        if !self.no_end_of_line {
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

async fn leave(client: &Client, arguments: &SubscribeArguments) {
    let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    if arguments.client.apply(&mut Target::Disconnect(&mut disconnect)).is_ok() {
        // All that was asked for was received; a connection that is over already is as good.
        let _ = client.disconnect_with(disconnect).await;
    }
}

async fn before<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match deadline {
        None => work.await,
        Some(deadline) => {
            let timed_out = |_| Failure::new(Exit::TimedOut, "");
            tokio::time::timeout_at(deadline, work).await.map_err(timed_out)?
        }
    }
}

fn filter(text: &str) -> Result<TopicFilter, Failure> {
    TopicFilter::try_from(text)
        .map_err(|error| Failure::usage(format!("`{text}` is no topic filter to subscribe to: {error}")))
}

fn lost(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Unavailable, format!("failed to {what}: {error}"))
}
