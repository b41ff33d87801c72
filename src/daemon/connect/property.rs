//! `--property PACKET NAME VALUE [VALUE]`: what an MQTT 5.0 packet carries besides, as in mosquitto_pub.

use std::num::NonZeroU16;

use bytestring::ByteString;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::packet::{Connect, Disconnect, Publish, PublishProperties, Subscribe, Unsubscribe, Will};

/// Each `--property` with its words.
#[derive(Debug, Default)]
pub(in crate::daemon) struct UserProperties(Vec<Vec<String>>);

/// A packet that is being made.
pub(in crate::daemon) enum Target<'a> {
    Connect(&'a mut Connect),
    Will(&'a mut Will),
    Publish(&'a mut Publish),
    Subscribe(&'a mut Subscribe),
    Unsubscribe(&'a mut Unsubscribe),
    Disconnect(&'a mut Disconnect),
}

const PACKETS: [&str; 6] = ["connect", "publish", "subscribe", "unsubscribe", "disconnect", "will"];

const HELP: &str = "5.0: a property of a packet; may be given several times
(PACKET: connect, publish, subscribe, unsubscribe, disconnect or will)";

const LONG_HELP: &str = "5.0: a property of a packet; may be given several times

  connect      session-expiry-interval, receive-maximum, maximum-packet-size, topic-alias-maximum,
               request-problem-information, request-response-information, authentication-method,
               authentication-data, user-property
  publish      payload-format-indicator, message-expiry-interval, content-type, response-topic,
               correlation-data, topic-alias, user-property
  will         as publish but topic-alias, and will-delay-interval
  subscribe    subscription-identifier, user-property
  unsubscribe  user-property
  disconnect   session-expiry-interval, reason-string, user-property

user-property takes a name and a value, the others one value: -D publish user-property unit celsius.
topic-alias is taken and not needed: aliases are given where topics come again.";

impl UserProperties {
    pub(in crate::daemon) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets those of this packet; says what is wrong with one that cannot be set.
    pub(in crate::daemon) fn apply(&self, target: &mut Target<'_>) -> Result<(), String> {
        for words in &self.0 {
            let [packet, name, values @ ..] = words.as_slice() else { continue };
            if packet == target.name() {
                set(target, name, values).map_err(|error| format!("--property {packet} {name}: {error}"))?;
            }
        }
        Ok(())
    }
}

impl Target<'_> {
    fn name(&self) -> &'static str {
        match self {
            Target::Connect(_) => "connect",
            Target::Will(_) => "will",
            Target::Publish(_) => "publish",
            Target::Subscribe(_) => "subscribe",
            Target::Unsubscribe(_) => "unsubscribe",
            Target::Disconnect(_) => "disconnect",
        }
    }
}

fn set(target: &mut Target<'_>, name: &str, values: &[String]) -> Result<(), String> {
    if name == "user-property" {
        let [name, value] = values else { return Err("takes a name and a value".to_owned()) };
        user_properties(target).push((name.clone().into(), value.clone().into()));
        return Ok(());
    }
    let [value] = values else { return Err("takes one value".to_owned()) };
    match target {
        Target::Connect(connect) => set_connect(connect, name, value),
        Target::Will(will) if name == "will-delay-interval" => {
            will.delay_interval = number(value)?;
            Ok(())
        }
        Target::Will(will) => set_publish(will.properties.get_or_insert_default(), name, value),
        Target::Publish(publish) if name == "topic-alias" => {
            publish.topic_alias = Some(number(value)?);
            Ok(())
        }
        Target::Publish(publish) => set_publish(publish.properties.get_or_insert_default(), name, value),
        Target::Subscribe(subscribe) if name == "subscription-identifier" => {
            subscribe.subscription_identifier = Some(number(value)?);
            Ok(())
        }
        Target::Disconnect(disconnect) => set_disconnect(disconnect, name, value),
        Target::Subscribe(_) | Target::Unsubscribe(_) => unknown(),
    }
}

fn user_properties<'t>(target: &'t mut Target<'_>) -> &'t mut Vec<(ByteString, ByteString)> {
    match target {
        Target::Connect(connect) => &mut connect.user_properties,
        Target::Will(will) => &mut will.properties.get_or_insert_default().user_properties,
        Target::Publish(publish) => &mut publish.properties.get_or_insert_default().user_properties,
        Target::Subscribe(subscribe) => &mut subscribe.user_properties,
        Target::Unsubscribe(unsubscribe) => &mut unsubscribe.user_properties,
        Target::Disconnect(disconnect) => &mut disconnect.user_properties,
    }
}

fn set_connect(connect: &mut Connect, name: &str, value: &str) -> Result<(), String> {
    match name {
        "session-expiry-interval" => connect.session_expiry_interval = Some(number(value)?),
        "receive-maximum" => connect.receive_maximum = Some(number::<NonZeroU16>(value)?),
        "maximum-packet-size" => connect.maximum_packet_size = Some(number(value)?),
        "topic-alias-maximum" => connect.topic_alias_maximum = number(value)?,
        "request-problem-information" => connect.request_problem_information = flag(value)?,
        "request-response-information" => connect.request_response_information = flag(value)?,
        "authentication-method" => connect.authentication_method = Some(value.into()),
        "authentication-data" => connect.authentication_data = Some(value.to_owned().into()),
        _ => return unknown(),
    }
    Ok(())
}

fn set_publish(properties: &mut PublishProperties, name: &str, value: &str) -> Result<(), String> {
    match name {
        "payload-format-indicator" => properties.payload_format_indicator = Some(flag(value)?),
        "message-expiry-interval" => properties.message_expiry_interval = Some(number(value)?),
        "content-type" => properties.content_type = Some(value.into()),
        "response-topic" => properties.response_topic = Some(value.into()),
        "correlation-data" => properties.correlation_data = Some(value.to_owned().into()),
        _ => return unknown(),
    }
    Ok(())
}

fn set_disconnect(disconnect: &mut Disconnect, name: &str, value: &str) -> Result<(), String> {
    match name {
        "session-expiry-interval" => disconnect.session_expiry_interval = Some(number(value)?),
        "reason-string" => disconnect.reason_string = Some(value.into()),
        _ => return unknown(),
    }
    Ok(())
}

fn unknown() -> Result<(), String> {
    Err("this packet has no such property; --help lists those it has".to_owned())
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("`{value}` is no number in its range"))
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("`{value}` is neither 0 nor 1")),
    }
}

