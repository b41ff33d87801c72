//! Brokers that do not keep to the rules: a bridge leaves them, says why, and tries again.

use bytes::BytesMut;
use tidegate::bridge::Direction;
use tidegate::broker::Options;
use tidegate::message::ApplicationMessage;
use tidegate::packet::{
    Ack, Connack, Decoder, Disconnect, Packet, PacketIdentifier, Publish, ReasonCode, Suback, encode,
};
use tidegate::topic::TopicName;
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

/// The Protocol Level that a bridge says on its next connection, and the connection.
async fn said_level(listener: &TcpListener) -> (u8, TcpStream) {
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut hello = [0; 9];
    within(stream.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello[4..8], b"MQTT");
    (hello[8], stream)
}

const PLAIN: u8 = 4;
const WITH_THE_BIT: u8 = 0x84;

#[tokio::test]
async fn a_bridge_goes_without_its_bit_for_good_only_where_it_was_refused() {
    // A connection that was closed for another reason had it taken for refused.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = bridge("b", listener.local_addr().unwrap(), V311).topic(topic("#", Direction::Out, QOS1));
    let bridges = run(&start().await, vec![options]).await;
    let refusal = Some(b"\x20\x02\x00\x01");
    for (answer, next) in [(None, WITH_THE_BIT), (refusal, PLAIN)] {
        let (level, mut stream) = said_level(&listener).await;
        assert_eq!(level, WITH_THE_BIT, "{answer:?}");
        if let Some(connack) = answer {
            stream.write_all(connack).await.unwrap();
        }
        drop(stream);
        // It tries without at once, and is let in.
        let (level, mut stream) = said_level(&listener).await;
        assert_eq!(level, PLAIN, "{answer:?}");
        stream.write_all(b"\x20\x02\x00\x00").await.unwrap();
        until(|| bridges.status()[0].connected).await;
        drop(stream);
        if next == PLAIN {
            assert_eq!(said_level(&listener).await.0, PLAIN);
        }
    }
}

#[tokio::test]
async fn what_is_not_sent_because_it_was_there_is_not_counted_as_too_large() {
    // Where the other broker has a Maximum Packet Size, all that was not sent counted as too large for it.
    let little = Options { maximum_packet_size: 1000, ..Options::default() };
    let (here, there) = (start().await, start_with(little).await);
    let options = bridge("b", there.addresses()[0], V5).topic(topic("#", Direction::Out, QOS1));
    let bridges = run(&here, vec![options]).await;
    settled(&bridges, &there, 0).await;
    let mut publisher = publisher(&here).await;
    let mut was_there = Publish { qos: QOS1, ..publish("t", "x") };
    let path = ("tidegate-path".into(), there.broker().identity().into());
    was_there.properties.get_or_insert_default().user_properties.push(path);
    publisher.publish_packet(was_there).await;
    publisher.publish("t", &"x".repeat(2000), QOS1).await;
    until(|| here.statistics().dropped_too_large == 1).await;
    assert_eq!(bridges.status()[0].dropped.looped, 1);
}

#[tokio::test]
async fn a_message_that_cannot_be_written_leaves_the_window_to_others() {
    // It stayed in flight for ever.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = bridge("b", listener.local_addr().unwrap(), V5).topic(topic("#", Direction::Out, QOS2));
    let here = start().await;
    let bridges = run(&here, vec![options]).await;
    let mut seen = Seen::of(&listener).await;
    assert!(matches!(seen.receive().await, Packet::Connect(_)));
    // It says nothing of a Maximum Packet Size, so that nothing looks at how large a message is.
    seen.send(&Packet::Connack(Box::default())).await;
    until(|| bridges.status()[0].connected).await;
    let name = |name: &str| TopicName::try_from(name).unwrap();
    for qos in ALL_QOS {
        let mut message = ApplicationMessage::new(name("too-long"), "x").with_qos(qos);
        // Only who embeds a broker can have a text like this.
        message.properties.get_or_insert_default().content_type = Some("x".repeat(70_000).into());
        here.publish(message).await;
        here.publish(ApplicationMessage::new(name("fine"), "x").with_qos(qos)).await;
        let Packet::Publish(publish) = seen.receive().await else { panic!() };
        assert_eq!((publish.topic.as_ref(), publish.qos), ("fine", qos));
    }
    assert_eq!(here.broker().client("$bridge/b").unwrap().in_flight, 2);
    assert_eq!(bridges.status()[0].dropped.refused, 3);
}
