//! How connections begin and end, and servers that do what they must not.

use super::*;
use crate::packet::{PacketType, Unsuback};

#[tokio::test]
async fn a_refusal_is_an_error_with_its_reason() {
    let (mut stage, options) = Stage::new(V5);
    let refusal = Connack { reason_string: Some("go away".into()), ..Connack::refused(ReasonCode::BANNED) };
    let (connected, _) = tokio::join!(connect(options), stage.accept(refusal));
    let error = connected.err().unwrap().to_string();
    assert_eq!(error, "connect: the server refused: Banned (0x8A): go away");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_a_ping_is_gone() {
    let (stage, mut options) = Stage::new(V311);
    options.reconnect = None;
    let (client, _stage, mut server) = connected_with(stage, options, Connack::default()).await;
    assert_eq!(server.receive().await, Packet::Pingreq);
    server.send(Packet::Pingresp).await;
    assert_eq!(server.receive().await, Packet::Pingreq);
    assert!(matches!(client.wait_for_end().await, End::KeepAlive));
    let published = client.publish(message(QoS::AtMostOnce)).await;
    assert!(matches!(published, Err(PublishError::Ended(End::KeepAlive))));
}

#[tokio::test]
async fn who_waits_learns_why_the_client_ended() {
    let (stage, mut options) = Stage::new(V5);
    options.reconnect = None;
    let (client, _stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let mut messages = client.messages();
    let publishing = client.begin_publish(message(QoS::AtLeastOnce)).await.unwrap();
    server.receive().await;
    server.send(Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN)))).await;
    let error = publishing.answer().await.unwrap_err().to_string();
    assert_eq!(error, "use the connection: the server ended it: Server shutting down (0x8B)");
    assert!(messages.next().await.is_none());
    assert!(matches!(messages.end(), Some(End::Server(_))));
}

#[tokio::test]
async fn disconnect_follows_what_was_published_before() {
    let (client, _stage, mut server) = connected(V311, Connack::default()).await;
    client.enqueue(numbered(QoS::AtMostOnce, 1)).await.unwrap();
    client.enqueue(numbered(QoS::AtLeastOnce, 2)).await.unwrap();
    let leaving = client.clone();
    let left = tokio::spawn(async move { leaving.disconnect().await });
    assert_eq!(text(&server.receive_publish().await), "1");
    let id = id_of(&server.receive_publish().await);
    server.send(Packet::Puback(ack(id))).await;
    assert!(matches!(server.receive().await, Packet::Disconnect(_)));
    assert!(server.try_receive().await.is_none());
    left.await.unwrap().unwrap();
    assert!(matches!(client.disconnect().await, Err(DisconnectError::Ended(End::Client))));
}

#[tokio::test(start_paused = true)]
async fn disconnect_waits_no_longer_than_it_may() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    client.enqueue(message(QoS::AtLeastOnce)).await.unwrap();
    let (left, ()) = tokio::join!(client.disconnect(), async {
        server.receive_publish().await;
        assert!(matches!(server.receive().await, Packet::Disconnect(_)));
        assert!(server.try_receive().await.is_none());
    });
    assert!(matches!(left, Err(DisconnectError::NotFlushed { left: 1, .. })), "{left:?}");
}

