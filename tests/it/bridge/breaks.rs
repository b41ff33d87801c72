//! Connections that break, and brokers that go away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use tidegate::bridge::Direction;
use tidegate::packet::{Decoder, PacketType};
use tidegate::server::ListenerOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::durability::{Obedient, start_on};

/// Carries connections to a broker, each of them no further than `cut` bytes either way; with 0 none.
struct Cutter {
    address: SocketAddr,
    cut: watch::Sender<u64>,
}

impl Cutter {
    async fn to(server: SocketAddr) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(u64::MAX);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                tokio::spawn(async move {
                    let after = *cuts.borrow_and_update();
                    let far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        () = carry(near, far, after) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Cutter { address, cut }
    }
}

/// Ends when so many bytes went either way.
async fn carry(near: TcpStream, far: TcpStream, after: u64) {
    let (near_read, mut near_write) = near.into_split();
    let (far_read, mut far_write) = far.into_split();
    let (mut up, mut down) = (near_read.take(after), far_read.take(after));
    tokio::select! {
        _ = copy(&mut up, &mut far_write) => {}
        _ = copy(&mut down, &mut near_write) => {}
    }
}

#[tokio::test]
async fn what_is_published_on_either_side_meanwhile_comes_over_the_next_connection() {
    for version in VERSIONS {
        let (here, there) = (start().await, start().await);
        let cutter = Cutter::to(there.addresses()[0]).await;
        let options = bridge("b", cutter.address, version)
            .topic(topic("out/#", Direction::Out, QOS2))
            .topic(topic("in/#", Direction::In, QOS2));
        let bridges = run(&here, vec![options]).await;
        settled(&bridges, &there, 1).await;
        let (mut by_there, mut by_here) =
            (subscriber(&there, "out/#").await, subscriber(&here, "in/#").await);
        cutter.cut.send_replace(0);
        until(|| !bridges.status()[0].connected).await;
        let (mut to_here, mut to_there) = (publisher(&here).await, publisher(&there).await);
        for number in 0..100 {
            let qos = if number % 2 == 0 { QOS1 } else { QOS2 };
            to_here.publish("out/x", &number.to_string(), qos).await;
            to_there.publish("in/x", &number.to_string(), qos).await;
        }
        cutter.cut.send_replace(u64::MAX);
        for subscriber in [&mut by_there, &mut by_here] {
            let came = subscriber.payloads(100).await;
            assert_eq!(came, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn a_broker_that_was_away_gets_what_was_published_meanwhile() {
    let (here, there) = (start().await, start().await);
    let at = there.addresses()[0];
    let bridges = run(&here, vec![bridge("b", at, V5).topic(topic("#", Direction::Out, QOS1))]).await;
    settled(&bridges, &there, 0).await;
    there.shutdown().await;
    until(|| !bridges.status()[0].connected).await;
    let mut publisher = publisher(&here).await;
    for number in 0..50 {
        publisher.publish("t", &number.to_string(), QOS1).await;
    }
    // A subscriber is there before the bridge may come in.
    let there = Server::builder().workers(2).start().await.unwrap();
    there.add_listener(listener("first", 0)).await.unwrap();
    let mut by_there = subscriber(&there, "t").await;
    there.add_listener(listener("second", at.port())).await.unwrap();
    let came = by_there.payloads(50).await;
    assert_eq!(came, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_qos_2_message_comes_once_wherever_the_connection_breaks() {
    for (direction, version) in
        [(Direction::Out, V5), (Direction::In, V5), (Direction::Out, V311), (Direction::In, V311)]
    {
        let (here, there) = (start().await, start().await);
        let cutter = Cutter::to(there.addresses()[0]).await;
        let options = bridge("b", cutter.address, version).topic(topic("t", direction, QOS2));
        let bridges = run(&here, vec![options]).await;
        settled(&bridges, &there, usize::from(direction == Direction::In)).await;
        let (from, to) = if direction == Direction::Out { (&here, &there) } else { (&there, &here) };
        let (mut subscriber, mut publisher) = (subscriber(to, "t").await, publisher(from).await);
        for bytes in 1..200 {
            cutter.cut.send_replace(bytes);
            publisher.publish("t", &bytes.to_string(), QOS2).await;
        }
        cutter.cut.send_replace(u64::MAX);
        let came = subscriber.payloads(199).await;
        assert_eq!(came, (1..200).map(|number| number.to_string()).collect::<Vec<_>>());
        subscriber.ping_while_messages_come().await;
        subscriber.ping_while_messages_come().await;
        assert_eq!(subscriber.forget_waiting(), 0);
    }
}

fn listener(name: &str, port: u16) -> ListenerOptions {
    ListenerOptions { name: name.into(), ..ListenerOptions::loopback(port) }
}

#[tokio::test]
async fn a_storage_that_is_full_has_the_other_broker_send_again_and_nothing_of_qos_2_comes_twice() {
    let (storage, there) = (Arc::new(Obedient::default()), start().await);
    let here = start_on(&storage).await;
    Client::connect(&here, persistent(V5, "away")).await.subscribe("in/#", QOS2).await;
    let options = bridge("b", there.addresses()[0], V5)
        .topic(topic("in/#", Direction::In, QOS2))
        .topic(topic("out/#", Direction::Out, QOS2));
    let bridges = run(&here, vec![options]).await;
    settled(&bridges, &there, 1).await;
    storage.is_full.store(true, Ordering::Relaxed);
    let mut to_there = publisher(&there).await;
    for number in 0..10 {
        to_there.publish("in/x", &number.to_string(), QOS2).await;
    }
    until(|| here.statistics().storage_fails == 1 && bridges.status()[0].last_error.is_some()).await;
    let held = there.broker().client("bridge-b").unwrap();
    assert_eq!(held.in_flight + held.queued, 10, "nothing was acknowledged");
    storage.is_full.store(false, Ordering::Relaxed);
    until(|| here.statistics().storage_fails == 0).await;
    to_there.publish("in/x", "last", QOS2).await;
    let mut back = Client::connect(&here, persistent(V5, "away")).await;
    let came = back.payloads(11).await;
    assert_eq!(came[..10], (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    back.ping_while_messages_come().await;
    assert_eq!((came[10].as_str(), back.forget_waiting()), ("last", 0));
}

#[tokio::test]
async fn a_broker_that_answers_no_ping_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = bridge("b", listener.local_addr().unwrap(), V5).topic(topic("#", Direction::Out, QOS1));
    options.keep_alive = 1;
    let bridges = run(&start().await, vec![options]).await;
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let (mut decoder, mut received) = (Decoder::server(u32::MAX), BytesMut::new());
    // CONNECT is answered, the PINGREQ behind it is not.
    let mut kinds = Vec::new();
    while within(stream.read_buf(&mut received)).await.unwrap() > 0 {
        while let Some(packet) = decoder.decode(&mut received).unwrap() {
            kinds.push(packet.packet_type());
            if kinds.len() == 1 {
                stream.write_all(b"\x20\x03\x00\x00\x00").await.unwrap();
            }
        }
    }
    assert_eq!(kinds, [PacketType::Connect, PacketType::Pingreq]);
    until(|| bridges.status()[0].last_error.as_deref() == Some("the other broker does not answer")).await;
}
