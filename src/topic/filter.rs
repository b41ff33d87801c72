//! The Topic Filter: what a client subscribes to, with the one plain definition of what matches.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::name::check_text;
use super::{InvalidTopic, TopicName};

const SHARE_PREFIX: &str = "$share/";

/// A valid Topic Filter, possibly that of a Shared Subscription: `$share/{ShareName}/{filter}`.
///
/// A clone shares the bytes. They are its own, and no part of what was read from a client, as subscriptions last.
///
/// ```
/// use tidegate::topic::{TopicFilter, TopicName};
///
/// let filter = TopicFilter::try_from("$share/workers/sport/#")?;
/// assert_eq!(filter.share_name(), Some("workers"));
/// assert_eq!(filter.filter(), "sport/#");
/// assert!(filter.matches(&TopicName::try_from("sport")?));
/// # Ok::<(), tidegate::topic::InvalidTopic>(())
/// ```
#[derive(Clone)]
pub struct TopicFilter {
    text: Arc<str>,
    /// Where the filter proper begins: 0 if the subscription is not shared.
    start: u16,
    has_wildcard: bool,
}

impl TopicFilter {
    /// The whole filter as the client sent it, with the share prefix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ShareName of a Shared Subscription.
    pub fn share_name(&self) -> Option<&str> {
        match self.start {
            0 => None,
            start => Some(&self.text[SHARE_PREFIX.len()..usize::from(start) - 1]),
        }
    }

    /// The filter that names are matched against, without the share prefix.
    pub fn filter(&self) -> &str {
        &self.text[usize::from(self.start)..]
    }

    /// The parts of [`filter`](Self::filter) between the separators `/`.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.filter().split('/')
    }

    /// Whether more than one name can match.
    pub fn has_wildcard(&self) -> bool {
        self.has_wildcard
    }

    /// Whether the filter selects a name, looking at the one pair only; the trees do it for many.
    pub fn matches(&self, name: &TopicName) -> bool {
        level_by_level(self.filter(), name.as_str())
    }
}

impl TryFrom<&str> for TopicFilter {
    type Error = InvalidTopic;

    fn try_from(text: &str) -> Result<Self, InvalidTopic> {
        check_text(text)?;
        let start = filter_start(text)?;
        let has_wildcard = check_wildcards(&text[usize::from(start)..])?;
        Ok(Self { text: text.into(), start, has_wildcard })
    }
}

/// The filter that selects exactly this name; fails for names that begin with `$share/`, which would be taken
/// for a Shared Subscription and cannot be subscribed to otherwise.
impl TryFrom<TopicName> for TopicFilter {
    type Error = InvalidTopic;

    fn try_from(name: TopicName) -> Result<Self, InvalidTopic> {
        if name.as_str().starts_with(SHARE_PREFIX) {
            return Err(InvalidTopic::NoFilterAfterShareName);
        }
        Ok(Self { text: name.as_str().into(), start: 0, has_wildcard: false })
    }
}

impl PartialEq for TopicFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicFilter {}

impl PartialOrd for TopicFilter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicFilter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for TopicFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl AsRef<str> for TopicFilter {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicFilter({:?})", self.as_str())
    }
}

/// Where the filter proper begins, which is after `$share/{ShareName}/`.
fn filter_start(text: &str) -> Result<u16, InvalidTopic> {
    let Some(shared) = text.strip_prefix(SHARE_PREFIX) else { return Ok(0) };
    let (share_name, filter) = shared.split_once('/').unwrap_or((shared, ""));
    if share_name.is_empty() {
        return Err(InvalidTopic::EmptyShareName); // [MQTT-4.8.2-1]
    }
    if share_name.contains(['+', '#']) {
        return Err(InvalidTopic::WildcardInShareName); // [MQTT-4.8.2-2]
    }
    if filter.is_empty() {
        return Err(InvalidTopic::NoFilterAfterShareName); // [MQTT-4.8.2-2]
    }
    let start = text.len() - filter.len();
    u16::try_from(start).map_err(|_| InvalidTopic::TooLong(text.len()))
}

/// Checks where wildcards stand and says whether there are any.
fn check_wildcards(filter: &str) -> Result<bool, InvalidTopic> {
    let mut levels = filter.split('/').peekable();
    let mut found = false;
    while let Some(level) = levels.next() {
        match level {
            "+" => found = true,
            "#" if levels.peek().is_none() => found = true,
            _ if level.contains('#') => return Err(InvalidTopic::MultiLevelWildcard), // [MQTT-4.7.1-1]
            _ if level.contains('+') => return Err(InvalidTopic::SingleLevelWildcard), // [MQTT-4.7.1-2]
            _ => {}
        }
    }
    Ok(found)
}

