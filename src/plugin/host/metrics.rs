//! `metrics`: numbers of the plugin's own. They belong to the plugin, not to a version of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::metrics::Host;
use crate::plugin::version::lock;

/// Series of one plugin.
const MOST_SERIES: usize = 1000;
/// Bytes of a name and its labels.
const LONGEST_SERIES: usize = 512;
/// The first bucket of a histogram is for values up to 2 to the power of this,
const FIRST_BUCKET: i32 = -10;
/// and each of those that follow is for twice as much; beyond the last there is one more for all others.
pub(in crate::plugin) const BUCKETS: usize = 36;

impl Host for HostData {
    fn count(&mut self, name: String, labels: Labels, by: u64) -> wasmtime::Result<()> {
        self.count_host_call()?;
        if let Some(given) = &self.services.given {
            given.counted(&name, &labels, by);
        }
        let add = |value: &mut MetricValue| match value {
            MetricValue::Counter(sum) => *sum = sum.wrapping_add(by),
            _ => self.services.metrics.drop_one(),
        };
        self.services.metrics.change(name, labels, MetricValue::Counter(0), add);
        Ok(())
    }

    fn gauge(&mut self, name: String, labels: Labels, value: f64) -> wasmtime::Result<()> {
        self.count_host_call()?;
        if let Some(given) = &self.services.given {
            given.noted("gauge", &name, &labels, value);
        }
        let set = |gauge: &mut MetricValue| match gauge {
            MetricValue::Gauge(now) => *now = value,
            _ => self.services.metrics.drop_one(),
        };
        self.services.metrics.change(name, labels, MetricValue::Gauge(value), set);
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Labels, value: f64) -> wasmtime::Result<()> {
        self.count_host_call()?;
        if let Some(given) = &self.services.given {
            given.noted("observe", &name, &labels, value);
        }
        let note = |histogram: &mut MetricValue| match histogram {
            MetricValue::Histogram(histogram) => histogram.note(value),
            _ => self.services.metrics.drop_one(),
        };
        self.services.metrics.change(name, labels, MetricValue::Histogram(Box::default()), note);
        Ok(())
    }
}

type Labels = Vec<(String, String)>;

/// A number that a plugin keeps, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginMetric {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: MetricValue,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    Counter(u64),
    Gauge(f64),
    Histogram(Box<Histogram>),
}

/// How often values of which size were noted.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    /// Of all values.
    pub sum: f64,
    /// Of all values, also those beyond the last bucket.
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [0; BUCKETS], sum: 0.0, count: 0 }
    }
}

impl Histogram {
    fn note(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        if let Some((_, bucket)) = bounds().zip(&mut self.buckets).find(|(bound, _)| value <= *bound) {
            *bucket += 1;
        }
    }

    /// Upper bounds, and how many values are not above them.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        bounds().zip(self.buckets.iter().scan(0, |sum, bucket| {
            *sum += bucket;
            Some(*sum)
        }))
    }
}

fn bounds() -> impl Iterator<Item = f64> {
    (FIRST_BUCKET..).take(BUCKETS).map(|power| f64::from(power).exp2())
}

/// What the instances of a plugin count.
#[derive(Default)]
pub(in crate::plugin) struct Metrics {
    /// Guards the numbers; held for one of them.
    series: Mutex<BTreeMap<(String, Labels), MetricValue>>,
    dropped: AtomicU64,
}

impl Metrics {
    fn change(&self, name: String, labels: Labels, new: MetricValue, change: impl FnOnce(&mut MetricValue)) {
        let length: usize = labels.iter().map(|(label, value)| label.len() + value.len()).sum();
        let is_legal = is_legal_name(&name)
            && labels.iter().all(|(label, _)| is_legal_name(label))
            && name.len() + length <= LONGEST_SERIES;
        let mut series = lock(&self.series);
        let key = (name, labels);
        if !is_legal || series.len() >= MOST_SERIES && !series.contains_key(&key) {
            return self.drop_one();
        }
        change(series.entry(key).or_insert(new));
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Numbers that were dropped: no legal name, too many series, or a name that is used for another kind.
    pub(in crate::plugin) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(in crate::plugin) fn all(&self) -> Vec<PluginMetric> {
        let series = lock(&self.series);
        let metric = |((name, labels), value): (&(String, Labels), &MetricValue)| PluginMetric {
            name: name.clone(),
            labels: labels.clone(),
            value: value.clone(),
        };
        series.iter().map(metric).collect()
    }
}

fn is_legal_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(metrics: &Metrics, name: &str, label: &str) {
        let labels = vec![("of".to_owned(), label.to_owned())];
        metrics.change(name.into(), labels, MetricValue::Counter(0), |value| {
            if let MetricValue::Counter(sum) = value {
                *sum += 1;
            }
        });
    }

    #[test]
    fn series_differ_by_their_labels_and_there_is_an_end_to_them() {
        let metrics = Metrics::default();
        for number in 0..MOST_SERIES + 7 {
            count(&metrics, "seen", &number.to_string());
            count(&metrics, "seen", "0");
        }
        assert_eq!(metrics.all().len(), MOST_SERIES);
        assert_eq!(metrics.dropped(), 7);
        let of_zero = metrics.all().into_iter().find(|metric| metric.labels[0].1 == "0").unwrap();
        assert_eq!(of_zero.value, MetricValue::Counter(MOST_SERIES as u64 + 8));
    }

    #[test]
    fn a_name_that_a_metric_cannot_have_is_dropped_and_counted() {
        let metrics = Metrics::default();
        for name in ["", "1st", "a-b", "a b", "ä", &"x".repeat(LONGEST_SERIES + 1)] {
            count(&metrics, name, "0");
        }
        assert_eq!((metrics.all().len(), metrics.dropped()), (0, 6));
    }

    #[test]
    fn a_histogram_counts_each_value_once_whatever_it_is() {
        let mut histogram = Histogram::default();
        for value in [0.0, -1.0, 0.75, 1.0, 1e30, f64::NAN] {
            histogram.note(value);
        }
        let up_to = |bound: f64| histogram.cumulative().find(|(at, _)| *at == bound).unwrap().1;
        assert_eq!((up_to(0.5), up_to(1.0), histogram.count), (2, 4, 6));
        assert_eq!(
            histogram.cumulative().last().unwrap().1,
            4,
            "beyond the last bucket is neither 1e30 nor NaN"
        );
    }
}
