//! Prometheus' text format, 0.0.4: families with HELP and TYPE, and samples with labels.

use std::collections::HashSet;
use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    #[cfg_attr(not(any(feature = "wasm", test)), expect(dead_code, reason = "only plugins have them"))]
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// What its samples are called after the family's name.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_sum", "_count"],
        }
    }
}

/// The text that is being written. No two families share a name, whoever chose it.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
    taken: HashSet<String>,
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    /// Begins a family; says whether its names were still free. Samples of one that was refused may not follow.
    #[must_use]
    pub(super) fn try_family(&mut self, name: &str, kind: Kind, help: &str) -> bool {
        let names = kind.suffixes().iter().map(|suffix| format!("{name}{suffix}"));
        let names: Vec<String> = names.collect();
        if names.iter().any(|name| self.taken.contains(name)) {
            return false;
        }
        self.taken.extend(names);
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
        true
    }

    /// Begins a family whose name is the broker's own.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let is_free = self.try_family(name, kind, help);
        debug_assert!(is_free, "{name}");
    }

    #[cfg(any(feature = "wasm", test))]
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.text.push_str(name);
        self.labels(labels);
        let _ = match value {
            f64::INFINITY => writeln!(self.text, " +Inf"),
            f64::NEG_INFINITY => writeln!(self.text, " -Inf"),
            // Also `NaN`, which Rust and Prometheus write alike.
            value => writeln!(self.text, " {value}"),
        };
    }

    /// A count, to the last digit.
    pub(super) fn count(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.text.push_str(name);
        self.labels(labels);
        let _ = writeln!(self.text, " {value}");
    }

    #[cfg(feature = "wasm")]
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        let bucket = format!("{name}_bucket");
        let mut bounded = |bound: &str, upto| self.count(&bucket, &[labels, &[("le", bound)]].concat(), upto);
        for (bound, upto) in buckets {
            bounded(&bound.to_string(), upto);
        }
        bounded("+Inf", count);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.count(&format!("{name}_count"), labels, count);
    }

    fn labels(&mut self, labels: Labels<'_>) {
        for (number, (name, value)) in labels.iter().enumerate() {
            self.text.push(if number == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    letter => self.text.push(letter),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_help_cannot_leave_their_line() {
        let mut exposition = Exposition::default();
        exposition.family("a", Kind::Gauge, "one\\two\nthree");
        exposition.sample("a", &[("l", "x\"} 1\nb{y=\"\\")], f64::INFINITY);
        let expected = "# HELP a one\\\\two\\nthree\n# TYPE a gauge\na{l=\"x\\\"} 1\\nb{y=\\\"\\\\\"} +Inf\n";
        assert_eq!(exposition.finish(), expected);
    }

    #[test]
    fn a_family_whose_samples_would_be_called_like_those_of_another_is_refused() {
        let mut exposition = Exposition::default();
        assert!(exposition.try_family("a", Kind::Histogram, ""));
        assert!(!exposition.try_family("a", Kind::Histogram, ""));
        assert!(!exposition.try_family("a_count", Kind::Counter, ""));
        assert!(exposition.try_family("b_sum", Kind::Gauge, ""));
        assert!(!exposition.try_family("b", Kind::Histogram, ""));
        assert!(exposition.try_family("b", Kind::Gauge, ""));
    }
}
