//! What a case expects, and in what an answer differs from it. What a case does not name is not compared.

use bytes::Bytes;
use serde_json::Value;

use super::answer::{Found, Table, put_bytes};
use super::fields::{self, Fields};
use crate::plugin::options::Hook;

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub field: String,
    pub expected: String,
    pub found: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    fields: Table,
    /// Bytes of the plugin's state; none where the key must not be there.
    state: Vec<(String, Option<Bytes>)>,
}

/// Keys that most hooks have.
const COMMON: [&str; 17] = [
    "verdict",
    "reason",
    "topic",
    "qos",
    "retain",
    "user-properties",
    "reply-user-properties",
    "reason-string",
    "server-reference",
    "close",
    "error",
    "log",
    "published",
    "disconnected",
    "subscribed",
    "unsubscribed",
    "session-items",
];

/// Keys that one hook or another has beside those.
const OTHERS: [&str; 25] = [
    "asked",
    "assigned-client-identifier",
    "assigned-user-name",
    "authorize-deliveries",
    "cache-ms",
    "changed",
    "client",
    "content-type",
    "delay-ms",
    "expires-at-ms",
    "filter",
    "filters",
    "maximum-packet-size",
    "message-expiry-interval",
    "metrics",
    "mount-prefix",
    "payload-format-indicator",
    "receive-maximum",
    "receivers",
    "requests",
    "response-topic",
    "server-keep-alive",
    "session-expiry-cap",
    "topics",
    "verdicts",
];

/// Values that are bytes, and have four forms.
const BYTES: [&str; 5] = ["payload", "authentication-data", "challenge-state", "correlation-data", "body"];

const FORMS: [&str; 4] = ["", "-hex", "-base64", "-json"];

impl Expectation {
    pub(super) fn read(fields: Fields<'_>, hook: Option<Hook>) -> Expectation {
        let mut expectation = Expectation::default();
        for key in COMMON.iter().chain(&OTHERS) {
            if let Some(value) = fields.get(key) {
                expectation.fields.insert((*key).to_owned(), value.clone());
            }
        }
        for key in BYTES.iter().flat_map(|name| FORMS.map(|form| format!("{name}{form}"))) {
            if let Some(value) = fields.get(&key) {
                if let Err(why) = fields::bytes(&key, value) {
                    fields.problem::<()>(&key, why);
                }
                expectation.fields.insert(key, value.clone());
            }
        }
        if let Some(verdict) = fields.text("verdict")
            && !verdicts(hook).contains(&verdict)
        {
            let possible = verdicts(hook).join(", ");
            fields.problem::<()>("verdict", format!("`{verdict}` is none of this hook: {possible}"));
        }
        expectation.state = read_state(&fields, "state");
        fields.finish();
        expectation
    }

    pub(super) fn differences(
        &self,
        answer: &Found,
        state: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut expected = self.fields.clone();
        // A changed message goes on too; who wants to know says `changed`, or what is in the message.
        if answer.verdict() == "modify" && expected.get("verdict").is_some_and(|word| word == "continue") {
            expected.remove("verdict");
        }
        compare_tables("", &expected, &answer.fields, &mut differences);
        for (key, expected) in &self.state {
            let found = state(key);
            if found.as_deref() != expected.as_deref() {
                let field = format!("state.{key}");
                let shown = |bytes: Option<&[u8]>| bytes.map_or_else(|| "nothing".to_owned(), show_bytes);
                let (expected, found) = (shown(expected.as_deref()), shown(found.as_deref()));
                differences.push(Difference { field, expected, found });
            }
        }
        differences
    }
}

fn verdicts(hook: Option<Hook>) -> &'static [&'static str] {
    match hook {
        None => &["ready", "refuse", "trap"],
        Some(Hook::ValidatingConnection) => &["next", "allow", "deny", "challenge", "trap"],
        Some(Hook::Authorizer) => &["next", "allow", "deny", "trap"],
        Some(Hook::InterceptingPublish) => &["continue", "modify", "swallow", "reject", "trap"],
        Some(Hook::InterceptingClientEnqueue) => &["deliver", "skip", "choose", "trap"],
        Some(Hook::InterceptingSubscription) => {
            &["next", "grant", "grant-without-routing", "deny", "several", "trap"]
        }
        Some(Hook::InterceptingUnsubscription) => &["next", "keep", "deny", "several", "trap"],
        Some(Hook::ApplicationMessageNotConsumed) => &["observe", "redirect", "answer", "trap"],
        Some(Hook::Events) => &["observe", "trap"],
    }
}

