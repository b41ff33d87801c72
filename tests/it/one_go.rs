//! What one read brings is delivered together, to receivers that the thread remembers for a topic: nobody must
//! see a difference.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tidegate::broker::{Broker, Options};
use tidegate::hook::{Event, HookSet, Hooks, PublishOutcome, What};
use tidegate::packet::{Disconnect, Packet, Publish, QoS, ReasonCode, Subscribe, SubscribeFilter, encode};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::support::client::to;
use crate::support::*;

/// So many that a topic is remembered.
const SEVERAL: usize = 4;

/// Sends packets in one write.
async fn send_together(client: &mut Client, packets: impl IntoIterator<Item = Packet>) {
    let mut bytes = BytesMut::new();
    for packet in packets {
        encode(&packet, V5, &mut bytes).unwrap();
    }
    client.send_bytes(&bytes).await;
}

/// QoS 1 messages with numbers as payloads.
fn numbered(topics: &[&str]) -> Vec<Packet> {
    let message = |(number, topic): (usize, &&str)| {
        let packet_identifier = Some(client::id(number as u16 + 1));
        let payload = number.to_string();
        Packet::Publish(Publish { qos: QOS1, packet_identifier, ..publish(topic, &payload) })
    };
    topics.iter().enumerate().map(message).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn what_is_remembered_and_what_is_not_come_in_one_order() {
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;
    let mut member = Client::connect(&server, connect(V5, "member")).await;
    member.subscribe("$share/g/shared", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let topics = ["a", "a", "a", "b", "a", "shared", "a", "b", "shared", "shared", "c", "a", "b", "b", "a"];
    for _ in 0..3 {
        send_together(&mut sender, numbered(&topics)).await;
        assert_eq!(receiver.payloads(topics.len()).await, numbers(topics.len()));
        assert_eq!(member.payloads(3).await, ["5", "8", "9"]);
        for _ in topics {
            sender.receive().await;
        }
    }
}

#[tokio::test]
async fn a_topic_that_is_remembered_reaches_who_subscribes_and_not_who_unsubscribes() {
    let server = start().await;
    let mut first = Client::connect(&server, connect(V5, "first")).await;
    let mut second = Client::connect(&server, connect(V311, "second")).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for _ in 0..SEVERAL {
        assert_eq!(sender.publish("t", "nobody", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    }
    first.subscribe("t", QOS0).await;
    for _ in 0..SEVERAL {
        assert_eq!(sender.publish("t", "first", QOS1).await, ReasonCode::SUCCESS);
    }
    second.subscribe("+", QOS0).await;
    sender.publish("t", "both", QOS1).await;
    assert_eq!(first.payloads(SEVERAL + 1).await, ["first", "first", "first", "first", "both"]);
    first.unsubscribe(&["t"]).await;
    sender.publish("t", "second", QOS1).await;
    assert_eq!(second.payloads(2).await, ["both", "second"]);
    second.unsubscribe(&["+"]).await;
    assert_eq!(sender.publish("t", "nobody", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    first.assert_silent().await;
    second.assert_silent().await;
}

#[tokio::test]
async fn a_topic_that_is_remembered_does_not_reach_a_session_that_has_ended() {
    let server = start().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for _ in 0..3 {
        let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        for _ in 0..SEVERAL {
            assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::SUCCESS);
        }
        receiver.payloads(SEVERAL).await;
        receiver.disconnect().await;
        until(|| server.broker().client("receiver").is_none()).await;
        assert_eq!(sender.publish("t", "x", QOS1).await, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    }
}

#[tokio::test]
async fn subscriptions_of_one_session_are_remembered_as_one() {
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    for (number, filter, qos) in [(1, "t", QOS0), (2, "#", QOS1)] {
        let as_published = SubscribeFilter { retain_as_published: number == 1, ..to(filter, qos) };
        let packet_identifier = receiver.next_identifier();
        receiver
            .send(Packet::Subscribe(Box::new(Subscribe {
                packet_identifier,
                subscription_identifier: Some(number),
                user_properties: Vec::new(),
                subscriptions: vec![as_published],
            })))
            .await;
        assert!(matches!(receiver.receive().await, Packet::Suback(_)));
    }
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for round in 0..SEVERAL {
        let retain = round % 2 == 0;
        sender.publish_packet(Publish { qos: QOS2, retain, ..publish("t", "x") }).await;
        let mut got = receiver.message().await;
        got.subscription_identifiers.sort_unstable();
        assert_eq!((got.qos, got.retain, &got.subscription_identifiers[..]), (QOS1, retain, &[1, 2][..]));
    }
}

#[tokio::test(start_paused = true)]
async fn no_local_holds_for_a_topic_that_comes_again_and_again() {
    // On one thread, which remembers for both.
    let local = Local::start();
    let mut one = local.connect(connect(V5, "one")).await;
    let mut other = local.connect(connect(V5, "other")).await;
    one.subscribe_to(vec![SubscribeFilter { no_local: true, ..to("t", QOS0) }]).await;
    other.subscribe("t", QOS0).await;
    for from_one in [true, false, true] {
        let sender = if from_one { &mut one } else { &mut other };
        for number in numbers(SEVERAL) {
            sender.publish("t", &number, QOS0).await;
        }
        assert_eq!(other.payloads(SEVERAL).await, numbers(SEVERAL));
        if !from_one {
            assert_eq!(one.payloads(SEVERAL).await, numbers(SEVERAL));
        }
    }
    one.assert_silent().await;
}

#[tokio::test]
async fn what_a_queue_does_not_take_of_one_read_is_dropped_and_counted() {
    let limit = 5;
    let server = start_with(Options { maximum_queued_messages: limit, ..Options::default() }).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.disconnect().await;
    until(|| server.broker().client("receiver").is_some_and(|status| status.client.is_none())).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    send_together(&mut sender, numbered(&["t"; 20])).await;
    for _ in 0..20 {
        sender.receive().await;
    }
    assert_eq!(server.broker().client("receiver").unwrap().queued, limit);
    let statistics = server.statistics();
    assert_eq!(statistics.dropped_queue_full, 15);
    assert_eq!(statistics.limit_queued_messages, 15);
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    assert_eq!(receiver.payloads(limit).await, numbers(limit));
}

#[tokio::test]
async fn messages_that_come_with_disconnect_are_delivered() {
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS0).await;
    for _ in 0..SEVERAL {
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        let farewell = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SUCCESS)));
        send_together(&mut sender, numbered(&["t"; SEVERAL]).into_iter().chain([farewell])).await;
        assert_eq!(receiver.payloads(SEVERAL).await, numbers(SEVERAL));
    }
}

#[tokio::test]
async fn who_says_all_at_once_and_leaves_is_answered() {
    // What was not written when DISCONNECT came was thrown away: no CONNACK [MQTT-3.2.0-1], no PUBACK.
    let server = start().await;
    let stream = tokio::net::TcpStream::connect(server.addresses()[0]).await.unwrap();
    let mut sender = Client::over(stream, V5);
    let farewell = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SUCCESS)));
    let greeting = Packet::Connect(Box::new(connect(V5, "sender")));
    let all = [greeting].into_iter().chain(numbered(&["t"; SEVERAL])).chain([farewell]);
    send_together(&mut sender, all).await;
    assert!(matches!(sender.receive().await, Packet::Connack(_)));
    for _ in 0..SEVERAL {
        assert!(matches!(sender.receive().await, Packet::Puback(_)));
    }
    assert_eq!(sender.end().await, None);
}

