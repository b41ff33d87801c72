//! intercepting-subscription, intercepting-unsubscription, intercepting-client-enqueue, and the
//! authorizer for subscribing and delivering.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tidegate::broker::{Broker, Options};
use tidegate::hook::{
    Action, Authorization, AuthorizationVerdict, Choice, EnqueueOutcome, NotConsumedOutcome, Reply,
    SubscribeOutcome, SubscribeVerdict, SubscriptionRequest, UnsubscribeOutcome, UnsubscribeVerdict, What,
    WhyNotConsumed,
};
use tidegate::message::ClientKey;
use tidegate::packet::ReasonCode;
use tidegate::topic::TopicFilter;

use crate::support::client::to;
use crate::support::*;

fn filter(text: &'static str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

/// Does with a subscription what its filter says.
fn obedient() -> Script {
    Script::default().on_subscribe(|context| {
        let verdict = |asked: &TopicFilter| match asked.as_str() {
            "deny" => SubscribeVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
            "odd" => SubscribeVerdict::Deny(ReasonCode::SERVER_BUSY),
            "silent" => SubscribeVerdict::GrantWithoutRouting,
            "lower" => SubscribeVerdict::Grant { maximum_qos: QOS1, filter: None },
            "mine" => SubscribeVerdict::Grant { maximum_qos: QOS2, filter: Some(filter("own/+")) },
            _ => SubscribeVerdict::Next,
        };
        let verdicts = context.subscriptions.iter().map(|wanted| verdict(&wanted.filter)).collect();
        let reply = Reply { reason_string: Some("as it is".into()), ..Reply::default() };
        SubscribeOutcome { verdicts, reply: Some(Box::new(reply)) }.into()
    })
}

#[tokio::test]
async fn every_verdict_on_a_subscription_is_carried_out() {
    let server = start_hooked(Options::default(), &obedient().shared()).await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        let filters = ["plain", "deny", "odd", "silent", "lower", "mine"];
        let suback = receiver.subscribe_to(filters.iter().map(|filter| to(filter, QOS2)).collect()).await;
        let codes: Vec<u8> = suback.reason_codes.iter().map(|code| code.value()).collect();
        let (denied, odd) = if version == V5 { (0x87, 0x80) } else { (0x80, 0x80) };
        assert_eq!(codes, [2, denied, odd, 2, 1, 2]);
        let told = suback.properties.and_then(|properties| properties.reason_string.clone());
        assert_eq!(told.as_deref(), (version == V5).then_some("as it is"));
        let mut sender = Client::connect(&server, connect(V5, "sender")).await;
        for (topic, qos) in [
            ("plain", Some(QOS2)),
            ("deny", None),
            ("odd", None),
            ("silent", None),
            ("lower", Some(QOS1)),
            ("mine", None),
            ("own/a", Some(QOS2)),
        ] {
            sender.publish(topic, topic, QOS2).await;
            if let Some(qos) = qos {
                let got = receiver.message().await;
                assert_eq!((&*got.topic, got.qos), (topic, qos));
            }
            receiver.assert_silent().await;
        }
        assert_eq!(server.broker().client("receiver").unwrap().subscriptions, 3);
    }
}

#[tokio::test]
async fn a_subscription_with_another_filter_ends_as_the_client_asked_for_it() {
    // The session knew it by the hook's filter only: UNSUBSCRIBE of what the client had asked for was
    // answered with 0x11, and the messages went on. [MQTT-3.10.4-1]
    let server = start_hooked(Options::default(), &obedient().shared()).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for version in VERSIONS {
        let mut receiver = Client::connect(&server, connect(version, "receiver")).await;
        receiver.subscribe("mine", QOS2).await;
        sender.publish("own/a", "1", QOS1).await;
        assert_eq!(receiver.payloads(1).await, ["1"]);
        let unsuback = receiver.unsubscribe(&["own/+", "mine"]).await;
        if version == V5 {
            assert_eq!(unsuback.reason_codes, [ReasonCode::NO_SUBSCRIPTION_EXISTED, ReasonCode::SUCCESS]);
        }
        sender.publish("own/a", "2", QOS1).await;
        receiver.assert_silent().await;
        assert_eq!(server.broker().subscription_count(), 0);
    }
}