/// Keys and what they hold: a text, a whole number, `{ hex = "…" }`, or none for `{ absent = true }`.
pub(super) fn read_state(fields: &Fields<'_>, key: &str) -> Vec<(String, Option<Bytes>)> {
    let Some(table) = fields.table(key) else { return Vec::new() };
    let value = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => Some(Bytes::from(text.clone())),
            Value::Number(number) => Some(Bytes::from(number.to_string())),
            Value::Object(form) => {
                let fields = fields.nested(&format!("{key}: {name}"), form);
                let absent = fields.boolean("absent").unwrap_or_default();
                let forms = ["hex", "base64", "json"];
                let found = forms.map(|form| Some((format!("-{form}"), fields.get(form)?)));
                let found =
                    found.into_iter().flatten().next().map(|(form, value)| fields::bytes(&form, value));
                match found {
                    Some(Err(ref why)) => fields.problem::<()>("value", why).unwrap_or_default(),
                    None if !absent => {
                        fields.problem::<()>("value", "needs one of hex, base64, json, absent");
                    }
                    _ => {}
                }
                fields.finish();
                found.and_then(Result::ok)
            }
            _ => fields.problem(key, format!("{name}: expects a text, a whole number or a table")),
        };
        (name.clone(), value)
    };
    table.iter().map(value).collect()
}

fn compare_tables(place: &str, expected: &Table, found: &Table, differences: &mut Vec<Difference>) {
    for (key, value) in expected {
        let field = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        if let Some((name, form)) = as_bytes(key) {
            compare_bytes(&field, (name, form), value, found, differences);
            continue;
        }
        match (key.as_str(), value) {
            ("log", Value::Array(lines)) => compare_log(&field, lines, found.get(key), differences),
            ("error", Value::String(part)) => {
                let text = found.get(key).and_then(Value::as_str);
                if !text.is_some_and(|text| text.contains(part)) {
                    differ(&field, format!("… {part} …"), text.map(str::to_owned), differences);
                }
            }
            ("headers" | "labels", Value::Object(expected)) => {
                let empty = Table::new();
                let found = found.get(key).and_then(Value::as_object).unwrap_or(&empty);
                compare_tables(&field, expected, found, differences);
            }
            (_, Value::Array(list)) if is_list_of_tables(key) => {
                compare_lists(&field, list, found.get(key), differences);
            }
            _ => compare_values(&field, value, found.get(key), differences),
        }
    }
}

fn is_list_of_tables(key: &str) -> bool {
    [
        "published",
        "disconnected",
        "subscribed",
        "unsubscribed",
        "requests",
        "metrics",
        "receivers",
        "verdicts",
    ]
    .contains(&key)
}

/// The name and the form of a key whose value is bytes.
fn as_bytes(key: &str) -> Option<(&'static str, &str)> {
    BYTES.iter().find_map(|name| {
        let form = key.strip_prefix(name)?;
        FORMS.contains(&form).then_some((*name, form))
    })
}

fn compare_bytes(
    field: &str,
    (name, form): (&str, &str),
    expected: &Value,
    found: &Table,
    differences: &mut Vec<Difference>,
) {
    let is_found = |form: &str| found.get(&format!("{name}{form}"));
    let shown = is_found("").or_else(|| is_found("-hex")).map(Value::to_string);
    if form == "-json" {
        let parsed = is_found("").and_then(|text| serde_json::from_str::<Value>(text.as_str()?).ok());
        if parsed.as_ref() != Some(expected) {
            differ(field, expected.to_string(), shown, differences);
        }
        return;
    }
    let mut table = Table::new();
    if let Ok(bytes) = fields::bytes(&format!("{name}{form}"), expected) {
        put_bytes(&mut table, name, &bytes);
    }
    if table.iter().any(|(key, value)| found.get(key) != Some(value)) {
        let expected = table.values().map(Value::to_string).collect();
        differ(field, expected, shown, differences);
    }
}

/// Each text is part of a line, in their order; none: there is no line.
fn compare_log(field: &str, expected: &[Value], found: Option<&Value>, differences: &mut Vec<Difference>) {
    let lines: Vec<&str> =
        found.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut rest = lines.iter();
    let all_there = expected
        .iter()
        .all(|part| part.as_str().is_some_and(|part| rest.by_ref().any(|line| line.contains(part))));
    if !all_there || expected.is_empty() && !lines.is_empty() {
        let found = Some(if lines.is_empty() { "nothing".to_owned() } else { format!("{lines:?}") });
        differ(field, Value::Array(expected.to_vec()).to_string(), found, differences);
    }
}

/// As many, in their order; of each, what is named.
fn compare_lists(field: &str, expected: &[Value], found: Option<&Value>, differences: &mut Vec<Difference>) {
    let found = found.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if expected.len() != found.len() {
        let found = Some(Value::Array(found.to_vec()).to_string());
        return differ(field, Value::Array(expected.to_vec()).to_string(), found, differences);
    }
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        let field = format!("{field}[{index}]");
        match (expected, found) {
            (Value::Object(expected), Value::Object(found)) => {
                compare_tables(&field, expected, found, differences);
            }
            // A word stands for its verdict.
            (Value::String(_), Value::Object(found)) => {
                compare_values(&format!("{field}.verdict"), expected, found.get("verdict"), differences);
            }
            _ => compare_values(&field, expected, Some(found), differences),
        }
    }
}

