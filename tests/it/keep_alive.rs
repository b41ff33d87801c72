//! Keep-alive and PINGREQ.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::packet::{Connect, Packet, ReasonCode};
use tokio::time::{Instant, sleep};

use crate::support::*;

fn asking(version: tidegate::packet::ProtocolVersion, keep_alive: u16) -> Connect {
    Connect { keep_alive, ..connect(version, "a") }
}

#[tokio::test(start_paused = true)]
async fn silence_for_one_and_a_half_times_the_keep_alive_ends_the_connection() {
    // [MQTT-3.1.2-22]; in 3.1.1 [MQTT-3.1.2-24]
    let local = Local::start();
    for version in VERSIONS {
        let mut client = local.connect(asking(version, 10)).await;
        let begun = Instant::now();
        let last = client.receive_or_end_for(Duration::from_secs(100)).await;
        assert_eq!(begun.elapsed().as_secs(), 15, "{version}");
        match version {
            V5 => assert!(
                matches!(&last, Some(Packet::Disconnect(d)) if d.reason_code == ReasonCode::KEEP_ALIVE_TIMEOUT),
                "{last:?}"
            ),
            _ => assert_eq!(last, None),
        }
    }
    assert_eq!(local.broker.statistics().keep_alive_timeouts, 2);
}

#[tokio::test(start_paused = true)]
async fn every_packet_keeps_the_connection_alive() {
    // [MQTT-3.1.2-20]
    let local = Local::start();
    let mut client = local.connect(asking(V5, 10)).await;
    for n in 0..20 {
        sleep(Duration::from_secs(14)).await;
        match n % 2 {
            0 => client.ping().await,
            _ => client.send(Packet::Publish(publish("t", "x"))).await,
        }
    }
    client.ping().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_sends_does_not_keep_the_connection_alive() {
    let local = Local::start();
    let mut client = local.connect(asking(V5, 10)).await;
    client.subscribe("t", QOS0).await;
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..3 {
        sleep(Duration::from_secs(4)).await;
        sender.publish("t", "x", QOS0).await;
        client.message().await;
    }
    let begun = Instant::now();
    client.receive_or_end_for(Duration::from_secs(100)).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn taking_what_waited_does_not_keep_a_connection_alive_that_is_read_from() {
    // Whatever a socket took that had taken nothing before counted as a sign of life, and each socket that goes
    // over to another thread takes nothing at first: a silent client that had messages to receive stayed for as
    // long as it went from thread to thread. [MQTT-3.1.2-22]
    let local = Local::start();
    let (ours, theirs) = tokio::io::duplex(1024);
    local.serve(theirs);
    let mut client = Client::over(ours, V5);
    client.handshake(asking(V5, 10)).await;
    client.subscribe("t", QOS0).await;
    let begun = Instant::now();
    let mut sender = local.connect(connect(V5, "sender")).await;
    for _ in 0..3 {
        sender.publish("t", &"x".repeat(2000), QOS0).await;
        sleep(Duration::from_secs(4)).await;
        client.message().await;
    }
    client.receive_or_end_for(Duration::from_secs(100)).await;
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn keep_alive_zero_is_none() {
    // MQTT 5.0, 3.1.2.10
    let local = Local::start();
    for version in VERSIONS {
        let mut client = local.connect(asking(version, 0)).await;
        sleep(Duration::from_secs(1_000_000)).await;
        client.ping().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_keep_alive_is_the_one_that_counts() {
    // [MQTT-3.2.2-21], [MQTT-3.2.2-22]
    let local = Local::with(Options { maximum_keep_alive: 20, ..Options::default() });
    for (asked, server, seconds) in [(0, Some(20), 30), (1000, Some(20), 30), (10, None, 15)] {
        let (mut client, connack) = local.try_connect(asking(V5, asked)).await;
        assert_eq!(connack.server_keep_alive, server);
        let begun = Instant::now();
        client.receive_or_end_for(Duration::from_secs(100)).await;
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_that_is_too_short_becomes_the_shortest() {
    // [MQTT-3.2.2-21], [MQTT-3.2.2-22]
    let shortest = Options { minimum_keep_alive: 20, ..Options::default() };
    let both = Options { maximum_keep_alive: 40, ..shortest.clone() };
    for (options, asked, told, seconds) in [
        (&shortest, 1, Some(20), Some(30)),
        (&shortest, 20, None, Some(30)),
        (&shortest, 100, None, Some(150)),
        // None at all is not short.
        (&shortest, 0, None, None),
        (&both, 1, Some(20), Some(30)),
        (&both, 30, None, Some(45)),
        (&both, 100, Some(40), Some(60)),
        (&both, 0, Some(40), Some(60)),
    ] {
        let local = Local::with(options.clone());
        let (mut client, connack) = local.try_connect(asking(V5, asked)).await;
        assert_eq!(connack.server_keep_alive, told, "{asked}");
        let begun = Instant::now();
        match seconds {
            Some(seconds) => {
                client.receive_or_end_for(Duration::from_secs(1000)).await;
                assert_eq!(begun.elapsed().as_secs(), seconds, "{asked}");
            }
            None => {
                sleep(Duration::from_secs(100_000)).await;
                client.ping().await;
            }
        }
    }
    // A 3.1.1 client cannot be told.
    let mut client = Local::with(both).connect(asking(V311, 2)).await;
    let begun = Instant::now();
    assert_eq!(client.receive_or_end_for(Duration::from_secs(100)).await, None);
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_3_1_1_client_keeps_the_keep_alive_it_asked_for() {
    // A lower one was enforced against 3.1.1 clients, which cannot be told: they were cut off though they
    // kept to what they had agreed.
    let local = Local::with(Options { maximum_keep_alive: 20, ..Options::default() });
    let mut client = local.connect(asking(V311, 100)).await;
    sleep(Duration::from_secs(140)).await;
    client.ping().await;
}

#[tokio::test]
async fn pingreq_is_answered() {
    // [MQTT-3.12.4-1]
    let server = start().await;
    for version in VERSIONS {
        let mut client = Client::connect(&server, connect(version, "a")).await;
        for _ in 0..100 {
            client.send(Packet::Pingreq).await;
        }
        for _ in 0..100 {
            assert_eq!(client.receive().await, Packet::Pingresp);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_packet_that_never_ends_do_not_keep_the_connection_alive() {
    // Any byte counted as a sign of life, so that one client could keep as many connections as it liked with a
    // byte now and then of a packet that it never finished. [MQTT-3.1.2-22]
    let local = Local::start();
    let mut client = local.connect(asking(V5, 10)).await;
    client.send_bytes(&[0x30, 0xff, 0xff, 0x03]).await;
    let begun = Instant::now();
    for _ in 0..7 {
        sleep(Duration::from_secs(2)).await;
        client.send_bytes(b"x").await;
    }
    let last = client.receive_or_end_for(Duration::from_secs(100)).await;
    assert_eq!(begun.elapsed().as_secs(), 15);
    assert!(
        matches!(&last, Some(Packet::Disconnect(d)) if d.reason_code == ReasonCode::KEEP_ALIVE_TIMEOUT),
        "{last:?}"
    );
}
