//! The client against a server that is played packet by packet.

use std::num::NonZeroU16;

use tokio::io::DuplexStream;

use super::*;
use crate::packet::ProtocolVersion;

/// The server's end of a connection.
struct Server {
    stream: DuplexStream,
    decoder: Decoder,
    received: BytesMut,
    version: ProtocolVersion,
}

impl Server {
    async fn receive(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.received).unwrap() {
                return packet;
            }
            assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "the client closed");
        }
    }

    async fn send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        encode(&packet, self.version, &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    async fn is_closed(&mut self) -> bool {
        self.stream.read_buf(&mut self.received).await.unwrap() == 0
    }
}

fn options(version: ProtocolVersion) -> Options {
    let mut options = Options::new("unused", 0, "tester");
    options.connect.protocol_version = version;
    options
}

async fn connected(version: ProtocolVersion, connack: Connack) -> (Client, Messages, Server) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let mut server =
        Server { stream: far, decoder: Decoder::server(u32::MAX), received: BytesMut::new(), version };
    let options = options(version);
    let answer = async {
        assert!(matches!(server.receive().await, Packet::Connect(_)));
        server.send(Packet::Connack(Box::new(connack))).await;
    };
    let (started, ()) = tokio::join!(start(near, &options), answer);
    let (client, messages) = started.unwrap();
    (client, messages, server)
}

fn message(qos: QoS) -> Publish {
    Publish { qos, ..Publish::new("a/b".into(), "hello".into()) }
}

fn ack(id: u16) -> Ack {
    Ack::new(PacketIdentifier::new(id).unwrap(), ReasonCode::SUCCESS)
}

#[tokio::test]
async fn qos_2_publish_is_done_with_pubcomp() {
    let (client, _messages, mut server) = connected(ProtocolVersion::V311, Connack::default()).await;
    let publishing = client.begin_publish(message(QoS::ExactlyOnce)).await.unwrap();
    let Packet::Publish(publish) = server.receive().await else { panic!() };
    let id = publish.packet_identifier.unwrap().get();
    server.send(Packet::Pubrec(ack(id))).await;
    assert_eq!(server.receive().await, Packet::Pubrel(ack(id)));
    server.send(Packet::Pubcomp(ack(id))).await;
    assert_eq!(publishing.answer().await.unwrap().reason_code, ReasonCode::SUCCESS);
}

#[tokio::test]
async fn qos_2_message_sent_twice_is_received_once() {
    let (_client, mut messages, mut server) = connected(ProtocolVersion::V5, Connack::default()).await;
    let publish = Publish { packet_identifier: PacketIdentifier::new(7), ..message(QoS::ExactlyOnce) };
    for _ in 0..2 {
        server.send(Packet::Publish(publish.clone())).await;
        assert_eq!(server.receive().await, Packet::Pubrec(ack(7)));
    }
    server.send(Packet::Pubrel(ack(7))).await;
    assert_eq!(server.receive().await, Packet::Pubcomp(ack(7)));
    server.send(Packet::Publish(message(QoS::AtMostOnce))).await;
    assert_eq!(messages.next().await.unwrap().qos, QoS::ExactlyOnce);
    assert_eq!(messages.next().await.unwrap().qos, QoS::AtMostOnce);
}

