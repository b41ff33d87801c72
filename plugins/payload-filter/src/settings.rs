//! The rules as the operator wrote them.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate_plugin::{ReasonCode, reason, topic};

use crate::path::Path;
use crate::rule::{OnInvalidJson, OnViolation, Range, Rule};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    rules: Vec<RuleSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleSettings {
    topics: Vec<String>,
    #[serde(default)]
    require: Vec<String>,
    #[serde(default)]
    range: BTreeMap<String, Range>,
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    redact: BTreeMap<String, String>,
    #[serde(default)]
    rename: BTreeMap<String, String>,
    #[serde(default)]
    on_violation: OnViolation,
    #[serde(default)]
    on_invalid_json: OnInvalidJson,
    #[serde(default = "payload_format_invalid")]
    reason_code: ReasonCode,
}

fn payload_format_invalid() -> ReasonCode {
    reason::PAYLOAD_FORMAT_INVALID
}

/// Those of PUBACK and PUBREC that say no (MQTT 5.0, 3.4.2.1).
const REASON_CODES: [ReasonCode; 7] = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(self) -> Result<Vec<Rule>, String> {
        let mut problems = Vec::new();
        if self.rules.is_empty() {
            problems
                .push("rules: write at least one, as a table [[plugin.settings.rules]] with `topics`".into());
        }
        let rules = self.rules.into_iter().enumerate();
        let rules =
            rules.map(|(index, rule)| rule.check(&format!("rules[{index}]"), &mut problems)).collect();
        if problems.is_empty() { Ok(rules) } else { Err(format!("settings: {}", problems.join("; "))) }
    }
}

impl RuleSettings {
    fn check(self, place: &str, problems: &mut Vec<String>) -> Rule {
        self.check_topics(place, problems);
        self.check_names(place, problems);
        if self.does_nothing() {
            problems.push(format!("{place}: checks and changes nothing; give it `require`, `range`, `drop`, `redact` or `rename`"));
        }
        if !REASON_CODES.contains(&self.reason_code) {
            problems.push(format!(
                "{place}.reason-code: 0x{:02X} cannot stand in PUBACK; use one of 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99",
                self.reason_code
            ));
        }
        Rule {
            topics: self.topics,
            require: paths(self.require, &format!("{place}.require"), problems),
            range: by_path(self.range, &format!("{place}.range"), problems),
            drop: paths(self.drop, &format!("{place}.drop"), problems),
            redact: by_path(self.redact, &format!("{place}.redact"), problems),
            rename: by_path(self.rename, &format!("{place}.rename"), problems),
            on_violation: self.on_violation,
            on_invalid_json: self.on_invalid_json,
            reason_code: self.reason_code,
        }
    }

    fn check_topics(&self, place: &str, problems: &mut Vec<String>) {
        if self.topics.is_empty() {
            problems.push(format!("{place}.topics: name at least one Topic Filter; `#` is all"));
        }
        for filter in &self.topics {
            if !topic::is_filter(filter) || filter.starts_with("$share/") {
                problems.push(format!("{place}.topics: `{filter}` is not a Topic Filter"));
            }
        }
    }

    fn check_names(&self, place: &str, problems: &mut Vec<String>) {
        for (path, range) in &self.range {
            let place = format!("{place}.range.{path}");
            match (range.min, range.max) {
                (None, None) => problems.push(format!("{place}: give it `min`, `max` or both")),
                (Some(min), Some(max)) if min > max => {
                    problems.push(format!("{place}: min {min} is above max {max}, so no number fits"));
                }
                _ => {}
            }
        }
        for (path, name) in &self.rename {
            if Path::parse(path).is_ok_and(|path| path.field() == name) {
                problems.push(format!("{place}.rename.{path}: is the same name; leave it out"));
            }
        }
    }

    /// A rule that only wants JSON does something.
    fn does_nothing(&self) -> bool {
        self.on_invalid_json == OnInvalidJson::Pass
            && self.require.is_empty()
            && self.range.is_empty()
            && self.drop.is_empty()
            && self.redact.is_empty()
            && self.rename.is_empty()
    }
}

fn paths(written: Vec<String>, place: &str, problems: &mut Vec<String>) -> Vec<Path> {
    written.iter().filter_map(|written| path(written, place, problems)).collect()
}

fn by_path<T>(written: BTreeMap<String, T>, place: &str, problems: &mut Vec<String>) -> Vec<(Path, T)> {
    written
        .into_iter()
        .filter_map(|(written, value)| Some((path(&written, place, problems)?, value)))
        .collect()
}

fn path(written: &str, place: &str, problems: &mut Vec<String>) -> Option<Path> {
    Path::parse(written).map_err(|problem| problems.push(format!("{place}: `{written}` {problem}"))).ok()
}