#[tokio::test]
async fn one_of_two_subscriptions_that_are_routed_alike_can_end() {
    // Two filters of a client that a hook had turned into one ended together, though the client had given up
    // only one of them.
    let server = start_hooked(Options::default(), &obedient().shared()).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut receiver = Client::connect(&server, persistent(V5, "receiver")).await;
    for (first, second) in [("mine", "own/+"), ("own/+", "mine")] {
        receiver.subscribe_to(vec![to(first, QOS1), to(second, QOS0)]).await;
        assert_eq!(receiver.unsubscribe(&[second]).await.reason_codes, [ReasonCode::SUCCESS]);
        sender.publish("own/a", "x", QOS2).await;
        let got = receiver.message().await;
        assert_eq!((text(&got), got.qos), ("x", QOS1));
        receiver.assert_silent().await;
    }
    assert_eq!(server.broker().subscription_count(), 1);
    // A session that ends takes what is routed with it.
    assert!(server.broker().delete_session("receiver"));
    assert_eq!(server.broker().subscription_count(), 0);
}

#[tokio::test]
async fn a_subscription_that_is_granted_without_routing_is_not_routed_as_before() {
    // A client that subscribed again what a hook no longer wants routed kept its former subscription, and
    // got the messages as before.
    let grants = Arc::new(AtomicBool::new(true));
    let script = Script::default().on_subscribe({
        let grants = grants.clone();
        move |context| {
            let verdict = match grants.load(Ordering::Relaxed) {
                true => SubscribeVerdict::Grant { maximum_qos: QOS2, filter: Some(filter("own/+")) },
                false => SubscribeVerdict::GrantWithoutRouting,
            };
            SubscribeOutcome { verdicts: vec![verdict; context.subscriptions.len()], reply: None }.into()
        }
    });
    let script = script.shared();
    let server = start_hooked(Options::default(), &script).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("mine", QOS1).await;
    sender.publish("own/a", "1", QOS1).await;
    assert_eq!(receiver.payloads(1).await, ["1"]);
    grants.store(false, Ordering::Relaxed);
    receiver.subscribe("mine", QOS1).await;
    assert_eq!(server.broker().subscription_count(), 0);
    sender.publish("own/a", "2", QOS1).await;
    receiver.assert_silent().await;
    assert_eq!(receiver.unsubscribe(&["mine"]).await.reason_codes, [ReasonCode::NO_SUBSCRIPTION_EXISTED]);
    assert_eq!(script.count(|what| matches!(what, What::ClientUnsubscribedTopic { .. })), 1);
}

