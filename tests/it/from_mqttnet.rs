//! The usual server of MQTTnet's users, as an example and, in `wasm`, as a plugin: both do the same.

use std::net::SocketAddr;

use tidegate::packet::{Connect, ProtocolVersion, QoS, ReasonCode};
use tokio::net::TcpStream;

use crate::examples::Example;
use crate::support::Client;
use crate::support::client::to;

#[tokio::test]
async fn the_usual_server_is_an_example() {
    let example = Example::start("validate_and_intercept");
    validates_and_intercepts(SocketAddr::from(([127, 0, 0, 1], example.port))).await;
}

fn login(client_identifier: &str, password: &str) -> Connect {
    let mut connect = Connect::new(ProtocolVersion::V5, client_identifier.to_owned().into());
    connect.user_name = Some("device".into());
    connect.password = Some(password.to_owned().into());
    connect
}

async fn connected(address: SocketAddr, connect: Connect) -> (Client, ReasonCode) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let mut client = Client::over(stream, ProtocolVersion::V5);
    let connack = client.handshake(connect).await;
    (client, connack.reason_code)
}

pub(crate) async fn validates_and_intercepts(address: SocketAddr) {
    let (_, refused) = connected(address, login("short", "open sesame")).await;
    assert_eq!(refused, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
    let (_, refused) = connected(address, login("thermometer", "please")).await;
    assert_eq!(refused, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    let (mut client, let_in) = connected(address, login("thermometer", "open sesame")).await;
    assert_eq!(let_in, ReasonCode::SUCCESS);

    let suback = client.subscribe_to(vec![to("admin/#", QoS::AtLeastOnce), to("#", QoS::AtLeastOnce)]).await;
    assert_eq!(suback.reason_codes, [ReasonCode::NOT_AUTHORIZED, ReasonCode::GRANTED_QOS_1]);

    client.publish("stamped/a", "x", QoS::AtLeastOnce).await;
    let stamped = client.message().await;
    let properties = stamped.properties.expect("it is stamped").user_properties;
    assert_eq!(properties.len(), 1, "{properties:?}");
    assert_eq!(&*properties[0].0, "received-at");
    assert!(properties[0].1.parse::<u64>().is_ok(), "{properties:?}");

    client.publish("plain", "x", QoS::AtLeastOnce).await;
    assert_eq!(client.message().await.properties, None);

    assert_eq!(client.publish("not/allowed", "x", QoS::AtLeastOnce).await, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(client.end().await, Some(ReasonCode::NOT_AUTHORIZED));
}
