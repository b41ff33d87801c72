//! Connections that break, and brokers that go away.

use tidegate::bridge::Direction;
use tidegate::server::ListenerOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

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
    use tokio::io::{AsyncReadExt, copy};
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
