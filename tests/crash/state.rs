//! What a plugin has set before a client was answered is there after a crash.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::{Connect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::broker::{Broker, Folder, Process};
use crate::director::Plan;
use crate::wire::{Broken, Wire};
use crate::world::World;

/// Clients that count, and keys by what they count with.
const COUNTERS: usize = 4;
const KINDS: [&str; 2] = ["add", "compare"];

/// What a plugin that counts in its state said, in the order in which it came.
type Told = Vec<(&'static str, u64)>;

/// The configuration of a plugin that does as it is asked, built where it is missing.
fn plugin() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let path = folder.join("target/tidegate/uses-services.wasm");
    if !path.exists() {
        assert!(Command::new(folder.join("build")).arg("uses-services").status().unwrap().success());
    }
    format!("[[plugin]]\nname = \"counts\"\npath = {path:?}\n")
}

/// Has the plugin count until it is enough, and the last answer has come.
async fn count(world: &World, name: String, mut rng: Rng) -> Told {
    let mut told = Told::new();
    while let Some(port) = world.broker().await {
        let _ = count_on(world, port, &name, &mut rng, &mut told).await;
        if world.is_enough() {
            break;
        }
        world.pause(&mut rng).await;
    }
    told
}

async fn count_on(
    world: &World,
    port: u16,
    name: &str,
    rng: &mut Rng,
    told: &mut Told,
) -> Result<(), Broken> {
    let connect = Connect::new(ProtocolVersion::V5, name.to_owned().into());
    let (mut wire, _) = Wire::connect(port, connect).await?;
    while !world.is_enough() {
        let kind = KINDS[rng.usize(0..KINDS.len())];
        let number = ask(&mut wire, kind).await?;
        told.push((kind, number));
        world.history.mark(format!("{name} is told {kind} {number}"));
    }
    Ok(())
}

/// What the plugin has counted to with this message.
async fn ask(wire: &mut Wire, kind: &str) -> Result<u64, Broken> {
    let (qos, packet_identifier) = (QoS::AtLeastOnce, Some(PacketIdentifier::FIRST));
    let publish = Publish::new(format!("do/{kind}").into(), format!("by-{kind}").into());
    wire.put(Packet::Publish(Publish { qos, packet_identifier, ..publish }));
    wire.flush().await?;
    let Packet::Puback(ack) = wire.receive().await? else { panic!("it is not acknowledged") };
    let said = ack.properties.and_then(|properties| properties.reason_string).expect("the plugin answers");
    Ok(said.parse().unwrap_or_else(|_| panic!("the plugin says {said}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_has_counted_before_its_answer_is_counted_after_a_crash() {
    let plan = Plan::from_environment(12, 12);
    let folder = Folder::new("state");
    let mut process = Process::with(folder.path(), &plugin());
    let world = Arc::new(World::new(plan.pace, plan.refuses));
    let mut rng = Rng::with_seed(plan.seed);
    let mut counters = JoinSet::new();
    for number in 0..COUNTERS {
        let (world, rng) = (world.clone(), rng.fork());
        counters.spawn(async move { count(&world, format!("counter-{number}"), rng).await });
    }
    let began = std::time::Instant::now();
    let mut port = process.start().await;
    world.is_at(port);
    for _ in 0..plan.rounds {
        sleep(Duration::from_millis(rng.u64(plan.life.clone()))).await;
        process.crash().await;
        world.is_down();
        port = process.start().await;
        world.is_at(port);
        if began.elapsed() > plan.time {
            break;
        }
    }
    world.enough();
    let told = counters.join_all().await;
    let last = last_counts(port).await;
    for (kind, last) in KINDS.into_iter().zip(last) {
        let all = told.iter().flatten().filter(|(told, _)| *told == kind).map(|(_, number)| *number);
        let mut all: Vec<u64> = all.collect();
        all.sort_unstable();
        println!("{kind}: {} answers, counted to {last}", all.len());
        assert!(all.len() > 10, "seed {}: there was too little to lose", plan.seed);
        // What was lost is counted, and told, a second time.
        let twice: Vec<_> = all.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "seed {}: {kind} told twice: {twice:?}", plan.seed);
        assert!(all.last() < Some(&last), "seed {}: {kind} is at {last} after {:?}", plan.seed, all.last());
    }
    process.stop().await;
}

async fn last_counts(port: u16) -> [u64; 2] {
    let (mut wire, _) = Wire::connect(port, Connect::new(ProtocolVersion::V5, "last".into())).await.unwrap();
    [ask(&mut wire, KINDS[0]).await.unwrap(), ask(&mut wire, KINDS[1]).await.unwrap()]
}
