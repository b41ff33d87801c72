//! Who starts the clients, crashes the broker, and calls for the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidegate::packet::{Connect, Packet, PacketIdentifier, ProtocolVersion, QoS, Subscribe, SubscribeFilter};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::{Broker, Folder, Process};
use crate::history::Key;
use crate::mortal::Mortal;
use crate::publisher::{Publisher, mixed, retained};
use crate::receiver::{Orders, Profile, Receiver};
use crate::torn;
use crate::wire::{Broken, Wire};
use crate::world::World;

const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;

/// How long nothing may come before everybody has everything.
const REST: Duration = Duration::from_secs(60);
/// How long the last messages may take to come to everybody: a small window and a slow machine make it minutes.
const LONGEST_REST: Duration = Duration::from_secs(300);

pub struct Plan {
    pub seed: u64,
    pub rounds: u32,
    /// No further round is begun after that.
    pub time: Duration,
    /// Milliseconds from a start to the crash.
    pub life: std::ops::Range<u64>,
    pub pace: Duration,
    /// Messages are refused for a while. A refusal that is lost with its connection has a message sent again behind others
    /// that were taken.
    pub refuses: bool,
}

impl Plan {
    /// As the environment asks: `CRASH_ROUNDS`, `CRASH_SECONDS`, `CRASH_SEED`.
    pub fn from_environment(rounds: u32, seconds: u64) -> Plan {
        let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let rounds = number("CRASH_ROUNDS").map_or(rounds, |rounds| rounds as u32);
        let time = Duration::from_secs(number("CRASH_SECONDS").unwrap_or(seconds));
        let seed = number("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
        println!("CRASH_SEED={seed}");
        Plan { seed, rounds, time, life: 30..600, pace: Duration::from_millis(20), refuses: false }
    }
}

struct Director {
    world: Arc<World>,
    rng: Rng,
    publishers: JoinSet<()>,
    receivers: JoinSet<()>,
    orders: Vec<(Presence, Arc<Orders>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Always,
    Sometimes,
    /// Once to subscribe, then not before the end.
    Once,
}

/// Crashes the broker again and again, then lets everything come to rest, and checks all of it.
pub async fn run(broker: &mut impl Broker, plan: &Plan) -> Arc<World> {
    let world = Arc::new(World::new(plan.pace, plan.refuses));
    let mut director = Director::new(&world, plan);
    let began = Instant::now();
    director.start_receivers();
    world.is_at(broker.start().await);
    director.wait_for_subscriptions().await;
    director.start_publishers();
    director.start_mortals();
    for round in 0..plan.rounds {
        if began.elapsed() > plan.time || !world.history.is_clean() {
            break;
        }
        director.direct(round);
        sleep(Duration::from_millis(director.rng.u64(plan.life.clone()))).await;
        world.history.mark(format!("crash {round}"));
        broker.crash().await;
        world.is_down();
        let port = broker.start().await;
        world.history.mark(format!("start {}", round + 1));
        check_retained(&world, port).await;
        world.is_at(port);
    }
    broker.calm().await;
    director.come_to_rest().await;
    world.is_down();
    broker.stop().await;
    world.check();
    if world.history.is_clean() {
        assert_nothing_is_left(&world, broker).await;
    }
    world.is_over();
    director.receivers.join_all().await;
    world
}

/// Lets the power go again and again in a folder under load, and starts brokers on what that leaves.
pub async fn cut_power(plan: &Plan) -> Arc<World> {
    let world = Arc::new(World::new(plan.pace, plan.refuses));
    let mut director = Director::new(&world, plan);
    let folder = Folder::new("power");
    let mut process = Process::on(folder.path());
    let names = [("once-5", V5), ("once-311", V311)];
    for (name, version) in names {
        let (name, filter) = (name.to_owned(), "p/#".to_owned());
        let profile = Profile { name, version, filter, qos: QoS::ExactlyOnce, is_fickle: false };
        director.start_receiver(Presence::Once, profile);
    }
    world.is_at(process.start().await);
    director.wait_for_subscriptions().await;
    director.direct(0);
    director.wait_for_departures().await;
    director.start_publishers();
    let began = Instant::now();
    for _ in 0..plan.rounds {
        if began.elapsed() > plan.time || !world.history.is_clean() {
            break;
        }
        let copy = Folder::new("power-copy");
        let due = torn::cut_power(&process, &world, &mut director.rng, &copy).await;
        torn::check(&copy, &world, &names, &due).await;
    }
    world.is_over();
    process.crash().await;
    director.publishers.abort_all();
    world
}

impl Director {
    fn new(world: &Arc<World>, plan: &Plan) -> Director {
        Director {
            world: world.clone(),
            rng: Rng::with_seed(plan.seed),
            publishers: JoinSet::new(),
            receivers: JoinSet::new(),
            orders: Vec::new(),
        }
    }

    fn start_receivers(&mut self) {
        use Presence::{Always, Once, Sometimes};
        let one = QoS::AtLeastOnce;
        let two = QoS::ExactlyOnce;
        for (name, version, filter, qos, presence) in [
            ("online-5", V5, "p/#", two, Always),
            ("online-311", V311, "p/#", two, Always),
            ("online-1", V5, "p/#", one, Always),
            ("offline-5", V5, "p/#", two, Sometimes),
            ("offline-311", V311, "p/#", two, Sometimes),
            ("offline-1", V311, "p/#", one, Sometimes),
            ("once-5", V5, "p/#", two, Once),
            ("fickle-5", V5, "p/#", two, Always),
            ("fickle-311", V311, "p/#", one, Sometimes),
            ("mourner-5", V5, "w/#", two, Sometimes),
            ("mourner-311", V311, "w/#", two, Once),
            ("member-1", V5, "$share/g/p/#", two, Always),
            ("member-2", V311, "$share/g/p/#", two, Sometimes),
            ("member-3", V5, "$share/g/p/#", two, Sometimes),
        ] {
            let is_fickle = name.starts_with("fickle");
            let (name, filter) = (name.to_owned(), filter.to_owned());
            self.start_receiver(presence, Profile { name, version, filter, qos, is_fickle });
        }
    }

