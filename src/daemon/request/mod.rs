//! `tidegate rpc`: publishes a request and prints the response to it.

mod topics;

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::arguments::long;
use super::connect::{
    ClientArguments, Interrupt, Target, not_published, parse_qos, parse_seconds, topic_name,
};
use super::exit::{Exit, Failure};
use super::format::{Output, PrintArguments};
use super::publish::PayloadArguments;
use crate::client::{Client, Options, RequestError, SubscribeError};
use crate::packet::{ProtocolVersion, Publish, QoS, ReasonCode};
use topics::Topics;

/// Publish a request and print the response
///
/// The options are those of mosquitto_rr: -h is the host, help is --help. The request has a Response Topic and
/// Correlation Data, and the first response with the same is printed. With -V mqttv311, which has neither, it is the
/// first message that comes to the response topic; without -V it is 5.0 that is spoken.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXAMPLES, after_long_help = long(EXAMPLES))]
#[command(group = ArgGroup::new("what").args(["message", "null", "file", "stdin"]))]
#[command(group = ArgGroup::new("where").args(["topic", "mqttnet"]))]
pub(super) struct RequestArguments {
    /// Topic to publish the request to
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Topic to which the response goes; without it one is made up, with 3.1.1 the topic with /response at its end
    #[arg(short = 'e', long, value_name = "TOPIC")]
    response_topic: Option<String>,
    /// Call this method as MQTTnet's RPC client does: MQTTnet.RPC/{a number of chance}/METHOD
    #[arg(long, value_name = "METHOD", conflicts_with = "response_topic")]
    mqttnet: Option<String>,
    #[command(flatten)]
    payload: PayloadArguments,
    /// 0 at most once, 1 at least once, 2 exactly once; of the request
    #[arg(short, long, value_name = "QOS", default_value = "1", value_parser = parse_qos)]
    qos: QoS,
    /// Wait for the response so many seconds, then end with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
    #[command(flatten)]
    print: PrintArguments,
    #[command(flatten)]
    client: ClientArguments,
}

const EXAMPLES: &str = "\
Examples:
  tidegate rpc -t lamp/7/get-state -m '{}'
  tidegate rpc -t lamp/7/get-state -e lamp/7/answers -m '{}' -W 3 -F '%R %p'
  tidegate rpc --mqttnet Reboot -m now -V mqttv311";

/// How long leaving may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) async fn run(arguments: RequestArguments) -> Result<(), Failure> {
    let telling = arguments.client.telling();
    request(&arguments).await.map_err(|failure| telling.hush(failure))
}

async fn request(arguments: &RequestArguments) -> Result<(), Failure> {
    let topics = arguments.topics()?;
    let options = arguments.options(&topics)?;
    let disconnect = arguments.client.disconnect()?;
    let request = arguments.publish(&topics)?;
    let mut interrupt = Interrupt::new()?;
    let client = Client::new(options).map_err(|error| Failure::usage(format!("failed to {error}")))?;
    let asked = tokio::select! {
        asked = tokio::time::timeout(arguments.timeout, arguments.ask(&client, &topics, request)) => asked,
        () = interrupt.next() => Ok(Err(Failure::new(Exit::TimedOut, "interrupted before there was a response"))),
    };
    // A request that nobody answered may be unacknowledged, which is not waited for.
    let _ = tokio::time::timeout(LAST_WORDS, client.disconnect_with(disconnect)).await;
    let timed_out = |_| Err(no_response(arguments.timeout));
    let response = asked.unwrap_or_else(timed_out)?;
    let output = Output::start(arguments.print.printer(arguments.client.telling().is_quiet()));
    // It is the client that numbers its subscription.
    output.print(Publish { subscription_identifiers: Vec::new(), ..response }).await;
    output.finish().await
}

impl RequestArguments {
    /// 5.0 unless something else was said, as it has requests and responses.
    fn version(&self) -> ProtocolVersion {
        self.client.version(true)
    }

    fn topics(&self) -> Result<Topics, Failure> {
        let given = self.topic.as_deref().or(self.client.topic());
        let none = || Failure::usage("there is no topic; write -t, --mqttnet, or a topic at the end of -L");
        let topics = match (&self.mqttnet, &self.response_topic) {
            (Some(method), _) => Topics::of_mqttnet(method),
            (None, None) if self.version() == ProtocolVersion::V311 => {
                Topics::with_suffix(given.ok_or_else(none)?)
            }
            (None, response) => Topics::new(given.ok_or_else(none)?, response.as_deref()),
        };
        topic_name(&topics.request)?;
        topics.response.as_deref().map(topic_name).transpose()?;
        Ok(topics)
    }

    fn options(&self, topics: &Topics) -> Result<Options, Failure> {
        let mut options = self.client.options(self.version())?;
        options.response_topic = topics.response.clone().map(Into::into);
        // Where it knows one that this client may use, it is better than one that is made up.
        options.connect.request_response_information |=
            self.version() == ProtocolVersion::V5 && topics.response.is_none();
        Ok(options)
    }

    fn publish(&self, topics: &Topics) -> Result<Publish, Failure> {
        let payload = self.payload.read()?.unwrap_or_default();
        let mut publish = Publish::new(topics.request.clone().into(), payload).with_qos(self.qos);
        self.client.apply(&mut Target::Publish(&mut publish))?;
        let set = publish.properties.as_deref();
        if set.is_some_and(|set| set.response_topic.is_some() || set.correlation_data.is_some()) {
            return Err(Failure::usage(
                "response-topic and correlation-data are set by rpc itself; write -e for the topic",
            ));
        }
        Ok(publish)
    }

    async fn ask(&self, client: &Client, topics: &Topics, request: Publish) -> Result<Publish, Failure> {
        self.client.connect(client).await?;
        match &topics.response {
            Some(response) if topics.by_topic_alone || self.version() == ProtocolVersion::V311 => {
                ask_by_topic(client, response, request, self.qos).await
            }
            _ => {
                let response = client.request_with(request, self.timeout).await;
                response.map(crate::client::Message::into_publish).map_err(|error| failed(&error))
            }
        }
    }
}

/// The response is the first message that comes to its topic.
async fn ask_by_topic(
    client: &Client,
    response: &str,
    request: Publish,
    qos: QoS,
) -> Result<Publish, Failure> {
    let subscribed = client.subscribe((response, qos)).await;
    let mut responses = subscribed.map_err(|error| not_subscribed(&error))?;
    let published = client.publish(request).await.map_err(|error| not_published(&error))?;
    if published.reason_code == ReasonCode::NO_MATCHING_SUBSCRIBERS {
        return Err(failed(&RequestError::NoMatchingSubscribers));
    }
    loop {
        match responses.next().await {
            // It was retained for an earlier request.
            Some(message) if message.retain => {}
            Some(message) => return Ok(message.into_publish()),
            None => {
                let end = client.end().unwrap_or(crate::client::End::Closed);
                return Err(not_published(&end.into()));
            }
        }
    }
}

fn failed(error: &RequestError) -> Failure {
    match error {
        RequestError::TimedOut(timeout) => no_response(*timeout),
        RequestError::Publish(error) => not_published(error),
        RequestError::Subscribe(error) => not_subscribed(error),
        error => Failure::new(Exit::Unavailable, format!("failed to {error}")),
    }
}

fn not_subscribed(error: &SubscribeError) -> Failure {
    Failure::new(Exit::Unavailable, format!("failed to {error}; it was for the response topic"))
}

fn no_response(timeout: Duration) -> Failure {
    Failure::new(Exit::TimedOut, format!("no response within {} s", timeout.as_secs_f64()))
}
