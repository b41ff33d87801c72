//! Messages that could go in circles.

use tidegate::bridge::Direction;

use super::*;

/// Bridges from each broker to the next, and from the last to the first, both ways.
async fn ring(servers: &[&Server]) -> Vec<Bridges> {
    let mut bridges = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let next = servers[(index + 1) % servers.len()];
        let name = format!("from-{index}");
        let options = bridge(&name, next.addresses()[0], V5).topic(topic("t/#", Direction::Both, QOS1));
        bridges.push(run(server, vec![options]).await);
    }
    for (index, server) in servers.iter().enumerate() {
        until(|| bridges[index].status()[0].connected).await;
        // Its own bridge's, and that of the broker before.
        until(|| server.broker().subscription_count() == 2).await;
    }
    bridges
}

/// Each of the clients gets it once or, where two ways lead there, once by each way, and then nothing more.
async fn published(servers: &[&Server], subscribers: &mut [Client], at: usize, most: usize) {
    let payload = format!("from {at}");
    publisher(servers[at]).await.publish("t/x", &payload, QOS1).await;
    for (index, subscriber) in subscribers.iter_mut().enumerate() {
        assert_eq!(text(&subscriber.message().await), payload, "{index}");
    }
    // All that is on its way has come to its end once what comes behind it has.
    quiet(servers).await;
    for (index, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.ping_while_messages_come().await;
        subscriber.ping_while_messages_come().await;
        let more = subscriber.forget_waiting();
        assert!(more < most, "{index} got it {} times", more + 1);
    }
}

/// Waits until no session of any bridge holds a message.
async fn quiet(servers: &[&Server]) {
    let is_quiet = |server: &&Server| {
        let clients = server.broker().clients();
        let mut bridges = clients.iter().filter(|client| client.client_identifier.contains("bridge"));
        bridges.all(|client| client.queued == 0 && client.in_flight == 0)
    };
    // In either order, as a message is here before it is gone there.
    until(|| servers.iter().all(is_quiet) && servers.iter().rev().all(is_quiet)).await;
}

#[tokio::test]
async fn a_bridge_of_mqtt_3_1_1_gets_nothing_back_of_what_it_has_sent() {
    // By the bit in its CONNECT, which a broker of this kind refused.
    let (here, there) = (start().await, start().await);
    let options = bridge("b", there.addresses()[0], V311).topic(topic("t/#", Direction::Both, QOS1));
    let bridges = run(&here, vec![options]).await;
    settled(&bridges, &there, 1).await;
    assert!(
        there.broker().clients().iter().all(|client| client.client.is_some()),
        "and at the first attempt"
    );
    let mut subscribers = [subscriber(&here, "t/#").await, subscriber(&there, "t/#").await];
    for at in [0, 1] {
        published(&[&here, &there], &mut subscribers, at, 1).await;
    }
}

#[tokio::test]
async fn what_goes_round_a_ring_of_brokers_ends_where_it_began() {
    let (one, two, three) = (start().await, start().await, start().await);
    let servers = [&one, &two, &three];
    let _bridges = ring(&servers).await;
    let mut subscribers = Vec::new();
    for server in servers {
        subscribers.push(subscriber(server, "t/#").await);
    }
    for at in [0, 1, 2] {
        // By the way round in either direction.
        published(&servers, &mut subscribers, at, 2).await;
    }
}

#[tokio::test]
async fn what_two_brokers_send_each_other_over_two_bridges_comes_once() {
    let (one, other) = (start().await, start().await);
    let servers = [&one, &other];
    let _bridges = ring(&servers).await;
    let mut subscribers = [subscriber(&one, "t/#").await, subscriber(&other, "t/#").await];
    for at in [0, 1] {
        // By the bridge of either side.
        published(&servers, &mut subscribers, at, 2).await;
    }
}
