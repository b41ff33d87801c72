//! Each part by itself.

mod inbound;
mod outbound;

use super::*;
use crate::packet::{Publish, QoS};

fn id(n: u16) -> PacketIdentifier {
    PacketIdentifier::new(n).unwrap()
}
