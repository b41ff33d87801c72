//! A field within a document: `location.lat`, or as JSON Pointer (RFC 6901) `/location/lat` where a name
//! has a dot. Elements of arrays have numbers, from 0.

use std::fmt;

use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    written: String,
    parents: Vec<String>,
    field: String,
}

impl Path {
    pub(crate) fn parse(written: &str) -> Result<Self, &'static str> {
        let mut steps = match written.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect::<Result<Vec<_>, _>>()?,
            None => written.split('.').map(str::to_owned).collect(),
        };
        if !written.starts_with('/') && steps.iter().any(String::is_empty) {
            return Err("has an empty name; write a path as `location.lat` or `/location/lat`");
        }
        let field = steps.pop().unwrap_or_default();
        Ok(Self { written: written.to_owned(), parents: steps, field })
    }

    pub(crate) fn field(&self) -> &str {
        &self.field
    }

    pub(crate) fn get<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        let parent = self.parents.iter().try_fold(document, |value, step| child(value, step))?;
        child(parent, &self.field)
    }

    pub(crate) fn get_mut<'v>(&self, document: &'v mut Value) -> Option<&'v mut Value> {
        child_mut(self.parent(document)?, &self.field)
    }

    /// Says whether it was there.
    pub(crate) fn remove(&self, document: &mut Value) -> bool {
        match self.parent(document) {
            Some(Value::Object(fields)) => fields.shift_remove(&self.field).is_some(),
            Some(Value::Array(elements)) => {
                match index(&self.field).filter(|&index| index < elements.len()) {
                    Some(index) => {
                        elements.remove(index);
                        true
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }

    /// Gives the field another name, in its place; a field that had that name before is gone. Says whether
    /// it was there. Elements of arrays have no names.
    pub(crate) fn rename(&self, document: &mut Value, name: &str) -> bool {
        let Some(Value::Object(fields)) = self.parent(document) else { return false };
        if !fields.contains_key(&self.field) {
            return false;
        }
        let mut renamed = Map::with_capacity(fields.len());
        for (key, value) in std::mem::take(fields) {
            if key == self.field {
                renamed.insert(name.to_owned(), value);
            } else if key != name {
                renamed.insert(key, value);
            }
        }
        *fields = renamed;
        true
    }

    fn parent<'v>(&self, document: &'v mut Value) -> Option<&'v mut Value> {
        self.parents.iter().try_fold(document, |value, step| child_mut(value, step))
    }
}

/// As the operator wrote it.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn child<'v>(value: &'v Value, step: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(elements) => elements.get(index(step)?),
        _ => None,
    }
}

fn child_mut<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(fields) => fields.get_mut(step),
        Value::Array(elements) => elements.get_mut(index(step)?),
        _ => None,
    }
}

/// Digits without a leading zero, as RFC 6901 has it.
fn index(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| step.parse().ok()).flatten()
}

fn unescape(step: &str) -> Result<String, &'static str> {
    if step.replace("~0", "").replace("~1", "").contains('~') {
        return Err("has a `~` that is neither `~0` (for `~`) nor `~1` (for `/`)");
    }
    Ok(step.replace("~1", "/").replace("~0", "~"))
}
