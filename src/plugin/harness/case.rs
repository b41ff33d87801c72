//! Cases: what a plugin is asked, in which state, and what is expected of it.

use std::cell::RefCell;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::around::Around;
use super::expect::{Expectation, read_state};
use super::fields::Fields;
use super::question::Question;
use crate::plugin::options::Grants;
use crate::topic::TopicFilter;

/// When nothing else is said: 2026-01-01T00:00:00Z.
const NOW_MS: u64 = 1_767_225_600_000;

/// The cases of one file, with what holds for all of them.
#[derive(Clone, Debug)]
pub struct CaseFile {
    pub settings: Value,
    /// Keys of the settings, and the files whose texts become their values; whoever read the file puts them there.
    pub settings_files: Vec<(String, String)>,
    pub grants: Grants,
    /// Quotas of the state; none: as in the configuration.
    pub(super) state_keys: Option<usize>,
    pub(super) state_bytes: Option<usize>,
    pub now_ms: u64,
    pub seed: u64,
    pub(super) around: Around,
    pub cases: Vec<Case>,
}

/// One call and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// As it is written.
    pub hook: String,
    pub question: Question,
    /// As if it were the first of its file.
    pub fresh: bool,
    /// How far the clock goes on before.
    pub after_ms: u64,
    pub max_fuel: Option<u64>,
    pub(super) state: Vec<(String, Option<Bytes>)>,
    pub(super) session_items: Vec<(String, Option<Bytes>)>,
    pub(super) around: Around,
    pub(super) expect: Expectation,
}

impl CaseFile {
    /// Reads the tree of a file: tables for all cases, and a list of cases.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(file: &Map<String, Value>) -> Result<CaseFile, Vec<String>> {
        let problems = RefCell::default();
        let fields = Fields::new(file, "file", &problems);
        let mut read = read_header(&fields);
        for (index, case) in fields.list("case").unwrap_or_default().iter().enumerate() {
            read.add(case, index, &problems);
        }
        fields.finish();
        read.checked(problems.into_inner())
    }

    /// Reads lines of which each is one JSON object: a case, or, without a `hook`, what holds for all.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read_lines(text: &str) -> Result<CaseFile, Vec<String>> {
        let problems = RefCell::new(Vec::new());
        let mut header = Map::new();
        let mut cases = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            match serde_json::from_str::<Map<String, Value>>(line) {
                Ok(map) if map.contains_key("hook") => cases.push(Value::Object(map)),
                Ok(map) => header.extend(map),
                Err(error) => {
                    problems.borrow_mut().push(format!("line {number}: is no JSON object: {error}"))
                }
            }
        }
        let fields = Fields::new(&header, "file", &problems);
        let mut read = read_header(&fields);
        fields.finish();
        for (index, case) in cases.iter().enumerate() {
            read.add(case, index, &problems);
        }
        read.checked(problems.into_inner())
    }

    fn add(&mut self, case: &Value, index: usize, problems: &RefCell<Vec<String>>) {
        let Some(map) = case.as_object() else {
            return problems.borrow_mut().push(format!("case {}: expects a table", index + 1));
        };
        self.cases.extend(Case::read(map, index + 1, problems));
    }

    fn checked(self, mut problems: Vec<String>) -> Result<CaseFile, Vec<String>> {
        if problems.is_empty() && self.cases.is_empty() {
            problems.push("there is no case; write one with `[[case]]`".into());
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }
}

fn read_header(fields: &Fields<'_>) -> CaseFile {
    let budgets = fields.fields("budgets");
    let budget = |key: &str| budgets.as_ref().and_then(|budgets| budgets.number(key));
    let (state_keys, state_bytes) = (budget("state-keys"), budget("state-bytes"));
    if let Some(budgets) = budgets {
        budgets.finish();
    }
    CaseFile {
        state_keys,
        state_bytes,
        settings: fields.table("settings").cloned().map_or_else(|| Map::new().into(), Value::Object),
        settings_files: read_settings_files(fields),
        grants: fields.fields("grants").map(read_grants).unwrap_or_default(),
        now_ms: fields.number("now-ms").unwrap_or(NOW_MS),
        seed: fields.number("seed").unwrap_or_default(),
        around: Around::read(fields),
        cases: Vec::new(),
    }
}

fn read_settings_files(fields: &Fields<'_>) -> Vec<(String, String)> {
    let table = fields.table("settings-files").into_iter().flatten();
    table
        .filter_map(|(key, file)| match file.as_str() {
            Some(file) => Some((key.clone(), file.to_owned())),
            None => fields.problem("settings-files", format!("{key}: expects a path, as a text")),
        })
        .collect()
}

