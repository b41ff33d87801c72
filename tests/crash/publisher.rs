//! A publisher as the specification wants it: it keeps what is not acknowledged, and sends it again with its
//! identifiers when its session goes on.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytestring::ByteString;
use fastrand::Rng;
use tidegate::packet::{Ack, Connack, Connect, Packet, PacketIdentifier, ProtocolVersion, Publish};
use tidegate::packet::{QoS, ReasonCode};
use tokio::time::{Instant, sleep_until};

use crate::history::{Key, Stream, What};
use crate::wire::{Broken, PATIENCE, Wire};
use crate::world::World;

/// Identifiers are used again soon: one that the broker takes for a former message is a message lost.
const LAST_IDENTIFIER: u16 = 24;
const WINDOW: usize = 12;

pub struct Publisher {
    pub name: String,
    pub version: ProtocolVersion,
    /// Whether its session outlives its connection.
    pub is_kept: bool,
    pub streams: Vec<Stream>,
    numbers: HashMap<Stream, u32>,
    flights: VecDeque<Flight>,
    last_identifier: PacketIdentifier,
    /// Whether the broker said that there is a session.
    has_session: bool,
    rng: Rng,
}

struct Flight {
    id: PacketIdentifier,
    key: Key,
    packet: Publish,
    /// Whether PUBREC came.
    is_received: bool,
}

impl Publisher {
    pub fn new(name: &str, version: ProtocolVersion, streams: Vec<Stream>, rng: Rng) -> Publisher {
        Publisher {
            name: name.into(),
            version,
            is_kept: true,
            streams,
            numbers: HashMap::new(),
            flights: VecDeque::new(),
            last_identifier: PacketIdentifier::FIRST,
            has_session: false,
            rng,
        }
    }

    /// Until it is told that it is enough, and all it sent is acknowledged.
    pub async fn run(mut self, world: &World) {
        while let Some(port) = world.broker().await {
            match self.serve(world, port).await {
                Ok(()) => return,
                Err(Broken::Silent) => world.history.violation(
                    self.flights.front().map(|flight| flight.key),
                    format!("{} gets no answer within {PATIENCE:?}", self.name),
                ),
                Err(_) => {}
            }
            world.pause(&mut self.rng).await;
        }
    }

    async fn serve(&mut self, world: &World, port: u16) -> Result<(), Broken> {
        let (mut wire, connack) = Wire::connect(port, self.connect()).await?;
        self.resume(world, &connack);
        self.send_again(world, &mut wire);
        wire.flush().await?;
        let (mut heard, mut next) = (Instant::now(), Instant::now());
        loop {
            if world.is_enough() && self.flights.is_empty() {
                wire.put(Packet::Disconnect(Box::default()));
                return wire.flush().await;
            }
            tokio::select! {
                packet = wire.read() => {
                    heard = Instant::now();
                    self.act_on(world, &mut wire, packet?);
                }
                () = sleep_until(next) => {
                    next = Instant::now() + Duration::from_micros(self.rng.u64(0..world.pace));
                    if self.flights.is_empty() {
                        heard = Instant::now();
                    }
                    if heard.elapsed() > PATIENCE {
                        return Err(Broken::Silent);
                    }
                    // Connections break for other reasons too.
                    if self.rng.u32(0..400) == 0 {
                        return Err(Broken::Ended);
                    }
                    self.publish_some(world, &mut wire);
                }
            }
            wire.flush().await?;
        }
    }

    fn connect(&self) -> Connect {
        let expiry = (self.is_kept && self.version == ProtocolVersion::V5).then_some(3600);
        let connect = Connect::new(self.version, self.name.clone().into());
        Connect { clean_start: !self.is_kept, session_expiry_interval: expiry, ..connect }
    }

    fn resume(&mut self, world: &World, connack: &Connack) {
        if self.has_session && !connack.session_present {
            world.history.violation(None, format!("the session of {} is lost", self.name));
        }
        self.has_session = self.is_kept;
        if !connack.session_present {
            for flight in self.flights.drain(..) {
                world.history.note(flight.key, What::GivenUp);
            }
        }
    }

    /// [MQTT-4.4.0-1], [MQTT-4.6.0-1]
    fn send_again(&mut self, world: &World, wire: &mut Wire) {
        for flight in &self.flights {
            if flight.is_received {
                wire.put(Packet::Pubrel(Ack::new(flight.id, ReasonCode::SUCCESS)));
            } else {
                world.history.note(flight.key, What::Sent { id: flight.id, dup: true });
                wire.put(Packet::Publish(Publish { dup: true, ..flight.packet.clone() }));
            }
        }
    }

