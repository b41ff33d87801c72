//! `tidegate sub`: prints the messages of some topics.

mod selection;

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::arguments::long;
use super::connect::{ClientArguments, Interrupt, Target, parse_qos, parse_seconds, topic_filter};
use super::exit::{Exit, Failure};
use super::format::{Output, PrintArguments};
use crate::client::{Client, End, Messages, Options, Queue, SubscribeOptions};
use crate::packet::{
    PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode, Suback, Subscribe, SubscribeFilter,
    Unsubscribe,
};
use crate::topic::TopicFilter;
use selection::{Fate, Selection, SelectionArguments};

/// Subscribe to topics and print their messages
///
/// The options are those of mosquitto_sub: -h is the host, help is --help. Ends at Ctrl-C, after -C messages or
/// after -W seconds. A connection that is lost is made again, and so are its subscriptions where the broker has forgotten
/// them; --no-retry ends instead.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
pub(super) struct SubscribeArguments {
    /// Topic to subscribe to, with + for one level and # for all that follow; may be given several times
    #[arg(short, long, value_name = "FILTER", required_unless_present_any = ["unsubscribe", "url"])]
    topic: Vec<String>,
    /// Topic to unsubscribe from first, for a kept session; may be given several times
    #[arg(short = 'U', long, value_name = "FILTER")]
    unsubscribe: Vec<String>,
    /// The highest QoS of what is received
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// End after so many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds, with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
    /// End once the subscriptions are acknowledged
    #[arg(short = 'E')]
    exit_after_subscribe: bool,
    /// 5.0: retained messages and new ones say whether they were published to be retained
    #[arg(long)]
    retain_as_published: bool,
    /// 5.0: leave out what this client publishes itself
    #[arg(long)]
    no_local: bool,
    #[command(flatten)]
    selection: SelectionArguments,
    #[command(flatten)]
    print: PrintArguments,
    #[command(flatten)]
    client: ClientArguments,
}

const EXAMPLES: &str = "\
Examples:
  tidegate sub -t '#' -v
  tidegate sub -h broker.example -t 'sensors/+/temp' -t alarms -q 1
  tidegate sub -L mqtts://ada@broker.example/alarms --pw-file password
  tidegate sub -t 'sensors/#' -F '%I %-30t %p'
  tidegate sub -t 'sensors/#' -F %J | jq .payload.temperature
  tidegate sub -t 'old/#' --remove-retained --retained-only -W 5
  tidegate sub -t greeting -C 1 -W 10";

/// Retained messages that are being removed.
const REMOVALS: Queue =
    Queue { messages: 1_000_000, bytes: 256 << 20, overflow: crate::session::Overflow::DropNewest };

pub(super) async fn run(arguments: SubscribeArguments) -> Result<(), Failure> {
    let telling = arguments.client.telling();
    let deadline = arguments.timeout.map(|timeout| Instant::now() + timeout);
    subscribe(&arguments, deadline).await.map_err(|failure| telling.hush(failure))
}

async fn subscribe(arguments: &SubscribeArguments, deadline: Option<Instant>) -> Result<(), Failure> {
    let (options, plan) = (arguments.options()?, arguments.plan()?);
    let disconnect = arguments.client.disconnect()?;
    let mut interrupt = Interrupt::new()?;
    let client = Client::new(options).map_err(|error| Failure::usage(format!("failed to {error}")))?;
    let messages = client.messages();
    let output = Output::start(arguments.print.printer(arguments.client.telling().is_quiet()));
    let received = tokio::select! {
        received = before(deadline, arguments.receive(&client, messages, plan, &output)) => received,
        () = interrupt.next() => Ok(()),
    };
    // All that was asked for was received; a connection that is over already is as good.
    let _ = client.disconnect_with(disconnect).await;
    output.finish().await?;
    received
}

/// What is asked of the broker, and what becomes of what it sends.
struct Plan {
    subscribe: SubscribeOptions,
    unsubscribe: Unsubscribe,
    shown: Shown,
}

/// Which messages are printed, and with which Subscription Identifier: the client has numbers of its own, which say
/// nothing to who reads them.
struct Shown {
    selection: Selection,
    subscription_identifier: Option<u32>,
}

impl SubscribeArguments {
    fn options(&self) -> Result<Options, Failure> {
        let mut options = self.client.options(self.version())?;
        options.queue = REMOVALS;
        Ok(options)
    }

    fn version(&self) -> ProtocolVersion {
        self.client.version(self.retain_as_published || self.no_local)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let selection = self.selection.selection()?;
        let (subscribe, subscription_identifier) = self.subscribe()?;
        let shown = Shown { selection, subscription_identifier };
        Ok(Plan { subscribe, unsubscribe: self.unsubscribe()?, shown })
    }

    fn topics(&self) -> impl Iterator<Item = &str> {
        self.topic.iter().map(String::as_str).chain(self.client.topic())
    }

