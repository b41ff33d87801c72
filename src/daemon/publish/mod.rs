//! `tidegate pub`: publishes and ends.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use tokio::sync::mpsc;

use super::arguments::long;
use super::connect::Target;
use super::connect::{ClientArguments, not_connected, parse_qos, topic_name};
use super::exit::{Exit, Failure};
use crate::client::{self, Client, PublishError, PublishResult, Publishing};
use crate::packet::{Disconnect, Publish, QoS, ReasonCode};

/// Publish a message
///
/// The options are those of mosquitto_pub: -h is the host, help is --help. A message that the broker refuses is an
/// error; the reason is told with -V mqttv5 and -q 1 or 2, because MQTT 3.1.1 has no way to say it.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
#[command(group = ArgGroup::new("what").required(true).args(["message", "null", "file", "stdin", "lines"]))]
pub(super) struct PublishArguments {
    /// Topic to publish to
    #[arg(short, long, value_name = "TOPIC")]
    topic: String,
    /// The message
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// An empty message
    #[arg(short, long = "null-message")]
    null: bool,
    /// The contents of a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// All of stdin as one message
    #[arg(short, long = "stdin-file")]
    stdin: bool,
    /// Each line of stdin as a message
    #[arg(short, long = "stdin-line")]
    lines: bool,
    /// 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// The broker keeps it for those who subscribe later
    #[arg(short, long)]
    retain: bool,
    #[command(flatten)]
    client: ClientArguments,
}

const EXAMPLES: &str = "\
Examples:
  tidegate pub -t greeting -m hello
  tidegate pub -h broker.example -t sensors/1/temp -m '{\"value\":21.5}' -q 1 -V mqttv5 \\
      -D publish content-type application/json
  tidegate pub -t state/lamp -m on -r
  journalctl -f | tidegate pub -t log -l";

/// Lines of stdin that are under way at a time.
const AHEAD: usize = 64;

pub(super) async fn run(arguments: PublishArguments) -> Result<(), Failure> {
    let options = arguments.client.options()?;
    let template = arguments.template()?;
    let single = arguments.single()?;
    let name = options.connect.client_identifier.clone();
    let client = client::connect(options).await.map_err(not_connected)?;
    arguments.client.tell(|| format!("connected as {name}"));
    match single {
        Some(payload) => {
            let publish = Publish { payload, ..template };
            arguments.accepted(client.publish(publish).await)??;
        }
        None => publish_lines(&client, &template, &arguments).await?,
    }
    let mut disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
    arguments.client.apply(&mut Target::Disconnect(&mut disconnect))?;
    match client.disconnect_with(disconnect).await {
        // Everything was acknowledged, so it does not matter who hangs up first.
        Err(_) if arguments.qos > QoS::AtMostOnce => Ok(()),
        result => {
            result.map_err(|error| Failure::new(Exit::Unavailable, format!("failed to publish: {error}")))
        }
    }
}

impl PublishArguments {
    /// The PUBLISH, but for its payload.
    fn template(&self) -> Result<Publish, Failure> {
        let topic = topic_name(&self.topic)?.into_inner();
        let mut publish = Publish { qos: self.qos, retain: self.retain, ..Publish::new(topic, Bytes::new()) };
        self.client.apply(&mut Target::Publish(&mut publish))?;
        Ok(publish)
    }

    /// The payload, where there is one and not one per line.
    fn single(&self) -> Result<Option<Bytes>, Failure> {
        if let Some(message) = &self.message {
            return Ok(Some(message.clone().into()));
        }
        if let Some(file) = &self.file {
            let read = std::fs::read(file).map_err(|error| {
                let exit = match error.kind() {
                    io::ErrorKind::PermissionDenied => Exit::NoPermission,
                    _ => Exit::Usage,
                };
                Failure::new(exit, format!("failed to read {}: {error}; check -f", file.display()))
            })?;
            return Ok(Some(read.into()));
        }
        if self.stdin {
            let mut read = Vec::new();
            io::stdin().read_to_end(&mut read).map_err(|error| Failure::internal("read stdin", &error))?;
            return Ok(Some(read.into()));
        }
        Ok(self.null.then(Bytes::new))
    }

    /// A refusal is within: it does not keep other messages from being published.
    fn accepted(&self, answer: Result<PublishResult, PublishError>) -> Result<Result<(), Failure>, Failure> {
        match answer {
            Ok(result) => {
                self.client.tell(|| format!("published: {}", result.reason_code));
                Ok(Ok(()))
            }
            Err(PublishError::Refused(result)) => {
                let message = format!("the broker refused the message: {result}");
                Ok(Err(Failure::new(Exit::Unavailable, message)))
            }
            Err(error) => Err(not_published(error)),
        }
    }
}

/// Publishes lines as they come, several under way at a time. A refused line does not hold up the others.
async fn publish_lines(
    client: &Client,
    template: &Publish,
    arguments: &PublishArguments,
) -> Result<(), Failure> {
    let mut lines = lines_of_stdin();
    let mut under_way: VecDeque<Publishing> = VecDeque::new();
    let mut refused = Ok(());
    while let Some(line) = lines.recv().await {
        let publish = Publish { payload: line.into(), ..template.clone() };
        under_way.push_back(client.begin_publish(publish).await.map_err(not_published)?);
        // Without a limit, a fast writer would fill the memory with what is not yet acknowledged.
        if under_way.len() > AHEAD {
            refused = refused.and(next_answer(&mut under_way, arguments).await?);
        }
    }
    while !under_way.is_empty() {
        refused = refused.and(next_answer(&mut under_way, arguments).await?);
    }
    refused
}

async fn next_answer(
    under_way: &mut VecDeque<Publishing>,
    arguments: &PublishArguments,
) -> Result<Result<(), Failure>, Failure> {
    let Some(oldest) = under_way.pop_front() else { return Ok(Ok(())) };
    arguments.accepted(oldest.answer().await)
}

/// A thread of its own reads: reading a terminal cannot be broken off.
fn lines_of_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let Ok(mut line) = line else { break };
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn not_published(error: PublishError) -> Failure {
    let exit = match error {
        PublishError::Encode(_) => Exit::Usage,
        _ => Exit::Unavailable,
    };
    Failure::new(exit, format!("failed to {error}"))
}
