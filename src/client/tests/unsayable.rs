//! What a user asks for and MQTT, or the server, has no way to take.

use super::*;
use crate::packet::{
    Auth, EncodeError, PublishProperties, ReasonCode, SubscribeFilter, Unsubscribe, UserProperty,
};
use crate::topic::InvalidTopic;

fn null() -> Vec<UserProperty> {
    vec![("a".into(), "\0".into())]
}

type Change = fn(&mut Connect);

#[test]
fn texts_that_mqtt_does_not_have_are_no_options() {
    // [MQTT-1.5.4-2]
    // They were sent, and a server that refused the CONNECT was asked again without end.
    let changes: [(&str, Change); 5] = [
        ("use a client identifier: it contains U+0000", |it| it.client_identifier = "a\0".into()),
        ("use a user name: it contains U+0000", |it| it.user_name = Some("\0".into())),
        ("use an authentication method: it contains U+0000", |it| {
            it.authentication_method = Some("\0".into())
        }),
        ("use the value of a user property: it contains U+0000", |it| it.user_properties = null()),
        ("use maximum_packet_size of CONNECT: no packet is so small", |it| it.maximum_packet_size = Some(0)),
    ];
    for (says, change) in changes {
        let (_stage, mut options) = Stage::new(V5);
        change(&mut options.connect);
        assert_eq!(Client::new(options).unwrap_err().to_string(), says);
    }
}

#[tokio::test(start_paused = true)]
async fn texts_that_mqtt_does_not_have_are_not_published() {
    // [MQTT-1.5.4-2] [MQTT-3.3.2-14]
    // They were sent; the server ended the connection, and got them again on the next one, without end.
    let changes: [fn(&mut PublishProperties); 4] = [
        |it| it.content_type = Some("\0".into()),
        |it| it.response_topic = Some("a/#".into()),
        |it| it.response_topic = Some("".into()),
        |it| it.user_properties = null(),
    ];
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    for change in changes {
        let mut publish = message(QoS::AtLeastOnce);
        change(publish.properties.get_or_insert_default());
        let error = client.try_publish(publish).unwrap_err();
        assert!(matches!(error, PublishError::Encode(EncodeError::Invalid { .. })), "{error}");
    }
    assert!(server.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_cannot_understand_is_not_subscribed_to_nor_given_up() {
    // [MQTT-1.5.4-2] [MQTT-3.8.3-4]
    // It was sent, and again on each connection.
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let own =
        SubscribeFilter { no_local: true, ..SubscribeFilter::new("$share/g/a".into(), QoS::AtMostOnce) };
    let error = client.subscribe(own).await.unwrap_err().to_string();
    assert_eq!(error, "encode No Local: a Shared Subscription has no such thing");
    let mut options = SubscribeOptions::from("a");
    options.user_properties = null();
    assert!(matches!(client.subscribe(options).await, Err(SubscribeError::Encode(_))));
    let error = client.unsubscribe(["a/#/b"]).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Filter(InvalidTopic::MultiLevelWildcard)), "{error}");
    let packet_identifier = PacketIdentifier::FIRST;
    let unsubscribe = Unsubscribe { packet_identifier, user_properties: null(), filters: vec!["a".into()] };
    assert!(matches!(client.unsubscribe_with(unsubscribe).await, Err(SubscribeError::Encode(_))));
    assert!(server.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_leaves_out_what_cannot_be_said() {
    // [MQTT-3.14.2-3] [MQTT-3.14.2-4] [MQTT-1.5.4-2]
    // It was sent whole, however little the server takes.
    let reason_code = ReasonCode::DISCONNECT_WITH_WILL_MESSAGE;
    let expires = Disconnect { session_expiry_interval: Some(9), ..Disconnect::new(reason_code) };
    let long = Disconnect { reason_string: Some("a".repeat(100).into()), ..expires.clone() };
    let broken = Disconnect { user_properties: null(), ..expires.clone() };
    for (limit, asked, said) in
        [(50, long.clone(), expires.clone()), (8, long, Disconnect::new(reason_code)), (50, broken, expires)]
    {
        let connack = Connack { maximum_packet_size: Some(limit), ..Connack::default() };
        let (client, _stage, mut server) = connected(V5, connack).await;
        client.disconnect_with(asked).await.unwrap();
        assert_eq!(server.receive().await, Packet::Disconnect(Box::new(said)));
    }
}

/// Says what it is told to.
struct Long(usize);

impl Authentication for Long {
    fn method(&self) -> bytestring::ByteString {
        "LONG".into()
    }

    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Exchange>, BoxError>> {
        let exchange: Box<dyn Exchange> = Box::new(Long(self.0));
        Box::pin(std::future::ready(Ok(exchange)))
    }
}

impl Exchange for Long {
    fn initial(&mut self) -> Option<bytes::Bytes> {
        Some(vec![0; self.0].into())
    }

    fn proceed(&mut self, _: Option<bytes::Bytes>) -> Result<Option<bytes::Bytes>, BoxError> {
        Ok(Some(vec![0; 100].into()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_auth_that_the_server_does_not_take_is_not_sent() {
    // [MQTT-3.2.2-15]
    // It was sent whatever the server's Maximum Packet Size.
    let connack = || Connack { maximum_packet_size: Some(50), ..Connack::default() };
    for (first, is_begun) in [(100, false), (1, true)] {
        let (stage, mut options) = Stage::new(V5);
        options.authentication = Some(Arc::new(Long(first)));
        let (client, mut stage, mut server) = connected_with(stage, options, connack()).await;
        let (proved, ()) = tokio::join!(client.reauthenticate(), async {
            if is_begun {
                assert!(matches!(server.receive().await, Packet::Auth(_)));
                let auth = Auth {
                    reason_code: ReasonCode::CONTINUE_AUTHENTICATION,
                    authentication_method: Some("LONG".into()),
                    ..Auth::default()
                };
                server.send(Packet::Auth(Box::new(auth))).await;
                assert!(matches!(server.receive().await, Packet::Disconnect(_)));
                stage.accept(connack()).await;
            } else {
                assert!(server.is_silent().await);
            }
        });
        let error = proved.unwrap_err();
        assert!(matches!(error, ConnectError::Ended(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_acknowledgement_is_not_connected_to() {
    // [MQTT-3.2.2-15]
    // Acknowledgements and pings were sent to it.
    let (mut stage, options) = Stage::new(V5);
    let client = Client::new(options).unwrap();
    let connack = Connack { maximum_packet_size: Some(4), ..Connack::default() };
    let (connected, (mut server, _)) = tokio::join!(client.connect(), stage.accept(connack));
    let error = connected.unwrap_err().to_string();
    assert_eq!(error, "connect: the server takes packets of 4 bytes, and PUBCOMP has 5");
    assert_eq!(server.try_receive().await, None);
}
