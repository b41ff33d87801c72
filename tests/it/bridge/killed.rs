//! A broker that is killed, with a data folder: nothing that was acknowledged is lost, and nothing of QoS 2 comes twice.

use std::collections::BTreeMap;
use std::process::Stdio;

use bytes::BytesMut;
use tidegate::packet::{Ack, Packet, Publish, ReasonCode, encode};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::*;
use crate::transport::Folder;

/// `tidegate run` with a bridge to a broker, and the port of its listener.
async fn start_process(folder: &Folder, there: SocketAddr) -> (Child, u16) {
    let text = format!(
        "[[listener]]\nname = \"local\"\naddress = \"127.0.0.1:0\"\nanonymous = true\ndefault-authorization = \"allow\"\n\
         [storage]\ndata = \"data\"\n\
         [[bridge]]\nname = \"b\"\nuri = \"mqtt://{there}\"\nclient-identifier = \"bridge-b\"\n\
         reconnect-minimum = \"100ms\"\nreconnect-maximum = \"100ms\"\n\
         [[bridge.topic]]\nfilter = \"out/#\"\ndirection = \"out\"\nqos = 2\n\
         [[bridge.topic]]\nfilter = \"in/#\"\ndirection = \"in\"\nqos = 2\n"
    );
    let file = folder.path("t.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("run").arg("--config").arg(&file).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let port = loop {
        let line = within(lines.next_line()).await.unwrap().expect("it starts");
        if let Some((_, address)) = line.split_once("127.0.0.1:").filter(|_| line.contains("listening: ")) {
            let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
            break digits.parse().unwrap();
        }
    };
    // A pipe that nobody reads would hold it up.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, port)
}

async fn connected(port: u16, connect: tidegate::packet::Connect) -> Client {
    let stream = within(TcpStream::connect(("127.0.0.1", port))).await.unwrap();
    let mut client = Client::over(stream, V5);
    assert_eq!(client.handshake(connect).await.reason_code, ReasonCode::SUCCESS);
    client
}

/// Publishes, and says whether that was acknowledged before the broker was gone.
async fn is_acknowledged(client: &mut Client, number: u32, qos: QoS) -> bool {
    let publish = Publish {
        qos,
        packet_identifier: Some(client.next_identifier()),
        ..publish("out/x", &number.to_string())
    };
    let id = publish.packet_identifier.unwrap();
    let mut next = Some(Packet::Publish(publish));
    while let Some(packet) = next.take() {
        let mut bytes = BytesMut::new();
        encode(&packet, V5, &mut bytes).unwrap();
        if client.stream.write_all(&bytes).await.is_err() {
            return false;
        }
        match client.receive_or_end().await {
            Some(Packet::Pubrec(_)) => next = Some(Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS))),
            Some(Packet::Puback(_) | Packet::Pubcomp(_)) => return true,
            None => return false,
            Some(other) => panic!("{other:?}"),
        }
    }
    false
}

/// How often each message came before the last.
async fn until_the_last(subscriber: &mut Client) -> BTreeMap<u32, u32> {
    let mut came = BTreeMap::new();
    loop {
        let message = subscriber.message().await;
        match text(&message).parse() {
            Ok(number) => *came.entry(number).or_default() += 1,
            Err(_) => return came,
        }
    }
}

/// By its number: half of the messages may come twice.
fn qos_of(number: u32) -> QoS {
    if number.is_multiple_of(2) { QOS2 } else { QOS1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_acknowledged_and_sends_nothing_of_qos_2_twice() {
    let (folder, there) = (Folder::new(), start().await);
    let (mut process, mut port) = start_process(&folder, there.addresses()[0]).await;
    let mut by_there = subscriber(&there, "out/#").await;
    let mut to_there = publisher(&there).await;
    connected(port, persistent(V5, "s")).await.subscribe("in/#", QOS2).await;
    until(|| there.broker().subscription_count() == 2).await;

    let (mut acknowledged, mut number, mut sent) = (Vec::new(), 0, 0);
    for _ in 0..6 {
        let mut to_here = connected(port, connect(V5, "p")).await;
        let (answered, mut until_then) = watch::channel(0);
        let killing = tokio::spawn(async move {
            // In the middle of what is going on.
            for enough in 1..fastrand::usize(3..30) {
                within(until_then.wait_for(|answered| *answered >= enough)).await.unwrap();
                sent += 1;
                to_there.publish("in/x", &sent.to_string(), QOS2).await;
            }
            process.kill().await.unwrap();
            (to_there, sent)
        });
        loop {
            number += 1;
            if !is_acknowledged(&mut to_here, number, qos_of(number)).await {
                break;
            }
            acknowledged.push(number);
            answered.send_modify(|answered| *answered += 1);
        }
        (to_there, sent) = killing.await.unwrap();
        (process, port) = start_process(&folder, there.addresses()[0]).await;
    }

    let mut to_here = connected(port, connect(V5, "p")).await;
    to_here.publish("out/x", "last", QOS2).await;
    let came = until_the_last(&mut by_there).await;
    for number in &acknowledged {
        assert!(came.contains_key(number), "{number} of {acknowledged:?}");
    }
    for (number, times) in came {
        assert!(times == 1 || qos_of(number) == QOS1, "{number} came {times} times");
    }
    to_there.publish("in/x", "last", QOS2).await;
    let came = until_the_last(&mut connected(port, persistent(V5, "s")).await).await;
    assert_eq!(came, (1..=sent).map(|number| (number, 1)).collect());
    drop(process);
}
