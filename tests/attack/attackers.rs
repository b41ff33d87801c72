//! Those who mean no good.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate::packet::{
    Connect, Packet, PacketIdentifier, ProtocolVersion, Publish, PublishProperties, QoS, Subscribe,
    SubscribeFilter, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(30);

async fn open(broker: &Broker) -> TcpStream {
    TcpStream::connect(("127.0.0.1", broker.port)).await.unwrap()
}

async fn enter(broker: &Broker, name: &str) -> Wire {
    let connect = Connect::new(ProtocolVersion::V5, name.to_owned().into());
    Wire::connect(broker.port, connect).await.expect("it is let in").0
}

fn bytes_of(packet: &Packet) -> Bytes {
    let mut bytes = BytesMut::new();
    encode(packet, ProtocolVersion::V5, &mut bytes).unwrap();
    bytes.freeze()
}

/// Connects and says nothing.
pub async fn half_open(broker: &Broker, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(open(broker).await);
    }
    // A client that is let in comes after all of these.
    enter(broker, "after").await;
    all
}

/// Sends the beginning of a packet, and then a byte at a time, until the broker has ended all connections.
async fn trickle(streams: Vec<TcpStream>, beginning: &[u8]) {
    let mut trickling = JoinSet::new();
    for mut stream in streams {
        let beginning = beginning.to_vec();
        trickling.spawn(async move {
            let mut answer = [0; 256];
            let _ = stream.write_all(&beginning).await;
            while stream.write_all(b"x").await.is_ok() {
                let read = timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
                if matches!(read, Ok(Ok(0) | Err(_))) {
                    return;
                }
            }
        });
    }
    timeout(PATIENCE, trickling.join_all()).await.expect("the broker ends them");
}

/// A CONNECT of 60,000 bytes that never ends.
pub async fn slow_connects(broker: &Broker, count: usize) {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(open(broker).await);
    }
    trickle(streams, &[&[0x10, 0xe0, 0xd4, 0x03, 0, 4][..], b"MQTT"].concat()).await;
}

/// Handshakes that never end, of TLS and of WebSocket.
pub async fn slow_handshakes(broker: &Broker, count: usize) {
    // A ClientHello of 16,380 bytes.
    let hello = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    trickle(open_at(broker.tls, count).await, &hello).await;
    let request = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX-Slow: ";
    trickle(open_at(broker.web_socket, count).await, request).await;
    // And of MQTT behind a WebSocket: a frame of 60,000 bytes with the beginning of a CONNECT.
    let mut streams = open_at(broker.web_socket, count).await;
    for stream in &mut streams {
        let request =
            b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
    }
    let frame = [0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0, 0x10, 0xe0, 0xd4, 0x03, 0, 4, b'M', b'Q', b'T', b'T'];
    trickle(streams, &frame).await;
}

/// What is neither TLS nor HTTP, and headers that never end, as fast as they go.
pub async fn rubbish_for_doors(broker: &Broker, count: usize) {
    let lines = b"X-Header: and more of it and more of it and more\r\n".repeat(20_000);
    for port in [broker.tls, broker.web_socket] {
        for (number, mut stream) in open_at(port, count).await.into_iter().enumerate() {
            let sent: &[u8] = match number % 3 {
                0 => &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 0, 0],
                1 => &[0x16; 20_000],
                _ => b"GET / HTTP/1.1\r\n",
            };
            // The broker may close before all is written.
            let _ = stream.write_all(sent).await;
            let _ = stream.write_all(&lines).await;
            let mut rest = Vec::new();
            let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the broker ends it");
        }
    }
}

async fn open_at(port: Option<u16>, count: usize) -> Vec<TcpStream> {
    let port = port.expect("there is such a listener");
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    streams
}

/// A PUBLISH of 600,000 bytes of which half comes at once.
pub async fn slow_publishes(broker: &Broker, count: usize) {
    let mut streams = Vec::new();
    for n in 0..count {
        let mut stream = open(broker).await;
        let connect = Connect::new(ProtocolVersion::V5, format!("slow-{n}").into());
        stream.write_all(&bytes_of(&Packet::Connect(Box::new(connect)))).await.unwrap();
        streams.push(stream);
    }
    let beginning = [&[0x30, 0xc0, 0xcf, 0x24, 0, 1, b't', 0][..], &[b'x'; 300_000]].concat();
    trickle(streams, &beginning).await;
}

/// Connects and goes, again and again.
pub async fn connects(broker: &Broker, at_once: usize, times: usize) {
    let refused = connects_from("127.0.0.1", broker, at_once, times).await;
    assert_eq!(refused, 0);
}

/// The same from another address of loopback. Says how often it was refused.
pub async fn connects_from(from: &str, broker: &Broker, at_once: usize, times: usize) -> usize {
    let from: IpAddr = from.parse().unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], broker.port));
    let mut connecting = JoinSet::new();
    for n in 0..at_once {
        connecting.spawn(async move {
            let mut refused = 0;
            for round in 0..times {
                refused += usize::from(!connect_once(from, to, &format!("{n}-{round}")).await);
            }
            refused
        });
    }
    timeout(PATIENCE, connecting.join_all()).await.expect("each is answered").into_iter().sum()
}

async fn connect_once(from: IpAddr, to: SocketAddr, name: &str) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let Ok(mut stream) = socket.connect(to).await else { return false };
    let connect = Connect::new(ProtocolVersion::V5, name.to_owned().into());
    let _ = stream.write_all(&bytes_of(&Packet::Connect(Box::new(connect)))).await;
    let mut connack = [0; 4];
    // Behind the remaining length and the flags stands the Reason Code.
    stream.read_exact(&mut connack).await.is_ok() && connack[3] == 0
}

