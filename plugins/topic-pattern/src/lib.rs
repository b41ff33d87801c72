//! From a topic to another, for plugins: what the wildcards of a Topic Filter stand for is filled in elsewhere.
//!
//! ```
//! use topic_pattern::{Client, Pattern};
//! let pattern = Pattern::parse("old/+/data/#", "new/%u/$1/$2").unwrap();
//! let client = Client { identifier: "c1", user_name: Some("alice") };
//! assert_eq!(pattern.rewrite("old/7/data/x/y", &client).as_deref(), Some("new/alice/7/x/y"));
//! assert_eq!(pattern.rewrite("else/7", &client), None);
//! ```
//!
//! `$1` to `$9` are what the first to ninth wildcard of the source stand for, `%c` is the Client Identifier, `%u`
//! the User Name. In the source `%c` and `%u` are levels of their own that have to be the client's.

use std::fmt::Write as _;

use tidegate_plugin::topic;

#[derive(Debug, Clone)]
pub struct Pattern {
    source: Vec<Level>,
    destination: Vec<Part>,
}

/// Whose message or filter it is.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    pub identifier: &'a str,
    pub user_name: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Text(String),
    /// `+`
    One,
    /// `#`
    Rest,
    Identifier,
    UserName,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// counted from 0
    Capture(usize),
    Identifier,
    UserName,
}

impl Pattern {
    /// The error says what is wrong with which of the two.
    pub fn parse(source: &str, destination: &str) -> Result<Self, String> {
        if !topic::is_filter(source) || source.starts_with("$share/") {
            return Err(format!("`{source}` is not a Topic Filter"));
        }
        let source: Vec<Level> = source.split('/').map(Level::parse).collect();
        let destination = parse_destination(destination)?;
        let wildcards = source.iter().filter(|level| level.is_wildcard()).count();
        for part in &destination {
            if let Part::Capture(index) = part
                && *index >= wildcards
            {
                return Err(format!("`${}` has no wildcard in the source, which has {wildcards}", index + 1));
            }
        }
        Ok(Self { source, destination })
    }

    /// A Topic Filter that matches whatever can be rewritten, for any client.
    pub fn filter(&self) -> String {
        let levels: Vec<&str> = self.source.iter().map(Level::as_filter).collect();
        levels.join("/")
    }

    /// Whether the client's name or identifier is looked at.
    pub fn needs_client(&self) -> bool {
        let in_source = self.source.iter().any(|level| matches!(level, Level::Identifier | Level::UserName));
        in_source || self.destination.iter().any(|part| matches!(part, Part::Identifier | Part::UserName))
    }

    /// The Topic Name in place of this one; none where the source does not match, or what comes out is no Topic
    /// Name.
    pub fn rewrite(&self, topic: &str, client: &Client<'_>) -> Option<String> {
        let rewritten = self.fill_in(&self.captures(topic, client)?, client)?;
        let is_name = topic::is_filter(&rewritten) && !rewritten.contains(['+', '#']);
        is_name.then_some(rewritten)
    }

    /// The Topic Filter in place of this one, all of whose topics the source has to match; none where it does not.
    /// An error: its wildcards cannot stand where the destination wants them.
    pub fn rewrite_filter(&self, filter: &str, client: &Client<'_>) -> Option<Result<String, NoFilter>> {
        let captures = self.captures(filter, client)?;
        let rewritten = self.fill_in(&captures, client)?;
        let kept = |wildcard: char| {
            let wanted: usize =
                captures.iter().map(|capture| capture.unwrap_or("").matches(wildcard).count()).sum();
            rewritten.matches(wildcard).count() == wanted
        };
        Some(if topic::is_filter(&rewritten) && kept('+') && kept('#') {
            Ok(rewritten)
        } else {
            Err(NoFilter)
        })
    }