#[tokio::test]
async fn messages_to_many_receivers_on_all_threads_come_once_and_in_order() {
    let server = start().await;
    let mut receivers = Vec::new();
    for n in 0..40 {
        let mut receiver = Client::connect(&server, connect(V5, &n.to_string())).await;
        receiver.subscribe(if n % 2 == 0 { "t" } else { "#" }, QoS::AtLeastOnce).await;
        receivers.push(receiver);
    }
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    // More than are gathered at most.
    for _ in 0..3 {
        send_together(&mut sender, numbered(&["t"; 250])).await;
        for receiver in &mut receivers {
            assert_eq!(receiver.payloads(250).await, numbers(250));
        }
        for _ in 0..250 {
            sender.receive().await;
        }
    }
}

/// A stream that notes with each PUBACK how many messages wait for "receiver" when it is written.
struct Watched {
    stream: DuplexStream,
    broker: Arc<Broker>,
    waiting: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes[0] == 0x40 {
            let queued = self.broker.client("receiver").unwrap().queued;
            self.waiting.lock().unwrap().push(queued);
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_in_its_queue_before_it_is_acknowledged() {
    // While a hook kept the next message waiting, PUBACK was written before what it acknowledges was delivered.
    let gate = Gate::default();
    let script = gate.before("slow");
    let local = Local::hooked(Options::default(), script.shared());
    let mut receiver = local.connect(persistent(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    receiver.disconnect().await;
    let (ours, stream) = tokio::io::duplex(64 * 1024);
    let waiting = Arc::default();
    local.serve(Watched { stream, broker: local.broker.clone(), waiting: Arc::clone(&waiting) });
    let mut sender = Client::over(ours, V5);
    sender.handshake(connect(V5, "sender")).await;
    for _ in 0..SEVERAL {
        sender.publish("t", "x", QOS1).await;
    }
    send_together(&mut sender, numbered(&["t", "slow"])).await;
    gate.reached().await;
    assert!(matches!(sender.receive().await, Packet::Puback(_)));
    assert_eq!(*waiting.lock().unwrap(), [1, 2, 3, 4, 5]);
    gate.open();
    assert!(matches!(sender.receive().await, Packet::Puback(_)));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_message_at_which_a_hook_panics_is_delivered() {
    // It lay there until another client of the thread did something, for hours perhaps.
    let script = Script::default().on_publish(|context| match context.message.topic.as_str() {
        "panic" => panic!("as it should"),
        _ => PublishOutcome::default().into(),
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..SEVERAL {
        sender.publish("t", "x", QOS1).await;
    }
    receiver.payloads(SEVERAL).await;
    send_together(&mut sender, numbered(&["t", "t", "panic"])).await;
    assert_eq!(receiver.payloads(2).await, numbers(2));
}

/// Panics when it is told of a message that was dropped.
struct Nervous;

impl Hooks for Nervous {
    fn wanted(&self) -> HookSet {
        HookSet::EVENTS
    }

    fn event(&self, event: Event) {
        assert!(!matches!(event.what, What::MessageDropped { .. }), "as it should");
    }
}

#[tokio::test(start_paused = true)]
async fn who_hears_of_a_dropped_message_and_panics_keeps_none_from_the_others() {
    // They got nothing of what was delivered together, and were not even woken for what was queued for them.
    let options = Options { maximum_queued_messages: SEVERAL, ..Options::default() };
    let local = Local::hooked(options, Arc::new(Nervous));
    let mut before = local.connect(connect(V5, "before")).await;
    let mut away = local.connect(persistent(V5, "away")).await;
    let mut behind = local.connect(connect(V5, "behind")).await;
    for receiver in [&mut before, &mut away, &mut behind] {
        receiver.subscribe("t", QOS1).await;
    }
    away.disconnect().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..SEVERAL {
        sender.publish("t", "x", QOS1).await;
    }
    for receiver in [&mut before, &mut behind] {
        receiver.payloads(SEVERAL).await;
    }
    send_together(&mut sender, numbered(&["t"])).await;
    for receiver in [&mut before, &mut behind] {
        assert_eq!(receiver.payloads(1).await, ["0"]);
    }
}
