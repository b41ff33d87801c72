//! Clients that stopped reading, with full buffers and a full queue, hold up nobody: not who takes them over, not
//! who logs in, not the end of the broker.
//!
//! "At once" is without any passing of time: where time is paused it goes on only while everybody waits for it, so
//! that a wait for the stuck client, however short, would show.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::packet::{Connect, Packet, ProtocolVersion, QoS, ReasonCode};
use tidegate::server::Server;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::*;

const LARGE: usize = 100_000;

fn short_queues() -> Options {
    Options { maximum_queued_messages: 10, ..Options::default() }
}

/// A client that takes no more: what its connection buffers is full, and so is its queue.
async fn stuck(local: &Local, connect: Connect, qos: QoS) -> Client {
    let mut stuck = local.connect(connect).await;
    stuck.subscribe("flood", qos).await;
    let mut sender = local.connect(connect_as_sender()).await;
    let before = local.broker.statistics().dropped_queue_full;
    while local.broker.statistics().dropped_queue_full == before {
        sender.publish("flood", &"x".repeat(LARGE), qos).await;
        sender.ping().await;
    }
    sender.disconnect().await;
    stuck
}

fn connect_as_sender() -> Connect {
    connect(V5, "sender")
}

/// What happens without any waiting.
async fn at_once<T>(what: &str, act: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = act.await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "{what}");
    done
}

/// Others come, and are served.
async fn others_log_in_at_once(local: &Local) {
    for n in 0..10 {
        let version = VERSIONS[n % 2];
        let mut other = at_once("login", local.connect(connect(version, &format!("other-{n}")))).await;
        at_once("SUBSCRIBE", other.subscribe("other", QOS1)).await;
        assert!(!at_once("PUBLISH", other.publish("nobody", "x", QOS2)).await.is_error());
        at_once("DISCONNECT", other.disconnect()).await;
    }
}

/// Every version, QoS, and whether the session goes on.
fn kinds() -> impl Iterator<Item = (ProtocolVersion, QoS, bool)> {
    let versions = VERSIONS.into_iter().flat_map(|version| [QOS0, QOS1].map(|qos| (version, qos)));
    versions.flat_map(|(version, qos)| [false, true].map(|clean_start| (version, qos, clean_start)))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_taken_over_at_once() {
    // MQTTnet took 100 seconds for it, and for every other login meanwhile [MQTT-3.1.4-3].
    for (version, qos, clean_start) in kinds() {
        let local = Local::with(short_queues());
        let _stuck = stuck(&local, persistent(version, "stuck"), qos).await;
        others_log_in_at_once(&local).await;
        let again = Connect { clean_start, ..persistent(version, "stuck") };
        let (mut new, connack) = at_once("takeover", local.try_connect(again)).await;
        assert_eq!((connack.reason_code, connack.session_present), (ReasonCode::SUCCESS, !clean_start));
        // The old connection is still trying to say farewell.
        others_log_in_at_once(&local).await;
        // What the new one sends does not wait for it either, nor what it is sent.
        let identifier = new.next_identifier();
        let mut sent = publish("nobody", "x");
        (sent.qos, sent.packet_identifier) = (QOS1, Some(identifier));
        at_once("PUBACK", async {
            new.send(Packet::Publish(sent)).await;
            let is_ack =
                |packet: &Packet| matches!(packet, Packet::Puback(ack) if ack.packet_identifier == identifier);
            while !is_ack(&new.receive().await) {}
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_will_of_a_client_that_does_not_read_is_published_at_once_when_it_is_taken_over() {
    let local = Local::with(short_queues());
    let mut witness = local.connect(connect(V5, "witness")).await;
    witness.subscribe("will", QOS1).await;
    let _stuck = stuck(&local, with_will(persistent(V5, "stuck"), will("will", "gone")), QOS1).await;
    let _new = at_once("takeover", local.connect(persistent(V5, "stuck"))).await;
    assert_eq!(text(&at_once("Will", witness.message()).await), "gone");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_and_does_not_read_is_taken_over_at_once() {
    // It is not read from any more, as nothing can be answered: nobody may wait until it is.
    let local = Local::start();
    let mut stuck = local.connect(persistent(V5, "stuck")).await;
    let pings = [0xC0, 0].repeat(32 * 1024);
    while tokio::time::timeout(Duration::from_secs(1), stuck.send_bytes(&pings)).await.is_ok() {}
    others_log_in_at_once(&local).await;
    let (mut new, connack) = at_once("takeover", local.try_connect(persistent(V5, "stuck"))).await;
    assert!(connack.session_present);
    at_once("PINGRESP", new.ping()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_loses_its_connection_at_once_when_it_is_kicked_or_deleted() {
    let local = Local::with(short_queues());
    for delete in [false, true] {
        let _stuck = stuck(&local, persistent(V5, "stuck"), QOS1).await;
        at_once("end", async {
            match delete {
                true => assert!(local.broker.delete_session("stuck")),
                false => assert!(local.broker.disconnect("stuck", ReasonCode::ADMINISTRATIVE_ACTION)),
            }
            // Others that are ready get their turn; nobody waits.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(local.broker.statistics().connected, 0);
        let (_, connack) = at_once("login", local.try_connect(persistent(V5, "stuck"))).await;
        assert_eq!(connack.session_present, !delete);
        local.broker.delete_session("stuck");
    }
}

/// Publishes until every one of the subscribers has a full queue.
async fn fill(server: &Server, subscribers: usize) {
    let mut sender = Client::connect(server, connect(V5, "filling")).await;
    let payload = "x".repeat(LARGE);
    let mut dropped = 0;
    while dropped < subscribers as u64 {
        let before = server.statistics().dropped_queue_full;
        sender.publish("flood", &payload, QOS1).await;
        dropped = server.statistics().dropped_queue_full - before;
    }
    sender.disconnect().await;
}

#[tokio::test]
async fn many_clients_that_do_not_read_are_taken_over_while_others_log_in() {
    // The same over real sockets, whose buffers are full, and on several threads. The bound is that of every wait
    // here; what is waited for is that all are in.
    const STUCK: usize = 20;
    let server = start_with(short_queues()).await;
    let mut stuck = Vec::new();
    for n in 0..STUCK {
        let mut client = Client::connect(&server, persistent(V5, &format!("stuck-{n}"))).await;
        client.subscribe("flood", QOS1).await;
        stuck.push(client);
    }
    fill(&server, STUCK).await;
    let address = server.addresses()[0];
    let log_in = move |connect: Connect| async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut client = Client::over(stream, V5);
        let connack = client.handshake(connect).await;
        assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
        (client, connack.session_present)
    };
    let mut logins = JoinSet::new();
    for n in 0..STUCK {
        logins.spawn(log_in(persistent(V5, &format!("stuck-{n}"))));
        logins.spawn(log_in(connect(V5, &format!("other-{n}"))));
    }
    let all = within(logins.join_all()).await;
    assert_eq!(all.iter().filter(|(_, session_present)| *session_present).count(), STUCK);
    assert_eq!(server.statistics().takeovers, STUCK as u64);
    drop(stuck);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_up_shutdown() {
    // What it may take for a farewell is a second; the bound is that of every wait here, and shutdown would give up
    // on connections only when it is over.
    let server = start_with(short_queues()).await;
    let mut stuck = Client::connect(&server, persistent(V5, "stuck")).await;
    stuck.subscribe("flood", QOS1).await;
    fill(&server, 1).await;
    let broker = server.broker().clone();
    within(server.shutdown()).await;
    let statistics = broker.statistics();
    assert_eq!((statistics.connected, statistics.ended_by_shutdown), (0, 1));
}
