//! A table of a case, read key by key: what is wrong with it is gathered, and a key that nobody asked for is wrong.

use std::cell::RefCell;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::{Map, Value};

use crate::packet::{QoS, ReasonCode};

pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// Where the table stands, for messages.
    place: String,
    problems: &'a RefCell<Vec<String>>,
    known: RefCell<Vec<String>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        map: &'a Map<String, Value>,
        place: impl Into<String>,
        problems: &'a RefCell<Vec<String>>,
    ) -> Fields<'a> {
        Fields { map, place: place.into(), problems, known: RefCell::default() }
    }

    pub(super) fn problem<T>(&self, key: &str, what: impl std::fmt::Display) -> Option<T> {
        self.problems.borrow_mut().push(format!("{}: {key}: {what}", self.place));
        None
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        let mut known = self.known.borrow_mut();
        if !known.iter().any(|other| other == key) {
            known.push(key.to_owned());
        }
        self.map.get(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let value = self.get(key)?;
        value.as_str().or_else(|| self.problem(key, "expects a text in quotes"))
    }

    pub(super) fn string(&self, key: &str) -> Option<ByteString> {
        self.text(key).map(ByteString::from)
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        value.as_bool().or_else(|| self.problem(key, "expects `true` or `false`"))
    }

    pub(super) fn number<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        let number = number(self.get(key)?).and_then(|number| T::try_from(number).ok());
        number.or_else(|| self.problem(key, "expects a whole number that is not too large"))
    }

    pub(super) fn qos(&self, key: &str) -> Option<QoS> {
        QoS::try_from(self.number::<u8>(key)?).ok().or_else(|| self.problem(key, "must be 0, 1 or 2"))
    }

    pub(super) fn reason(&self, key: &str) -> Option<ReasonCode> {
        let code = self.number::<u8>(key)?;
        ReasonCode::try_from(code).ok().or_else(|| self.problem(key, "is no Reason Code of MQTT"))
    }

    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        found.or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.problem(key, format!("`{text}` is not possible; possible are {}", words.join(", ")))
        })
    }

    /// A value that is parsed from its text.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text(key)?) {
            Ok(value) => Some(value),
            Err(error) => self.problem(key, error),
        }
    }

    pub(super) fn list(&self, key: &str) -> Option<&'a [Value]> {
        let value = self.get(key)?;
        value.as_array().map(Vec::as_slice).or_else(|| self.problem(key, "expects a list, `[…]`"))
    }

    pub(super) fn table(&self, key: &str) -> Option<&'a Map<String, Value>> {
        let value = self.get(key)?;
        value.as_object().or_else(|| self.problem(key, "expects a table, `{ … }`"))
    }

    /// Its keys are named after this one in messages.
    pub(super) fn fields(&self, key: &str) -> Option<Fields<'a>> {
        Some(self.nested(key, self.table(key)?))
    }

    pub(super) fn nested(&self, key: &str, map: &'a Map<String, Value>) -> Fields<'a> {
        Fields::new(map, format!("{}: {key}", self.place), self.problems)
    }

    /// `key` is text, `key-hex` and `key-base64` are bytes, `key-json` is written as JSON.
    pub(super) fn bytes(&self, key: &str) -> Option<Bytes> {
        let forms = ["", "-hex", "-base64", "-json"].map(|form| format!("{key}{form}"));
        let found = forms.map(|key| self.get(&key).map(|value| bytes(&key, value)).map(|read| (key, read)));
        let mut found = found.into_iter().flatten();
        let (name, read) = found.next()?;
        if found.next().is_some() {
            return self.problem(&name, "is given twice, in two forms");
        }
        match read {
            Ok(bytes) => Some(bytes),
            Err(why) => self.problem(&name, why),
        }
    }

    /// `{ name = "value" }`, or `[["name", "value"]]` where a name comes twice.
    pub(super) fn properties(&self, key: &str) -> Option<Vec<(ByteString, ByteString)>> {
        let value = self.get(key)?;
        let why = "expects `{ name = \"value\" }` or `[[\"name\", \"value\"]]`";
        properties(value).or_else(|| self.problem(key, why))
    }

    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for key in self.map.keys().filter(|key| !known.contains(key)) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            self.problem::<()>(key, format!("is not known here; known are {}", known.join(", ")));
        }
    }
}

/// JSON has no hexadecimal numbers: there they are texts.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => u64::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

fn properties(value: &Value) -> Option<Vec<(ByteString, ByteString)>> {
    let text = |value: &Value| value.as_str().map(ByteString::from);
    match value {
        Value::Object(map) => {
            map.iter().map(|(name, value)| Some((ByteString::from(name.as_str()), text(value)?))).collect()
        }
        Value::Array(list) => list
            .iter()
            .map(|pair| match pair.as_array()?.as_slice() {
                [name, value] => Some((text(name)?, text(value)?)),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// The bytes of a value whose key says in which form it is.
pub(super) fn bytes(key: &str, value: &Value) -> Result<Bytes, String> {
    if key.ends_with("-json") {
        return Ok(Bytes::from(value.to_string()));
    }
    let text = value.as_str().ok_or("expects a text in quotes")?;
    if key.ends_with("-hex") {
        return hex(text).map(Bytes::from).ok_or_else(|| "expects hexadecimal digits, two for a byte".into());
    }
    if key.ends_with("-base64") {
        return base64(text).map(Bytes::from).ok_or_else(|| "is not base64".into());
    }
    Ok(Bytes::from(text.to_owned()))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | *pair.get(1)?).ok()).collect()
}

/// With or without `=` at the end.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_four_forms() {
        assert_eq!(bytes("payload", &"hä".into()).unwrap(), "hä");
        assert_eq!(bytes("payload-hex", &"00 fF".into()).unwrap(), &[0, 255][..]);
        assert!(bytes("payload-hex", &"0".into()).is_err());
        assert_eq!(bytes("payload-base64", &"AP8=".into()).unwrap(), &[0, 255][..]);
        assert_eq!(bytes("payload-base64", &"aGk".into()).unwrap(), "hi");
        assert!(bytes("payload-base64", &"a-b".into()).is_err());
        assert_eq!(bytes("payload-json", &serde_json::json!({"a": 1})).unwrap(), "{\"a\":1}");
    }

    #[test]
    fn numbers_may_be_hexadecimal_texts() {
        assert_eq!(number(&"0x87".into()), Some(0x87));
        assert_eq!(number(&135.into()), Some(0x87));
        assert_eq!(number(&"135".into()), None);
    }
}
