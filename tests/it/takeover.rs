//! A session that changes hands while something is under way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::{
    Action, Authorization, AuthorizationVerdict, AuthorizeContext, EnqueueOutcome, PublishOutcome,
};
use tidegate::packet::{Connect, Packet, Publish, ReasonCode, SubscribeFilter};

use crate::support::client::{id, to};
use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn no_local_holds_for_the_will_of_the_connection_before() {
    // No Local went by the connection, not by the client: who took its own session over was sent the Will
    // that it had left itself [MQTT-3.8.3-3].
    let local = Local::start();
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    let _before = {
        let mut client = local.connect(with_will(persistent(V5, "a"), will("will", "gone"))).await;
        client.subscribe_to(vec![SubscribeFilter { no_local: true, ..to("will", QOS1) }]).await;
        client
    };
    let (mut client, connack) = local.try_connect(persistent(V5, "a")).await;
    assert!(connack.session_present);
    assert_eq!(text(&witness.message().await), "gone");
    client.assert_silent().await;
    // Others' messages still come.
    witness.publish("will", "from another", QOS0).await;
    assert_eq!(text(&client.message().await), "from another");
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_for_the_will_of_the_old_connection_does_not_delay_connack() {
    // CONNACK was written after the Will of the connection before had been published: a hook that took its
    // time over that kept the new connection out.
    for clean_start in [false, true] {
        let gate = Gate::default();
        let script = gate.before("will");
        let local = Local::hooked(Options::default(), script.shared());
        let mut witness = local.connect(connect(V5, "witness")).await;
        witness.subscribe("will", QOS1).await;
        let mut old = local.connect(with_will(persistent(V5, "a"), will("will", "gone"))).await;
        let again = Connect { clean_start, ..persistent(V5, "a") };
        let (mut client, connack) = local.try_connect(again).await;
        assert_eq!((connack.reason_code, connack.session_present), (ReasonCode::SUCCESS, !clean_start));
        gate.reached().await;
        // Nor does the one that lost it wait.
        assert_eq!(old.end().await, Some(ReasonCode::SESSION_TAKEN_OVER));
        witness.assert_silent().await;
        gate.open();
        assert_eq!(text(&witness.message().await), "gone");
        client.ping().await;
    }
}

/// An authorizer that lets everyone but bob receive, and says that this may be remembered.
fn nothing_for_bob(context: &AuthorizeContext<'_>) -> Authorization {
    let denied = context.action == Action::Deliver && context.client.user_name.as_deref() == Some("bob");
    let refused = AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED);
    Authorization { verdict: if denied { refused } else { AuthorizationVerdict::Allow }, cache: HOUR }
}

