//! A receiver as the specification wants it: it knows the QoS 2 identifiers that are not released over all of its
//! connections, and acknowledges in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::{Ack, Connack, Connect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
use tidegate::packet::{ReasonCode, RetainHandling, Subscribe, SubscribeFilter, Unsubscribe};
use tokio::time::{Instant, sleep_until};

use crate::history::{Key, Tick, What};
use crate::wire::{Broken, PATIENCE, Wire};
use crate::world::{Span, World};

/// SUBSCRIBE and UNSUBSCRIBE of a receiver have one; it has never more than one of them in flight.
const REQUEST: PacketIdentifier = PacketIdentifier::FIRST;

#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub version: ProtocolVersion,
    pub filter: String,
    pub qos: QoS,
    /// Whether it gives its subscription up and takes it again, time after time.
    pub is_fickle: bool,
}

/// What the director of the test and a receiver say to each other.
#[derive(Default)]
pub struct Orders {
    /// What the receiver says itself.
    pub is_connected: AtomicBool,
    pub is_online: AtomicBool,
    /// That it is to take its subscription and keep it.
    pub is_to_settle: AtomicBool,
}

pub struct Receiver {
    number: usize,
    profile: Profile,
    orders: Arc<Orders>,
    /// Received and not released.
    unreleased: HashMap<PacketIdentifier, Key>,
    /// What is to be acknowledged in this connection.
    held: Vec<Packet>,
    has_session: bool,
    is_subscribed: bool,
    /// Whether a SUBSCRIBE or UNSUBSCRIBE is not answered, and which.
    asked: Option<Asked>,
    rng: Rng,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Subscribe,
    Unsubscribe,
}

impl Receiver {
    pub fn new(number: usize, profile: Profile, orders: Arc<Orders>, rng: Rng) -> Receiver {
        Receiver {
            number,
            profile,
            orders,
            unreleased: HashMap::new(),
            held: Vec::new(),
            has_session: false,
            is_subscribed: false,
            asked: None,
            rng,
        }
    }

    pub async fn run(mut self, world: &World) {
        while let Some(port) = world.broker().await {
            if self.is_online() {
                self.orders.is_connected.store(true, Ordering::Relaxed);
                if let Err(Broken::Silent) = self.serve(world, port).await {
                    let text = format!("{} gets no answer within {PATIENCE:?}", self.profile.name);
                    world.history.violation(None, text);
                }
                self.orders.is_connected.store(false, Ordering::Relaxed);
            }
            world.pause(&mut self.rng).await;
        }
    }

    fn is_online(&self) -> bool {
        self.orders.is_online.load(Ordering::Relaxed)
    }

