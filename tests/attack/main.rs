//! An open port under attack: memory stays within its limits, and a well-behaved client beside the attackers loses
//! nothing and is answered.
//!
//! The broker is a process of its own, with limits small enough to be reached. Attacks are bounded, and on loopback.
//! `exempt = []` where guards of addresses are attacked: the well-behaved client then comes from another address
//! of loopback.
#![cfg(all(feature = "daemon", feature = "tls", feature = "websocket", target_os = "linux"))]

mod attackers;
mod broker;
mod bystander;
#[path = "../crash/wire.rs"]
mod wire;

use std::time::Duration;

use attackers as attack;
use broker::Broker;
use bystander::Bystander;

const MIB: usize = 1024 * 1024;

/// Runs the attack with a client beside it, which must lose nothing, and says how much the broker's memory grew at most.
async fn under(limits: &str, attack: impl AsyncFnOnce(&Broker)) -> usize {
    let broker = Broker::start(limits).await;
    let mut bystander = Bystander::connect(broker.port).await;
    let calm = bystander.watch(async |_| tokio::time::sleep(Duration::from_millis(300)).await).await;
    let before = broker.resident();
    let busy = bystander.watch(async |_| attack(&broker).await).await;
    let grown = broker.highest_resident().saturating_sub(before);
    println!("grown by {} KiB; answered within {calm:?} before and {busy:?} meanwhile", grown / 1024);
    // Attackers and broker share the machine's processors, maybe with others: this finds what stands still.
    assert!(busy.p99 < Duration::from_millis(500).max(calm.p99 * 50), "{busy:?} instead of {calm:?}");
    assert!(busy.count > 0, "nobody was answered");
    // A new client is let in as before.
    Bystander::connect(broker.port).await;
    grown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_connections_give_way_and_hold_little() {
    let limits = "[guard]\nmaximum-pending-connections = 1000\n";
    let grown = under(limits, async |broker| {
        let open = attack::half_open(broker, 3000).await;
        let pending = broker.figure("tidegate_pending_connections").await;
        assert!(pending <= 1000, "{pending}");
        let gave_way = broker.figure("tidegate_limit_reached_total{limit=\"pending-connections\"}").await;
        assert!(gave_way >= 2000, "{gave_way}");
        drop(open);
    })
    .await;
    assert!(grown < 24 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_never_end_are_ended_before_and_after_connect() {
    let limits = "[broker]\nconnect-timeout = \"1s\"\n[guard]\npacket-timeout = \"1s\"\nminimum-packet-rate = \"1MiB\"\n\
                  maximum-incomplete-bytes = \"8MiB\"\nmaximum-pending-bytes = \"4MiB\"\n";
    let grown = under(limits, async |broker| {
        attack::slow_connects(broker, 200).await;
        attack::slow_publishes(broker, 200).await;
    })
    .await;
    assert!(grown < 40 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_of_tls_and_web_socket_that_never_end_are_ended() {
    let limits = format!("{}[broker]\nconnect-timeout = \"1s\"\n", broker::FURTHER_DOORS);
    let grown = under(&limits, async |broker| {
        attack::slow_handshakes(broker, 200).await;
        let timeouts = broker.figure("tidegate_limit_reached_total{limit=\"connect-timeout\"}").await;
        assert!(timeouts >= 400, "{timeouts}");
        attack::rubbish_for_doors(broker, 150).await;
    })
    .await;
    // Of each handshake of TLS what rustls holds, some 20 KB.
    assert!(grown < 40 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connects_is_served_beside_others() {
    let grown = under("", async |broker| attack::connects(broker, 8, 500).await).await;
    assert!(grown < 32 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_connects_too_fast_is_turned_away() {
    let limits =
        "[guard]\nexempt = [\"127.0.0.1\"]\nconnection-rate-per-address = 20\nconnection-burst = \"1s\"\n";
    under(limits, async |broker| {
        let refused = attack::connects_from("127.0.0.2", broker, 4, 200).await;
        assert!(refused > 400, "{refused} of 800");
        let counted =
            broker.figure("tidegate_limit_reached_total{limit=\"connection-rate-per-address\"}").await;
        assert!(counted > 400, "{counted}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_made_to_be_slow_make_nothing_slow() {
    let grown = under("[broker]\nmaximum-subscriptions = 5000\n", async |broker| {
        attack::branching_filters(broker, 2, 5000).await;
        attack::deep_publishes(broker, 500).await;
    })
    .await;
    assert!(grown < 64 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_never_read_hold_what_the_limit_allows() {
    let limits = "[broker]\nmaximum-total-queued-bytes = \"16MiB\"\nmaximum-queued-bytes = \"4MiB\"\n\
                  maximum-total-output-bytes = \"1MiB\"\n";
    let grown = under(limits, async |broker| {
        let deaf = attack::deaf_subscribers(broker, 50, "flood/#").await;
        attack::publishes(broker, 2, 20_000, 1000).await;
        let unsent = broker.figure("tidegate_unsent_bytes").await;
        assert!(unsent > 0 && unsent <= (MIB + MIB / 4) as u64, "{unsent}");
        drop(deaf);
    })
    .await;
    // What sessions hold, what their sockets do not take, and what else it takes.
    assert!(grown < (16 + 1 + 40) * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giant_retained_tree_stops_at_its_limit() {
    let limits = "[broker]\nmaximum-retained-messages = 20000\nmaximum-retained-bytes = \"8MiB\"\n\
                  maximum-total-queued-bytes = \"16MiB\"\n";
    let grown = under(limits, async |broker| {
        attack::retained(broker, 30_000).await;
        let kept = broker.figure("tidegate_retained_messages").await;
        assert!(kept <= 20_000, "{kept}");
        drop(attack::deaf_subscribers(broker, 20, "#").await);
    })
    .await;
    assert!(grown < 80 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_garbage_end_their_own_connection_alone() {
    let grown = under("", async |broker| {
        attack::garbage(broker, 500).await;
        attack::property_bombs(broker, 100).await;
        attack::topic_bombs(broker, 100).await;
    })
    .await;
    assert!(grown < 64 * MIB, "{grown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_publishes_faster_than_it_may_is_slowed_down_and_loses_nothing() {
    let limits = "[guard]\nclient-publish-rate = 2000\npublish-burst = \"500ms\"\n";
    under(limits, async |broker| {
        let begun = std::time::Instant::now();
        attack::publishes(broker, 1, 5000, 100).await;
        assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    })
    .await;
}
