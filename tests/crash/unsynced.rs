//! What a broker finds when it starts need not be on the disk yet: what it says of that has to wait until it is.

use std::time::Duration;

use fastrand::Rng;
use tidegate::packet::{Connack, Connect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS};
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

async fn subscribe(port: u16, name: &str) {
    let (mut wire, _) = connect(port, name).await;
    let subscribe = Subscribe {
        packet_identifier: PacketIdentifier::FIRST,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![SubscribeFilter::new("t".into(), QoS::ExactlyOnce)],
    };
    wire.put(Packet::Subscribe(Box::new(subscribe)));
    wire.flush().await.unwrap();
    assert!(matches!(wire.receive().await.unwrap(), Packet::Suback(_)));
    wire.put(Packet::Disconnect(Box::default()));
    wire.flush().await.unwrap();
    wire.read().await.expect_err("the broker closes it");
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
    subscribe(port, "receiver").await;
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
