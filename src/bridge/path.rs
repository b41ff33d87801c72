//! Which brokers a message came through, so that it goes in no circle.
//!
//! Each broker that a bridge takes a message from or sends it through stands in it as a User Property. A message goes to
//! no broker that stands there, and none is taken in which this one does. MQTT 3.1.1 has no properties: there only
//! No Local holds, which each side applies to its own end of one bridge.

use bytestring::ByteString;

use crate::packet::PublishProperties;

/// The name of the property; its value is the identity of a broker.
const NAME: &str = "tidegate-path";
/// Brokers that a message goes through at most.
const LONGEST: usize = 16;

/// Whether a message came through this broker.
pub fn has_been_at(properties: Option<&PublishProperties>, identity: &str) -> bool {
    brokers(properties).any(|broker| broker == identity)
}

/// Whether a message came through so many brokers that it goes no further.
pub fn is_at_its_end(properties: Option<&PublishProperties>) -> bool {
    brokers(properties).count() >= LONGEST
}

fn brokers(properties: Option<&PublishProperties>) -> impl Iterator<Item = &ByteString> {
    let all = properties.into_iter().flat_map(|all| &all.user_properties);
    all.filter(|(name, _)| name == NAME).map(|(_, broker)| broker)
}

/// Notes that a message came through a broker.
pub fn note(properties: &mut Option<Box<PublishProperties>>, identity: &str) {
    let property = (ByteString::from_static(NAME), ByteString::from(identity));
    properties.get_or_insert_default().user_properties.push(property);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_knows_where_it_was_and_does_not_go_on_for_ever() {
        let mut properties = None;
        note(&mut properties, "a");
        note(&mut properties, "b");
        for (identity, was_there) in [("a", true), ("b", true), ("c", false)] {
            assert_eq!(has_been_at(properties.as_deref(), identity), was_there);
        }
        for hop in 2..LONGEST {
            assert!(!is_at_its_end(properties.as_deref()), "{hop}");
            note(&mut properties, "x");
        }
        assert!(is_at_its_end(properties.as_deref()));
        assert!(!has_been_at(None, "c"));
    }
}