    fn start_receiver(&mut self, presence: Presence, profile: Profile) {
        let (orders, rng) = (Arc::new(Orders::default()), self.rng.fork());
        orders.is_online.store(true, Ordering::Relaxed);
        let number = self.world.add_receiver(profile.clone());
        let receiver = Receiver::new(number, profile, orders.clone(), rng);
        let world = self.world.clone();
        self.receivers.spawn(async move { receiver.run(&world).await });
        self.orders.push((presence, orders));
    }

    async fn wait_for_subscriptions(&self) {
        while self.world.subscribed() < self.orders.len() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_for_departures(&self) {
        while self.orders.iter().any(|(_, orders)| orders.is_connected.load(Ordering::Relaxed)) {
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn start_publishers(&mut self) {
        let kinds = [(V5, true), (V311, true), (V5, false), (V311, false), (V5, true), (V311, true)];
        for (number, (version, is_kept)) in (1..).zip(kinds) {
            let mut publisher =
                Publisher::new(&format!("publisher-{number}"), version, mixed(number, 2), self.rng.fork());
            publisher.is_kept = is_kept;
            self.start_publisher(publisher);
        }
        for (number, version) in [(11, V5), (12, V311)] {
            let name = format!("retainer-{number}");
            let publisher = Publisher::new(&name, version, retained(number, 4), self.rng.fork());
            self.start_publisher(publisher);
        }
    }

    fn start_mortals(&mut self) {
        for (number, version) in [(1, V5), (2, V311), (3, V5)] {
            let mortal = Mortal::new(number, version, self.rng.fork());
            let world = self.world.clone();
            self.publishers.spawn(async move { mortal.run(&world).await });
        }
    }

    fn start_publisher(&mut self, publisher: Publisher) {
        let world = self.world.clone();
        self.publishers.spawn(async move { publisher.run(&world).await });
    }

    /// Who is there in this round; in some there is somebody new.
    fn direct(&mut self, round: u32) {
        for (presence, orders) in &self.orders {
            let is_online = match presence {
                Presence::Always => true,
                Presence::Sometimes => self.rng.u32(0..3) > 0,
                Presence::Once => false,
            };
            orders.is_online.store(is_online, Ordering::Relaxed);
        }
        if round % 3 == 1 && round < 40 {
            let (name, filter) = (format!("new-{round}"), format!("p/{}/+", self.rng.u32(1..=6)));
            let version = if self.rng.bool() { V5 } else { V311 };
            let profile = Profile { name, version, filter, qos: QoS::ExactlyOnce, is_fickle: false };
            self.start_receiver(Presence::Sometimes, profile);
        }
    }

    /// Until everything that was sent is acknowledged, and everything that was acknowledged has come.
    async fn come_to_rest(&mut self) {
        for (_, orders) in &self.orders {
            orders.is_to_settle.store(true, Ordering::Relaxed);
            orders.is_online.store(true, Ordering::Relaxed);
        }
        self.world.history.mark("the end");
        self.world.enough();
        let began = Instant::now();
        while let Ok(Some(ended)) = tokio::time::timeout(REST, self.publishers.join_next()).await {
            ended.unwrap();
        }
        let (mut moved, mut known) = (Instant::now(), 0);
        while moved.elapsed() < REST && began.elapsed() < LONGEST_REST && self.world.history.is_clean() {
            if self.world.missing().is_empty() && self.world.is_quiet() {
                break;
            }
            let now = self.world.history.lock().now();
            if std::mem::replace(&mut known, now) != now {
                moved = Instant::now();
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Reads all retained messages, as a client that has never been there.
async fn check_retained(world: &World, port: u16) {
    if let Ok(found) = read_retained(port).await {
        world.check_retained(&found);
    }
}

async fn read_retained(port: u16) -> Result<HashMap<String, Option<Key>>, Broken> {
    let (mut wire, _) = Wire::connect(port, Connect::new(V5, "reader".into())).await?;
    let subscribe = Subscribe {
        packet_identifier: PacketIdentifier::FIRST,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![SubscribeFilter::new("r/#".into(), QoS::AtMostOnce)],
    };
    wire.put(Packet::Subscribe(Box::new(subscribe)));
    let (mut found, mut pongs) = (HashMap::new(), 0);
    // What is queued before the first PINGREQ may come behind its answer, but not behind that of the second.
    while pongs < 3 {
        wire.put(Packet::Pingreq);
        wire.flush().await?;
        loop {
            match wire.receive().await? {
                Packet::Publish(publish) => {
                    let text = String::from_utf8_lossy(&publish.payload);
                    found.insert(publish.topic.to_string(), Key::parse(&text));
                }
                Packet::Pingresp => break,
                _ => {}
            }
        }
        pongs += 1;
    }
    Ok(found)
}

/// What everybody has is not sent again by a broker that starts anew.
async fn assert_nothing_is_left(world: &World, broker: &mut impl Broker) {
    let before = world.history.lock().now();
    let port = broker.start().await;
    check_retained(world, port).await;
    world.is_at(port);
    sleep(Duration::from_millis(500)).await;
    let after = world.history.lock().now();
    if before != after {
        world.history.violation(None, format!("{} things happened after the end", after - before));
    }
    world.is_down();
    broker.stop().await;
}
