//! What bridges did.

use super::exposition::{Exposition, Kind};
use crate::bridge::BridgeStatus;

/// A family of which each bridge has one sample.
type Family = (&'static str, Kind, &'static str, fn(&BridgeStatus) -> u64);

const FAMILIES: [Family; 3] = [
    ("tidegate_bridge_connected", Kind::Gauge, "Whether a bridge is connected.", |it| it.connected.into()),
    ("tidegate_bridge_connections_total", Kind::Counter, "Connections that a bridge has made.", |it| {
        it.connections
    }),
    ("tidegate_bridge_queued", Kind::Gauge, "Messages that wait to go out.", |it| it.queued as u64),
];

const FORWARDED: &str = "tidegate_bridge_forwarded_messages_total";
const DROPPED: &str = "tidegate_bridge_dropped_messages_total";

pub(super) fn write(bridges: &[BridgeStatus], exposition: &mut Exposition) {
    for (name, kind, help, value) in FAMILIES {
        exposition.family(name, kind, help);
        for bridge in bridges {
            exposition.count(name, &[("bridge", &bridge.name)], value(bridge));
        }
    }
    exposition.family(FORWARDED, Kind::Counter, "Messages that a bridge has carried.");
    for bridge in bridges {
        for (direction, count) in [("out", bridge.forwarded_out), ("in", bridge.forwarded_in)] {
            exposition.count(FORWARDED, &[("bridge", &bridge.name), ("direction", direction)], count);
        }
    }
    exposition.family(DROPPED, Kind::Counter, "Messages that a bridge has not carried, by why.");
    for bridge in bridges {
        let dropped = &bridge.dropped;
        let causes =
            [("looped", dropped.looped), ("refused", dropped.refused), ("unmapped", dropped.unmapped)];
        for (cause, count) in causes {
            exposition.count(DROPPED, &[("bridge", &bridge.name), ("cause", cause)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::BridgeDrops;

    #[test]
    fn each_bridge_has_a_sample_of_each_family() {
        let bridge = BridgeStatus {
            name: "cloud".into(),
            server: "mqtts://cloud.example:8883".into(),
            connected: true,
            last_error: None,
            queued: 3,
            connections: 2,
            forwarded_out: 7,
            forwarded_in: 8,
            dropped: BridgeDrops { looped: 4, refused: 5, unmapped: 6 },
        };
        let mut exposition = Exposition::default();
        write(&[bridge], &mut exposition);
        let text = exposition.finish();
        for sample in [
            "tidegate_bridge_connected{bridge=\"cloud\"} 1",
            "tidegate_bridge_connections_total{bridge=\"cloud\"} 2",
            "tidegate_bridge_queued{bridge=\"cloud\"} 3",
            "tidegate_bridge_forwarded_messages_total{bridge=\"cloud\",direction=\"out\"} 7",
            "tidegate_bridge_forwarded_messages_total{bridge=\"cloud\",direction=\"in\"} 8",
            "tidegate_bridge_dropped_messages_total{bridge=\"cloud\",cause=\"looped\"} 4",
            "tidegate_bridge_dropped_messages_total{bridge=\"cloud\",cause=\"unmapped\"} 6",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} in:\n{text}");
        }
    }
}
