//! What the operator wrote.

use std::time::Duration;

use serde::Deserialize;
use tidegate_plugin::{client, topic};

use crate::DelayedPublish;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    topics: Vec<String>,
    #[serde(default = "delayed")]
    prefix: String,
    #[serde(default = "a_day")]
    maximum_delay_seconds: u64,
}

fn delayed() -> String {
    "$delayed".to_owned()
}

fn a_day() -> u64 {
    86_400
}

/// The broker keeps no message longer.
const YEAR: u64 = 365 * 86_400;

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(self) -> Result<DelayedPublish, String> {
        let mut problems = Vec::new();
        if self.topics.is_empty() {
            problems.push("topics: name what clients may publish to after a while; `#` is all".to_owned());
        }
        for filter in &self.topics {
            if !topic::is_filter(filter) || filter.starts_with("$share/") {
                problems.push(format!("topics: `{filter}` is not a Topic Filter"));
            }
        }
        if !topic::is_filter(&self.prefix)
            || self.prefix.contains(['+', '#'])
            || self.prefix.starts_with("$S")
        {
            problems.push(format!("prefix: `{}` is not a topic that clients may publish to", self.prefix));
        }
        if !(1..=YEAR).contains(&self.maximum_delay_seconds) {
            problems.push(format!("maximum-delay-seconds: should be 1 to {YEAR}, a year"));
        }
        if !problems.is_empty() {
            return Err(format!("settings: {}", problems.join("; ")));
        }
        Ok(DelayedPublish {
            prefix: format!("{}/", self.prefix),
            topics: self.topics,
            maximum_delay: Duration::from_secs(self.maximum_delay_seconds),
        })
    }
}

/// The filter for the current client; none where a name is missing, or would be more than a part of a level.
pub(crate) fn fill_in(filter: &str) -> Option<String> {
    let mut filled = String::with_capacity(filter.len());
    let mut rest = filter;
    while let Some((before, after)) = rest.split_once('%') {
        filled.push_str(before);
        let (name, after) = match after.as_bytes().first() {
            Some(b'c') => (Some(client::identifier()), &after[1..]),
            Some(b'u') => (Some(client::user_name()?), &after[1..]),
            _ => (None, after),
        };
        match name {
            None => filled.push('%'),
            Some(name) if name.is_empty() || name.contains(['/', '+', '#']) => return None,
            Some(name) => filled.push_str(&name),
        }
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}
