//! What one rule does to one document.

use serde::Deserialize;
use serde_json::Value;
use tidegate_plugin::{ReasonCode, topic};

use crate::path::Path;

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) topics: Vec<String>,
    pub(crate) require: Vec<Path>,
    pub(crate) range: Vec<(Path, Range)>,
    pub(crate) drop: Vec<Path>,
    pub(crate) redact: Vec<(Path, String)>,
    pub(crate) rename: Vec<(Path, String)>,
    pub(crate) on_violation: OnViolation,
    pub(crate) on_invalid_json: OnInvalidJson,
    pub(crate) reason_code: ReasonCode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnViolation {
    #[default]
    Reject,
    Swallow,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnInvalidJson {
    #[default]
    Reject,
    Pass,
}

/// Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Range {
    fn contains(self, number: f64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }
}

impl Rule {
    pub(crate) fn is_about(&self, topic: &str) -> bool {
        self.topics.iter().any(|filter| topic::matches(filter, topic))
    }

    /// What the document lacks, for its sender.
    pub(crate) fn violation(&self, document: &Value) -> Option<String> {
        self.missing(document).or_else(|| self.out_of_range(document))
    }

    fn missing(&self, document: &Value) -> Option<String> {
        let missing = self.require.iter().find(|path| path.get(document).is_none())?;
        Some(format!("field {missing} is missing"))
    }

    /// A field that is not there is in range: `require` is for that.
    fn out_of_range(&self, document: &Value) -> Option<String> {
        self.range.iter().find_map(|(path, range)| match path.get(document)? {
            Value::Number(number) if number.as_f64().is_some_and(|number| range.contains(number)) => None,
            Value::Number(_) => Some(format!("field {path} is out of range")),
            _ => Some(format!("field {path} is not a number")),
        })
    }

    /// Drops, redacts and renames, in this order; says whether anything changed.
    pub(crate) fn rewrite(&self, document: &mut Value) -> bool {
        let mut changed = false;
        for path in &self.drop {
            changed |= path.remove(document);
        }
        for (path, text) in &self.redact {
            changed |= redact(path, text, document);
        }
        for (path, name) in &self.rename {
            changed |= path.rename(document, name);
        }
        changed
    }
}

fn redact(path: &Path, text: &str, document: &mut Value) -> bool {
    match path.get_mut(document) {
        Some(value) if value.as_str() != Some(text) => {
            *value = Value::from(text);
            true
        }
        _ => false,
    }
}
