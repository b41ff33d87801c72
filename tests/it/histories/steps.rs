//! The steps of a history of connections.

use proptest::prelude::*;
use tidegate::packet::{ProtocolVersion, QoS};

use crate::support::{QOS0, QOS1, QOS2, V5, V311};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Publish {
        qos: QoS,
        expires_in: Option<u32>,
    },
    /// The client looks at so many of the packets that have come, at most.
    Receive(usize),
    /// It answers one of those that it owes an answer, mostly the oldest.
    Answer {
        which: usize,
        refuse: bool,
    },
    /// It says something of an identifier that it knows, or of one that nobody does.
    Stray {
        which: usize,
        saying: Saying,
    },
    ClientPublish(QoS),
    /// It sends again what is not acknowledged, on the same connection.
    Resend(usize),
    /// So many of the packets that it has ready get through, at most.
    Transmit(usize),
    End(How),
    /// It connects, or connects anew while the connection before is still there.
    Connect {
        version: ProtocolVersion,
        clean_start: bool,
        receive_maximum: u16,
        expiry: u32,
    },
    /// So many half seconds pass.
    Wait(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Saying {
    Puback,
    Pubrec,
    Refusal,
    Pubcomp,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// After so many bytes of the next packet.
    Cut(usize),
    Disconnect,
    Kicked,
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![1 => Just(QOS0), 2 => Just(QOS1), 3 => Just(QOS2)]
}

fn connect_step() -> impl Strategy<Value = Step> {
    let version = prop_oneof![1 => Just(V311), 2 => Just(V5)];
    let expiry = prop_oneof![1 => Just(0), 6 => 1..5_u32, 8 => Just(1000)];
    (version, prop::bool::weighted(0.1), 1..6_u16, expiry).prop_map(
        |(version, clean_start, receive_maximum, expiry)| Step::Connect {
            version,
            clean_start,
            receive_maximum,
            expiry,
        },
    )
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let count = || prop_oneof![3 => 1..3_usize, 1 => Just(usize::MAX)];
    let which = || prop_oneof![4 => Just(0), 1 => 0..5_usize];
    let saying =
        prop_oneof![Just(Saying::Puback), Just(Saying::Pubrec), Just(Saying::Refusal), Just(Saying::Pubcomp)];
    let how = prop_oneof![4 => (0..10_usize).prop_map(How::Cut), 1 => Just(How::Disconnect), 1 => Just(How::Kicked)];
    let expires_in = prop_oneof![4 => Just(None), 1 => (1..5_u32).prop_map(Some)];
    prop_oneof![
        12 => (qos(), expires_in).prop_map(|(qos, expires_in)| Step::Publish { qos, expires_in }),
        8 => count().prop_map(Step::Receive),
        10 => (which(), prop::bool::weighted(0.1)).prop_map(|(which, refuse)| Step::Answer { which, refuse }),
        2 => (0..6_usize, saying).prop_map(|(which, saying)| Step::Stray { which, saying }),
        5 => prop_oneof![1 => Just(QOS1), 2 => Just(QOS2)].prop_map(Step::ClientPublish),
        2 => which().prop_map(Step::Resend),
        12 => count().prop_map(Step::Transmit),
        2 => how.prop_map(Step::End),
        5 => connect_step(),
        3 => (1..8_u32).prop_map(Step::Wait),
    ]
}