// By hand, because deriving forgets where one occurrence ends and the next begins.
impl Args for UserProperties {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new("property")
                .short('D')
                .long("property")
                .num_args(3..=4)
                .value_names(["PACKET", "NAME", "VALUE"])
                .action(ArgAction::Append)
                .help_heading("Session")
                .help(HELP)
                .long_help(LONG_HELP),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for UserProperties {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let occurrences = matches.get_occurrences::<String>("property").into_iter().flatten();
        let all: Vec<Vec<String>> = occurrences.map(|words| words.cloned().collect()).collect();
        match all.iter().find(|words| !PACKETS.contains(&words[0].as_str())) {
            None => Ok(UserProperties(all)),
            Some(words) => Err(clap::Error::raw(
                ErrorKind::InvalidValue,
                format!("--property: `{}` is none of {}\n", words[0], PACKETS.join(", ")),
            )),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(words: &[&str]) -> Result<UserProperties, clap::Error> {
        let command = UserProperties::augment_args(Command::new("t").arg(Arg::new("topic").short('t')));
        UserProperties::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn each_occurrence_is_set_on_its_packet() {
        let words =
            "t -D publish user-property a b -D connect receive-maximum 7 -t x -D publish content-type c";
        let properties = properties(&words.split(' ').collect::<Vec<_>>()).unwrap();
        let mut publish = Publish::new("t".into(), Vec::new().into());
        properties.apply(&mut Target::Publish(&mut publish)).unwrap();
        let found = publish.properties.unwrap();
        assert_eq!(found.content_type.as_deref(), Some("c"));
        assert_eq!(found.user_properties, [("a".into(), "b".into())]);
    }

    #[test]
    fn a_wrong_property_is_explained() {
        assert!(properties(&["t", "-D", "pingreq", "a", "b"]).is_err());
        let properties = properties(&["t", "-D", "publish", "receive-maximum", "7"]).unwrap();
        let mut publish = Publish::new("t".into(), Vec::new().into());
        let error = properties.apply(&mut Target::Publish(&mut publish)).unwrap_err();
        assert!(error.starts_with("--property publish receive-maximum: this packet has no such"), "{error}");
    }
}
