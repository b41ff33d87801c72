//! Brokers that do not keep to the rules: a bridge leaves them, says why, and tries again.

use bytes::BytesMut;
use tidegate::bridge::Direction;
use tidegate::broker::Options;
use tidegate::packet::{
    Ack, Connack, Decoder, Disconnect, Packet, PacketIdentifier, Publish, ReasonCode, Suback, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// One connection of a bridge, seen from the other side.
struct Seen {
    stream: TcpStream,
    decoder: Decoder,
    received: BytesMut,
}

impl Seen {
    async fn of(listener: &TcpListener) -> Seen {
        let (stream, _) = within(listener.accept()).await.unwrap();
        Seen { stream, decoder: Decoder::server(u32::MAX), received: BytesMut::new() }
    }

    async fn receive(&mut self) -> Packet {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.received).unwrap() {
                return packet;
            }
            assert_ne!(within(self.stream.read_buf(&mut self.received)).await.unwrap(), 0);
        }
    }

    async fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(packet, V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Reads until the bridge has gone.
    async fn left(mut self) {
        while within(self.stream.read(&mut [0; 1024])).await.is_ok_and(|len| len > 0) {}
    }
}

fn id() -> PacketIdentifier {
    PacketIdentifier::new(77).unwrap()
}

fn suback(packet_identifier: PacketIdentifier, reasons: usize) -> Packet {
    let reason_codes = vec![ReasonCode::GRANTED_QOS_1; reasons];
    Packet::Suback(Suback { packet_identifier, reason_codes, properties: None })
}

/// What is sent in place of CONNACK, in place of SUBACK, or in place of its bytes, and what the bridge says of it.
type Lie = (Option<Packet>, Option<Packet>, Option<&'static [u8]>, &'static str);

#[tokio::test]
async fn what_another_broker_must_not_say_ends_the_connection_and_not_the_bridge() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options =
        bridge("b", listener.local_addr().unwrap(), V5).topic(topic("in/#", Direction::In, QOS1));
    options.dialer.step_timeout = Duration::from_millis(100);
    let here = start().await;
    let bridges = run(&here, vec![options]).await;
    let alias = Publish { topic_alias: std::num::NonZeroU16::new(1), ..publish("in/x", "x") };
    let refusal = Connack::refused(ReasonCode::NOT_AUTHORIZED);
    let farewell = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SESSION_TAKEN_OVER)));
    let cases: [Lie; 10] = [
        (Some(Packet::Connack(Box::new(refusal))), None, None, "refuses: Not authorized (0x87)"),
        (Some(Packet::Pingresp), None, None, "sent Pingresp"),
        (None, None, None, "does not answer"),
        (None, Some(suback(id(), 2)), None, "another number of Reason Codes"),
        (None, Some(suback(PacketIdentifier::FIRST, 1)), None, "a SUBACK that nothing was asked for"),
        (None, Some(Packet::Publish(alias)), None, "a Topic Alias"),
        (None, Some(farewell), None, "ended it: Session taken over"),
        (None, Some(Packet::Auth(Box::default())), None, "sent Auth"),
        (None, None, Some(b"\x00\x00 no packet"), "cannot be understood"),
        (None, None, Some(b"\x30\xFF\xFF\xFF\x7F too long"), "cannot be understood"),
    ];
    for (in_place_of_connack, in_place_of_suback, behind, says) in cases {
        let mut seen = Seen::of(&listener).await;
        assert!(matches!(seen.receive().await, Packet::Connect(_)));
        let connack = Packet::Connack(Box::default());
        seen.send(in_place_of_connack.as_ref().unwrap_or(&connack)).await;
        if in_place_of_connack.is_none() {
            let Packet::Subscribe(subscribe) = seen.receive().await else { panic!() };
            match (in_place_of_suback, behind) {
                // Its identifier is that of the SUBSCRIBE where it is to be.
                (Some(Packet::Suback(lie)), _) if lie.reason_codes.len() > 1 => {
                    seen.send(&suback(subscribe.packet_identifier, 2)).await;
                }
                (Some(lie), _) => seen.send(&lie).await,
                (None, Some(bytes)) => seen.stream.write_all(bytes).await.unwrap(),
                (None, None) => {}
            }
        }
        seen.left().await;
        until(|| bridges.status()[0].last_error.as_ref().is_some_and(|why| why.contains(says))).await;
    }

    // And then one that keeps to them, but for acknowledgements of what was never sent.
    let mut seen = Seen::of(&listener).await;
    assert!(matches!(seen.receive().await, Packet::Connect(_)));
    seen.send(&Packet::Connack(Box::default())).await;
    let Packet::Subscribe(subscribe) = seen.receive().await else { panic!() };
    seen.send(&suback(subscribe.packet_identifier, 1)).await;
    for unasked in [Packet::Puback, Packet::Pubcomp, Packet::Pubrec] {
        seen.send(&unasked(Ack::new(id(), ReasonCode::SUCCESS))).await;
    }
    let not_found = Ack::new(id(), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
    assert_eq!(seen.receive().await, Packet::Pubrel(not_found.clone()));
    seen.send(&Packet::Pubrel(Ack::new(id(), ReasonCode::SUCCESS))).await;
    assert_eq!(seen.receive().await, Packet::Pubcomp(not_found));
    let mut subscriber = subscriber(&here, "in/#").await;
    seen.send(&Packet::Publish(publish("in/x", "at last"))).await;
    assert_eq!(text(&subscriber.message().await), "at last");
}

#[tokio::test]
async fn a_broker_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = bridge("b", listener.local_addr().unwrap(), V5).topic(topic("#", Direction::Out, QOS1));
    options.dialer.step_timeout = Duration::from_millis(50);
    let bridges = run(&start().await, vec![options]).await;
    for _ in 0..3 {
        Seen::of(&listener).await.left().await;
    }
    until(|| bridges.status()[0].last_error.as_deref() == Some("the other broker does not answer")).await;
}

#[tokio::test]
async fn what_another_broker_does_not_take_is_not_sent_and_holds_nothing_up() {
    let little = Options {
        maximum_qos: QOS1,
        retain_available: false,
        maximum_packet_size: 1000,
        ..Options::default()
    };
    let (here, there) = (start().await, start_with(little).await);
    let options = bridge("b", there.addresses()[0], V5).topic(topic("#", Direction::Out, QOS2));
    let bridges = run(&here, vec![options]).await;
    settled(&bridges, &there, 0).await;
    let mut client = Client::connect(&there, connect(V5, "c")).await;
    client.subscribe("#", QOS1).await;
    let mut publisher = publisher(&here).await;
    publisher.publish("t", &"x".repeat(2000), QOS1).await;
    publisher.publish_retained("t", "small", QOS2).await;
    let message = client.message().await;
    assert_eq!((text(&message), message.qos), ("small", QOS1));
    assert_eq!((there.broker().retained_count(), bridges.status()[0].connections), (0, 1));
}
