//! `[plugin.settings]`: a free table, handed to the plugin as JSON; and `settings-files`, whose texts are put
//! into it: a plugin has no files, and an operator keeps users and keys in files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

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

/// A larger file is neither users nor keys.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// Keys of the settings, and the files whose texts become their values.
pub(super) fn read_files(
    entry: &Entry<'_, '_>,
    folder: &Path,
    settings: &mut Value,
) -> Option<BTreeMap<String, PathBuf>> {
    let DeValue::Table(table) = entry.value() else {
        return entry.problem("expects a table of settings and files, `{ passwords = \"passwd\" }`");
    };
    let mut files = BTreeMap::new();
    for (key, file) in table {
        let key: &str = key.get_ref().as_ref();
        let Some(file) = file.get_ref().as_str() else {
            return entry.problem(format!("expects a path for `{}`, as a text", shortened(key)));
        };
        if settings.get(key).is_some() {
            return entry.problem(format!("`{}` is also among the settings; leave one out", shortened(key)));
        }
        let file = folder.join(file);
        match read_text(&file) {
            Ok(text) => settings[key] = Value::String(text),
            Err(why) => return entry.problem(format!("{} {why}", file.display())),
        }
        files.insert(key.to_owned(), file);
    }
    Some(files)
}

/// What is wrong goes on a sentence that begins with the file.
pub(crate) fn read_text(file: &Path) -> Result<String, String> {
    let read = File::open(file).and_then(|opened| {
        let mut bytes = Vec::new();
        opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    match read.map_err(|error| error.kind()) {
        Ok(bytes) if bytes.len() as u64 > LARGEST_FILE => Err("is larger than 4MiB".to_owned()),
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned()),
        Err(ErrorKind::NotFound) => Err("does not exist (it is relative to this file)".to_owned()),
        Err(ErrorKind::PermissionDenied) => {
            Err("may not be read by this user; change its permissions".to_owned())
        }
        Err(kind) => Err(format!("cannot be read: {kind}")),
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