    /// What the wildcards stand for; the capture of `#` is none where it stands for no level at all.
    fn captures<'t>(&self, topic: &'t str, client: &Client<'_>) -> Option<Vec<Option<&'t str>>> {
        if topic.starts_with('$') && self.source.first().is_some_and(Level::is_wildcard) {
            return None;
        }
        let mut captures = Vec::new();
        let mut rest = Some(topic);
        for level in &self.source {
            if *level == Level::Rest {
                captures.push(rest);
                return Some(captures);
            }
            let (this, after) = split_level(rest?);
            match level {
                // `a/+` does not match all that `a/#` does.
                Level::One if this != "#" => captures.push(Some(this)),
                Level::Text(text) if text == this => {}
                Level::Identifier if client.identifier == this && is_one_level(this) => {}
                Level::UserName if client.user_name == Some(this) && is_one_level(this) => {}
                _ => return None,
            }
            rest = after;
        }
        rest.is_none().then_some(captures)
    }

    /// None where a User Name is wanted and there is none, or a name would be more than a part of a level.
    fn fill_in(&self, captures: &[Option<&str>], client: &Client<'_>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.destination {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Identifier => filled.push_str(of_one_level(client.identifier)?),
                Part::UserName => filled.push_str(of_one_level(client.user_name?)?),
                Part::Capture(index) => match captures.get(*index)? {
                    Some(capture) => filled.push_str(capture),
                    // `a/#` that matched `a`: `b/$1` is `b`
                    None if filled.ends_with('/') => {
                        filled.pop();
                    }
                    None => {}
                },
            }
        }
        Some(filled)
    }
}

/// A filter that has no counterpart at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFilter;

impl Level {
    fn parse(text: &str) -> Self {
        match text {
            "+" => Self::One,
            "#" => Self::Rest,
            "%c" => Self::Identifier,
            "%u" => Self::UserName,
            text => Self::Text(text.to_owned()),
        }
    }

    fn as_filter(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Rest => "#",
            Self::One | Self::Identifier | Self::UserName => "+",
        }
    }

    fn is_wildcard(&self) -> bool {
        matches!(self, Self::One | Self::Rest)
    }
}

fn parse_destination(destination: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut characters = destination.chars().peekable();
    while let Some(character) = characters.next() {
        let part = match (character, characters.peek()) {
            ('$', Some(&digit @ '1'..='9')) => Part::Capture(digit as usize - '1' as usize),
            ('%', Some('c')) => Part::Identifier,
            ('%', Some('u')) => Part::UserName,
            _ => {
                let _ = text.write_char(character);
                continue;
            }
        };
        characters.next();
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(part);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    let has_wildcard = |part: &Part| matches!(part, Part::Text(text) if text.contains(['+', '#', '\0']));
    if parts.is_empty() || destination.len() > 65_535 || parts.iter().any(has_wildcard) {
        return Err(format!("`{destination}` is not a Topic Name with `$1` to `$9`, `%c` and `%u` in it"));
    }
    Ok(parts)
}

fn split_level(topic: &str) -> (&str, Option<&str>) {
    match topic.split_once('/') {
        Some((level, after)) => (level, Some(after)),
        None => (topic, None),
    }
}

/// A client that is called `a/b` or `#` must not reach topics of others by its name.
fn is_one_level(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '+', '#'])
}

