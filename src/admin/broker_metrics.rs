//! What the broker counts, under Prometheus' names.

use super::exposition::{Exposition, Kind};
use crate::broker::{Statistic, StatisticKind, Statistics};
#[cfg(feature = "tls")]
use crate::server::ListenerCertificate;

/// Counts that are one family, by what their names begin with: the family, its label, its help.
const FAMILIES: [(&str, &str, &str, &str); 2] = [
    ("dropped_", "tidegate_dropped_messages_total", "cause", "Deliveries that were dropped."),
    (
        "limit_",
        "tidegate_limit_reached_total",
        "limit",
        "How often a limit of the configuration was reached.",
    ),
];

pub(super) fn write(statistics: &Statistics, exposition: &mut Exposition) {
    exposition.family("tidegate_build_info", Kind::Gauge, "The version of the broker.");
    exposition.count("tidegate_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let all = statistics.all();
    for statistic in all.iter().filter(|statistic| member(statistic).is_none()) {
        let (kind, name) = match statistic.kind {
            StatisticKind::Count => (Kind::Counter, format!("tidegate_{}_total", unit_last(statistic.name))),
            StatisticKind::Gauge => (Kind::Gauge, format!("tidegate_{}", unit_last(statistic.name))),
        };
        exposition.family(&name, kind, statistic.help);
        exposition.count(&name, &[], statistic.value);
    }
    for (begin, family, label, help) in FAMILIES {
        exposition.family(family, Kind::Counter, help);
        for statistic in all.iter().filter(|statistic| member(statistic) == Some(begin)) {
            let value = statistic.name[begin.len()..].replace('_', "-");
            exposition.count(family, &[(label, &value)], statistic.value);
        }
    }
}

/// When the certificates end that listeners use.
#[cfg(feature = "tls")]
pub(super) fn write_certificates(certificates: &[ListenerCertificate], exposition: &mut Exposition) {
    const NAME: &str = "tidegate_certificate_not_after_seconds";
    exposition.family(NAME, Kind::Gauge, "When a certificate expires, in seconds since 1970.");
    for ListenerCertificate { listener, certificate } in certificates {
        let file = certificate.file.display().to_string();
        let labels = [
            ("listener", listener.as_str()),
            ("file", &file),
            ("subject", &certificate.subject),
            ("fingerprint", &certificate.fingerprint),
        ];
        exposition.count(NAME, &labels, certificate.not_after.max(0).cast_unsigned());
    }
}

fn member(statistic: &Statistic) -> Option<&'static str> {
    let mut begins = FAMILIES.iter().map(|(begin, ..)| *begin);
    begins.find(|begin| statistic.name.starts_with(begin))
}

/// The unit stands at the end of a metric's name.
fn unit_last(name: &str) -> String {
    let words = || name.split('_');
    if !words().any(|word| word == "bytes") {
        return name.to_owned();
    }
    let others: Vec<&str> = words().filter(|word| *word != "bytes").collect();
    format!("{}_bytes", others.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_last_word_of_a_name() {
        assert_eq!(unit_last("payload_bytes_received"), "payload_received_bytes");
        assert_eq!(unit_last("retained_bytes"), "retained_bytes");
        assert_eq!(unit_last("packets_sent"), "packets_sent");
    }
}
