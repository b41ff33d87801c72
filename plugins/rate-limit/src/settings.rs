//! The limits as the operator wrote them.

use serde::Deserialize;
use tidegate_plugin::{log, metrics, topic};

use crate::bucket::Bucket;
use crate::limit::{Limit, Over, Per, What};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    #[serde(default)]
    limits: Vec<LimitSettings>,
    #[serde(default)]
    pub(crate) full_state: FullState,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitSettings {
    what: What,
    per: Per,
    rate: f64,
    burst: Option<u64>,
    topics: Option<Vec<String>>,
    over: Option<Over>,
}

/// Where the state has no room for a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FullState {
    /// not limited
    #[default]
    Pass,
    /// as if over the limit
    Refuse,
}

impl FullState {
    pub(crate) fn note(self) {
        metrics::count("state_full_total", &[], 1);
        log::error!("not counted: raise the plugin's `state-keys` or `state-bytes`");
    }
}

/// A bucket that takes longer to fill is an error: nobody means it, and its entry would stay as long.
const LONGEST_REFILL_SECONDS: f64 = 7.0 * 24.0 * 3600.0;

const NANOSECONDS: f64 = 1e9;

impl Settings {
    /// Says all that is wrong at once.
    pub(crate) fn check(self) -> Result<Vec<Limit>, String> {
        let mut problems = Vec::new();
        if self.limits.is_empty() {
            problems.push(
                "limits: write at least one, as a table [[plugin.settings.limits]] with `what`, `per` and `rate`"
                    .to_owned(),
            );
        }
        let limits = self.limits.into_iter().enumerate();
        let limits = limits.map(|(place, limit)| limit.check(place, &mut problems)).collect();
        if problems.is_empty() { Ok(limits) } else { Err(format!("settings: {}", problems.join("; "))) }
    }
}

impl LimitSettings {
    fn check(self, place: usize, problems: &mut Vec<String>) -> Limit {
        let bucket = self.bucket(&format!("limits[{place}]"), problems);
        self.check_connections(&format!("limits[{place}]"), problems);
        for filter in self.topics.iter().flatten() {
            if !topic::is_filter(filter) || filter.starts_with("$share/") {
                problems.push(format!("limits[{place}].topics: `{filter}` is not a Topic Filter"));
            }
        }
        if self.topics.as_ref().is_some_and(Vec::is_empty) {
            problems.push(format!("limits[{place}].topics: name at least one Topic Filter, or leave it out"));
        }
        let over = self.over.unwrap_or_default();
        Limit { place, what: self.what, per: self.per, bucket, topics: self.topics, over }
    }

    fn bucket(&self, place: &str, problems: &mut Vec<String>) -> Bucket {
        let is_rate = self.rate.is_finite() && self.rate > 0.0 && self.rate <= NANOSECONDS;
        if !is_rate {
            problems.push(format!("{place}.rate: should be above 0, so many per second, and at most 1e9"));
            return Bucket { interval_ns: 1, capacity: 1 };
        }
        let capacity = self.burst.unwrap_or(self.rate.ceil() as u64);
        if capacity == 0 {
            problems.push(format!("{place}.burst: 0 would let nothing pass"));
        }
        if capacity as f64 / self.rate > LONGEST_REFILL_SECONDS {
            problems.push(format!(
                "{place}.burst: would take more than 7 days to come back at this rate; lower it"
            ));
        }
        Bucket { interval_ns: (NANOSECONDS / self.rate) as u64, capacity }
    }

    fn check_connections(&self, place: &str, problems: &mut Vec<String>) {
        if self.what != What::Connections {
            return;
        }
        if self.topics.as_ref().is_some_and(|topics| !topics.is_empty()) {
            problems.push(format!("{place}.topics: connections have none; leave it out"));
        }
        if self.over.is_some() {
            problems.push(format!("{place}.over: a connection over the limit is refused; leave it out"));
        }
    }
}
