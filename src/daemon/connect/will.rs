//! What the broker publishes if the connection breaks.

use clap::Args;

use super::{parse_qos, topic_name};
use crate::daemon::exit::Failure;
use crate::packet::{QoS, Will};

/// The Will; its properties are set with `-D will`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Will")]
pub(super) struct WillArguments {
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
}

impl WillArguments {
    pub(super) fn will(&self) -> Result<Option<Will>, Failure> {
        let Some(topic) = &self.will_topic else { return Ok(None) };
        Ok(Some(Will {
            topic: topic_name(topic)?.into_inner(),
            payload: self.will_payload.clone().unwrap_or_default().into(),
            qos: self.will_qos,
            retain: self.will_retain,
            ..Will::default()
        }))
    }
}