#[tokio::test]
async fn the_hook_sees_the_whole_packet() {
    let script = Script::default().on_subscribe(|context| {
        assert_eq!(context.subscription_identifier, Some(5));
        assert_eq!(&*context.client.client_identifier, "a");
        let asked: Vec<_> =
            context.subscriptions.iter().map(|it| (it.filter.as_str().to_string(), it.maximum_qos)).collect();
        assert_eq!(asked, [("x".to_string(), QOS1), ("y/#".to_string(), QOS0)]);
        SubscribeOutcome::all_next(2).into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let suback = client.subscribe_as(Some(5), vec![to("x", QOS1), to("y/#", QOS0)]).await;
    assert_eq!(suback.reason_codes.len(), 2);
}

#[tokio::test]
async fn a_session_that_is_deleted_while_it_subscribes_leaves_nothing_behind() {
    // What a deleted session had subscribed was taken out of the index, and then came what it was just
    // subscribing: routed to nobody, and never taken out again.
    let broker = Arc::new(OnceLock::<Arc<Broker>>::new());
    let script = Script::default().on_subscribe({
        let broker = broker.clone();
        move |context| {
            assert!(broker.get().unwrap().delete_session("a"));
            let verdict = |wanted: &SubscriptionRequest| match wanted.filter.as_str() {
                "silent" => SubscribeVerdict::GrantWithoutRouting,
                _ => SubscribeVerdict::Next,
            };
            let verdicts = context.subscriptions.iter().map(verdict).collect();
            SubscribeOutcome { verdicts, reply: None }.into()
        }
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    broker.set(server.broker().clone()).ok().unwrap();
    let mut client = Client::connect(&server, persistent(V5, "a")).await;
    let suback = client.subscribe_to(vec![to("t", QOS1), to("silent", QOS1)]).await;
    assert_eq!(suback.reason_codes, [ReasonCode::UNSPECIFIED_ERROR; 2]);
    assert_eq!(client.end().await, Some(ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(server.broker().subscription_count(), 0);
}

#[tokio::test]
async fn a_subscription_hook_may_close_the_connection() {
    let script = Script::default().on_subscribe(|context| {
        let reply = Reply { close: Some(ReasonCode::NOT_AUTHORIZED), ..Reply::default() };
        let verdicts = vec![SubscribeVerdict::Deny(ReasonCode::NOT_AUTHORIZED); context.subscriptions.len()];
        SubscribeOutcome { verdicts, reply: Some(Box::new(reply)) }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        // SUBACK still comes, then the farewell.
        assert!(client.subscribe_to(vec![to("t", QOS0)]).await.reason_codes[0].is_error());
        assert_eq!(client.end().await, (version == V5).then_some(ReasonCode::NOT_AUTHORIZED));
    }
}

#[tokio::test]
async fn every_verdict_on_an_unsubscription_is_carried_out() {
    let script = Script::default().on_unsubscribe(|context| {
        let verdict = |asked: &TopicFilter| match asked.as_str() {
            "keep" => UnsubscribeVerdict::Keep,
            "deny" => UnsubscribeVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
            _ => UnsubscribeVerdict::Next,
        };
        UnsubscribeOutcome { verdicts: context.filters.iter().map(verdict).collect(), reply: None }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    let all = ["plain", "keep", "deny"];
    receiver.subscribe_to(all.iter().map(|filter| to(filter, QOS0)).collect()).await;
    let codes = receiver.unsubscribe(&all).await.reason_codes;
    assert_eq!(codes, [ReasonCode::SUCCESS, ReasonCode::SUCCESS, ReasonCode::NOT_AUTHORIZED]);
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    for topic in all {
        sender.publish(topic, topic, QOS1).await;
    }
    assert_eq!(receiver.payloads(2).await, ["keep", "deny"]);
    receiver.assert_silent().await;
}

#[tokio::test]
async fn every_filter_is_answered_whatever_number_of_verdicts_a_hook_gives() {
    // A hook that gave fewer verdicts than there were filters made for a SUBACK with too few Reason Codes:
    // the client cannot tell which are meant, and strict ones close the connection.
    // [MQTT-3.8.4-6], [MQTT-3.11.3-1]
    let script = Script::default()
        .on_subscribe(|context| {
            let count = if context.subscriptions.len() == 3 { 1 } else { 9 };
            SubscribeOutcome::all_next(count).into()
        })
        .on_unsubscribe(|context| {
            let count = if context.filters.len() == 3 { 1 } else { 9 };
            UnsubscribeOutcome::all_next(count).into()
        });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let unjudged = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;
    let suback = client.subscribe_to(["a", "b", "c"].map(|filter| to(filter, QOS1)).into()).await;
    assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1, unjudged, unjudged]);
    let unsuback = client.unsubscribe(&["a", "b", "c"]).await;
    assert_eq!(unsuback.reason_codes, [ReasonCode::SUCCESS, unjudged, unjudged]);
    let suback = client.subscribe_to(["a", "b"].map(|filter| to(filter, QOS0)).into()).await;
    assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_0; 2]);
    assert_eq!(client.unsubscribe(&["a", "b"]).await.reason_codes, [ReasonCode::SUCCESS; 2]);
}

#[tokio::test]
async fn a_denial_is_a_denial_whatever_reason_code_a_hook_gives() {
    // A hook that denied with a Reason Code below 0x80 had the client told that it has the subscription.
    let script = Script::default()
        .on_subscribe(|context| {
            let verdicts = vec![SubscribeVerdict::Deny(ReasonCode::SUCCESS); context.subscriptions.len()];
            SubscribeOutcome { verdicts, reply: None }.into()
        })
        .on_unsubscribe(|context| {
            let verdicts = vec![UnsubscribeVerdict::Deny(ReasonCode::SUCCESS); context.filters.len()];
            UnsubscribeOutcome { verdicts, reply: None }.into()
        });
    let server = start_hooked(Options::default(), &script.shared()).await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        let suback = client.subscribe_to(vec![to("t", QOS1)]).await;
        assert_eq!(suback.reason_codes, [ReasonCode::UNSPECIFIED_ERROR]);
        if version == V5 {
            let unsuback = client.unsubscribe(&["t"]).await;
            assert_eq!(unsuback.reason_codes, [ReasonCode::UNSPECIFIED_ERROR]);
        }
    }
}

#[tokio::test]
async fn the_authorizer_judges_the_filter_that_is_subscribed_in_the_end() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let script = obedient().on_authorize({
        let asked = asked.clone();
        move |context| {
            assert_eq!(context.action, Action::Subscribe);
            asked.lock().unwrap().push(context.topic.to_string());
            let verdict = match context.topic {
                "own/+" => AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
                _ => AuthorizationVerdict::Next,
            };
            Authorization { verdict, cache: Duration::ZERO }.into()
        }
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    let suback = client.subscribe_to(vec![to("plain", QOS0), to("mine", QOS0), to("deny", QOS0)]).await;
    let denied = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_0, denied, denied]);
    assert_eq!(*asked.lock().unwrap(), ["plain", "own/+"]);
}

#[tokio::test]
async fn the_authorizer_judges_deliveries_where_it_wants_to() {
    let script = Script::default().with_deliveries().on_authorize(|context| {
        let verdict = match (context.action, context.client.client_identifier.as_ref()) {
            (Action::Deliver, "excluded") => AuthorizationVerdict::Deny(ReasonCode::NOT_AUTHORIZED),
            _ => AuthorizationVerdict::Allow,
        };
        Authorization { verdict, cache: Duration::from_secs(60) }.into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish_retained("kept", "x", QOS1).await;
    let mut excluded = Client::connect(&server, connect(V5, "excluded")).await;
    let mut included = Client::connect(&server, connect(V5, "included")).await;
    for client in [&mut excluded, &mut included] {
        client.subscribe("t", QOS1).await;
        client.subscribe("kept", QOS1).await;
    }
    assert_eq!(included.payloads(1).await, ["x"]);
    for _ in 0..2 {
        sender.publish("t", "y", QOS1).await;
        assert_eq!(included.payloads(1).await, ["y"]);
    }
    excluded.assert_silent().await;
}

#[tokio::test]
async fn the_enqueue_hook_chooses_who_gets_what() {
    let script = Script::default().on_enqueue(|context| {
        let sender = context.sender.map(|sender| sender.client_identifier.to_string());
        assert_eq!(sender.as_deref(), Some("sender"));
        match &context.message.payload[..] {
            b"none" => return EnqueueOutcome::Skip.into(),
            b"all" => return EnqueueOutcome::Deliver.into(),
            _ => {}
        }
        let mut copy = context.message.clone();
        copy.payload = "copy".into();
        copy.qos = QOS0;
        let choices = context.receivers.iter().map(|receiver| match receiver.client_identifier.as_ref() {
            "skipped" => Choice::Skip,
            "copied" => Choice::Copy(0),
            "wrong" => Choice::Copy(9),
            "offline" => {
                assert_eq!(receiver.client, ClientKey::default());
                Choice::Deliver
            }
            _ => Choice::Deliver,
        });
        EnqueueOutcome::Choose { choices: choices.collect(), copies: vec![copy] }.into()
    });
    let script = script.on_not_consumed(|context| {
        assert_eq!(context.why, WhyNotConsumed::AllVetoed);
        NotConsumedOutcome::Answer(ReasonCode::QUOTA_EXCEEDED).into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut clients = Vec::new();
    for name in ["skipped", "copied", "wrong", "plain", "offline"] {
        let mut client = Client::connect(&server, persistent(V5, name)).await;
        client.subscribe("t", QOS1).await;
        clients.push(client);
    }
    clients.pop().unwrap().disconnect().await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    assert_eq!(sender.publish("t", "choose", QOS2).await, ReasonCode::SUCCESS);
    let [skipped, copied, wrong, plain] = &mut clients[..] else { panic!() };
    let got = copied.message().await;
    assert_eq!((text(&got), got.qos), ("copy", QOS0));
    let got = plain.message().await;
    assert_eq!((text(&got), got.qos), ("choose", QOS1));
    skipped.assert_silent().await;
    wrong.assert_silent().await;
    assert_eq!(server.broker().client("offline").unwrap().queued, 1);
    // Everybody vetoed is told apart from nobody subscribed.
    assert_eq!(sender.publish("t", "none", QOS1).await, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(sender.publish("t", "all", QOS1).await, ReasonCode::SUCCESS);
    for client in &mut clients {
        assert_eq!(client.payloads(1).await, ["all"]);
    }
}

#[tokio::test]
async fn retained_messages_pass_the_enqueue_hook() {
    let script = Script::default().on_enqueue(|context| {
        assert_eq!(context.receivers.len(), 1);
        match context.message.topic.as_str() {
            "secret" => EnqueueOutcome::Skip,
            _ => EnqueueOutcome::Deliver,
        }
        .into()
    });
    let server = start_hooked(Options::default(), &script.shared()).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish_retained("secret", "no", QOS1).await;
    sender.publish_retained("open", "yes", QOS1).await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("#", QOS1).await;
    assert_eq!(receiver.payloads(1).await, ["yes"]);
    receiver.assert_silent().await;
}