    fn publish_some(&mut self, world: &World, wire: &mut Wire) {
        let room = WINDOW - self.flights.len();
        let count = if world.is_enough() { 0 } else { self.rng.usize(0..=room.min(6)) };
        for _ in 0..count {
            let stream = self.streams[self.rng.usize(0..self.streams.len())];
            let number = self.numbers.entry(stream).or_default();
            *number += 1;
            let key = Key { stream, number: *number };
            let id = self.free_identifier();
            let packet = packet(key, id, &mut self.rng);
            world.note_cleared(key, packet.payload.is_empty());
            world.history.note(key, What::Sent { id, dup: false });
            wire.put(Packet::Publish(packet.clone()));
            self.flights.push_back(Flight { id, key, packet, is_received: false });
        }
    }

    fn free_identifier(&mut self) -> PacketIdentifier {
        loop {
            let next = self.last_identifier.next();
            let next = if next.get() > LAST_IDENTIFIER { PacketIdentifier::FIRST } else { next };
            self.last_identifier = next;
            if self.flights.iter().all(|flight| flight.id != next) {
                return next;
            }
        }
    }

    fn act_on(&mut self, world: &World, wire: &mut Wire, packet: Packet) {
        match packet {
            Packet::Puback(ack) => {
                if let Some(flight) = self.take(world, &ack, "PUBACK") {
                    world.history.note(flight.key, answer(&ack));
                }
            }
            Packet::Pubrec(ack) => self.on_pubrec(world, wire, &ack),
            Packet::Pubcomp(ack) => {
                if let Some(flight) = self.take(world, &ack, "PUBCOMP") {
                    world.history.note(flight.key, What::Completed);
                }
            }
            Packet::Disconnect(_) => {}
            other => world.history.violation(None, format!("{} gets {other:?}", self.name)),
        }
    }

    fn on_pubrec(&mut self, world: &World, wire: &mut Wire, ack: &Ack) {
        if ack.reason_code.is_error() {
            if let Some(flight) = self.take(world, ack, "PUBREC") {
                world.history.note(flight.key, What::Refused(ack.reason_code));
            }
            return;
        }
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.id == ack.packet_identifier) else {
            let text =
                format!("{} gets a PUBREC for {}, which is not in flight", self.name, ack.packet_identifier);
            return world.history.violation(None, text);
        };
        flight.is_received = true;
        world.history.note(flight.key, What::Acknowledged);
        wire.put(Packet::Pubrel(Ack::new(ack.packet_identifier, ReasonCode::SUCCESS)));
    }

    fn take(&mut self, world: &World, ack: &Ack, name: &str) -> Option<Flight> {
        let index = self.flights.iter().position(|flight| flight.id == ack.packet_identifier);
        if index.is_none() {
            let text =
                format!("{} gets a {name} for {}, which is not in flight", self.name, ack.packet_identifier);
            world.history.violation(None, text);
        }
        self.flights.remove(index?)
    }
}

fn answer(ack: &Ack) -> What {
    if ack.reason_code.is_error() { What::Refused(ack.reason_code) } else { What::Acknowledged }
}

/// Mostly short, now and then longer than a page of a database, and with RETAIN empty now and then.
fn packet(key: Key, id: PacketIdentifier, rng: &mut Rng) -> Publish {
    let clears = key.stream.retain && rng.u32(0..8) == 0;
    let filler = if rng.u32(0..50) == 0 { 9000 } else { rng.usize(0..200) };
    let payload = if clears { String::new() } else { format!("{key} {}", "x".repeat(filler)) };
    Publish {
        qos: key.stream.qos,
        retain: key.stream.retain,
        packet_identifier: Some(id),
        ..Publish::new(ByteString::from(key.topic()), payload.into())
    }
}

/// Both QoS on each of so many topics.
pub fn mixed(publisher: u16, topics: u8) -> Vec<Stream> {
    let both = |topic| {
        [QoS::AtLeastOnce, QoS::ExactlyOnce].map(|qos| Stream { publisher, topic, qos, retain: false })
    };
    (0..topics).flat_map(both).collect()
}

/// One QoS on each: a message of QoS 1 that is sent again comes after one of QoS 2 that is not routed again.
pub fn retained(publisher: u16, topics: u8) -> Vec<Stream> {
    let qos = |topic| if topic % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
    (0..topics).map(|topic| Stream { publisher, topic, qos: qos(topic), retain: true }).collect()
}
