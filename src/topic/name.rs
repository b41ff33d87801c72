//! The Topic Name: where a message is published to.

use std::fmt;

use bytestring::ByteString;

use super::{InvalidTopic, MAX_TOPIC_BYTES};

/// A valid Topic Name: not empty, without U+0000 and wildcards, at most 65,535 bytes.
///
/// Names are compared byte for byte; nothing is normalised [MQTT-4.7.3-4]. A clone shares the bytes.
///
/// ```
/// use tidegate::topic::TopicName;
///
/// let name = TopicName::try_from("sport/tennis")?;
/// assert_eq!(name.levels().collect::<Vec<_>>(), ["sport", "tennis"]);
/// assert!(TopicName::try_from("sport/#").is_err());
/// # Ok::<(), tidegate::topic::InvalidTopic>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(ByteString);

impl TopicName {
    /// That of a PUBLISH. The decoder has checked it already, and lets an empty one pass only beside an alias,
    /// which the caller has looked at.
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) fn of_publish(topic: ByteString) -> Self {
        debug_assert!(Self::try_from(topic.clone()).is_ok(), "the decoder let {topic:?} pass");
        Self(topic)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the separators `/`; any of them may be empty.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether the name begins with `$`: such topics are the Server's own (section 4.7.2).
    pub fn is_server_topic(&self) -> bool {
        self.0.starts_with('$')
    }

    /// A copy in an allocation of its own.
    ///
    /// A name that was sliced from a read buffer keeps the whole buffer alive: what is stored for long is stored
    /// detached.
    pub fn to_detached(&self) -> Self {
        Self(ByteString::from(self.as_str()))
    }

    /// The string without its promise.
    pub fn into_inner(self) -> ByteString {
        self.0
    }
}

impl TryFrom<ByteString> for TopicName {
    type Error = InvalidTopic;

    fn try_from(text: ByteString) -> Result<Self, InvalidTopic> {
        check_text(&text)?;
        if text.bytes().any(|byte| byte == b'+' || byte == b'#') {
            return Err(InvalidTopic::WildcardInName);
        }
        Ok(Self(text))
    }
}

impl TryFrom<&str> for TopicName {
    type Error = InvalidTopic;

    fn try_from(text: &str) -> Result<Self, InvalidTopic> {
        check_text(text)?;
        Self::try_from(ByteString::from(text))
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicName({:?})", self.as_str())
    }
}

/// What Topic Names and Topic Filters have in common.
pub(super) fn check_text(text: &str) -> Result<(), InvalidTopic> {
    if text.is_empty() {
        return Err(InvalidTopic::Empty);
    }
    if text.len() > MAX_TOPIC_BYTES {
        return Err(InvalidTopic::TooLong(text.len()));
    }
    if text.as_bytes().contains(&0) {
        return Err(InvalidTopic::NullCharacter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> InvalidTopic {
        TopicName::try_from(text).unwrap_err()
    }

    /// [MQTT-4.7.3-1]
    #[test]
    fn a_name_has_at_least_one_character() {
        assert_eq!(error(""), InvalidTopic::Empty);
        assert!(TopicName::try_from("/").is_ok());
        assert!(TopicName::try_from(" ").is_ok());
    }

    /// [MQTT-4.7.3-2]
    #[test]
    fn a_name_has_no_null_character() {
        assert_eq!(error("a\0b"), InvalidTopic::NullCharacter);
    }

    /// [MQTT-4.7.3-3]
    #[test]
    fn a_name_has_at_most_65535_bytes() {
        assert!(TopicName::try_from("x".repeat(65_535).as_str()).is_ok());
        assert_eq!(error(&"x".repeat(65_536)), InvalidTopic::TooLong(65_536));
    }

    /// [MQTT-4.7.0-1], in MQTT 3.1.1 [MQTT-4.7.1-1]
    #[test]
    fn a_name_has_no_wildcards() {
        for text in ["#", "+", "a/#", "a/+/b", "a+", "a#b"] {
            assert_eq!(error(text), InvalidTopic::WildcardInName, "{text}");
        }
    }

    /// [MQTT-4.7.3-4]
    #[test]
    fn names_are_not_normalised() {
        let name = |text: &str| TopicName::try_from(text).unwrap();
        assert_ne!(name("a"), name("A"));
        assert_ne!(name("/a"), name("a"));
        assert_ne!(name("\u{e9}"), name("e\u{301}"));
    }

    #[test]
    fn levels_may_be_empty() {
        let name = TopicName::try_from("/a//").unwrap();
        assert_eq!(name.levels().collect::<Vec<_>>(), ["", "a", "", ""]);
    }

    #[test]
    fn only_a_leading_dollar_makes_a_server_topic() {
        assert!(TopicName::try_from("$SYS/x").unwrap().is_server_topic());
        assert!(!TopicName::try_from("a/$SYS").unwrap().is_server_topic());
    }

    #[test]
    fn a_detached_name_does_not_point_into_the_buffer_it_came_from() {
        let buffer = ByteString::from("PUBLISH a/b and sixty thousand more");
        let name = TopicName::try_from(buffer.slice_ref(&buffer[8..11])).unwrap();
        let detached = name.to_detached();
        assert_eq!(detached, name);
        assert_ne!(detached.as_str().as_ptr(), name.as_str().as_ptr());
    }
}
