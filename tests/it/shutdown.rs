//! Shutdown, the limit of connections, and what an embedder can do.

use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::What;
use tidegate::message::ApplicationMessage;
use tidegate::packet::ReasonCode;
use tidegate::server::{ListenerOptions, Server, StartError};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

#[tokio::test]
async fn shutdown_tells_every_client_and_frees_the_port() {
    let script = Script::default().shared();
    let server = start_hooked(Options::default(), &script).await;
    let address = server.addresses()[0];
    let mut new = Client::connect(&server, connect(V5, "new")).await;
    let mut old = Client::connect(&server, connect(V311, "old")).await;
    let silent = Client::open(&server, V5).await;
    let shutdown = tokio::spawn(server.shutdown());
    assert_eq!(new.end().await, Some(ReasonCode::SERVER_SHUTTING_DOWN));
    assert_eq!(old.end().await, None);
    drop((new, old, silent));
    within(shutdown).await.unwrap();
    TcpListener::bind(address).await.unwrap();
    assert!(script.saw(|what| matches!(what, What::Stopped)));
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever_for_clients_that_do_not_listen() {
    let server = start().await;
    let silent = Client::open(&server, V5).await;
    let deaf = Client::connect(&server, connect(V5, "deaf")).await;
    let begun = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(30), server.shutdown()).await.expect("an end");
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop((silent, deaf));
}

#[tokio::test]
async fn a_connection_that_never_said_connect_does_not_hold_up_shutdown() {
    // Shutdown waited its full five seconds for such a connection, which nobody had told to end.
    let server = start().await;
    let mut silent = Client::open(&server, V5).await;
    let begun = std::time::Instant::now();
    let shutdown = tokio::spawn(server.shutdown());
    assert_eq!(silent.end().await, None);
    drop(silent);
    within(shutdown).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_was_queued_before_shutdown_is_still_sent() {
    // A connection that was told to end looked at nothing else: what had been queued for its client just
    // before, and acknowledged to the publisher, was dropped.
    let server = start().await;
    let mut receiver = Client::connect(&server, connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS0).await;
    let mut sender = Client::connect(&server, connect(V5, "sender")).await;
    sender.publish("t", "last words", QOS1).await;
    let shutdown = tokio::spawn(server.shutdown());
    assert_eq!(text(&receiver.message().await), "last words");
    assert_eq!(receiver.end().await, Some(ReasonCode::SERVER_SHUTTING_DOWN));
    drop((receiver, sender));
    within(shutdown).await.unwrap();
}

#[tokio::test]
async fn only_so_many_connections_are_accepted_and_others_are_told() {
    // MQTT 5.0, 3.2.2.2: 0x97, an administrative imposed limit has been exceeded
    let server = start_with(Options { maximum_connections: 2, ..Options::default() }).await;
    let first = Client::connect(&server, connect(V5, "1")).await;
    let mut second = Client::connect(&server, connect(V5, "2")).await;
    for (version, told) in [(V5, ReasonCode::QUOTA_EXCEEDED), (V311, ReasonCode::SERVER_UNAVAILABLE)] {
        // Also one with a session: it is not taken over by who is turned away.
        let (mut third, connack) = Client::try_connect(&server, connect(version, "2")).await;
        assert_eq!(connack.reason_code, told);
        assert_eq!(third.end().await, None);
    }
    second.ping().await;
    first.disconnect().await;
    // The place is free again, soon.
    loop {
        let (_, connack) = Client::try_connect(&server, connect(V5, "3")).await;
        if connack.reason_code == ReasonCode::SUCCESS {
            break;
        }
    }
    assert!(server.statistics().connections_refused >= 2);
}

#[tokio::test]
async fn those_who_are_to_be_told_that_there_is_no_room_are_bounded_too() {
    let server = start_with(Options { maximum_connections: 1, ..Options::default() }).await;
    let mut first = Client::connect(&server, connect(V5, "1")).await;
    // They say nothing, and wait.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(Client::open(&server, V5).await);
    }
    let mut closed = Client::open(&server, V5).await;
    assert_eq!(closed.last_packet().await, None);
    first.ping().await;
    // They do not hold up the end.
    let begun = std::time::Instant::now();
    within(server.shutdown()).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_listener_that_cannot_be_bound_starts_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let free = ListenerOptions::loopback(0);
    let second = ListenerOptions { name: "second".into(), ..ListenerOptions::loopback(port) };
    let builder = Server::builder().listener(free).listener(second);
    match builder.start().await {
        Err(error @ StartError::Listen { .. }) => {
            let said = error.to_string();
            assert!(said.contains(&port.to_string()) && said.contains("another process"), "{said}");
        }
        _ => panic!("it started"),
    }
}

#[tokio::test]
async fn an_embedder_publishes_lists_and_disconnects() {
    let server = start().await;
    let mut client = Client::connect(&server, persistent(V5, "a")).await;
    client.subscribe("t", QOS1).await;
    let topic = tidegate::topic::TopicName::try_from("t").unwrap();
    let told = server.publish(ApplicationMessage::new(topic, "from inside").with_qos(QOS1)).await;
    assert_eq!(told.reason, ReasonCode::SUCCESS);
    assert_eq!(text(&client.message().await), "from inside");
    client.ping().await;
    let clients = server.clients();
    assert_eq!((clients.len(), clients[0].subscriptions, clients[0].in_flight), (1, 1, 0));
    assert!(server.disconnect("a", ReasonCode::SERVER_MOVED));
    assert_eq!(client.end().await, Some(ReasonCode::SERVER_MOVED));
    until(|| !server.disconnect("a", ReasonCode::SERVER_MOVED)).await;
    assert!(!server.disconnect("nobody", ReasonCode::SERVER_MOVED));
}

#[tokio::test]
async fn a_dropped_server_stops() {
    let server = start().await;
    let address = server.addresses()[0];
    let mut client = Client::connect(&server, connect(V5, "a")).await;
    drop(server);
    assert_eq!(client.last_packet().await, None);
    until(|| std::net::TcpStream::connect(address).is_err()).await;
    assert!(TcpStream::connect(address).await.is_err());
}
