//! `[plugin.settings]`: a free table, handed to the plugin as JSON.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::{Entry, shortened};

/// The table as a JSON object; dates become texts.
pub(super) fn read(entry: &Entry<'_, '_>) -> Option<Value> {
    match entry.value() {
        DeValue::Table(table) => Some(object(table, entry)),
        _ => entry.problem("expects a table, `[plugin.settings]`, with what the plugin is to know"),
    }
}

fn object(table: &DeTable<'_>, entry: &Entry<'_, '_>) -> Value {
    let member = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name = String::from(AsRef::<str>::as_ref(key.get_ref()));
        let value = json(value, &name, entry);
        (name, value)
    };
    Value::Object(table.iter().map(member).collect::<Map<_, _>>())
}

fn json(value: &Spanned<DeValue<'_>>, key: &str, entry: &Entry<'_, '_>) -> Value {
    let refuse = |message: &str| {
        let key = format!("{}.{}", entry.key(), shortened(key));
        entry.problems().add(&value.span(), &key, message);
        Value::Null
    };
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => refuse("is too large for a whole number of 64 bits; write it as a text"),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => refuse("is no number that JSON knows; write a finite one"),
        },
        DeValue::Array(list) => Value::Array(list.iter().map(|value| json(value, key, entry)).collect()),
        DeValue::Table(table) => object(table, entry),
    }
}
