//! The ways of the client to a server, each to a listener of ours and to those that others wrote.

pub mod direct;
#[cfg(all(feature = "tls", feature = "websocket"))]
pub mod mosquitto;
mod proxies;
#[cfg(feature = "tls")]
mod refusals;

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::client::DialError;
use tidegate::client::connector::Connector;
use tidegate::client::dial::{Dialer, ServerAddress, ServerUri};
use tidegate::packet::ReasonCode;
use tokio::net::TcpListener;

use crate::support::*;

/// What connects as a URI says.
pub fn dialer(uri: &str) -> Dialer {
    uri.parse::<ServerUri>().unwrap().dialer()
}

/// A server of this machine that goes by the name in its certificate.
pub fn at(uri: &str, server: SocketAddr) -> Dialer {
    let mut dialer = dialer(uri);
    dialer.address = ServerAddress::Host { host: server.ip().to_string(), port: server.port() };
    #[cfg(feature = "tls")]
    if let Some(tls) = &mut dialer.tls {
        tls.server_name = Some("broker.example".into());
    }
    dialer
}

/// A client that was let in over what a dialer opened.
pub async fn connected(dialer: &Dialer) -> Client {
    let stream = within(dialer.connect()).await.unwrap_or_else(|error| panic!("{dialer}: {error}"));
    let mut client = Client::over(stream, V5);
    let connack = client.handshake(connect(V5, &format!("client-{}", fastrand::u32(..)))).await;
    assert_eq!(connack.reason_code, ReasonCode::SUCCESS);
    client
}

/// Messages of many lengths go there and back.
pub async fn carries(dialer: &Dialer) {
    carries_these(dialer, &[0, 1, 100, 125, 126, 70_000, 300_000]).await;
}

/// Messages of these lengths do.
pub async fn carries_these(dialer: &Dialer, lengths: &[usize]) {
    let mut client = connected(dialer).await;
    let topic = format!("t/{}", fastrand::u32(..));
    client.subscribe(&topic, QOS0).await;
    for len in lengths {
        let payload = "x".repeat(*len);
        client.publish(&topic, &payload, QOS0).await;
        assert_eq!(text(&client.message().await), payload, "{dialer}");
    }
}

/// Why there is no stream.
pub async fn failed(dialer: &Dialer) -> DialError {
    match within(dialer.connect()).await {
        Ok(_) => panic!("{dialer} connected"),
        Err(error) => error,
    }
}

/// A listener at a free port.
pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Gives up soon on who never answers.
pub fn impatient(mut dialer: Dialer) -> Dialer {
    dialer.step_timeout = Duration::from_millis(100);
    dialer
}
