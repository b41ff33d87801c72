//! Bridges to Mosquitto, where it is installed.

use tidegate::bridge::Direction;

use super::*;
use crate::client_ways::direct::Secure;
use crate::client_ways::mosquitto::{self, PROGRAM};

/// A client of Mosquitto.
async fn client(port: u16, version: ProtocolVersion) -> Client {
    let stream = within(tokio::net::TcpStream::connect(("127.0.0.1", port))).await.unwrap();
    let mut client = Client::over(stream, version);
    let name = format!("client-{}", fastrand::u64(..));
    client.handshake(connect(version, &name)).await;
    client
}

#[tokio::test]
async fn messages_go_to_mosquitto_and_come_from_it_and_none_comes_back() {
    if !std::path::Path::new(PROGRAM).exists() {
        return println!("PASSED OVER: mosquitto is not installed; apt-get install mosquitto");
    }
    let secure = Secure::new();
    let (_mosquitto, ports) = mosquitto::start(&secure).await;
    for version in VERSIONS {
        for (uri, port) in [("mqtt://b", ports[0]), ("mqtts://b", ports[1])] {
            let here = start().await;
            let name = format!("{uri}-{version:?}").replace("://", "-");
            let mut options = bridge(&name, SocketAddr::from(([127, 0, 0, 1], port)), version);
            options.dialer = secure.dialer_at(uri, SocketAddr::from(([127, 0, 0, 1], port)));
            let filter = format!("{name}/#");
            options = options.topic(topic(&filter, Direction::Both, QOS2));
            let bridges = run(&here, vec![options]).await;
            until(|| bridges.status()[0].connected).await;

            let (mut there, mut by_here) =
                (client(ports[0], version).await, subscriber(&here, &filter).await);
            there.subscribe(&filter, QOS2).await;
            let (mut to_here, mut to_there) = (publisher(&here).await, client(ports[0], version).await);
            for qos in ALL_QOS {
                for (from, way) in [(&mut to_here, "out"), (&mut to_there, "in")] {
                    let topic = format!("{name}/{way}");
                    from.publish(&topic, way, qos).await;
                    for subscriber in [&mut there, &mut by_here] {
                        let message = subscriber.message().await;
                        assert_eq!((message.topic.as_ref(), message.qos), (topic.as_str(), qos));
                    }
                }
            }
            for mut subscriber in [there, by_here] {
                subscriber.ping_while_messages_come().await;
                subscriber.ping_while_messages_come().await;
                assert_eq!(subscriber.forget_waiting(), 0, "one came back");
            }
            // What came in is counted once it has gone on to who subscribes it.
            until(|| bridges.status()[0].forwarded_in == 3).await;
            assert_eq!(bridges.status()[0].forwarded_out, 3, "{name}");
        }
    }
}