#[tokio::test]
async fn the_last_handle_that_is_dropped_disconnects() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let other = client.clone();
    drop(client);
    other.enqueue(message(QoS::AtMostOnce)).await.unwrap();
    drop(other);
    server.receive_publish().await;
    assert!(matches!(server.receive().await, Packet::Disconnect(_)));
    assert!(server.try_receive().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_events_tell_of_them() {
    let (mut stage, mut options) = Stage::new(V5);
    options.reconnect = Some(Reconnect { jitter: 0.0, attempts: Some(4), ..Reconnect::default() });
    let client = Client::new(options).unwrap();
    let mut events = client.events();
    client.start();
    let play = async {
        for _ in 0..4 {
            stage.accept(Connack::refused(ReasonCode::SERVER_UNAVAILABLE)).await;
        }
    };
    play.await;
    let mut waits = Vec::new();
    loop {
        match events.next().await.unwrap() {
            Event::Connecting { attempt } => assert_eq!(attempt as usize, waits.len() + 1),
            Event::Disconnected { retry_in, .. } => waits.push(retry_in.map(|wait| wait.as_secs())),
            Event::GaveUp(End::GaveUp(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [Some(1), Some(2), Some(4), None]);
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_told_of_until_all_is_as_it_was() {
    let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
    let (subscription, _) = tokio::join!(client.subscribe("a"), server.grant());
    let _subscription = subscription.unwrap();
    let mut events = client.events();
    drop(server);
    let (mut server, _) = stage.accept(Connack::default()).await;
    assert!(matches!(events.next().await, Some(Event::Disconnected { retry_in: Some(_), .. })));
    assert!(matches!(events.next().await, Some(Event::Connecting { attempt: 1 })));
    assert!(matches!(events.next().await, Some(Event::Connected { session_present: false, .. })));
    server.grant().await;
    assert!(matches!(events.next().await, Some(Event::Resumed { session_present: false })));
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_over_though_the_last_subscription_could_not_be_restored() {
    // It was looked for with each SUBACK only, and of one that is not sent there is none.
    let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
    let (subscription, _) = tokio::join!(client.subscribe("a/long/filter"), server.grant());
    let mut subscription = subscription.unwrap();
    let mut events = client.events();
    drop(server);
    let small = Connack { maximum_packet_size: Some(10), ..Connack::default() };
    let _server = stage.accept(small).await;
    assert!(subscription.next().await.is_none());
    while !matches!(events.next().await.unwrap(), Event::Connected { .. }) {}
    assert!(matches!(events.next().await, Some(Event::Resumed { session_present: false })));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_connect_times_out() {
    let (mut stage, options) = Stage::new(V5);
    let (connected, _server) = tokio::join!(connect(options), stage.open());
    assert!(matches!(connected.unwrap_err(), ConnectError::TimedOut(_)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_publish_is_connected_to_again() {
    let (stage, mut options) = Stage::new(V5);
    kept(&mut options);
    options.connect.keep_alive = 0;
    let (client, mut stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let mut events = client.events();
    let publishing = client.try_publish(message(QoS::AtLeastOnce)).unwrap();
    let id = id_of(&server.receive_publish().await);
    server.send(Packet::Puback(ack(id + 1))).await;
    let Packet::Disconnect(disconnect) = server.receive().await else { panic!() };
    assert_eq!(disconnect.reason_code, ReasonCode::UNSPECIFIED_ERROR);
    assert!(server.try_receive().await.is_none());
    let (mut server, _) = stage.accept(present()).await;
    let Some(Event::Disconnected { reason, .. }) = events.next().await else { panic!() };
    assert!(matches!(reason, Disconnection::Ended(End::Unanswered(PacketType::Publish))), "{reason:?}");
    assert_eq!(id_of(&server.receive_publish().await), id);
    server.send(Packet::Puback(ack(id))).await;
    publishing.answer().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_subscribe_is_left_and_who_waits_is_told() {
    let (stage, mut options) = Stage::new(V5);
    options.connect.keep_alive = 0;
    let (client, mut stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let subscribing = client.clone();
    let subscribed = tokio::spawn(async move { subscribing.subscribe("a").await });
    assert!(matches!(server.receive().await, Packet::Subscribe(_)));
    assert!(matches!(server.receive().await, Packet::Disconnect(_)));
    assert!(server.try_receive().await.is_none());
    assert!(matches!(subscribed.await.unwrap(), Err(SubscribeError::TimedOut)));
    let (mut server, _) = stage.accept(Connack::default()).await;
    assert!(server.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn a_suback_of_another_length_is_an_error() {
    // [MQTT-3.8.4-6]
    let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
    let (subscribed, ()) = tokio::join!(client.subscribe("a"), async {
        let Packet::Subscribe(subscribe) = server.receive().await else { panic!() };
        let reason_codes = vec![ReasonCode::GRANTED_QOS_1; 2];
        let packet_identifier = subscribe.packet_identifier;
        server.send(Packet::Suback(Suback { packet_identifier, reason_codes, properties: None })).await;
    });
    assert!(matches!(subscribed, Err(SubscribeError::WrongAnswer { asked: 1, answered: 2 })));
    let Packet::Disconnect(disconnect) = server.receive().await else { panic!() };
    assert_eq!(disconnect.reason_code, ReasonCode::PROTOCOL_ERROR);
    stage.accept(Connack::default()).await;
}

/// What a server must not send, and what it is told.
async fn is_sent_away(bytes: &[u8], expected: ReasonCode) {
    let (stage, mut options) = Stage::new(V5);
    options.maximum_packet_size = 1000;
    options.connect.receive_maximum = NonZeroU16::new(1);
    let (client, mut stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let mut by_hand = SubscribeOptions::from("a/b");
    by_hand.acknowledge_by_hand = true;
    let (subscription, _) = tokio::join!(client.subscribe(by_hand), server.grant());
    let _subscription = subscription.unwrap();
    server.send_bytes(bytes).await;
    let Packet::Disconnect(disconnect) = server.receive().await else { panic!() };
    assert_eq!(disconnect.reason_code, expected);
    // It is connected to again.
    stage.accept(Connack::default()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_server_must_not_send_ends_the_connection_and_not_the_client() {
    // [MQTT-4.13.1-1]
    is_sent_away(b"\x20\x03\x00\x00\x00", ReasonCode::PROTOCOL_ERROR).await; // CONNACK again
    is_sent_away(b"\xf0\x02\x18\x00", ReasonCode::PROTOCOL_ERROR).await; // AUTH unasked
    is_sent_away(b"\x00\x00", ReasonCode::MALFORMED_PACKET).await;
    is_sent_away(b"\xc0\x00", ReasonCode::PROTOCOL_ERROR).await; // PINGREQ
    is_sent_away(b"\x30\xff\xff\xff\x7f", ReasonCode::PACKET_TOO_LARGE).await;
    is_sent_away(b"\x40\x05\x00\x01\x00\x01\x7f", ReasonCode::MALFORMED_PACKET).await; // a property of no packet
    is_sent_away(b"\x30\x06\x00\x00\x03\x23\x00\x01", ReasonCode::TOPIC_ALIAS_INVALID).await;
    let twice = b"\x32\x08\x00\x03a/b\x00\x01\x00\x32\x08\x00\x03a/b\x00\x02\x00";
    is_sent_away(twice, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED).await;
}

#[tokio::test(start_paused = true)]
async fn answers_to_nothing_are_not_minded() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let packet_identifier = PacketIdentifier::FIRST;
    server.send(Packet::Puback(ack(9))).await;
    server.send(Packet::Pubcomp(ack(9))).await;
    let reason_codes = vec![ReasonCode::SUCCESS];
    let suback = Suback { packet_identifier, reason_codes: reason_codes.clone(), properties: None };
    server.send(Packet::Suback(suback)).await;
    server.send(Packet::Unsuback(Unsuback { packet_identifier, reason_codes, properties: None })).await;
    server.send(Packet::Pubrec(ack(9))).await;
    let unknown = Ack::new(PacketIdentifier::new(9).unwrap(), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
    assert_eq!(server.receive().await, Packet::Pubrel(unknown.clone()));
    server.send(Packet::Pubrel(ack(9))).await;
    assert_eq!(server.receive().await, Packet::Pubcomp(unknown));
    client.publish(message(QoS::AtMostOnce)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_in_the_middle_of_a_packet_is_made_again() {
    let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
    let mut messages = client.messages();
    server.send_bytes(b"\x30\x10\x00\x03a").await;
    drop(server);
    let (mut server, _) = stage.accept(Connack::default()).await;
    server.send(received(QoS::AtMostOnce, 0, 3)).await;
    assert_eq!(text(&messages.next().await.unwrap()), "3");
}

#[tokio::test(start_paused = true)]
async fn an_assigned_client_identifier_is_used_again() {
    let (stage, mut options) = Stage::new(V5);
    options.connect.client_identifier = "".into();
    let assigned = Connack { assigned_client_identifier: Some("made-up".into()), ..Connack::default() };
    let (_client, mut stage, server) = connected_with(stage, options, assigned).await;
    drop(server);
    let (_, connect) = stage.accept(Connack::default()).await;
    assert_eq!(connect.client_identifier, "made-up");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_another_client_takes_over_is_not_taken_back() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    server.send(Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::SESSION_TAKEN_OVER)))).await;
    assert!(matches!(client.wait_for_end().await, End::Server(_)));
}

struct Tokens(Mutex<u32>);

impl Credentials for Tokens {
    fn provide<'a>(&'a self, connect: &'a mut Connect) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async {
            let mut number = self.0.lock().unwrap();
            *number += 1;
            connect.password = Some(number.to_string().into());
            if *number == 2 { Err("the token service sleeps".into()) } else { Ok(()) }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_at_each_connect() {
    let (mut stage, mut options) = Stage::new(V5);
    options.credentials = Some(Arc::new(Tokens(Mutex::new(0))));
    let client = Client::new(options).unwrap();
    client.start();
    let (_, connect) = stage.accept(Connack::refused(ReasonCode::BAD_USER_NAME_OR_PASSWORD)).await;
    assert_eq!(connect.password.as_deref(), Some(&b"1"[..]));
    let (_, connect) = stage.accept(Connack::default()).await;
    assert_eq!(connect.password.as_deref(), Some(&b"3"[..]));
}

/// Says `hello`, answers with what was asked turned round, and wants `proof` in the end.
struct Turning;

impl Authentication for Turning {
    fn method(&self) -> bytestring::ByteString {
        "TURN".into()
    }

    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Exchange>, BoxError>> {
        Box::pin(async { Ok(Box::new(Turning) as Box<dyn Exchange>) })
    }
}

impl Exchange for Turning {
    fn initial(&mut self) -> Option<bytes::Bytes> {
        Some("hello".into())
    }

    fn proceed(&mut self, data: Option<bytes::Bytes>) -> Result<Option<bytes::Bytes>, BoxError> {
        let mut data = data.ok_or("nothing was asked")?.to_vec();
        data.reverse();
        Ok(Some(data.into()))
    }

    fn finish(&mut self, data: Option<bytes::Bytes>) -> Result<(), BoxError> {
        if data.as_deref() == Some(b"proof") { Ok(()) } else { Err("the server proved nothing".into()) }
    }
}

fn auth(reason_code: ReasonCode, data: &str) -> Packet {
    Packet::Auth(Box::new(crate::packet::Auth {
        reason_code,
        authentication_method: Some("TURN".into()),
        authentication_data: Some(data.to_owned().into()),
        ..Default::default()
    }))
}

#[tokio::test]
async fn both_sides_prove_who_they_are_and_again_when_they_are_asked() {
    // [MQTT-4.12.0-3]
    let (mut stage, mut options) = Stage::new(V5);
    options.authentication = Some(Arc::new(Turning));
    let client = Client::new(options).unwrap();
    let play = async {
        let mut server = stage.open().await;
        let Packet::Connect(connect) = server.receive().await else { panic!() };
        assert_eq!(connect.authentication_data.as_deref(), Some(&b"hello"[..]));
        server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, "abc")).await;
        assert_eq!(server.receive().await, auth(ReasonCode::CONTINUE_AUTHENTICATION, "cba"));
        let connack = Connack {
            authentication_method: Some("TURN".into()),
            authentication_data: Some("proof".into()),
            ..Connack::default()
        };
        server.send(Packet::Connack(Box::new(connack))).await;
        server
    };
    let (connected, mut server) = tokio::join!(client.connect(), play);
    connected.unwrap();
    let (again, ()) = tokio::join!(client.reauthenticate(), async {
        assert_eq!(server.receive().await, auth(ReasonCode::RE_AUTHENTICATE, "hello"));
        server.send(auth(ReasonCode::CONTINUE_AUTHENTICATION, "xyz")).await;
        assert_eq!(server.receive().await, auth(ReasonCode::CONTINUE_AUTHENTICATION, "zyx"));
        server.send(auth(ReasonCode::SUCCESS, "proof")).await;
    });
    again.unwrap();
    let (again, ()) = tokio::join!(client.reauthenticate(), async {
        server.receive().await;
        server.send(auth(ReasonCode::SUCCESS, "nothing")).await;
    });
    assert!(matches!(again, Err(ConnectError::Authentication(_))), "{again:?}");
    assert!(matches!(server.receive().await, Packet::Disconnect(_)));
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_is_not_connected_to() {
    let (mut stage, mut options) = Stage::new(V5);
    options.authentication = Some(Arc::new(Turning));
    let (connected, _) = tokio::join!(connect(options), stage.accept(Connack::default()));
    assert!(matches!(connected, Err(ConnectError::Authentication(_))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_answers_and_takes_none_is_not_heard_without_end() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let mut unknown = BytesMut::new();
    for number in 1..=1000 {
        let id = PacketIdentifier::new(number).unwrap();
        encode(&Packet::Pubrel(Ack::new(id, ReasonCode::SUCCESS)), V5, &mut unknown).unwrap();
    }
    // Each is answered; were it read without end, this would take as many as there are.
    let mut taken = 0;
    let flood = async {
        while taken < 100 << 20 {
            taken += server.stream.write(&unknown).await.expect("the client is there");
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), flood).await.is_err(), "{taken}");
    assert!(client.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_no_subscription_behind() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    for _ in 0..2 {
        let asked = client.request("who", "", Duration::from_secs(1));
        let (answer, ()) = tokio::join!(asked, async {
            assert!(matches!(server.receive().await, Packet::Subscribe(_)));
        });
        assert!(matches!(answer, Err(RequestError::TimedOut(_))), "{answer:?}");
        assert!(matches!(server.receive().await, Packet::Unsubscribe(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_hold_for_no_time_do_not_have_it_connect_without_a_pause() {
    struct Expired;
    impl Credentials for Expired {
        fn provide<'a>(&'a self, _connect: &'a mut Connect) -> BoxFuture<'a, Result<(), BoxError>> {
            Box::pin(std::future::ready(Ok(())))
        }

        fn renew_in(&self) -> Option<Duration> {
            Some(Duration::ZERO)
        }
    }
    let (mut stage, mut options) = Stage::new(V5);
    options.credentials = Some(Arc::new(Expired));
    let client = Client::new(options).unwrap();
    client.start();
    let begun = Instant::now();
    for _ in 0..3 {
        let (mut server, _) = stage.accept(Connack::default()).await;
        assert!(matches!(server.receive().await, Packet::Disconnect(_)));
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}
