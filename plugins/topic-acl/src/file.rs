//! The text of an `acl_file`: a rule a line.
//!
//! ```text
//! topic [read|write|readwrite|deny] {filter}
//! user {name}
//! pattern [read|write|readwrite|deny] {filter with %c and %u}
//! ```
//!
//! Read as Mosquitto reads it: words are separated by spaces, a filter may have spaces where a word of access
//! stands before it, `#` begins a comment at the beginning of a line only.

use tidegate_plugin::topic;

use crate::rules::{Access, Rule, Rules};

/// The rules, and what is wrong with the text.
pub(crate) fn parse(text: &str) -> (Rules, Vec<String>) {
    let mut rules = Rules::default();
    let mut problems = Vec::new();
    let mut user = None;
    for (index, line) in text.lines().enumerate() {
        match parse_line(line) {
            Ok(None) => {}
            Ok(Some(Line::User(name))) => user = Some(name.to_owned()),
            Ok(Some(Line::Topic(rule))) => rules.add(user.as_deref(), rule),
            Ok(Some(Line::Pattern(rule))) => rules.add_pattern(rule),
            Err(problem) => problems.push(format!("acl, line {}: {problem}", index + 1)),
        }
    }
    (rules, problems)
}

enum Line<'a> {
    User(&'a str),
    Topic(Rule),
    Pattern(Rule),
}

fn parse_line(line: &str) -> Result<Option<Line<'_>>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let line = line.trim_end().trim_start_matches(' ');
    if line.is_empty() {
        return Ok(None);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start_matches(' ');
    match word {
        "user" if rest.is_empty() => Err("a name should stand behind `user`".to_owned()),
        "user" => Ok(Some(Line::User(rest.trim()))),
        "topic" => Ok(Some(Line::Topic(parse_rule(rest)?))),
        "pattern" => Ok(Some(Line::Pattern(parse_rule(rest)?))),
        other if other.starts_with('#') => {
            Err("a comment begins at the beginning of its line; remove the spaces before `#`".to_owned())
        }
        other => Err(format!("`{other}` should be one of `user`, `topic`, `pattern`")),
    }
}

fn parse_rule(rest: &str) -> Result<Rule, String> {
    let (access, filter) = match rest.split_once(' ') {
        None => (Access::ReadWrite, rest),
        Some((access, filter)) => (parse_access(access)?, filter.trim_start_matches(' ')),
    };
    if filter.is_empty() {
        return Err("a Topic Filter is missing".to_owned());
    }
    if !topic::is_filter(filter) {
        return Err(format!("`{filter}` is not a Topic Filter"));
    }
    Ok(Rule { access, filter: filter.to_owned() })
}

fn parse_access(word: &str) -> Result<Access, String> {
    match word {
        "read" => Ok(Access::Read),
        "write" => Ok(Access::Write),
        "readwrite" => Ok(Access::ReadWrite),
        "deny" => Ok(Access::Deny),
        other => Err(format!(
            "`{other}` should be one of `read`, `write`, `readwrite`, `deny`; a Topic Filter with spaces needs one of them before it"
        )),
    }
}