    fn subscribe(&self) -> Result<(SubscribeOptions, Option<u32>), Failure> {
        if (self.retain_as_published || self.no_local) && self.version() == ProtocolVersion::V311 {
            return Err(Failure::usage(
                "--retain-as-published and --no-local need MQTT 5.0; write -V mqttv5",
            ));
        }
        let mut subscribe = Subscribe {
            packet_identifier: PacketIdentifier::FIRST,
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: Vec::new(),
        };
        for topic in self.topics() {
            let filter = topic_filter(topic)?;
            let mut filter = SubscribeFilter::new(filter.as_str().into(), self.qos);
            filter.retain_as_published = self.retain_as_published;
            filter.no_local = self.no_local;
            subscribe.subscriptions.push(filter);
        }
        if subscribe.subscriptions.is_empty() && self.unsubscribe.is_empty() {
            return Err(Failure::usage("there is no topic; write -t, or a topic at the end of -L"));
        }
        self.client.apply(&mut Target::Subscribe(&mut subscribe))?;
        let user_properties = subscribe.user_properties;
        let options = SubscribeOptions { user_properties, ..subscribe.subscriptions.into() };
        Ok((options, subscribe.subscription_identifier))
    }

    fn unsubscribe(&self) -> Result<Unsubscribe, Failure> {
        let filters: Result<Vec<TopicFilter>, Failure> =
            self.unsubscribe.iter().map(|text| topic_filter(text)).collect();
        let mut unsubscribe = Unsubscribe {
            packet_identifier: PacketIdentifier::FIRST,
            user_properties: Vec::new(),
            filters: filters?.iter().map(|filter| filter.as_str().into()).collect(),
        };
        self.client.apply(&mut Target::Unsubscribe(&mut unsubscribe))?;
        Ok(unsubscribe)
    }

    async fn receive(
        &self,
        client: &Client,
        messages: Messages,
        plan: Plan,
        output: &Output,
    ) -> Result<(), Failure> {
        self.client.connect(client).await?;
        if !plan.unsubscribe.filters.is_empty() {
            let unsubscribed = client.unsubscribe_with(plan.unsubscribe).await;
            unsubscribed.map_err(|error| lost("unsubscribe", &error))?;
        }
        if !plan.subscribe.filters.is_empty() {
            let suback = client.subscribe_only(plan.subscribe).await;
            self.granted(&suback.map_err(|error| lost("subscribe", &error))?)?;
        }
        if self.exit_after_subscribe {
            return Ok(());
        }
        self.print(client, messages, &plan.shown, output).await
    }

    /// Tells about refused filters; fails where all were.
    fn granted(&self, suback: &Suback) -> Result<(), Failure> {
        let refused: Vec<String> = (self.topics().zip(&suback.reason_codes))
            .filter(|(_, code)| code.is_error())
            .map(|(topic, code)| format!("the broker refused `{topic}`: {}", self.describe(*code)))
            .collect();
        let telling = self.client.telling();
        if refused.len() < suback.reason_codes.len() {
            for line in refused {
                telling.warn(|| line);
            }
            telling.tell(|| format!("subscribed: {:?}", suback.reason_codes));
            return Ok(());
        }
        let reason = suback.properties.as_ref().and_then(|properties| properties.reason_string.as_ref());
        let reason = reason.map(|text| format!(" ({text})")).unwrap_or_default();
        Err(Failure::new(Exit::Unavailable, format!("{}{reason}", refused.join("\ntidegate: "))))
    }

    /// 3.1.1 knows one way to refuse, so its name would mislead.
    fn describe(&self, code: ReasonCode) -> String {
        match self.version() {
            ProtocolVersion::V311 => "it does not say why (0x80); with -V mqttv5 it may".to_owned(),
            ProtocolVersion::V5 => format!("{code} (0x{:02X})", code.value()),
        }
    }

    /// Prints until enough was, or nobody reads it.
    async fn print(
        &self,
        client: &Client,
        mut messages: Messages,
        shown: &Shown,
        output: &Output,
    ) -> Result<(), Failure> {
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(message) = messages.next().await else {
                return match messages.end() {
                    None | Some(End::Client) => Ok(()),
                    Some(end) => Err(lost("receive", &end)),
                };
            };
            if shown.selection.removes(&message) {
                remove(client, &message)?;
            }
            match shown.selection.fate(&message) {
                Fate::LeftOut => continue,
                Fate::Last => break,
                Fate::Printed => {}
            }
            if !output.print(shown.renumbered(message.into_publish())).await {
                break;
            }
            left -= 1;
        }
        Ok(())
    }
}

impl Shown {
    fn renumbered(&self, mut message: Publish) -> Publish {
        if !message.subscription_identifiers.is_empty() {
            message.subscription_identifiers = self.subscription_identifier.into_iter().collect();
        }
        message
    }
}

/// Removes a retained message. That it is done is waited for when the client leaves.
fn remove(client: &Client, message: &Publish) -> Result<(), Failure> {
    let empty = Publish::new(message.topic.clone(), "".into());
    let removal = client.try_publish(empty.with_qos(QoS::AtLeastOnce).with_retain(true));
    removal.map(drop).map_err(|error| lost("remove a retained message", &error))
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

fn lost(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Unavailable, format!("failed to {what}: {error}"))
}