    async fn serve(&mut self, world: &World, port: u16) -> Result<(), Broken> {
        let (mut wire, connack) = Wire::connect(port, self.connect()).await?;
        self.resume(world, &connack);
        let (mut heard, mut next) = (Instant::now(), Instant::now());
        while self.is_online() {
            self.ask(world, &mut wire);
            tokio::select! {
                packet = wire.read() => {
                    heard = Instant::now();
                    self.act_on(world, packet?);
                    // Some wait for others.
                    if self.rng.u32(0..10) < 7 {
                        self.acknowledge(&mut wire);
                    }
                }
                () = sleep_until(next) => {
                    next = Instant::now() + Duration::from_micros(self.rng.u64(500..20_000));
                    self.acknowledge(&mut wire);
                    if self.asked.is_none() {
                        heard = Instant::now();
                    }
                    if heard.elapsed() > PATIENCE {
                        return Err(Broken::Silent);
                    }
                    if self.rng.u32(0..400) == 0 {
                        return Err(Broken::Ended);
                    }
                }
            }
            wire.flush().await?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Connect {
        let is_new = self.profile.version == ProtocolVersion::V5;
        let connect = Connect::new(self.profile.version, self.profile.name.clone().into());
        Connect {
            clean_start: false,
            session_expiry_interval: is_new.then_some(3600),
            receive_maximum: if is_new { self.rng.u16(4..60).try_into().ok() } else { None },
            ..connect
        }
    }

    fn resume(&mut self, world: &World, connack: &Connack) {
        if self.has_session && !connack.session_present {
            world.history.violation(None, format!("the session of {} is lost", self.profile.name));
        }
        self.has_session = true;
        self.held.clear();
        self.asked = None;
        if !connack.session_present {
            self.unreleased.clear();
        }
    }

    /// Subscribes where it is not, and gives it up now and then where it is to.
    fn ask(&mut self, world: &World, wire: &mut Wire) {
        let settles = !self.profile.is_fickle || self.orders.is_to_settle.load(Ordering::Relaxed);
        let wants = if self.is_subscribed { settles || self.rng.u32(0..60) > 0 } else { true };
        if self.asked.is_some() || wants == self.is_subscribed {
            return;
        }
        // It is not known to be there any more from the moment in which it is to go, nor to be gone where it is to come.
        world.end_span(self.number);
        if wants {
            self.asked = Some(Asked::Subscribe);
            wire.put(Packet::Subscribe(Box::new(subscribe(&self.profile))));
        } else {
            self.asked = Some(Asked::Unsubscribe);
            let filters = vec![self.profile.filter.clone().into()];
            let packet = Unsubscribe { packet_identifier: REQUEST, user_properties: Vec::new(), filters };
            wire.put(Packet::Unsubscribe(Box::new(packet)));
        }
    }

    fn act_on(&mut self, world: &World, packet: Packet) {
        match packet {
            Packet::Publish(publish) => self.on_publish(world, &publish),
            Packet::Pubrel(ack) => self.on_pubrel(world, &ack),
            Packet::Suback(suback) => {
                let is_granted = suback.reason_codes == [ReasonCode::from(self.profile.qos)];
                self.on_answer(world, Asked::Subscribe, is_granted);
            }
            Packet::Unsuback(unsuback) => {
                let is_gone = unsuback.reason_codes.iter().all(|code| !code.is_error());
                self.on_answer(world, Asked::Unsubscribe, is_gone);
            }
            Packet::Disconnect(_) => {}
            other => world.history.violation(None, format!("{} gets {other:?}", self.profile.name)),
        }
    }

    fn on_answer(&mut self, world: &World, which: Asked, is_done: bool) {
        if self.asked.take() != Some(which) {
            world.history.violation(None, format!("{} gets an answer for nothing", self.profile.name));
        }
        if is_done {
            self.is_subscribed = which == Asked::Subscribe;
            let from: Tick = world.history.mark(format!(
                "{} is {}subscribed",
                self.profile.name,
                if self.is_subscribed { "" } else { "un" }
            ));
            world.begin_span(self.number, Span { is_subscribed: self.is_subscribed, from, until: None });
        }
    }

    fn on_publish(&mut self, world: &World, publish: &Publish) {
        let text = String::from_utf8_lossy(&publish.payload);
        let Some((key, id)) = Key::parse(&text).zip(publish.packet_identifier) else {
            return world.history.violation(None, format!("{} gets {publish:?}", self.profile.name));
        };
        let known = self.unreleased.get(&id).copied();
        let is_new = publish.qos < QoS::ExactlyOnce || known.is_none();
        let received =
            What::Received { receiver: self.number, qos: publish.qos, id, dup: publish.dup, is_new };
        world.history.note(key, received);
        let ack = Ack::new(id, ReasonCode::SUCCESS);
        if publish.qos == QoS::AtLeastOnce {
            self.held.push(Packet::Puback(ack));
            return;
        }
        // [MQTT-2.2.1-4], [MQTT-3.3.1-1]
        match known {
            Some(former) if former != key => {
                let text = format!("{} gets {id} again with another message, of before:", self.profile.name);
                world.history.violation(Some(former), text);
                world.history.violation(Some(key), "... and now:");
            }
            Some(_) if !publish.dup => world.history.violation(Some(key), "it is sent again without DUP"),
            _ => drop(self.unreleased.insert(id, key)),
        }
        self.held.push(Packet::Pubrec(ack));
    }

    /// One that is not known any more was lost with its answer.
    fn on_pubrel(&mut self, world: &World, ack: &Ack) {
        let known = self.unreleased.remove(&ack.packet_identifier);
        if let Some(key) = known {
            world.history.note(key, What::Released { receiver: self.number, id: ack.packet_identifier });
        }
        let is_old = self.profile.version == ProtocolVersion::V311;
        let reason = if known.is_some() || is_old {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        self.held.push(Packet::Pubcomp(Ack::new(ack.packet_identifier, reason)));
    }

    fn acknowledge(&mut self, wire: &mut Wire) {
        self.held.drain(..).for_each(|packet| wire.put(packet));
    }
}

fn subscribe(profile: &Profile) -> Subscribe {
    let filter = SubscribeFilter {
        // Retained messages have a check of their own.
        retain_handling: RetainHandling::SendAtSubscribe,
        ..SubscribeFilter::new(profile.filter.clone().into(), profile.qos)
    };
    Subscribe {
        packet_identifier: REQUEST,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![filter],
    }
}