/// The same keys as in the broker's configuration.
fn read_grants(fields: Fields<'_>) -> Grants {
    let texts = |key: &str| {
        let list = fields.list(key).unwrap_or_default().iter();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        list.filter_map(|value| text(value).or_else(|| fields.problem(key, "expects texts")))
            .collect::<Vec<String>>()
    };
    let topics = |key: &str| {
        let filter = |text: String| match TopicFilter::try_from(text.as_str()) {
            Ok(filter) => Some(filter),
            Err(error) => fields.problem(key, format!("`{text}`: {error}")),
        };
        texts(key).into_iter().filter_map(filter).collect::<Vec<TopicFilter>>()
    };
    let files = fields.table("files").into_iter().flatten();
    let files = files.filter_map(|(seen, meant)| Some((seen.clone(), meant.as_str()?.into())));
    let grants = Grants {
        publish: topics("publish"),
        retained: topics("retained"),
        clients: fields.boolean("clients").unwrap_or_default(),
        session_items: fields.boolean("session-items").unwrap_or_default(),
        hosts: texts("hosts"),
        files: files.collect(),
    };
    fields.finish();
    grants
}

impl Case {
    fn read(map: &Map<String, Value>, number: usize, problems: &RefCell<Vec<String>>) -> Option<Case> {
        let named = map.get("name").and_then(Value::as_str).map(str::to_owned);
        let name = named.unwrap_or_else(|| format!("case {number}"));
        let fields = Fields::new(map, format!("case `{name}`"), problems);
        fields.text("name");
        let hook = match fields.get("hook") {
            Some(_) => fields.text("hook").unwrap_or_default().to_owned(),
            None => fields.problem("hook", "is missing").unwrap_or_default(),
        };
        let empty = Map::new();
        let question = Question::read(&hook, fields.table("input").unwrap_or(&empty));
        let question = match question {
            Ok(question) => Some(question),
            Err(found) => {
                found
                    .iter()
                    .for_each(|problem| problems.borrow_mut().push(format!("case `{name}`: {problem}")));
                None
            }
        };
        let about = question.as_ref().and_then(Question::hook);
        let expect = match fields.fields("expect") {
            Some(expected) if question.is_some() => Expectation::read(expected, about),
            _ => Expectation::default(),
        };
        let fresh = fields.boolean("fresh").unwrap_or_default();
        let after_ms = fields.number("after-ms").unwrap_or_default();
        let max_fuel = fields.number("max-fuel");
        let state = read_state(&fields, "state");
        let session_items = read_state(&fields, "session-items");
        let around = Around::read(&fields);
        fields.finish();
        let question = question?;
        Some(Case { name, hook, question, fresh, after_ms, max_fuel, state, session_items, around, expect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_is_wrong_with_a_file_is_told() {
        let file = json!({
            "now-ms": "soon",
            "case": [
                {"name": "a", "hook": "intercepting-publish", "input": {"topic": "a/#", "qos": 3, "tpic": 1}},
                {"name": "b", "hook": "interceptor", "inpt": {}},
                {"name": "c", "hook": "authorizer", "input": {"topic": "a"}, "expect": {"verdict": "swallow"}},
            ],
        });
        let problems = CaseFile::read(file.as_object().unwrap()).unwrap_err().join("\n");
        for part in [
            "now-ms: expects a whole number",
            "case `a`: input: topic: ",
            "case `a`: input: qos: must be 0, 1 or 2",
            "case `a`: input: tpic: is not known here",
            "case `b`: input: hook: `interceptor` is no hook",
            "case `b`: inpt: is not known here; known are name, hook, input, expect, ",
            "case `c`: expect: verdict: `swallow` is none of this hook: next, allow, deny, trap",
        ] {
            assert!(problems.contains(part), "no `{part}` in\n{problems}");
        }
    }

    #[test]
    fn lines_are_cases_and_a_line_without_a_hook_is_for_all() {
        let text = "{\"seed\": 7}\n\n{\"hook\": \"authorizer\", \"input\": {\"topic\": \"a\"}}\n";
        let file = CaseFile::read_lines(text).unwrap();
        assert_eq!((file.seed, file.cases.len(), file.cases[0].name.as_str()), (7, 1, "case 1"));
        assert!(CaseFile::read_lines("{").unwrap_err()[0].starts_with("line 1: is no JSON object"));
        assert!(CaseFile::read_lines("").unwrap_err()[0].contains("there is no case"));
    }
}