fn of_one_level(name: &str) -> Option<&str> {
    is_one_level(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{Client, NoFilter, Pattern};

    const ALICE: Client<'_> = Client { identifier: "c1", user_name: Some("alice") };

    fn rewrite(source: &str, destination: &str, topic: &str) -> Option<String> {
        Pattern::parse(source, destination).unwrap().rewrite(topic, &ALICE)
    }

    fn rewrite_filter(source: &str, destination: &str, filter: &str) -> Option<Result<String, NoFilter>> {
        Pattern::parse(source, destination).unwrap().rewrite_filter(filter, &ALICE)
    }

    #[test]
    fn what_wildcards_stand_for_is_filled_in_in_any_order() {
        for (source, destination, topic, expected) in [
            ("a/+/+", "b/$2/$1", "a/1/2", Some("b/2/1")),
            ("a/+/#", "b/$2/of/$1", "a/1/x/y", Some("b/x/y/of/1")),
            ("a/#", "b/$1", "a", Some("b")),
            ("a/#", "$1", "a", None),
            ("a/#", "b-$1-$1", "a/x", Some("b-x-x")),
            ("a/+", "b", "a/", Some("b")),
            ("a/+", "b/$1", "a/", Some("b/")),
            ("a/b", "c", "a/b", Some("c")),
            ("a/b", "c", "a/b/c", None),
            ("#", "all/$1", "$SYS/x", None),
            ("$old/+", "$new/$1", "$old/x", Some("$new/x")),
            ("%c/+", "clients/%c/$1", "c1/x", Some("clients/c1/x")),
            ("%c/+", "clients/%c/$1", "c2/x", None),
            ("u/%u/#", "$1/by/%u", "u/alice/x", Some("x/by/alice")),
        ] {
            let rewritten = rewrite(source, destination, topic);
            assert_eq!(rewritten.as_deref(), expected, "{source} {destination} {topic}");
        }
    }

    #[test]
    fn names_that_are_more_than_a_level_are_not_filled_in() {
        for name in ["a/b", "#", "+", ""] {
            let client = Client { identifier: name, user_name: None };
            let pattern = Pattern::parse("x", "of/%c").unwrap();
            assert_eq!(pattern.rewrite("x", &client), None, "{name}");
            assert_eq!(Pattern::parse("x", "of/%u").unwrap().rewrite("x", &client), None);
            assert_eq!(Pattern::parse("%c", "y").unwrap().rewrite(name, &client), None);
        }
    }

    #[test]
    fn wildcards_of_a_filter_stay_wildcards_or_it_has_no_counterpart() {
        for (source, destination, filter, expected) in [
            ("a/+/#", "b/$1/$2", "a/+/#", Some(Ok("b/+/#"))),
            ("a/+/#", "b/$1/$2", "a/1/x/+", Some(Ok("b/1/x/+"))),
            ("a/#", "b/$1", "a/#", Some(Ok("b/#"))),
            ("a/#", "b/$1", "a", Some(Ok("b"))),
            ("a/+", "b/$1", "a/#", None),
            ("a/+", "b/$1", "#", None),
            ("a/+", "b/$1", "+/x", None),
            ("a/+", "b-$1", "a/+", Some(Err(NoFilter))),
            ("a/+", "b-$1", "a/x", Some(Ok("b-x"))),
            ("a/#", "$1/b", "a/#", Some(Err(NoFilter))),
            ("a/+", "b", "a/+", Some(Err(NoFilter))),
            ("a/+", "$1/$1", "a/+", Some(Err(NoFilter))),
            ("a/%c/#", "b/$1", "a/+/#", None),
        ] {
            let expected = expected.map(|filter| filter.map(str::to_owned));
            assert_eq!(
                rewrite_filter(source, destination, filter),
                expected,
                "{source} {destination} {filter}"
            );
        }
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        let problem = |source, destination| Pattern::parse(source, destination).unwrap_err();
        assert!(problem("a/#/b", "c").contains("`a/#/b` is not a Topic Filter"));
        assert!(problem("$share/g/a", "c").contains("is not a Topic Filter"));
        assert!(problem("a/+", "c/$2").contains("`$2` has no wildcard in the source, which has 1"));
        assert!(problem("a/+", "c/+").contains("`c/+` is not a Topic Name with"));
        assert!(problem("a/+", "").contains("is not a Topic Name with"));
    }

    #[test]
    fn the_filter_of_a_pattern_matches_whatever_it_rewrites() {
        let pattern = Pattern::parse("a/%c/+/%u/#", "b").unwrap();
        assert_eq!(pattern.filter(), "a/+/+/+/#");
        assert!(pattern.needs_client() && !Pattern::parse("a/+", "b/$1").unwrap().needs_client());
    }
}
