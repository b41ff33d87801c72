//! Runs a OneNET data-parse script: `rawDataToJson` on what devices send, `jsonToRawData` on what they are sent.
//!
//! - [`settings`]: script, topics and limits
//! - [`script`]: the JavaScript engine and the two functions
//! - [`surroundings`]: time and chance for the engine, which has nothing else of the world

mod script;
mod settings;
mod surroundings;

#[cfg(test)]
mod tests;

use tidegate_plugin::prelude::*;
use topic_pattern::{Client, Pattern};

use crate::script::{Failure, Script};
use crate::settings::{OnError, Settings};

struct OnenetScript {
    script: Script,
    conversions: Vec<Conversion>,
    on_error: OnError,
    maximum_payload: usize,
}

/// Messages of the source's topics are converted, and go on to the destination.
struct Conversion {
    topics: Pattern,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// `rawDataToJson`
    Up,
    /// `jsonToRawData`
    Down,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Lifecycle for OnenetScript {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let plugin = settings.check()?;
        let topics: Vec<String> =
            plugin.conversions.iter().map(|conversion| conversion.topics.filter()).collect();
        log::info!("ready", conversions = plugin.conversions.len());
        Ok((plugin, Registration::new().topics(topics)))
    }
}

impl InterceptingPublish for OnenetScript {
    fn intercept(&mut self, publish: Publish) -> PublishVerdict {
        let Some((direction, topic)) = self.conversion(publish.topic()) else {
            return PublishVerdict::Continue;
        };
        match self.convert(direction, &publish) {
            Ok(payload) => {
                metrics::count("converted_total", &[("direction", direction.name())], 1);
                PublishVerdict::Modify(Modification::new().topic(topic).payload(payload))
            }
            Err(failure) => self.fail(direction, publish.topic(), &failure),
        }
    }
}

impl OnenetScript {
    /// The first that this topic is a source of, and where the message goes.
    fn conversion(&self, topic: &str) -> Option<(Direction, String)> {
        self.conversions.iter().find_map(|conversion| {
            let (identifier, user_name) = match conversion.topics.needs_client() {
                true => (client::identifier(), client::user_name()),
                false => (String::new(), None),
            };
            let client = Client { identifier: &identifier, user_name: user_name.as_deref() };
            Some((conversion.direction, conversion.topics.rewrite(topic, &client)?))
        })
    }

    fn convert(&mut self, direction: Direction, publish: &Publish) -> Result<Vec<u8>, Failure> {
        if publish.payload_length() > self.maximum_payload {
            return Err(Failure::TooLong);
        }
        match direction {
            Direction::Up => self.script.raw_data_to_json(publish.payload()),
            Direction::Down => self.script.json_to_raw_data(publish.payload()),
        }
    }

    fn fail(&self, direction: Direction, topic: &str, failure: &Failure) -> PublishVerdict {
        metrics::count("errors_total", &[("direction", direction.name()), ("why", failure.name())], 1);
        log::info!("not converted", topic = topic, direction = direction.name(), why = failure);
        match self.on_error {
            OnError::Reject => {
                PublishVerdict::Reject(reason::PAYLOAD_FORMAT_INVALID).reason_string(failure.public())
            }
            OnError::Swallow => PublishVerdict::Swallow,
            OnError::Pass => PublishVerdict::Continue,
        }
    }
}

tidegate_plugin::export!(OnenetScript: lifecycle, intercepting_publish);