#[tokio::test]
async fn no_more_than_the_receive_maximum_is_in_flight() {
    let connack = Connack { receive_maximum: NonZeroU16::new(1), ..Connack::default() };
    let (client, _messages, mut server) = connected(ProtocolVersion::V5, connack).await;
    let first = client.begin_publish(message(QoS::AtLeastOnce)).await.unwrap();
    let waiting = client.clone();
    let second = tokio::spawn(async move { waiting.publish(message(QoS::AtLeastOnce)).await });
    let Packet::Publish(publish) = server.receive().await else { panic!() };
    // A message of QoS 0 is not held up, and shows that the second was not sent before the first is done.
    client.publish(message(QoS::AtMostOnce)).await.unwrap();
    let Packet::Publish(other) = server.receive().await else { panic!() };
    assert_eq!(other.qos, QoS::AtMostOnce);
    server.send(Packet::Puback(ack(publish.packet_identifier.unwrap().get()))).await;
    first.answer().await.unwrap();
    let Packet::Publish(publish) = server.receive().await else { panic!() };
    server.send(Packet::Puback(ack(publish.packet_identifier.unwrap().get()))).await;
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_reason() {
    let (near, far) = tokio::io::duplex(1024);
    let mut server = Server {
        stream: far,
        decoder: Decoder::server(u32::MAX),
        received: BytesMut::new(),
        version: ProtocolVersion::V5,
    };
    let refusal = Connack { reason_string: Some("go away".into()), ..Connack::refused(ReasonCode::BANNED) };
    let options = options(ProtocolVersion::V5);
    let answer = async {
        server.receive().await;
        server.send(Packet::Connack(Box::new(refusal))).await;
    };
    let (started, ()) = tokio::join!(start(near, &options), answer);
    let error = started.err().unwrap().to_string();
    assert_eq!(error, "connect: the server refused: Banned (0x8A): go away");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_a_ping_is_gone() {
    let (client, mut messages, mut server) = connected(ProtocolVersion::V311, Connack::default()).await;
    assert_eq!(server.receive().await, Packet::Pingreq);
    server.send(Packet::Pingresp).await;
    assert_eq!(server.receive().await, Packet::Pingreq);
    assert!(matches!(messages.next().await, Err(End::KeepAlive)));
    assert!(matches!(client.publish(message(QoS::AtMostOnce)).await, Err(Error::Ended(End::KeepAlive))));
}

#[tokio::test]
async fn who_waits_learns_why_the_connection_ended() {
    let (client, mut messages, mut server) = connected(ProtocolVersion::V5, Connack::default()).await;
    let publishing = client.begin_publish(message(QoS::AtLeastOnce)).await.unwrap();
    server.receive().await;
    server.send(Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN)))).await;
    let error = publishing.answer().await.unwrap_err().to_string();
    assert_eq!(error, "use the connection: the server ended it: Server shutting down (0x8B)");
    assert!(matches!(messages.next().await, Err(End::Server(_))));
}

#[tokio::test]
async fn disconnect_follows_what_was_sent_before() {
    let (client, _messages, mut server) = connected(ProtocolVersion::V311, Connack::default()).await;
    let suback = async {
        let Packet::Subscribe(subscribe) = server.receive().await else { panic!() };
        let answer = Suback {
            packet_identifier: subscribe.packet_identifier,
            reason_codes: vec![ReasonCode::GRANTED_QOS_1],
            properties: None,
        };
        server.send(Packet::Suback(answer)).await;
    };
    let filters = vec![SubscribeFilter::new("a/#".into(), QoS::AtLeastOnce)];
    let (suback, ()) = tokio::join!(client.subscribe(filters), suback);
    assert_eq!(suback.unwrap().reason_codes, [ReasonCode::GRANTED_QOS_1]);
    client.publish(message(QoS::AtMostOnce)).await.unwrap();
    client.disconnect().await.unwrap();
    assert!(matches!(server.receive().await, Packet::Publish(_)));
    assert!(matches!(server.receive().await, Packet::Disconnect(_)));
    assert!(server.is_closed().await);
    assert!(client.disconnect().await.is_err());
}

#[tokio::test]
async fn a_topic_alias_stands_for_its_topic() {
    let (_client, mut messages, mut server) = connected(ProtocolVersion::V5, Connack::default()).await;
    let alias = NonZeroU16::new(3);
    server.send(Packet::Publish(Publish { topic_alias: alias, ..message(QoS::AtMostOnce) })).await;
    let short = Publish { topic_alias: alias, topic: "".into(), ..message(QoS::AtMostOnce) };
    server.send(Packet::Publish(short)).await;
    assert_eq!(messages.next().await.unwrap().topic, "a/b");
    assert_eq!(messages.next().await.unwrap().topic, "a/b");
}
