//! `tidegate pub`: publishes and ends.

mod payload;
mod pipeline;
mod progress;

use std::time::Duration;

use bytes::Bytes;
use clap::{ArgGroup, Args};

use super::arguments::long;
use super::connect::{ClientArguments, Interrupt, Target, parse_qos, parse_seconds, topic_name};
use super::exit::Failure;
use crate::client::{Client, Options, Queue};
use crate::packet::{Publish, QoS};
pub(super) use payload::PayloadArguments;
use payload::Payloads;
use pipeline::Pipeline;
use progress::Progress;

/// Publish a message, or many
///
/// The options are those of mosquitto_pub: -h is the host, help is --help. A message that the broker refuses is an
/// error; the reason is told with -V mqttv5 and -q 1 or 2, because MQTT 3.1.1 has no way to say it.
///
/// A connection that is lost is made again for as long as messages wait, and what was not acknowledged is sent again;
/// --no-retry ends instead. Ctrl-C reads no more, waits a while for what is under way, and says what was not
/// acknowledged.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
#[command(group = ArgGroup::new("what").required(true).args(["message", "null", "file", "stdin", "lines"]))]
pub(super) struct PublishArguments {
    /// Topic to publish to
    #[arg(short, long, value_name = "TOPIC", required_unless_present = "url")]
    topic: Option<String>,
    #[command(flatten)]
    payload: PayloadArguments,
    /// Each line of stdin as a message, but empty ones
    #[arg(short, long = "stdin-line")]
    lines: bool,
    /// 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// The broker keeps it for those who subscribe later
    #[arg(short, long)]
    retain: bool,
    /// Publish the message so many times
    #[arg(long, value_name = "COUNT", conflicts_with = "lines", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
    /// Seconds between the end of one and the next
    #[arg(long, value_name = "SECONDS", requires = "repeat", value_parser = parse_seconds)]
    repeat_delay: Option<Duration>,
    /// Tell on stderr each second how many were sent and acknowledged; where that is a terminal, it is told without this
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    client: ClientArguments,
}

const EXAMPLES: &str = "\
Examples:
  tidegate pub -t greeting -m hello
  tidegate pub -h broker.example -t sensors/1/temp -m '{\"value\":21.5}' -q 1 \\
      -D publish content-type application/json
  tidegate pub -L mqtts://ada@broker.example/state/lamp --pw-file password -m on -r
  tidegate pub -t tick -m tock --repeat 60 --repeat-delay 1
  journalctl -f | tidegate pub -t log -l -q 1";

pub(super) async fn run(arguments: PublishArguments) -> Result<(), Failure> {
    let telling = arguments.client.telling();
    publish(&arguments).await.map_err(|failure| telling.hush(failure))
}

async fn publish(arguments: &PublishArguments) -> Result<(), Failure> {
    let options = arguments.options()?;
    let disconnect = arguments.client.disconnect()?;
    let template = arguments.template()?;
    let payloads = arguments.payloads()?;
    let client = Client::new(options).map_err(|error| Failure::usage(format!("failed to {error}")))?;
    let mut interrupt = Interrupt::new()?;
    tokio::select! {
        connected = arguments.client.connect(&client) => connected?,
        () = interrupt.next() => return Ok(()),
    }
    let telling = arguments.client.telling();
    let progress = Progress::new(arguments.progress, telling.is_quiet());
    let mut pipeline = Pipeline::new(&client, template, progress, telling);
    let published = pipeline.publish_all(payloads, &mut interrupt).await;
    let result = published.and(pipeline.verdict());
    if pipeline.is_broken_off() {
        // It was waited for already.
        return result;
    }
    let left = client.disconnect_with(disconnect).await;
    // Where everything was acknowledged, it does not matter who hangs up first.
    match left {
        Err(error) if arguments.qos == QoS::AtMostOnce && result.is_ok() => Err(pipeline::not_left(&error)),
        _ => result,
    }
}

impl PublishArguments {
    fn options(&self) -> Result<Options, Failure> {
        let mut options = self.client.options(self.client.version(false))?;
        // The pipeline has limits of its own, and waits by itself.
        options.queue = Queue { messages: usize::MAX, bytes: usize::MAX, ..Queue::default() };
        Ok(options)
    }

    /// The PUBLISH, but for its payload.
    fn template(&self) -> Result<Publish, Failure> {
        let topic = self.topic.as_deref().or(self.client.topic());
        let none = || Failure::usage("there is no topic; write -t, or a topic at the end of -L");
        let topic = topic_name(topic.ok_or_else(none)?)?.into_inner();
        let mut publish = Publish { qos: self.qos, retain: self.retain, ..Publish::new(topic, Bytes::new()) };
        self.client.apply(&mut Target::Publish(&mut publish))?;
        Ok(publish)
    }

    fn payloads(&self) -> Result<Payloads, Failure> {
        if self.lines {
            return Ok(Payloads::lines());
        }
        let payload = self.payload.read()?.unwrap_or_default();
        Ok(Payloads::repeated(payload, self.repeat.unwrap_or(1), self.repeat_delay))
    }
}
