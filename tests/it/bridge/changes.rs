//! Bridges that are changed: what the other broker still has of them, what waits, and connections that do not end.

use std::sync::Arc;

use tidegate::bridge::{Direction, Overflow, QueueLimits};
use tidegate::broker::Options;
use tidegate::storage::Durability;

use super::*;
use crate::durability::{Obedient, start_as, start_on};
use crate::support::hooks::Gate;

#[tokio::test]
async fn what_a_bridge_does_not_carry_in_any_more_is_unsubscribed_there() {
    // The session there goes on, and what it had been asked for came for ever.
    for version in VERSIONS {
        let (here, there) = (start().await, start().await);
        let wanted = |filters: &[&str]| {
            let bridge = bridge("b", there.addresses()[0], version);
            vec![
                filters
                    .iter()
                    .fold(bridge, |bridge, filter| bridge.topic(topic(filter, Direction::In, QOS1))),
            ]
        };
        let filters: Vec<String> = (0..20).map(|number| format!("in/{number}")).collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let bridges = run(&here, wanted(&filters)).await;
        settled(&bridges, &there, 20).await;
        bridges.set(wanted(&filters[..2])).await;
        settled(&bridges, &there, 2).await;
        let mut subscriber = subscriber(&here, "in/#").await;
        let mut publisher = publisher(&there).await;
        for topic in ["in/7", "in/1"] {
            publisher.publish(topic, "x", QOS1).await;
        }
        assert_eq!(subscriber.message().await.topic, "in/1");
        let status = &bridges.status()[0];
        assert_eq!((status.connections, status.dropped.unmapped), (1, 0));
    }
}

#[tokio::test]
async fn what_was_carried_in_before_a_restart_is_unsubscribed_too() {
    let (storage, there) = (Arc::new(Obedient::default()), start().await);
    for (filters, has) in [(&["a", "b"][..], 2), (&["c"], 1), (&[], 0)] {
        let here = start_on(&storage).await;
        let wanted = filters.iter().fold(bridge("b", there.addresses()[0], V5), |bridge, filter| {
            bridge.topic(topic(filter, Direction::In, QOS1))
        });
        let bridges = run(&here, vec![wanted]).await;
        settled(&bridges, &there, has).await;
        bridges.stop().await;
        here.shutdown().await;
    }
}

#[tokio::test]
async fn a_bridge_may_hold_more_or_less_than_other_sessions_and_drop_what_it_is_told_to() {
    let few = Options { maximum_queued_messages: 5, ..Options::default() };
    let limits = |messages, overflow| QueueLimits { messages, bytes: 1 << 20, overflow };
    for (queue, expected) in [
        (None, vec![0, 1, 2, 3, 4]),
        (Some(limits(3, Overflow::DropNewest)), vec![0, 1, 2]),
        (Some(limits(3, Overflow::DropOldest)), vec![7, 8, 9]),
        (Some(limits(8, Overflow::DropNewest)), (0..8).collect()),
        (Some(QueueLimits { bytes: 1, ..limits(8, Overflow::DropNewest) }), vec![0]),
    ] {
        let (here, there) = (start_with(few.clone()).await, start().await);
        // Nobody answers there yet.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut wanted =
            bridge("b", closed.local_addr().unwrap(), V5).topic(topic("#", Direction::Out, QOS1));
        wanted.queue = queue;
        let bridges = run(&here, vec![wanted.clone()]).await;
        let mut publisher = publisher(&here).await;
        for number in 0..10 {
            publisher.publish("t", &number.to_string(), QOS1).await;
        }
        assert_eq!(bridges.status()[0].queued, expected.len(), "{queue:?}");
        let mut by_there = subscriber(&there, "t").await;
        wanted.dialer = bridge("b", there.addresses()[0], V5).dialer;
        bridges.set(vec![wanted]).await;
        let numbers: Vec<String> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(by_there.payloads(expected.len()).await, numbers, "{queue:?}");
    }
}

#[tokio::test]
async fn what_waits_for_a_bridge_with_more_room_than_others_is_not_displaced_before_that_starts_again() {
    // The session had the limits of all others until then, and the first message had all of it but two give way.
    let (storage, there) = (Arc::new(Obedient::default()), start().await);
    let few = Options { maximum_queued_messages: 2, overflow: Overflow::DropOldest, ..Options::default() };
    let start = || start_as(&storage, Durability::Always, few.clone());
    let here = start().await;
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut wanted = bridge("b", closed.local_addr().unwrap(), V5).topic(topic("#", Direction::Out, QOS1));
    wanted.queue = Some(QueueLimits { messages: 100, bytes: 1 << 20, overflow: Overflow::DropNewest });
    let bridges = run(&here, vec![wanted.clone()]).await;
    let mut before = publisher(&here).await;
    for number in 0..10 {
        before.publish("t", &number.to_string(), QOS1).await;
    }
    bridges.stop().await;
    here.shutdown().await;
    let here = start().await;
    publisher(&here).await.publish("t", "10", QOS1).await;
    let mut by_there = subscriber(&there, "t").await;
    wanted.dialer = bridge("b", there.addresses()[0], V5).dialer;
    let _bridges = run(&here, vec![wanted]).await;
    let numbers: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    assert_eq!(by_there.payloads(11).await, numbers);
}

#[tokio::test]
async fn a_bridge_that_is_taken_away_publishes_nothing_more_though_a_hook_kept_it_waiting() {
    // Its task was ended, and the one that it had made for its connection went on.
    let gate = Gate::default();
    let script = gate.before("in/held").shared();
    let (here, there) = (start_hooked(Options::default(), &script).await, start().await);
    let wanted = bridge("b", there.addresses()[0], V5).topic(topic("in/#", Direction::In, QOS1));
    let bridges = run(&here, vec![wanted]).await;
    settled(&bridges, &there, 1).await;
    let mut subscriber = subscriber(&here, "in/#").await;
    publisher(&there).await.publish("in/held", "x", QOS1).await;
    gate.reached().await;
    bridges.set(Vec::new()).await;
    assert!(here.broker().client("$bridge/b").is_none());
    gate.open();
    until(|| there.broker().client("bridge-b").is_some_and(|client| client.client.is_none())).await;
    publisher(&here).await.publish("in/other", "x", QOS1).await;
    assert_eq!(subscriber.message().await.topic, "in/other");
}