fn compare_values(field: &str, expected: &Value, found: Option<&Value>, differences: &mut Vec<Difference>) {
    let same = match (fields::number(expected), found) {
        (Some(number), Some(found)) => found.as_u64() == Some(number) || found == expected,
        (_, found) => found == Some(expected),
    };
    if !same {
        let is_code = field.ends_with("reason") || field.ends_with("close");
        let shown = |value: &Value| match fields::number(value) {
            Some(code) if is_code => format!("0x{code:02x}"),
            _ => value.to_string(),
        };
        differ(field, shown(expected), found.map(shown), differences);
    }
}

fn differ(field: &str, expected: String, found: Option<String>, differences: &mut Vec<Difference>) {
    let found = found.unwrap_or_else(|| "nothing".into());
    differences.push(Difference { field: field.to_owned(), expected, found });
}

fn show_bytes(bytes: &[u8]) -> String {
    let mut table = Table::new();
    put_bytes(&mut table, "", bytes);
    table.into_iter().map(|(form, value)| format!("{}{value}", form.trim_start_matches('-'))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::RefCell;

    fn differences(expected: Value, found: Value) -> Vec<String> {
        let problems = RefCell::default();
        let fields = Fields::new(expected.as_object().unwrap(), "expect", &problems);
        let expectation = Expectation::read(fields, Some(Hook::InterceptingPublish));
        assert_eq!(problems.into_inner(), [] as [String; 0]);
        let answer = Found { fields: found.as_object().unwrap().clone(), fuel: None };
        let state = |key: &str| (key == "count").then(|| b"3".to_vec());
        let found = expectation.differences(&answer, state);
        found.into_iter().map(|it| format!("{}: {} / {}", it.field, it.expected, it.found)).collect()
    }

    #[test]
    fn only_what_is_named_is_compared() {
        let found = json!({"verdict": "reject", "reason": 0x87, "reason-string": "no", "log": ["warn: no"]});
        assert_eq!(differences(json!({"verdict": "reject", "reason": "0x87"}), found.clone()), [""; 0]);
        assert_eq!(
            differences(json!({"verdict": "swallow", "reason": 0x83, "topic": "a"}), found.clone()),
            ["reason: 0x83 / 0x87", "topic: \"a\" / nothing", "verdict: \"swallow\" / \"reject\""]
        );
        assert_eq!(differences(json!({"log": []}), found), ["log: [] / [\"warn: no\"]"]);
    }

    #[test]
    fn a_changed_message_goes_on_and_is_told_apart_by_changed() {
        let found = json!({"verdict": "modify", "changed": true, "payload": "{\"b\": 1, \"a\": 2}"});
        assert_eq!(differences(json!({"verdict": "continue"}), found.clone()), [""; 0]);
        assert_eq!(differences(json!({"verdict": "modify"}), json!({"verdict": "continue"})).len(), 1);
        let unchanged = json!({"verdict": "continue", "changed": false});
        assert_eq!(differences(unchanged, found.clone()), ["changed: false / true"]);
        let named = json!({"verdict": "continue", "payload-json": {"a": 2, "b": 1}});
        assert_eq!(differences(named, found.clone()), [""; 0]);
        assert_eq!(differences(json!({"payload-hex": "00"}), found).len(), 1);
    }

    #[test]
    fn lists_have_the_same_length_and_their_entries_what_is_named() {
        let found = json!({"published": [{"topic": "a", "payload-hex": "ff", "qos": 1}]});
        let expect = |entry: Value| differences(json!({ "published": [entry] }), found.clone());
        assert_eq!(expect(json!({"topic": "a", "payload-base64": "/w=="})), [""; 0]);
        assert_eq!(expect(json!({"topic": "b"})), ["published[0].topic: \"b\" / \"a\""]);
        assert_eq!(differences(json!({"published": []}), found.clone()).len(), 1);
    }

    #[test]
    fn requests_and_metrics_are_compared_by_what_is_named() {
        let found = json!({
            "requests": [{"method": "POST", "url": "http://h/a", "headers": {"a": "1", "b": "2"}, "body": "{}"}],
            "metrics": [{"name": "asked", "count": 1, "labels": {"by": "x"}}],
        });
        let expect = |expected: Value| differences(expected, found.clone());
        assert_eq!(expect(json!({"requests": [{"headers": {"b": "2"}, "body-json": {}}]})), [""; 0]);
        assert_eq!(expect(json!({"metrics": [{"count": 1, "labels": {"by": "x"}}]})), [""; 0]);
        let wrong = json!({"requests": [{"headers": {"a": "3"}}]});
        assert_eq!(expect(wrong), ["requests[0].headers.a: \"3\" / \"1\""]);
        assert_eq!(expect(json!({"metrics": [{"count": 2}]})), ["metrics[0].count: 2 / 1"]);
        assert_eq!(expect(json!({"metrics": []})).len(), 1);
    }

    #[test]
    fn state_is_compared_by_its_bytes() {
        let state = |expected: Value| differences(json!({ "state": expected }), json!({}));
        assert_eq!(state(json!({"count": 3, "other": {"absent": true}})), [""; 0]);
        assert_eq!(state(json!({"count": {"hex": "34"}})), ["state.count: \"4\" / \"3\""]);
        assert_eq!(state(json!({"other": "x"})), ["state.other: \"x\" / nothing"]);
    }
}
