//! Clients that do not read, and sockets that say nothing.

use std::time::{Duration, Instant};

use tidegate::broker::Options;
use tidegate::packet::{Connect, Packet, ReasonCode};
use tidegate::server::Server;

use crate::support::*;

const MEGABYTE: usize = 1024 * 1024;

/// What one queue may hold in these tests.
fn small_queues() -> Options {
    Options { maximum_queued_bytes: 4 * MEGABYTE, ..Options::default() }
}

/// A client that subscribes and never reads again, and one that reads all it gets.
async fn deaf_and_listening(server: &Server) -> (Client, Client) {
    let mut deaf = Client::connect(server, persistent(V5, "deaf")).await;
    deaf.subscribe("flood", QOS1).await;
    let mut listening = Client::connect(server, connect(V5, "listening")).await;
    listening.subscribe("flood", QOS0).await;
    (deaf, listening)
}

/// Publishes this many megabytes, each of which the listening client gets before the next is sent.
async fn flood(server: &Server, listening: &mut Client, megabytes: usize) {
    let mut sender = Client::connect(server, connect(V311, "flooding")).await;
    let payload = "x".repeat(256 * 1024);
    for _ in 0..megabytes * 4 {
        assert_eq!(sender.publish("flood", &payload, QOS1).await, ReasonCode::SUCCESS);
        assert_eq!(listening.message().await.payload.len(), payload.len());
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_bounded_and_harms_nobody() {
    // A probe of another broker took 99 seconds for the takeover of such a client, and for every other
    // login meanwhile.
    let server = start_with(small_queues()).await;
    let (deaf, mut listening) = deaf_and_listening(&server).await;
    flood(&server, &mut listening, 110).await;
    let status = server.broker().client("deaf").unwrap();
    assert!(status.queued * 256 * 1024 <= 4 * MEGABYTE, "{} messages", status.queued);
    assert!(server.statistics().dropped_queue_full > 300);

    let begun = Instant::now();
    let address = server.addresses()[0];
    let unrelated = tokio::spawn(async move {
        for n in 0..20 {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut client = Client::over(stream, V5);
            client.handshake(connect(V5, &format!("unrelated-{n}"))).await;
        }
    });
    let (mut new, connack) = Client::try_connect(&server, persistent(V5, "deaf")).await;
    assert!(connack.session_present);
    within(unrelated).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // The messages in flight are the new connection's.
    assert!(new.message().await.dup);
    drop(deaf);
    listening.assert_silent().await;
}

#[tokio::test]
async fn qos0_to_a_client_that_never_reads_is_dropped() {
    let server = start_with(small_queues()).await;
    let mut deaf = Client::connect(&server, connect(V5, "deaf")).await;
    deaf.subscribe("flood", QOS0).await;
    let mut listening = Client::connect(&server, connect(V5, "listening")).await;
    listening.subscribe("flood", QOS0).await;
    flood(&server, &mut listening, 50).await;
    assert!(server.statistics().dropped_queue_full > 100);
    // Once it reads, it gets what was kept, and the connection is as good as new.
    deaf.send(Packet::Pingreq).await;
    while deaf.receive().await != Packet::Pingresp {}
    until(|| server.broker().client("deaf").unwrap().queued == 0).await;
}

#[tokio::test(start_paused = true)]
async fn qos1_is_kept_for_a_slow_client_that_qos0_floods() {
    // QoS 0 was always sent first and filled the queue that both share: QoS 1 that came meanwhile was
    // dropped, and what of it was queued before was not sent for as long as the flood went on.
    let local = Local::with(Options { maximum_queued_messages: 10, ..Options::default() });
    let mut slow = local.connect(connect(V5, "slow")).await;
    slow.subscribe("flood", QOS1).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    let flood = "0".repeat(100_000);
    for n in 0..20 {
        sender.publish("flood", &flood, QOS0).await;
        if n % 4 == 3 {
            sender.publish("flood", "1", QOS1).await;
        }
    }
    sender.ping().await;
    let queued = local.broker.client("slow").unwrap().queued;
    assert_eq!(queued, 10);
    let mut waited = 0;
    for last in 1..=5 {
        while slow.message().await.qos == QOS0 {
            waited += 1;
        }
        // What was taken before is on its way already; of what waits, QoS 1 is first.
        assert!(waited <= 4, "{waited} messages came before number {last}");
    }
}

#[tokio::test]
async fn acknowledgements_that_a_client_does_not_read_are_bounded_too() {
    // A client that sends and never reads is not read from any more, once enough waits for it.
    let server = start().await;
    let mut deaf = Client::connect(&server, connect(V5, "deaf")).await;
    let pings = [0xC0, 0].repeat(64 * 1024);
    let mut sent = 0;
    loop {
        let write = tokio::io::AsyncWriteExt::write_all(&mut deaf.stream, &pings);
        match tokio::time::timeout(Duration::from_secs(1), write).await {
            Ok(written) => written.unwrap(),
            Err(_) => break,
        }
        sent += pings.len();
        assert!(sent < 100 * MEGABYTE, "it is read from without end");
    }
    let mut other = Client::connect(&server, connect(V5, "other")).await;
    other.ping().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_long_loses_its_connection() {
    let options = Options { write_timeout: Duration::from_secs(30), ..small_queues() };
    let local = Local::with(options);
    let mut deaf = local.connect(persistent(V5, "deaf")).await;
    deaf.subscribe("flood", QOS0).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..10 {
        sender.publish("flood", &"x".repeat(100_000), QOS0).await;
    }
    sender.ping().await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(local.broker.client("deaf").unwrap().client.is_some());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(local.broker.client("deaf").unwrap().client.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_ends_with_its_keep_alive() {
    let local = Local::start();
    let asks = Connect { keep_alive: 60, ..persistent(V5, "gone") };
    let _half_open = local.connect(asks).await;
    tokio::time::sleep(Duration::from_secs(89)).await;
    assert!(local.broker.client("gone").unwrap().client.is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(local.broker.client("gone").unwrap().client.is_none());
}

#[tokio::test]
async fn sockets_that_say_nothing_keep_nobody_out() {
    let server = start().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(Client::open(&server, V5).await);
    }
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    client.ping().await;
    assert_eq!(server.broker().session_count(), 1);
}
