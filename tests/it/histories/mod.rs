//! Random histories of a session and of both sides of its connections, against a small model.
//!
//! A history is a list of steps; what does not apply at its moment is left out, so that any list is one, and what
//! proptest makes smaller stays one. `session` plays them on the session alone, with pipes that lose what is in
//! them when a connection breaks, and sees everything that the session does (`observer`). `connection` plays them on
//! a broker, over streams in memory, and sees what its clients see. The client of both is that of `client`, which
//! keeps to the specification, except where a step says otherwise. `group` has several clients. At the end of each
//! history the client comes back once more, nothing is lost any more, and everything that was promised has to arrive.

mod client;
mod connection;
mod group;
mod observer;
mod session;
mod steps;

use proptest::prelude::ProptestConfig;
use tidegate::packet::{Ack, Packet, Publish, QoS, ReasonCode};

use crate::support::client::id;
use crate::support::publish;

/// The Receive Maximum of the server.
const OURS: u16 = 3;

/// What a packet says of a message is its number, from which all else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToClient {
    Publish { id: Option<u16>, number: usize, qos: QoS, dup: bool },
    Pubrel(u16),
    Puback(u16),
    Pubrec { id: u16, refused: bool },
    Pubcomp(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToServer {
    Puback { id: u16, refused: bool },
    Pubrec { id: u16, refused: bool },
    Pubcomp(u16),
    Publish { id: u16, number: usize, qos: QoS, dup: bool },
    Pubrel(u16),
}

/// So many times as many cases as is usual, or as the variable PROPTEST_CASES says.
fn times(factor: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases * factor, ..usual }
}

fn to_packet(packet: ToServer) -> Packet {
    let ack = |identifier: u16, refused: bool| {
        let reason = if refused { ReasonCode::UNSPECIFIED_ERROR } else { ReasonCode::SUCCESS };
        Ack::new(id(identifier), reason)
    };
    match packet {
        ToServer::Puback { id, refused } => Packet::Puback(ack(id, refused)),
        ToServer::Pubrec { id, refused } => Packet::Pubrec(ack(id, refused)),
        ToServer::Pubcomp(id) => Packet::Pubcomp(ack(id, false)),
        ToServer::Pubrel(id) => Packet::Pubrel(ack(id, false)),
        ToServer::Publish { id: identifier, number, qos, dup } => {
            let packet = publish(&format!("own/{}", qos as u8), &number.to_string());
            Packet::Publish(Publish { packet_identifier: Some(id(identifier)), qos, dup, ..packet })
        }
    }
}
