//! Listeners that come and go while the server runs.

use std::net::{Ipv4Addr, SocketAddr};

use tidegate::packet::ReasonCode;
use tidegate::server::{ListenerOptions, StartError};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

fn named(name: &str) -> ListenerOptions {
    ListenerOptions { name: name.into(), ..ListenerOptions::loopback(0) }
}

async fn client_at(address: SocketAddr, name: &str) -> Client {
    let mut client = Client::over(TcpStream::connect(address).await.unwrap(), V5);
    assert_eq!(client.handshake(connect(V5, name)).await.reason_code, ReasonCode::SUCCESS);
    client
}

#[tokio::test]
async fn a_listener_that_is_added_takes_clients_and_one_that_is_removed_keeps_those_it_has() {
    let server = start().await;
    let added = server.add_listener(named("second")).await.unwrap();
    let address = added.address.tcp().unwrap();
    assert_eq!(server.addresses()[1], address);
    let mut client = client_at(address, "client").await;
    assert!(server.remove_listener("second").await);
    assert!(!server.remove_listener("second").await);
    client.ping().await;
    // The address is free at once.
    TcpListener::bind(address).await.unwrap();
    assert_eq!(server.listeners().len(), 1);
}

#[tokio::test]
async fn a_second_listener_of_the_same_name_is_refused() {
    let server = start().await;
    let taken = server.add_listener(named("default")).await;
    assert!(matches!(taken, Err(StartError::NameTaken(name)) if name == "default"));
    let twice = tidegate::server::Server::builder().listener(named("a")).listener(named("a")).start().await;
    assert!(matches!(twice, Err(StartError::NameTaken(_))));
}

#[tokio::test]
async fn a_listener_that_is_changed_serves_new_clients_by_its_new_options() {
    let server = start().await;
    let mut before = Client::connect(&server, connect(V5, "before")).await;
    let closed = ListenerOptions::new("default", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    assert!(server.change_listener(&closed).unwrap());
    let (_, connack) = Client::try_connect(&server, connect(V5, "after")).await;
    assert_eq!(connack.reason_code, ReasonCode::NOT_AUTHORIZED);
    before.ping().await;
    let elsewhere = ListenerOptions::loopback(1);
    assert!(!server.change_listener(&elsewhere).unwrap());
}
