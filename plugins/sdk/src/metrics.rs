//! Numbers for the broker's metrics, as `tidegate_plugin_{plugin}_{name}`. A name has letters, digits and `_`. A
//! plugin has at most 1000 series; what is beyond that, or has no legal name, is dropped and counted.
//!
//! ```
//! use tidegate_plugin::metrics;
//! metrics::count("refused_total", &[("why", "expired")], 1);
//! # assert_eq!(tidegate_plugin::testing::with(|host| host.metrics.len()), 1);
//! ```

use crate::host;

/// Adds to a counter.
pub fn count(name: &str, labels: &[(&str, &str)], by: u64) {
    host::metrics::count(name, labels, by);
}

/// Sets a gauge.
pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    host::metrics::gauge(name, labels, value);
}

/// Notes a value in a histogram, whose buckets are powers of two.
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
    host::metrics::observe(name, labels, value);
}
