//! What connections hold because their sockets take nothing: all of it together has a limit.

use tidegate::broker::{Options, Statistics};
use tidegate::packet::{Packet, ReasonCode};
use tidegate::server::Server;
use tokio::net::TcpSocket;

use crate::support::*;

const MAXIMUM: usize = 400_000;

fn options() -> Options {
    Options { maximum_total_output_bytes: MAXIMUM, ..Options::default() }
}

/// A client that reads nothing, and what it was sent: so much that its connection takes no more.
async fn deaf(local: &Local, sender: &mut Client, name: &str) -> Client {
    let mut deaf = local.connect(persistent(V5, name)).await;
    deaf.subscribe(name, QOS1).await;
    fill(sender, name, 20, 20_000).await;
    deaf
}

async fn fill(sender: &mut Client, topic: &str, messages: usize, size: usize) {
    for _ in 0..messages {
        sender.publish(topic, &"x".repeat(size), QOS1).await;
    }
}

fn figures(local: &Local) -> Statistics {
    local.broker.statistics()
}

fn is_connected(local: &Local, name: &str) -> bool {
    local.broker.client(name).is_some_and(|status| status.client.is_some())
}

#[tokio::test(start_paused = true)]
async fn who_has_been_stuck_longest_is_disconnected_first_and_told_why() {
    let local = Local::with(options());
    let mut sender = local.connect(connect(V311, "sender")).await;
    let mut all = Vec::new();
    while figures(&local).limit_total_output_bytes == 0 {
        all.push(deaf(&local, &mut sender, &format!("deaf-{}", all.len())).await);
        assert!(all.len() < 50, "nothing holds {MAXIMUM} bytes");
    }
    assert!(all.len() > 4, "{} clients hold more than {MAXIMUM} bytes", all.len());
    assert_eq!(figures(&local).limit_total_output_bytes, 1);
    assert!(!is_connected(&local, "deaf-0"));
    assert!((1..all.len()).all(|n| is_connected(&local, &format!("deaf-{n}"))));
    // It is told when it reads in time, and its session has what was not sent.
    let mut last = all[0].receive().await;
    while let Packet::Publish(_) = last {
        last = all[0].receive().await;
    }
    let Packet::Disconnect(farewell) = last else { panic!("{last:?}") };
    assert_eq!(farewell.reason_code, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(all[0].receive_or_end().await, None);
    drop(all.remove(0));
    until(|| figures(&local).unsent_bytes <= MAXIMUM as u64).await;
    assert!(local.broker.client("deaf-0").unwrap().queued > 0);
    let mut again = local.connect(persistent(V5, "deaf-0")).await;
    assert!(again.message().await.dup);
    // What is given up counts no more.
    drop((again, all));
    until(|| figures(&local).unsent_bytes == 0).await;
}

#[tokio::test(start_paused = true)]
async fn where_little_is_left_who_is_stuck_gets_no_more_until_it_reads() {
    let local = Local::with(options());
    let mut sender = local.connect(connect(V5, "sender")).await;
    let mut early = local.connect(connect(V5, "early")).await;
    early.subscribe("early", QOS1).await;
    // Of which the stream takes 64 KiB.
    fill(&mut sender, "early", 8, 10_000).await;
    let mut others = Vec::new();
    while figures(&local).unsent_bytes < MAXIMUM as u64 * 3 / 4 {
        others.push(deaf(&local, &mut sender, &format!("deaf-{}", others.len())).await);
    }
    let before = figures(&local).unsent_bytes;
    fill(&mut sender, "early", 5, 10_000).await;
    let queued = || local.broker.client("early").unwrap().queued;
    assert_eq!((figures(&local).unsent_bytes, queued()), (before, 5));
    // Who reads is not concerned.
    let mut reads = local.connect(connect(V5, "reads")).await;
    reads.subscribe("early", QOS0).await;
    fill(&mut sender, "early", 5, 10_000).await;
    for _ in 0..5 {
        assert_eq!(reads.message().await.payload.len(), 10_000);
    }
    for _ in 0..18 {
        assert_eq!(early.message().await.payload.len(), 10_000);
    }
    until(|| queued() == 0).await;
    assert_eq!(figures(&local).limit_total_output_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_higher_limit_holds_at_once() {
    let local = Local::with(options());
    let mut sender = local.connect(connect(V5, "sender")).await;
    local.broker.set_options(Options { maximum_total_output_bytes: 4 * MAXIMUM, ..Options::default() });
    let mut all = Vec::new();
    while figures(&local).unsent_bytes < 2 * MAXIMUM as u64 {
        all.push(deaf(&local, &mut sender, &format!("deaf-{}", all.len())).await);
    }
    assert_eq!(figures(&local).limit_total_output_bytes, 0);
}

fn few_messages() -> Options {
    Options { maximum_queued_messages: 100, ..options() }
}

/// A client that reads nothing, for which the kernel takes little.
async fn deaf_over_tcp(server: &Server, name: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = Client::over(socket.connect(server.addresses()[0]).await.unwrap(), V5);
    deaf.handshake(persistent(V5, name)).await;
    deaf.subscribe("flood", QOS0).await;
    deaf
}

#[tokio::test]
async fn deaf_clients_give_way_over_real_sockets_and_who_reads_gets_everything() {
    let server = start_with(few_messages()).await;
    let mut listening = Client::connect(&server, connect(V5, "listening")).await;
    listening.subscribe("flood", QOS1).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    let ended = || server.statistics().limit_total_output_bytes;
    let unsent = || server.statistics().unsent_bytes;
    let (mut all, mut sent) = (Vec::new(), 0);
    while ended() == 0 && all.len() < 200 {
        all.push(deaf_over_tcp(&server, &format!("deaf-{}", all.len())).await);
        for _ in 0..100 {
            sent += 1;
            sender.publish("flood", &format!("{sent:0>5000}"), QOS1).await;
            assert_eq!(text(&listening.message().await).parse::<usize>().unwrap(), sent);
        }
        if unsent() >= MAXIMUM as u64 * 3 / 4 {
            // Beyond it are they as soon as one more is stuck.
            let options = Options { maximum_total_output_bytes: MAXIMUM / 2, ..few_messages() };
            server.broker().set_options(options);
        }
    }
    assert!(ended() > 0, "{} bytes of {} clients", unsent(), all.len());
    until(|| unsent() <= MAXIMUM as u64 / 2).await;
    until(|| server.statistics().connected == all.len() as u64 + 2 - ended()).await;
}
