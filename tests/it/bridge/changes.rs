//! Bridges that are changed: what the other broker still has of them, what waits, and connections that do not end.

use tidegate::bridge::Direction;
use tidegate::broker::Options;

use super::*;
use crate::support::hooks::Gate;

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