/// Each client subscribes to other paths that branch at every level.
pub async fn branching_filters(broker: &Broker, clients: usize, each: usize) {
    for client in 0..clients {
        let mut wire = enter(broker, &format!("branches-{client}")).await;
        for first in (0..each).step_by(500) {
            let filter = |number: usize| {
                let level = |bit: usize| if number >> bit & 1 == 1 { "+" } else { "a" };
                let levels: Vec<&str> = (0..15).map(level).collect();
                SubscribeFilter::new(levels.join("/").into(), QoS::AtMostOnce)
            };
            let all = (first..first + 500).map(|n| filter(client * each + n)).collect();
            subscribe(&mut wire, all).await;
        }
        // Its subscriptions stay for as long as its session does.
        tokio::spawn(async move { while wire.read().await.is_ok() {} });
    }
}

async fn subscribe(wire: &mut Wire, subscriptions: Vec<SubscribeFilter>) {
    wire.put(Packet::Subscribe(Box::new(Subscribe {
        packet_identifier: PacketIdentifier::FIRST,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions,
    })));
    wire.flush().await.unwrap();
    while !matches!(wire.receive().await.unwrap(), Packet::Suback(_)) {}
}

/// To the topic on which all branches lie.
pub async fn deep_publishes(broker: &Broker, count: usize) {
    let mut wire = enter(broker, "deep").await;
    for _ in 0..count {
        wire.put(Packet::Publish(Publish::new(["a"; 15].join("/").into(), Bytes::new())));
    }
    finish(&mut wire).await;
}

/// All that was sent has been acted on.
async fn finish(wire: &mut Wire) {
    wire.put(Packet::Pingreq);
    wire.flush().await.unwrap();
    while timeout(PATIENCE, wire.read()).await.expect("it is answered").unwrap() != Packet::Pingresp {}
}

pub async fn deaf_subscribers(broker: &Broker, count: usize, filter: &str) -> Vec<Wire> {
    let mut deaf = Vec::new();
    for n in 0..count {
        let mut wire = enter(broker, &format!("deaf-{n}")).await;
        subscribe(&mut wire, vec![SubscribeFilter::new(filter.to_owned().into(), QoS::AtLeastOnce)]).await;
        deaf.push(wire);
    }
    deaf
}

/// Floods of messages, of QoS 0.
pub async fn publishes(broker: &Broker, clients: usize, each: usize, size: usize) {
    let mut publishing = JoinSet::new();
    for n in 0..clients {
        let mut wire = enter(broker, &format!("flood-{n}")).await;
        publishing.spawn(async move {
            let payload = Bytes::from(vec![b'x'; size]);
            for number in 0..each {
                wire.put(Packet::Publish(Publish::new("flood/t".into(), payload.clone())));
                if number % 64 == 63 {
                    wire.flush().await.unwrap();
                }
            }
            finish(&mut wire).await;
        });
    }
    publishing.join_all().await;
}

/// Retained messages with topics of their own.
pub async fn retained(broker: &Broker, count: usize) {
    let mut wire = enter(broker, "retains").await;
    for n in 0..count {
        let topic = format!("giant/{}/{}/{n}", n % 7, n % 1000);
        let publish = Publish { retain: true, ..Publish::new(topic.into(), Bytes::from(vec![b'x'; 200])) };
        wire.put(Packet::Publish(publish));
        if n % 64 == 63 {
            wire.flush().await.unwrap();
        }
    }
    finish(&mut wire).await;
}

/// Bytes that are no MQTT, before and after CONNECT.
pub async fn garbage(broker: &Broker, count: usize) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 0..count {
        let mut stream = open(broker).await;
        if n % 2 == 0 {
            let connect = Connect::new(ProtocolVersion::V5, format!("garbage-{n}").into());
            stream.write_all(&bytes_of(&Packet::Connect(Box::new(connect)))).await.unwrap();
        }
        let mut bytes = Vec::new();
        for _ in 0..200 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.extend_from_slice(&seed.to_be_bytes());
        }
        let _ = stream.write_all(&bytes).await;
    }
}

/// PUBLISH packets that are made of User Properties.
pub async fn property_bombs(broker: &Broker, count: usize) {
    let mut wire = enter(broker, "properties").await;
    let user_properties = vec![("k".into(), "v".into()); 50_000];
    for _ in 0..count {
        let properties = PublishProperties { user_properties: user_properties.clone(), ..Default::default() };
        let publish =
            Publish { properties: Some(Box::new(properties)), ..Publish::new("bomb".into(), Bytes::new()) };
        wire.put(Packet::Publish(publish));
    }
    finish(&mut wire).await;
}

/// Topics that are as long, and as deep, as they can be.
pub async fn topic_bombs(broker: &Broker, count: usize) {
    let mut wire = enter(broker, "topics").await;
    let deep = "/".repeat(65_000);
    for n in 0..count {
        let topic = if n % 2 == 0 { deep.clone() } else { format!("{n}{}", "x".repeat(65_000)) };
        let retain = n % 4 < 2;
        wire.put(Packet::Publish(Publish { retain, ..Publish::new(topic.into(), Bytes::new()) }));
    }
    finish(&mut wire).await;
    subscribe(&mut wire, vec![SubscribeFilter::new("+/".repeat(32_000).into(), QoS::AtMostOnce)]).await;
    finish(&mut wire).await;
}
