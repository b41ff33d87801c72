//! intercepting-publish, the authorizer for publishing, and application-message-not-consumed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{
    Action, Answer, Authorization, AuthorizationVerdict, DisconnectCause, Event, HookSet, Hooks,
    NotConsumedOutcome, PublishContext, PublishOutcome, PublishVerdict, Reply, Request, RequestLimits, What,
    WhyNotConsumed, requests,
};
use tidegate::message::{ApplicationMessage, Origin, Timestamp};
use tidegate::packet::{Connect, Packet, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, Will};
use tidegate::server::{ListenerOptions, Server};
use tidegate::topic::TopicName;

use crate::support::*;

fn topic(name: &'static str) -> TopicName {
    TopicName::try_from(name).unwrap()
}

/// Does with a message what its payload says.
fn obedient() -> Script {
    Script::default().on_publish(|context| {
        let message = context.message;
        let changed = |change: &dyn Fn(&mut ApplicationMessage)| {
            let mut changed = message.clone();
            change(&mut changed);
            PublishVerdict::Modify(Box::new(changed))
        };
        let verdict = match &message.payload[..] {
            b"reject" => PublishVerdict::Reject(ReasonCode::NOT_AUTHORIZED),
            b"swallow" => PublishVerdict::Swallow,
            b"topic" => changed(&|message| message.topic = topic("other")),
            b"payload" => changed(&|message| message.payload = "changed".into()),
            b"qos" => changed(&|message| message.qos = QOS0),
            b"retain" => changed(&|message| message.retain = true),
            b"properties" => changed(&|message| {
                let user_properties = vec![("added".into(), "yes".into())];
                let properties = PublishProperties { user_properties, ..PublishProperties::default() };
                message.properties = Some(Box::new(properties));
            }),
            b"expiry" => changed(&|message| message.expires_at = Some(Timestamp(1))),
            _ => PublishVerdict::Continue,
        };
        PublishOutcome { verdict, ..PublishOutcome::default() }.into()
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Client,
    Will,
    Injected,
}

/// Publishes to "t" in one of the ways there are; says what the publisher was told, if anything.
async fn publish_from(
    from: From,
    server: &Server,
    version: ProtocolVersion,
    qos: QoS,
    payload: &'static str,
) -> Option<ReasonCode> {
    match from {
        From::Client => {
            let mut sender = Client::connect(server, connect(version, "sender")).await;
            let told = sender.publish("t", payload, qos).await;
            sender.ping().await;
            (qos > QOS0).then_some(told)
        }
        From::Will => {
            let will = Will { qos, ..will("t", payload) };
            drop(Client::connect(server, with_will(connect(version, "sender"), will)).await);
            until(|| server.broker().client("sender").is_none()).await;
            None
        }
        From::Injected => {
            Some(server.publish(ApplicationMessage::new(topic("t"), payload).with_qos(qos)).await.reason)
        }
    }
}

#[tokio::test]
async fn every_verdict_holds_for_every_qos_version_and_origin() {
    let server = start_hooked(Options::default(), &obedient().shared()).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS2).await;
    for from in [From::Client, From::Will, From::Injected] {
        for version in VERSIONS {
            for qos in ALL_QOS {
                for act in ["pass", "reject", "swallow", "topic", "payload", "qos", "retain", "properties"] {
                    let what = format!("{from:?} {version} {qos:?} {act}");
                    let told = publish_from(from, &server, version, qos, act).await;
                    let refused = act == "reject" && (version == V5 || from == From::Injected);
                    let expected = if refused { ReasonCode::NOT_AUTHORIZED } else { ReasonCode::SUCCESS };
                    assert_eq!(told.unwrap_or(expected), expected, "{what}");
                    if act != "reject" && act != "swallow" {
                        let got = receiver.message().await;
                        assert_eq!(got.topic, if act == "topic" { "other" } else { "t" }, "{what}");
                        assert_eq!(text(&got), if act == "payload" { "changed" } else { act }, "{what}");
                        assert_eq!(got.qos, if act == "qos" { QOS0 } else { qos }, "{what}");
                        let added = got.properties.is_some_and(|it| it.user_properties[0].0 == "added");
                        assert_eq!(added, act == "properties", "{what}");
                    }
                    receiver.assert_silent().await;
                    let retained = server.broker().retained_message(&topic("t")).is_some();
                    assert_eq!(retained, act == "retain", "{what}");
                    if retained {
                        server.publish(ApplicationMessage::new(topic("t"), "").with_retain(true)).await;
                        receiver.message().await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refused_qos2_message_does_not_use_its_identifier_up() {
    // [MQTT-4.3.3-9]
    let server = start_hooked(Options::default(), &obedient().shared()).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for (payload, refused) in [("reject", true), ("pass", false)] {
        let packet_identifier = Some(client::id(7));
        sender.send(Packet::Publish(Publish { qos: QOS2, packet_identifier, ..publish("t", payload) })).await;
        assert_eq!(sender.pubrec().await.reason_code.is_error(), refused);
    }
    assert_eq!(receiver.payloads(1).await, ["pass"]);
}

#[tokio::test]
async fn a_message_that_a_hook_let_expire_is_not_delivered() {
    let server = start_hooked(Options::default(), &obedient().shared()).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "expiry", QOS1).await;
    receiver.assert_silent().await;
    assert_eq!(server.statistics().dropped_expired, 1);
}

#[tokio::test]
async fn the_hook_sees_where_a_message_comes_from() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let script = Script::default().on_publish({
        let seen = seen.clone();
        move |context| {
            let client = context.client.map(|client| client.client_identifier.to_string());
            seen.lock().unwrap().push((context.message.origin, client));
            PublishOutcome::default().into()
        }
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    for (n, from) in [From::Client, From::Will, From::Injected].into_iter().enumerate() {
        publish_from(from, &server, V5, QOS1, "x").await;
        until(|| seen.lock().unwrap().len() == n + 1).await;
    }
    let sender = Some("sender".to_string());
    let expected = [(Origin::Client, sender.clone()), (Origin::Will, sender), (Origin::Injected, None)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_reply_reaches_the_publisher_and_may_close_the_connection() {
    let script = Script::default().on_publish(|context| {
        let close = (&context.message.payload[..] == b"close").then_some(ReasonCode::MESSAGE_RATE_TOO_HIGH);
        let reply = Reply {
            reason_string: Some("slow down".into()),
            user_properties: vec![("wait".into(), "10".into())],
            close,
            ..Reply::default()
        };
        let verdict = PublishVerdict::Reject(ReasonCode::QUOTA_EXCEEDED);
        PublishOutcome { verdict, reply: Some(Box::new(reply)), unasked: false }.into()
    });
    let script = script.shared();
    let server = start_hooked(Options::default(), &script).await;
    for qos in [QOS1, QOS2] {
        let mut client = Client::connect(&server, connect(V5, "a")).await;
        let ack = client.publish_packet(Publish { qos, ..publish("t", "x") }).await;
        assert_eq!(ack.reason_code, ReasonCode::QUOTA_EXCEEDED);
        let properties = ack.properties.unwrap();
        assert_eq!(properties.reason_string.as_deref(), Some("slow down"));
        assert_eq!(properties.user_properties, [("wait".into(), "10".into())]);
        // The acknowledgement still comes, then the farewell.
        let ack = client.publish_packet(Publish { qos, ..publish("t", "close") }).await;
        assert_eq!(ack.reason_code, ReasonCode::QUOTA_EXCEEDED);
        let farewell = client.farewell().await.unwrap();
        assert_eq!(farewell.reason_code, ReasonCode::MESSAGE_RATE_TOO_HIGH);
        assert_eq!(farewell.reason_string.as_deref(), Some("slow down"));
    }
    let mut old = Client::connect(&server, connect(V311, "b")).await;
    assert_eq!(old.publish("t", "x", QOS1).await, ReasonCode::SUCCESS);
    old.publish("t", "close", QOS0).await;
    assert_eq!(old.end().await, None);
    let by_hook = |what: &What| matches!(what, What::ClientDisconnected { cause: DisconnectCause::Hook, .. });
    until(|| script.count(by_hook) == 3).await;
}

#[tokio::test]
async fn the_authorizer_judges_the_final_topic() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let script = obedient().on_authorize({
        let asked = asked.clone();
        move |context| {
            assert_eq!(context.action, Action::Publish);
            asked.lock().unwrap().push((context.topic.to_string(), context.qos, context.retain));
            let verdict = match context.topic {
                "other" => AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
                _ => AuthorizationVerdict::Next,
            };
            Authorization { verdict, cache: Duration::ZERO }.into()
        }
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    assert!(!client.publish("t", "pass", QOS1).await.is_error());
    assert_eq!(client.publish("t", "topic", QOS1).await, ReasonCode::NOT_AUTHORIZED);
    assert!(!client.publish("t", "retain", QOS2).await.is_error());
    let expected =
        [("t".to_string(), QOS1, false), ("other".to_string(), QOS1, false), ("t".to_string(), QOS2, true)];
    assert_eq!(*asked.lock().unwrap(), expected);
    // What the embedder publishes needs no leave.
    assert!(!server.publish(ApplicationMessage::new(topic("other"), "x")).await.reason.is_error());
    assert_eq!(server.statistics().not_authorized, 1);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_cached_for_as_long_as_it_says_and_until_the_generation_changes() {
    let asked = Arc::new(AtomicUsize::new(0));
    let script = Script::default().on_authorize({
        let asked = asked.clone();
        move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            let verdict = AuthorizationVerdict::Allow;
            Authorization { verdict, cache: Duration::from_secs(60) }.into()
        }
    });
    let script = script.shared();
    let local = Local::hooked(Options::default(), script.clone());
    let mut client = local.connect(connect(V5, "a")).await;
    let mut publish = async |name: &str, expected: usize| {
        client.publish(name, "x", QOS1).await;
        assert_eq!(asked.load(Ordering::Relaxed), expected, "{name}");
    };
    publish("t", 1).await;
    publish("t", 1).await;
    publish("u", 2).await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    publish("t", 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    publish("t", 3).await;
    script.generation.fetch_add(1, Ordering::Relaxed);
    publish("t", 4).await;
    publish("t", 4).await;
    // A cache belongs to its connection.
    local.connect(connect(V5, "b")).await.publish("t", "x", QOS1).await;
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_delays_neither_what_its_client_receives_nor_others() {
    let script = Script::default().on_publish(|context| {
        let slow = &context.message.payload[..] == b"slow";
        Answer::Later(Box::pin(async move {
            if slow {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            PublishOutcome::default()
        }))
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut slow = local.connect(connect(V5, "slow")).await;
    slow.subscribe("to/slow", QOS1).await;
    let mut other = local.connect(connect(V5, "other")).await;
    let begun = tokio::time::Instant::now();
    let packet_identifier = Some(slow.next_identifier());
    slow.send(Packet::Publish(Publish { qos: QOS1, packet_identifier, ..publish("t", "slow") })).await;
    slow.send(Packet::Pingreq).await;
    for n in 0..100 {
        assert_eq!(other.publish("to/slow", &n.to_string(), QOS1).await, ReasonCode::SUCCESS);
        assert_eq!(text(&slow.next_publish().await), n.to_string());
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    // Its own packets wait for each other.
    assert!(matches!(slow.receive().await, Packet::Puback(_)));
    assert_eq!(slow.receive().await, Packet::Pingresp);
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_packet_waits_for_a_hook_is_not_taken_for_dead() {
    // [MQTT-3.1.2-22]: it sends, and is only not read from meanwhile
    let script = Script::default().on_publish(|_| {
        Answer::Later(Box::pin(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            PublishOutcome::default()
        }))
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut client = local.connect(Connect { keep_alive: 10, ..connect(V5, "a") }).await;
    let packet_identifier = Some(client.next_identifier());
    client.send(Packet::Publish(Publish { qos: QOS1, packet_identifier, ..publish("t", "x") })).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        client.send(Packet::Pingreq).await;
    }
    assert!(matches!(client.receive().await, Packet::Puback(_)));
    for _ in 0..6 {
        assert_eq!(client.receive().await, Packet::Pingresp);
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_does_not_wait_for_a_slow_hook() {
    let script = Script::default().on_publish(|_| {
        Answer::Later(Box::pin(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            PublishOutcome::default()
        }))
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let mut old = local.connect(persistent(V5, "a")).await;
    let packet = Publish { qos: QOS2, packet_identifier: Some(client::id(7)), ..publish("t", "x") };
    old.send(Packet::Publish(packet.clone())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = tokio::time::Instant::now();
    let mut new = local.connect(persistent(V5, "a")).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    // The message is on its way already: sent again, it is known [MQTT-4.3.3-10].
    new.send(Packet::Publish(Publish { dup: true, ..packet })).await;
    new.pubrec().await;
    new.release(client::id(7)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(receiver.payloads(1).await, ["x"]);
    receiver.assert_silent().await;
}

#[tokio::test]
async fn a_will_that_its_client_may_not_publish_is_not_published() {
    let script = Script::default().on_authorize(|context| {
        let verdict = match (context.action, context.topic) {
            (Action::Publish, "will") => AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
            _ => AuthorizationVerdict::Allow,
        };
        Authorization { verdict, cache: Duration::ZERO }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut witness = Client::connect(&server, connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    drop(Client::connect(&server, with_will(connect(V5, "a"), will("will", "gone"))).await);
    until(|| server.statistics().not_authorized == 1).await;
    witness.assert_silent().await;
}

#[tokio::test]
async fn what_nobody_consumed_can_be_redirected_or_answered() {
    let script = Script::default().on_not_consumed(|context| {
        assert_eq!(context.why, WhyNotConsumed::NoSubscriber);
        match &context.message.payload[..] {
            b"redirect" => NotConsumedOutcome::Redirect(topic("dead/letters")),
            b"nowhere" => NotConsumedOutcome::Redirect(topic("nobody/here")),
            b"answer" => NotConsumedOutcome::Answer(ReasonCode::QUOTA_EXCEEDED),
            _ => NotConsumedOutcome::Observe,
        }
        .into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut letters = Client::connect(&server, connect(V5, "letters")).await;
    letters.subscribe("dead/letters", QOS2).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let none = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    for (payload, expected) in [
        ("observe", none),
        ("redirect", ReasonCode::SUCCESS),
        ("nowhere", none),
        ("answer", ReasonCode::QUOTA_EXCEEDED),
    ] {
        for qos in [QOS1, QOS2] {
            assert_eq!(sender.publish("t", payload, qos).await, expected, "{payload}");
            if payload == "redirect" {
                let got = letters.message().await;
                assert_eq!((&*got.topic, text(&got), got.qos), ("dead/letters", "redirect", qos));
            }
        }
    }
    letters.assert_silent().await;
    assert_eq!(sender.publish("dead/letters", "direct", QOS1).await, ReasonCode::SUCCESS);
}

#[tokio::test]
async fn hooks_publish_and_disconnect_through_their_queue() {
    let (requester, queue) = requests(RequestLimits { queue: 16, ..RequestLimits::default() });
    let script = Script::default().on_publish(move |context| {
        let message = context.message;
        if message.origin == Origin::Client {
            let mut copy = ApplicationMessage::new(topic("copy"), message.payload.clone());
            copy.depth = message.depth + 1;
            requester.request(Request::Publish(Box::new(copy))).unwrap();
            let reason = ReasonCode::ADMINISTRATIVE_ACTION;
            requester.request(Request::Disconnect { client_identifier: "victim".into(), reason }).unwrap();
        }
        PublishOutcome::default().into()
    });
    let server = Server::builder().hooks(script.shared()).requests(queue);
    let server = server.listener(ListenerOptions::loopback(0)).start().await.unwrap();
    let mut victim = Client::connect(&server, connect(V5, "victim")).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("copy", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "x", QOS1).await;
    assert_eq!(receiver.payloads(1).await, ["x"]);
    assert_eq!(victim.end().await, Some(ReasonCode::ADMINISTRATIVE_ACTION));
}

#[tokio::test]
async fn a_hook_that_panics_ends_one_connection_and_nothing_else() {
    // A panic in a hook for a delayed Will, or for a message that a hook had asked to publish, ended the
    // task that publishes them: no session expired any more, no request was carried out.
    let (requester, queue) = requests(RequestLimits { queue: 16, ..RequestLimits::default() });
    let script = Script::default().on_publish(|context| {
        assert!(&context.message.payload[..] != b"panic", "a hook of this test panics on purpose");
        PublishOutcome::default().into()
    });
    let server = Server::builder().hooks(script.shared()).requests(queue);
    let server = server.listener(ListenerOptions::loopback(0)).start().await.unwrap();
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;

    let mut bad = Client::connect(&server, connect(V5, "bad")).await;
    bad.publish("t", "panic", QOS0).await;
    assert_eq!(bad.last_packet().await, None);
    until(|| server.broker().client("bad").is_none()).await;

    for payload in ["panic", "fine"] {
        let message = ApplicationMessage::new(topic("asked"), payload);
        requester.request(Request::Publish(Box::new(message))).unwrap();
    }
    assert_eq!(receiver.payloads(1).await, ["fine"]);

    for payload in ["panic", "fine"] {
        let will = Will { delay_interval: 1, ..will("will", payload) };
        let asks = Connect { session_expiry_interval: Some(2), ..connect(V5, payload) };
        drop(Client::connect(&server, with_will(asks, will)).await);
        until(|| server.broker().client(payload).is_none_or(|status| status.client.is_none())).await;
    }
    assert_eq!(receiver.payloads(1).await, ["fine"]);
    until(|| server.broker().client("fine").is_none()).await;
}

/// Panics over a message, and when it hears of the end that this is for the client.
struct PanicsTwice;

impl Hooks for PanicsTwice {
    fn wanted(&self) -> HookSet {
        HookSet::EVENTS.with(HookSet::INTERCEPTING_PUBLISH)
    }

    fn intercepting_publish(&self, context: PublishContext<'_>) -> Answer<PublishOutcome> {
        assert!(&context.message.payload[..] != b"panic", "a hook of this test panics on purpose");
        PublishOutcome::default().into()
    }

    fn event(&self, event: Event) {
        assert!(!matches!(event.what, What::ClientDisconnected { .. }), "an observer panics on purpose");
    }
}

#[tokio::test]
async fn an_observer_that_panics_keeps_no_session_and_ends_no_other_connection() {
    // A second panic, over the end of the connection, ended the task that serves all connections of the thread: none
    // of them was heard any more, nor were those that came. The session stayed in the registry for ever.
    let server = Server::builder().hooks(Arc::new(PanicsTwice)).workers(1);
    let server = server.listener(ListenerOptions::loopback(0)).start().await.unwrap();
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    other.subscribe("t", QOS1).await;
    for _ in 0..2 {
        let mut bad = Client::connect(&server, connect(V5, "bad")).await;
        bad.publish("t", "panic", QOS0).await;
        assert_eq!(bad.last_packet().await, None);
        until(|| server.broker().client("bad").is_none()).await;
    }
    let mut later = Client::connect(&server, connect(V5, "later")).await;
    later.publish("t", "fine", QOS1).await;
    assert_eq!(other.payloads(1).await, ["fine"]);
}

#[tokio::test]
async fn a_loop_of_hooks_messages_ends() {
    let (requester, queue) = requests(RequestLimits { queue: 16, ..RequestLimits::default() });
    let refused = Arc::new(AtomicUsize::new(0));
    let script = Script::default().on_publish({
        let refused = refused.clone();
        move |context| {
            let mut next = context.message.clone();
            next.depth += 1;
            next.origin = Origin::Injected;
            if requester.request(Request::Publish(Box::new(next))).is_err() {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            PublishOutcome::default().into()
        }
    });
    let server = Server::builder().hooks(script.shared()).requests(queue);
    let server = server.listener(ListenerOptions::loopback(0)).start().await.unwrap();
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "x", QOS1).await;
    until(|| refused.load(Ordering::Relaxed) == 1).await;
    let copies = usize::from(tidegate::hook::MAXIMUM_DEPTH) + 1;
    assert_eq!(receiver.payloads(copies).await.len(), copies);
    receiver.assert_silent().await;
}
