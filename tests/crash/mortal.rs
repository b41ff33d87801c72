//! A client that leaves Wills: a new one with each connection, most of which end without a DISCONNECT.

use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::{Connect, Disconnect, Packet, ProtocolVersion, QoS, ReasonCode, Will};
use tokio::time::{sleep, timeout};

use crate::history::{Key, MORTAL, Stream, What};
use crate::wire::{Broken, Wire};
use crate::world::World;

/// Wills of one topic come one after the other, but nothing says so.
const TOPICS: u32 = 250;

pub struct Mortal {
    name: String,
    version: ProtocolVersion,
    publisher: u16,
    number: u32,
    rng: Rng,
}

impl Mortal {
    pub fn new(number: u16, version: ProtocolVersion, rng: Rng) -> Mortal {
        Mortal { name: format!("mortal-{number}"), version, publisher: MORTAL + number, number: 0, rng }
    }

    pub async fn run(mut self, world: &World) {
        while let Some(port) = world.broker().await {
            if world.is_enough() {
                return;
            }
            self.number += 1;
            if let Err(Broken::Silent) = self.live(world, port).await {
                world.history.violation(None, format!("{} gets no answer", self.name));
            }
            world.pause(&mut self.rng).await;
        }
    }

    /// What the broker has said yes to, it publishes when the connection is gone, whatever becomes of the broker.
    async fn live(&mut self, world: &World, port: u16) -> Result<(), Broken> {
        let key = self.key();
        world.history.note(key, What::Left);
        let (mut wire, _) = Wire::connect(port, self.connect(key)).await?;
        let life = Duration::from_millis(self.rng.u64(0..60));
        let ended = timeout(life, wire.read()).await.is_ok();
        if !ended && (world.is_enough() || self.rng.u32(0..5) == 0) {
            // Nothing says that it came there: it may be published or not.
            wire.put(Packet::Disconnect(Box::default()));
            wire.flush().await?;
            return gone(wire).await;
        }
        if !ended && self.version == ProtocolVersion::V5 && self.rng.bool() {
            let reason_code = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
            wire.put(Packet::Disconnect(Box::new(Disconnect { reason_code, ..Disconnect::default() })));
            // Where it does not get there, the connection has ended without.
            let _ = wire.flush().await;
        }
        world.history.note(key, What::Acknowledged);
        Ok(())
    }

    fn key(&self) -> Key {
        let qos = if self.number.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        let topic = u8::try_from(self.number % TOPICS).unwrap();
        let stream = Stream { publisher: self.publisher, topic, qos, retain: false };
        Key { stream, number: self.number }
    }

    /// Without a delay, so that the end of the connection is what publishes it.
    fn connect(&mut self, key: Key) -> Connect {
        let expiry = (self.version == ProtocolVersion::V5).then_some(3600);
        let (topic, payload) = (key.topic().into(), format!("{key} ").into());
        let will = Some(Box::new(Will { topic, payload, qos: key.stream.qos, ..Will::default() }));
        let connect = Connect::new(self.version, self.name.clone().into());
        // Now and then the session before is over, and the Will of its connection due.
        let clean_start = self.version == ProtocolVersion::V5 && self.rng.u32(0..8) == 0;
        Connect { clean_start, session_expiry_interval: expiry, will, ..connect }
    }
}

/// The broker has read what was sent before.
async fn gone(mut wire: Wire) -> Result<(), Broken> {
    while wire.receive().await.is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