fn of_user(user: &'static str) -> Connect {
    Connect { user_name: Some(user.into()), ..persistent(V5, "shared") }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_verdict_about_deliveries_ends_with_the_client_that_it_was_about() {
    // Verdicts about deliveries are kept with the session, and were kept beyond the connection: another user
    // who took the session over received what only the user before was allowed to.
    let script = Script::default().with_deliveries().on_authorize(|context| nothing_for_bob(&context).into());
    let local = Local::hooked(Options::default(), script.shared());
    let mut sender = local.connect(connect(V5, "sender")).await;
    let mut alice = local.connect(of_user("alice")).await;
    alice.subscribe("t", QOS1).await;
    sender.publish("t", "1", QOS1).await;
    assert_eq!(alice.payloads(1).await, ["1"]);
    alice.ping().await;
    let mut bob = local.connect(of_user("bob")).await;
    sender.publish("t", "2", QOS1).await;
    bob.assert_silent().await;
    // The other way round too.
    let mut alice = local.connect(of_user("alice")).await;
    sender.publish("t", "3", QOS1).await;
    assert_eq!(alice.payloads(1).await, ["3"]);
    alice.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_was_asked_for_before_a_takeover_is_not_remembered_after_it() {
    // A verdict that came when another client had the session already was put with that client's.
    let (gate, asked) = (Gate::default(), AtomicUsize::new(0));
    let slow = gate.clone();
    let script = Script::default().with_deliveries().on_authorize(move |context| {
        let verdict = nothing_for_bob(&context);
        if context.action == Action::Deliver && asked.fetch_add(1, Ordering::Relaxed) == 0 {
            return slow.hold(verdict);
        }
        verdict.into()
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut alice = local.connect(of_user("alice")).await;
    alice.subscribe("t", QOS0).await;
    let mut early = local.connect(connect(V5, "early")).await;
    early.publish("t", "early", QOS0).await;
    gate.reached().await;
    let mut bob = local.connect(of_user("bob")).await;
    gate.open();
    early.ping().await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    sender.publish("t", "late", QOS1).await;
    bob.send(Packet::Pingreq).await;
    bob.send(Packet::Pingreq).await;
    let mut answers = 0;
    while answers < 2 {
        match bob.receive().await {
            Packet::Pingresp => answers += 1,
            Packet::Publish(publish) => assert_ne!(text(&publish), "late"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_replay_goes_on_with_the_next_connection() {
    // A replay that waited for a hook was held by its connection alone: where another took the session over
    // meanwhile, what had not been replayed yet was forgotten.
    const RETAINED: usize = 200;
    for qos in [QOS0, QOS1] {
        let (gate, asked) = (Gate::default(), AtomicUsize::new(0));
        let slow = gate.clone();
        let script = Script::default().on_enqueue(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => slow.hold(EnqueueOutcome::Deliver),
            _ => EnqueueOutcome::Deliver.into(),
        });
        let local = Local::hooked(Options::default(), script.shared());
        let mut sender = local.connect(connect(V5, "sender")).await;
        for n in 0..RETAINED {
            sender.publish_retained(&format!("r/{n}"), "x", QOS1).await;
        }
        let mut old = local.connect(persistent(V5, "a")).await;
        old.subscribe("r/#", qos).await;
        gate.reached().await;
        let mut client = local.connect(persistent(V5, "a")).await;
        gate.open();
        let mut topics = BTreeSet::new();
        for _ in 0..RETAINED {
            assert!(topics.insert(client.message().await.topic), "one came twice");
        }
        client.assert_silent().await;
        assert_eq!(topics.len(), RETAINED);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_replay_wakes_the_next_connection() {
    // The replay was given back without a word: a connection that had nothing else to do never took it up.
    let (gate, asked) = (Gate::default(), AtomicUsize::new(0));
    let slow = gate.clone();
    let script = Script::default().on_enqueue(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        // The last of the first batch.
        63 => slow.hold(EnqueueOutcome::Skip),
        _ => EnqueueOutcome::Deliver.into(),
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..100 {
        sender.publish_retained(&format!("r/{n}"), "x", QOS1).await;
    }
    let mut old = local.connect(persistent(V5, "a")).await;
    old.subscribe("r/#", QOS0).await;
    gate.reached().await;
    let mut client = local.connect(persistent(V5, "a")).await;
    client.ping().await;
    gate.open();
    for _ in 64..100 {
        client.next_publish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_with_its_subscription_also_where_the_connection_before_is_still_at_it() {
    // What the connection before gave back was replayed though the next had unsubscribed meanwhile.
    let (gate, asked) = (Gate::default(), AtomicUsize::new(0));
    let slow = gate.clone();
    let script = Script::default().on_enqueue(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => slow.hold(EnqueueOutcome::Deliver),
        _ => EnqueueOutcome::Deliver.into(),
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut sender = local.connect(connect(V5, "sender")).await;
    for n in 0..500 {
        sender.publish_retained(&format!("r/{n}"), "x", QOS1).await;
    }
    let mut old = local.connect(persistent(V5, "a")).await;
    old.subscribe("r/#", QOS0).await;
    gate.reached().await;
    let mut client = local.connect(persistent(V5, "a")).await;
    client.unsubscribe(&["r/#"]).await;
    gate.open();
    assert_eq!(old.end().await, Some(ReasonCode::SESSION_TAKEN_OVER));
    client.send(Packet::Pingreq).await;
    client.send(Packet::Pingreq).await;
    let (mut answers, mut got) = (0, 0);
    while answers < 2 {
        match client.receive().await {
            Packet::Pingresp => answers += 1,
            Packet::Publish(_) => got += 1,
            other => panic!("{other:?}"),
        }
    }
    // What the old connection had taken already may come.
    assert!(got <= 64, "{got}");
}

/// A publish hook that holds every message "held" back until the gate is opened.
fn holding(gate: &Gate) -> Script {
    let slow = gate.clone();
    Script::default().on_publish(move |context| match &context.message.payload[..] {
        b"held" => slow.hold(PublishOutcome::default()),
        _ => PublishOutcome::default().into(),
    })
}

#[tokio::test(start_paused = true)]
async fn what_the_next_connection_publishes_comes_after_what_the_one_before_is_still_at() {
    // A message that a hook took its time over was overtaken by what its client published on the connection that
    // took the session over meanwhile. [MQTT-4.6.0-5]; in 3.1.1 [MQTT-4.6.0-6]
    for (version, clean_start) in [(V5, false), (V5, true), (V311, false)] {
        for qos in ALL_QOS {
            let gate = Gate::default();
            let local = Local::hooked(Options::default(), holding(&gate).shared());
            let mut receiver = local.connect(connect(V5, "receiver")).await;
            receiver.subscribe("t", QOS2).await;
            let packet = |number, payload| {
                let packet_identifier = (qos > QOS0).then(|| id(number));
                Packet::Publish(Publish { qos, packet_identifier, ..publish("t", payload) })
            };
            let mut old = local.connect(persistent(version, "a")).await;
            old.send(packet(1, "held")).await;
            gate.reached().await;
            let mut new = local.connect(Connect { clean_start, ..persistent(version, "a") }).await;
            new.send(packet(2, "next")).await;
            receiver.assert_silent().await;
            gate.open();
            assert_eq!(receiver.payloads(2).await, ["held", "next"], "{version} {qos:?}");
            if qos > QOS0 {
                assert!(matches!(new.receive().await, Packet::Puback(ack) | Packet::Pubrec(ack)
                    if ack.packet_identifier == id(2)));
            }
            new.ping().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_sent_again_on_the_next_connection_is_answered_at_once() {
    // [MQTT-4.3.3-10]: it is known, whatever the connection before is still at
    let gate = Gate::default();
    let local = Local::hooked(Options::default(), holding(&gate).shared());
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let packet = Publish { qos: QOS2, packet_identifier: Some(id(1)), ..publish("t", "held") };
    let mut old = local.connect(persistent(V5, "a")).await;
    old.send(Packet::Publish(packet.clone())).await;
    gate.reached().await;
    let mut new = local.connect(persistent(V5, "a")).await;
    new.send(Packet::Publish(Publish { dup: true, ..packet })).await;
    assert_eq!(new.pubrec().await.packet_identifier, id(1));
    assert_eq!(new.release(id(1)).await, ReasonCode::SUCCESS);
    new.subscribe("t", QOS1).await;
    gate.open();
    assert_eq!(receiver.payloads(1).await, ["held"]);
    assert_eq!(new.payloads(1).await, ["held"]);
    receiver.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_answers_does_not_hold_up_the_next_connection_for_ever() {
    let gate = Gate::default();
    let local = Local::hooked(Options::default(), holding(&gate).shared());
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    let mut old = local.connect(persistent(V5, "a")).await;
    old.send(Packet::Publish(publish("t", "held"))).await;
    gate.reached().await;
    let mut new = local.connect(persistent(V5, "a")).await;
    let begun = tokio::time::Instant::now();
    new.send(Packet::Publish(publish("t", "next"))).await;
    let next = receiver.receive_or_end_for(Duration::from_secs(60)).await;
    assert!(matches!(next, Some(Packet::Publish(next)) if text(&next) == "next"));
    assert!((1..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_taken_over_while_it_waits_loses_nothing_and_doubles_nothing() {
    // Three connections of one client, of which the second is taken over before its message was begun.
    let gate = Gate::default();
    let local = Local::hooked(Options::default(), holding(&gate).shared());
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS2).await;
    let packet = |number, payload, dup| {
        let packet_identifier = Some(id(number));
        Packet::Publish(Publish { qos: QOS2, packet_identifier, dup, ..publish("t", payload) })
    };
    let mut first = local.connect(persistent(V5, "a")).await;
    first.send(packet(1, "held", false)).await;
    gate.reached().await;
    let mut second = local.connect(persistent(V5, "a")).await;
    second.send(packet(2, "second", false)).await;
    receiver.ping().await;
    let mut third = local.connect(persistent(V5, "a")).await;
    for (number, payload, dup) in [(1, "held", true), (2, "second", true), (3, "third", false)] {
        third.send(packet(number, payload, dup)).await;
    }
    receiver.assert_silent().await;
    gate.open();
    assert_eq!(receiver.payloads(3).await, ["held", "second", "third"]);
    receiver.assert_silent().await;
    for number in 1..=3 {
        assert_eq!(third.pubrec().await.packet_identifier, id(number));
    }
    for number in 1..=3 {
        assert_eq!(third.release(id(number)).await, ReasonCode::SUCCESS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_every_connection_before_not_for_the_last_one_only() {
    // The one between publishes nothing, and is taken over or is gone already.
    for taken_over in [true, false] {
        let gate = Gate::default();
        let local = Local::hooked(Options::default(), holding(&gate).shared());
        let mut receiver = local.connect(connect(V5, "receiver")).await;
        receiver.subscribe("t", QOS1).await;
        let mut first = local.connect(persistent(V5, "a")).await;
        first.send(Packet::Publish(publish("t", "held"))).await;
        gate.reached().await;
        let mut second = local.connect(persistent(V5, "a")).await;
        second.ping().await;
        if !taken_over {
            second.disconnect().await;
        }
        let mut third = local.connect(persistent(V5, "a")).await;
        third.send(Packet::Publish(publish("t", "next"))).await;
        receiver.assert_silent().await;
        gate.open();
        assert_eq!(receiver.payloads(2).await, ["held", "next"]);
    }
}