/// The definition of matching (section 4.7), one level after the other.
fn level_by_level(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false; // [MQTT-4.7.2-1]
    }
    let mut name_levels = name.split('/');
    for wanted in filter.split('/') {
        match (wanted, name_levels.next()) {
            ("#", _) => return true, // also without a level left: `sport/#` selects `sport`
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    name_levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn error(text: &str) -> InvalidTopic {
        TopicFilter::try_from(text).unwrap_err()
    }

    fn matches(text: &str, name: &str) -> bool {
        filter(text).matches(&TopicName::try_from(name).unwrap())
    }

    /// [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-4.7.3-3]
    #[test]
    fn a_filter_is_not_empty_and_not_too_long_and_has_no_null_character() {
        assert_eq!(error(""), InvalidTopic::Empty);
        assert_eq!(error("a/\0"), InvalidTopic::NullCharacter);
        assert_eq!(error(&"/".repeat(65_536)), InvalidTopic::TooLong(65_536));
        assert_eq!(filter(&"/".repeat(65_535)).levels().count(), 65_536);
    }

    /// [MQTT-4.7.1-1], in MQTT 3.1.1 [MQTT-4.7.1-2]
    #[test]
    fn the_multi_level_wildcard_is_last_and_alone_in_its_level() {
        for text in ["#", "/#", "sport/#", "sport/tennis/#", "+/#"] {
            assert!(filter(text).has_wildcard(), "{text}");
        }
        for text in ["sport/tennis#", "sport/#/ranking", "#/", "##", "a/#b", "+#"] {
            assert_eq!(error(text), InvalidTopic::MultiLevelWildcard, "{text}");
        }
    }

    /// [MQTT-4.7.1-2], in MQTT 3.1.1 [MQTT-4.7.1-3]
    #[test]
    fn the_single_level_wildcard_occupies_an_entire_level() {
        for text in ["+", "+/tennis/#", "sport/+/player1", "/+", "+/+"] {
            assert!(filter(text).has_wildcard(), "{text}");
        }
        for text in ["sport+", "+a", "a/b+/c", "++"] {
            assert_eq!(error(text), InvalidTopic::SingleLevelWildcard, "{text}");
        }
    }

    #[test]
    fn the_multi_level_wildcard_selects_its_parent_and_all_below() {
        for name in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/x"] {
            assert!(matches("sport/tennis/player1/#", name), "{name}");
        }
        assert!(matches("sport/#", "sport"));
        assert!(matches("sport/#", "sport/"));
        assert!(matches("#", "/"));
        assert!(matches("a/+/#", "a/b"));
        assert!(!matches("sport/#", "sports"));
        assert!(!matches("sport/#", "/sport"));
        assert!(!matches("a/+/#", "a"));
    }

    #[test]
    fn the_single_level_wildcard_selects_one_level() {
        assert!(matches("sport/tennis/+", "sport/tennis/player1"));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport"));
        assert!(matches("sport/+", "sport/"));
        assert!(matches("+/+", "/finance"));
        assert!(matches("/+", "/finance"));
        assert!(!matches("+", "/finance"));
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn a_leading_wildcard_does_not_select_names_that_begin_with_a_dollar() {
        for text in ["#", "+/monitor/Clients", "+/#", "+"] {
            assert!(!matches(text, "$SYS/monitor/Clients"), "{text}");
            assert!(!matches(text, "$SYS"), "{text}");
        }
        assert!(matches("$SYS/#", "$SYS/monitor/Clients"));
        assert!(matches("$SYS/#", "$SYS"));
        assert!(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
        assert!(matches("a/+", "a/$SYS"));
        assert!(!matches("$share/g/#", "$SYS/x"));
        assert!(matches("$share/g/$SYS/#", "$SYS/x"));
    }

    /// [MQTT-4.7.3-4]
    #[test]
    fn levels_are_compared_byte_for_byte() {
        assert!(!matches("ACCOUNTS", "Accounts"));
        assert!(!matches("\u{e9}", "e\u{301}"));
        assert!(matches("Accounts payable", "Accounts payable"));
        assert!(!matches("a", "a/"));
        assert!(!matches("a/", "a"));
    }

    /// [MQTT-4.8.2-1]
    #[test]
    fn a_share_name_has_at_least_one_character() {
        let shared = filter("$share/consumer1//finance");
        assert_eq!((shared.share_name(), shared.filter()), (Some("consumer1"), "/finance"));
        assert_eq!(shared.as_str(), "$share/consumer1//finance");
        assert_eq!(error("$share/"), InvalidTopic::EmptyShareName);
        assert_eq!(error("$share//finance"), InvalidTopic::EmptyShareName);
    }

    /// [MQTT-4.8.2-2]
    #[test]
    fn a_share_name_has_no_wildcard_and_is_followed_by_a_filter() {
        assert_eq!(error("$share/+/a"), InvalidTopic::WildcardInShareName);
        assert_eq!(error("$share/g#/a"), InvalidTopic::WildcardInShareName);
        assert_eq!(error("$share/#"), InvalidTopic::WildcardInShareName);
        assert_eq!(error("$share/g"), InvalidTopic::NoFilterAfterShareName);
        assert_eq!(error("$share/g/"), InvalidTopic::NoFilterAfterShareName);
        assert_eq!(error("$share/g/a+"), InvalidTopic::SingleLevelWildcard);
        assert!(filter("$share/g/+").has_wildcard());
    }

    #[test]
    fn only_the_exact_share_prefix_makes_a_shared_subscription() {
        for text in ["$share", "$SHARE/g/a", "$shared/g/a", "a/$share/g/b", "share/g/a"] {
            assert_eq!(filter(text).share_name(), None, "{text}");
            assert_eq!(filter(text).filter(), text);
        }
    }

    #[test]
    fn a_share_name_as_long_as_a_filter_can_be_leaves_no_room_for_more() {
        let longest = format!("$share/{}/a", "x".repeat(65_535 - 9));
        assert_eq!(filter(&longest).filter(), "a");
    }

    #[test]
    fn a_name_becomes_the_filter_that_selects_it() {
        let name = TopicName::try_from("a/b").unwrap();
        assert!(TopicFilter::try_from(name.clone()).unwrap().matches(&name));
        assert!(TopicFilter::try_from(TopicName::try_from("$share/g/a").unwrap()).is_err());
    }
}
