//! A walk over the tree of a TOML text that remembers places and goes on after a problem.
//!
//! Deriving a reader stops at the first problem; this one reports all of them. [`Section`] is a table whose
//! keys are asked for one by one, and which reports those that nobody asked for; [`Entry`] is a value that
//! is read as what it is meant to be.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::near;
use super::report::Problems;
use super::units::{parse_duration, parse_size, show_duration, show_size};

/// A table that is being read.
pub(super) struct Section<'a, 'i> {
    table: &'a DeTable<'i>,
    /// Of the header, for what is missing.
    span: Range<usize>,
    prefix: &'static str,
    problems: &'a Problems<'a>,
    known: Vec<&'static str>,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(super) fn new(
        table: &'a DeTable<'i>,
        span: Range<usize>,
        prefix: &'static str,
        problems: &'a Problems<'a>,
    ) -> Section<'a, 'i> {
        Section { table, span, prefix, problems, known: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Entry<'a, 'i>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some(Entry { value, key: join(self.prefix, key), problems: self.problems })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, key: &'static str, what: &str) -> Option<Entry<'a, 'i>> {
        let entry = self.get(key);
        if entry.is_none() {
            self.problems.add(&self.span, &join(self.prefix, key), format!("is missing; {what}"));
        }
        entry
    }

    #[cfg(feature = "tls")]
    pub(super) fn problems(&self) -> &'a Problems<'a> {
        self.problems
    }

    /// Of the header.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Replaces `target` where the key is there and legal.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        target: &mut T,
        read: impl FnOnce(&Entry<'a, 'i>) -> Option<T>,
    ) {
        if let Some(value) = self.get(key).and_then(|entry| read(&entry)) {
            *target = value;
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let hint = near::hint(name, &self.known);
                let full = join(self.prefix, &shortened(name));
                self.problems.add(&key.span(), &full, format!("unknown key; {hint}"));
            }
        }
    }
}

/// A value that is being read. Every reader reports what is wrong and answers nothing then.
pub(super) struct Entry<'a, 'i> {
    value: &'a Spanned<DeValue<'i>>,
    key: String,
    problems: &'a Problems<'a>,
}

impl<'a, 'i> Entry<'a, 'i> {
    pub(super) fn problem<T>(&self, message: impl Into<String>) -> Option<T> {
        self.problems.add(&self.value.span(), &self.key, message);
        None
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn problems(&self) -> &'a Problems<'a> {
        self.problems
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn value(&self) -> &'a DeValue<'i> {
        self.value.get_ref()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value().as_str().or_else(|| self.wrong_type("a text in quotes"))
    }

    /// A text that is not empty and can be printed in a log line.
    pub(super) fn name(&self) -> Option<String> {
        let text = self.text()?;
        let fine = !text.is_empty()
            && text.len() <= 64
            && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        if !fine {
            return self.problem("a name has 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        Some(text.to_owned())
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value().as_bool().or_else(|| self.wrong_type("`true` or `false`"))
    }

    pub(super) fn integer<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        let Some(number) = self.value().as_integer() else {
            return self.wrong_type("a whole number");
        };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| range.contains(n));
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.problem(out_of_range(range.start(), range.end(), u64::to_string)),
        }
    }

    /// Bytes, as a number or as a text with a unit.
    pub(super) fn size<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        const FORM: &str = "a size such as \"64KiB\" or \"1MiB\", or a number of bytes";
        let bytes = match self.value() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) => match parse_size(text) {
                Some(bytes) => Some(bytes),
                None => return self.problem(format!("`{}` is no size; write {FORM}", shortened(text))),
            },
            _ => return self.wrong_type(FORM),
        };
        match bytes.filter(|bytes| range.contains(bytes)).and_then(|bytes| T::try_from(bytes).ok()) {
            Some(bytes) => Some(bytes),
            None => self.problem(out_of_range(range.start(), range.end(), |bytes| show_size(*bytes))),
        }
    }

    /// A time with its unit.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        const FORM: &str = "a time with its unit, such as \"500ms\", \"10s\", \"5m\", \"2h\" or \"7d\"";
        let Some(text) = self.value().as_str() else {
            return self.wrong_type(FORM);
        };
        match parse_duration(text) {
            None => self.problem(format!("`{}` is no time; write {FORM}", shortened(text))),
            Some(duration) if range.contains(&duration) => Some(duration),
            Some(_) => self.problem(out_of_range(range.start(), range.end(), |d| show_duration(*d))),
        }
    }

    /// Whole seconds, as a time with its unit.
    pub(super) fn seconds<T: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Option<T> {
        let (from, to) = (Duration::from_secs(*range.start()), Duration::from_secs(*range.end()));
        let duration = self.duration(from..=to)?;
        if duration.subsec_nanos() != 0 {
            return self.problem("takes whole seconds");
        }
        T::try_from(duration.as_secs()).ok()
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let Some(text) = self.value().as_str() else {
            return self.wrong_type(&format!("one of {}", near::listed(&words)));
        };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Some(*choice),
            None => {
                let hint = near::hint(text, &words);
                self.problem(format!("`{}` is not possible; {hint}", shortened(text)))
            }
        }
    }

    /// The entries of a list, each read by itself.
    pub(super) fn list(&self) -> Option<Vec<Entry<'a, 'i>>> {
        let Some(list) = self.value().as_array() else {
            return self.wrong_type("a list in brackets, `[…]`");
        };
        let entry = |value| Entry { value, key: self.key.clone(), problems: self.problems };
        Some(list.iter().map(entry).collect())
    }

    /// A table, whose keys are reported under `prefix`.
    pub(super) fn section(&self, prefix: &'static str) -> Option<Section<'a, 'i>> {
        match self.value().as_table() {
            Some(table) => Some(Section::new(table, self.span(), prefix, self.problems)),
            None => self.wrong_type(&format!("a table, `[{prefix}]`")),
        }
    }

    /// The tables that were written as `[[prefix]]`.
    pub(super) fn sections(&self, prefix: &'static str) -> Vec<Section<'a, 'i>> {
        let entries = self.value().as_array().map(|_| self.list().unwrap_or_default());
        let Some(entries) = entries else {
            self.wrong_type::<()>(&format!("tables with two brackets, `[[{prefix}]]`"));
            return Vec::new();
        };
        entries.iter().filter_map(|entry| entry.section(prefix)).collect()
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = match self.value() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("expects {expected}, found {found}"))
    }
}

/// A text of the file as it is shown in a message: on one line, and not long.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(48).flat_map(char::escape_debug).collect();
    if text.chars().nth(48).is_some() {
        shown.push('…');
    }
    shown
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn out_of_range<T: PartialEq>(from: &T, to: &T, show: impl Fn(&T) -> String) -> String {
    format!("must be from {} to {}", show(from), show(to))
}
