//! How messages are printed: `-F`, with the conversions of mosquitto_sub.
//!
//! A format is read once, when the command begins, so that a mistake in it is told before anything is connected. Where
//! mosquitto_sub does what its manual does not say (a payload is cut at its width), this does the same.

mod clock;
mod json;
mod output;
mod parse;
mod print;

use std::io::Write;

pub(super) use output::Output;
pub(super) use print::{PrintArguments, Printer};

use self::clock::{Moment, Time};
use crate::packet::{Publish, PublishProperties};

/// What is printed of each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field, Width),
    Time(Time),
}

/// What a conversion stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    TopicAlias,
    ContentType,
    CorrelationData,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    Iso8601,
    Json,
    JsonOfPayload,
    PayloadLength,
    PacketIdentifier,
    UserProperties,
    Payload,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionIdentifier,
    Topic,
    UnixTime,
    Hex,
    UpperHex,
}

/// Flags, width and precision between `%` and the letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Width {
    left: bool,
    zero: bool,
    minimum: usize,
    maximum: Option<usize>,
}

/// `%J` of a payload that is no JSON; the rest was printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// What a format makes of a message; public for the fuzz targets, and for nobody else.
///
/// # Errors
/// Where it is no format.
#[doc(hidden)]
pub fn printed(format: &str, message: &Publish, pretty: bool) -> Result<Vec<u8>, String> {
    let format: Format = format.parse()?;
    let mut out = Vec::new();
    // The rest is printed.
    let _ = format.write(message, pretty, &mut out);
    Ok(out)
}

impl Format {
    /// Appends what is printed of a message.
    fn write(&self, message: &Publish, pretty: bool, out: &mut Vec<u8>) -> Result<(), NotJson> {
        let now = Moment::default();
        let mut result = Ok(());
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Time(time) => now.write(time, out),
                Piece::Field(field, width) => {
                    result = result.and(field.write(message, *width, &now, pretty, out));
                }
            }
        }
        result
    }
}

impl Field {
    fn write(
        self,
        message: &Publish,
        width: Width,
        now: &Moment,
        pretty: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), NotJson> {
        let none = PublishProperties::default();
        let properties = message.properties.as_deref().unwrap_or(&none);
        match self {
            Field::TopicAlias => width.number(message.topic_alias.map(|alias| alias.get().into()), out),
            Field::ContentType => width.text(properties.content_type.as_deref().unwrap_or_default(), out),
            Field::CorrelationData => {
                out.extend_from_slice(properties.correlation_data.as_deref().unwrap_or_default());
            }
            Field::MessageExpiryInterval => {
                width.number(properties.message_expiry_interval.map(u64::from), out);
            }
            Field::PayloadFormatIndicator => {
                width.number(properties.payload_format_indicator.map(u64::from), out);
            }
            Field::Iso8601 => width.text(&now.iso8601(), out),
            Field::Json => return json::write(message, now, pretty, false, out),
            Field::JsonOfPayload => return json::write(message, now, pretty, true, out),
            Field::PayloadLength => width.number(Some(message.payload.len() as u64), out),
            Field::PacketIdentifier => {
                let identifier = message.packet_identifier.map_or(0, |identifier| identifier.get().into());
                width.number(Some(identifier), out);
            }
            Field::UserProperties => write_user_properties(properties, out),
            Field::Payload => width.payload(&message.payload, out),
            Field::QoS => out.extend_from_slice(u8::from(message.qos).to_string().as_bytes()),
            Field::ResponseTopic => width.text(properties.response_topic.as_deref().unwrap_or_default(), out),
            Field::Retain => out.push(if message.retain { b'1' } else { b'0' }),
            Field::SubscriptionIdentifier => {
                width.number(message.subscription_identifiers.first().copied().map(u64::from), out);
            }
            Field::Topic => width.text(&message.topic, out),
            Field::UnixTime => out.extend_from_slice(now.unix().as_bytes()),
            Field::Hex => width.hex(&message.payload, b"0123456789abcdef", out),
            Field::UpperHex => width.hex(&message.payload, b"0123456789ABCDEF", out),
        }
        Ok(())
    }
}

fn write_user_properties(properties: &PublishProperties, out: &mut Vec<u8>) {
    for (number, (name, value)) in properties.user_properties.iter().enumerate() {
        let space = if number > 0 { " " } else { "" };
        // Writing to a vector cannot fail.
        let _ = write!(out, "{space}{name}:{value}");
    }
}

impl Width {
    fn text(self, text: &str, out: &mut Vec<u8>) {
        let shown = text.chars().count().min(self.maximum.unwrap_or(usize::MAX));
        let end = text.char_indices().nth(shown).map_or(text.len(), |(at, _)| at);
        self.pad(shown, b' ', &text.as_bytes()[..end], out);
    }

    fn number(self, number: Option<u64>, out: &mut Vec<u8>) {
        let digits = number.map(|number| number.to_string()).unwrap_or_default();
        self.pad(digits.len(), self.filler(), digits.as_bytes(), out);
    }

    /// A payload that is longer than its width is cut.
    fn payload(self, payload: &[u8], out: &mut Vec<u8>) {
        let shown = payload.len().min(self.room());
        self.pad(shown, self.filler(), &payload[..shown], out);
    }

    /// Whole bytes only, of two digits each.
    fn hex(self, payload: &[u8], digits: &[u8; 16], out: &mut Vec<u8>) {
        let shown = &payload[..payload.len().min(self.room() / 2)];
        let hex: Vec<u8> = shown
            .iter()
            .flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]])
            .collect();
        self.pad(hex.len(), self.filler(), &hex, out);
    }

    fn room(self) -> usize {
        if self.minimum == 0 { usize::MAX } else { self.minimum }
    }

    fn filler(self) -> u8 {
        if self.zero { b'0' } else { b' ' }
    }

    fn pad(self, shown: usize, filler: u8, what: &[u8], out: &mut Vec<u8>) {
        let missing = self.minimum.saturating_sub(shown);
        if !self.left {
            out.resize(out.len() + missing, filler);
        }
        out.extend_from_slice(what);
        if self.left {
            out.resize(out.len() + missing, b' ');
        }
    }
}

#[cfg(test)]
mod tests;
