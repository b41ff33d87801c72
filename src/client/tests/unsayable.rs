//! What a user asks for and MQTT, or the server, has no way to take.

use super::*;
use crate::packet::{EncodeError, PublishProperties, SubscribeFilter, Unsubscribe, UserProperty};
use crate::topic::InvalidTopic;

fn null() -> Vec<UserProperty> {
    vec![("a".into(), "\0".into())]
}

#[test]
fn texts_that_mqtt_does_not_have_are_no_options() {
    // [MQTT-1.5.4-2]
    // They were sent, and a server that refused the CONNECT was asked again without end.
    let changes: [(&str, fn(&mut Connect)); 5] = [
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
