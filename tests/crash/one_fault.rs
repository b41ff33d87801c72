//! A broker on a disk with one fault, step by step.

use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::{Ack, Connack, Connect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
use tidegate::packet::{ReasonCode, Subscribe, SubscribeFilter};
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, Folder, Process};
use crate::disk::{Disk, Fault, Left};
use crate::wire::{PATIENCE, Wire};

async fn connect(port: u16, name: &str) -> (Wire, Connack) {
    let connect = Connect::new(ProtocolVersion::V5, name.to_owned().into());
    let connect = Connect { clean_start: false, session_expiry_interval: Some(3600), ..connect };
    Wire::connect(port, connect).await.unwrap()
}

/// A session that has subscribed and waits for its client.
async fn subscribed(port: u16, name: &str) {
    let (mut wire, _) = connect(port, name).await;
    subscribe(&mut wire).await;
    wire.put(Packet::Disconnect(Box::default()));
    wire.flush().await.unwrap();
    wire.read().await.expect_err("the broker closes it");
}

async fn subscribe(wire: &mut Wire) {
    let subscribe = Subscribe {
        packet_identifier: PacketIdentifier::FIRST,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![SubscribeFilter::new("t".into(), QoS::ExactlyOnce)],
    };
    wire.put(Packet::Subscribe(Box::new(subscribe)));
    wire.flush().await.unwrap();
    assert!(matches!(wire.receive().await.unwrap(), Packet::Suback(_)));
}

/// What is acknowledged then is kept, and so is all that was done before.
async fn settle(wire: &mut Wire) {
    let (qos, packet_identifier) = (QoS::AtLeastOnce, Some(PacketIdentifier::FIRST));
    wire.put(Packet::Publish(Publish {
        qos,
        packet_identifier,
        ..Publish::new("t".into(), "before".into())
    }));
    wire.flush().await.unwrap();
    assert!(matches!(wire.receive().await.unwrap(), Packet::Puback(_)));
}

fn message(dup: bool) -> Packet {
    let publish = Publish::new("t".into(), "kept".into());
    let packet_identifier = Some(PacketIdentifier::FIRST);
    Packet::Publish(Publish { qos: QoS::ExactlyOnce, dup, packet_identifier, ..publish })
}

/// Has it try to keep something until the disk has failed.
async fn until_it_fails(disk: &Disk) {
    let (_, before) = disk.counts();
    let failed = async {
        while disk.counts().1 == before {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, failed).await.expect("nothing is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_finds_unsynced_is_synced_before_it_is_acknowledged() {
    // [MQTT-4.3.3-8], [MQTT-4.1.0-1]
    // A sync failed, and the broker was killed. The next one found the message in the log, where it could be read but
    // was on no disk, answered the second sending with PUBREC, and a power cut took it, and all that came behind it.
    let folder = Folder::new("unsynced");
    let Some(disk) = Disk::under(folder.path()) else { return };
    let mut process = Process::on(folder.path());
    process.environment = disk.environment();
    let port = process.start().await;
    subscribed(port, "receiver").await;
    let (mut wire, _) = connect(port, "publisher").await;
    settle(&mut wire).await;
    disk.set(Fault::SyncFails, 100);
    wire.put(message(false));
    wire.flush().await.unwrap();
    until_it_fails(&disk).await;
    process.crash().await;

    disk.set(Fault::None, 100);
    let port = process.start().await;
    let (mut wire, connack) = connect(port, "publisher").await;
    assert!(connack.session_present);
    wire.put(message(true));
    wire.flush().await.unwrap();
    let Packet::Pubrec(ack) = wire.receive().await.unwrap() else { panic!("it is not acknowledged") };
    assert_eq!(ack.reason_code, ReasonCode::SUCCESS);
    process.crash().await;

    disk.lose_power(Left::Nothing, &mut Rng::with_seed(1));
    let port = process.start().await;
    let (mut wire, connack) = connect(port, "receiver").await;
    assert!(connack.session_present, "the session is lost");
    for payload in ["before", "kept"] {
        let got = wire.receive().await;
        assert!(matches!(&got, Ok(Packet::Publish(publish)) if publish.payload == payload), "{got:?}");
    }
    process.stop().await;
}

/// A client whose session ends with its connection.
async fn passing(port: u16, name: &str) -> Wire {
    Wire::connect(port, Connect::new(ProtocolVersion::V5, name.to_owned().into())).await.unwrap().0
}

/// What a client is told that publishes with QoS 1: in PUBACK, or where it waited for the disk, in DISCONNECT.
async fn told(port: u16, payload: &str) -> ReasonCode {
    let mut wire = passing(port, "publisher").await;
    let (qos, packet_identifier) = (QoS::AtLeastOnce, Some(PacketIdentifier::FIRST));
    let publish = Publish::new("t".into(), payload.to_owned().into());
    wire.put(Packet::Publish(Publish { qos, packet_identifier, ..publish }));
    wire.flush().await.unwrap();
    match wire.receive().await.unwrap() {
        Packet::Puback(ack) => ack.reason_code,
        Packet::Disconnect(disconnect) => disconnect.reason_code,
        other => panic!("{other:?}"),
    }
}

async fn payloads(wire: &mut Wire, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let Packet::Publish(publish) = wire.receive().await.unwrap() else { continue };
        all.push(String::from_utf8_lossy(&publish.payload).into_owned());
        if let Some(id) = publish.packet_identifier {
            wire.put(Packet::Puback(Ack::new(id, ReasonCode::SUCCESS)));
            wire.flush().await.unwrap();
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_has_clients_told_so_until_there_is_room_and_qos_0_goes_on() {
    // [MQTT-4.1.0-1]
    let folder = Folder::new("full");
    let Some(disk) = Disk::under(folder.path()) else { return };
    let mut process = Process::on(folder.path());
    process.environment = disk.environment();
    let port = process.start().await;
    subscribed(port, "away").await;
    let mut reader = passing(port, "reader").await;
    subscribe(&mut reader).await;
    // All that came before is kept by then.
    assert_eq!(told(port, "before").await, ReasonCode::SUCCESS);
    disk.set(Fault::Full, 100);
    for _ in 0..2 {
        assert_eq!(told(port, "refused").await, ReasonCode::QUOTA_EXCEEDED);
    }
    let mut sender = passing(port, "sender").await;
    sender.put(Packet::Publish(Publish::new("t".into(), "qos 0".into())));
    sender.flush().await.unwrap();
    // The first of those that were refused was routed before it was known that it could not be kept.
    assert_eq!(payloads(&mut reader, 3).await, ["before", "refused", "qos 0"]);
    disk.set(Fault::None, 100);
    while told(port, "again").await != ReasonCode::SUCCESS {
        sleep(Duration::from_millis(20)).await;
    }
    process.crash().await;
    disk.lose_power(Left::Nothing, &mut Rng::with_seed(1));
    let port = process.start().await;
    let (mut back, connack) = connect(port, "away").await;
    assert!(connack.session_present);
    assert_eq!(payloads(&mut back, 3).await, ["before", "refused", "again"]);
    process.stop().await;
}
