//! Messages in both directions, over one connection and over several.

use super::*;

#[tokio::test]
async fn qos_2_publish_is_done_with_pubcomp() {
    let (client, _stage, mut server) = connected(V311, Connack::default()).await;
    let publishing = client.begin_publish(message(QoS::ExactlyOnce)).await.unwrap();
    let id = id_of(&server.receive_publish().await);
    server.send(Packet::Pubrec(ack(id))).await;
    assert_eq!(server.receive().await, Packet::Pubrel(ack(id)));
    server.send(Packet::Pubcomp(ack(id))).await;
    assert_eq!(publishing.answer().await.unwrap().reason_code, ReasonCode::SUCCESS);
}

#[tokio::test]
async fn what_pubrec_said_of_a_message_is_what_its_publisher_learns() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let nobody = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    let not_found = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
    for (said, of_identifier) in
        [(nobody, ReasonCode::SUCCESS), (nobody, not_found), (ReasonCode::SUCCESS, not_found)]
    {
        let publishing = client.try_publish(message(QoS::ExactlyOnce)).unwrap();
        let id = server.receive_publish().await.packet_identifier.unwrap();
        let properties = AckProperties { reason_string: Some("so".into()), ..AckProperties::default() };
        let pubrec = Ack { properties: Some(Box::new(properties)), ..Ack::new(id, said) };
        server.send(Packet::Pubrec(pubrec)).await;
        assert!(matches!(server.receive().await, Packet::Pubrel(_)));
        server.send(Packet::Pubcomp(Ack::new(id, of_identifier))).await;
        let result = publishing.answer().await.unwrap();
        assert_eq!((result.reason_code, result.reason_string()), (said, Some("so")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_pubrec_said_is_remembered_where_the_session_is_lost_behind_it() {
    let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
    let publishing = client.try_publish(message(QoS::ExactlyOnce)).unwrap();
    let id = server.receive_publish().await.packet_identifier.unwrap();
    server.send(Packet::Pubrec(Ack::new(id, ReasonCode::NO_MATCHING_SUBSCRIBERS))).await;
    assert!(matches!(server.receive().await, Packet::Pubrel(_)));
    drop(server);
    let _server = stage.accept(Connack::default()).await;
    assert_eq!(publishing.answer().await.unwrap().reason_code, ReasonCode::NO_MATCHING_SUBSCRIBERS);
}

#[tokio::test]
async fn a_refused_message_is_an_error_with_its_reason() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let publishing = client.begin_publish(message(qos)).await.unwrap();
        let id = server.receive_publish().await.packet_identifier.unwrap();
        let refusal = Ack::new(id, ReasonCode::QUOTA_EXCEEDED);
        server
            .send(if qos == QoS::AtLeastOnce { Packet::Puback(refusal) } else { Packet::Pubrec(refusal) })
            .await;
        let error = publishing.answer().await.unwrap_err().to_string();
        assert_eq!(error, "publish: the server refused: Quota exceeded (0x97)");
    }
    assert_eq!(client.queued(), (0, 0));
}

#[tokio::test]
async fn qos_2_message_sent_twice_is_received_once() {
    // [MQTT-4.3.3-10]
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let mut messages = client.messages();
    for _ in 0..2 {
        server.send(received(QoS::ExactlyOnce, 7, 1)).await;
        assert_eq!(server.receive().await, Packet::Pubrec(ack(7)));
    }
    server.send(Packet::Pubrel(ack(7))).await;
    assert_eq!(server.receive().await, Packet::Pubcomp(ack(7)));
    server.send(received(QoS::ExactlyOnce, 7, 2)).await;
    assert_eq!(text(&messages.next().await.unwrap()), "1");
    assert_eq!(text(&messages.next().await.unwrap()), "2");
}

#[tokio::test]
async fn no_more_than_the_receive_maximum_is_in_flight() {
    // [MQTT-3.3.4-7]
    let connack = Connack { receive_maximum: NonZeroU16::new(1), ..Connack::default() };
    let (client, _stage, mut server) = connected(V5, connack).await;
    let first = client.try_publish(message(QoS::AtLeastOnce)).unwrap();
    let second = client.try_publish(message(QoS::AtLeastOnce)).unwrap();
    let publish = server.receive_publish().await;
    // A message of QoS 0 is not held up, and shows that the second was not sent before the first is done.
    client.publish(message(QoS::AtMostOnce)).await.unwrap();
    assert_eq!(server.receive_publish().await.qos, QoS::AtMostOnce);
    server.send(Packet::Puback(ack(id_of(&publish)))).await;
    first.answer().await.unwrap();
    let publish = server.receive_publish().await;
    server.send(Packet::Puback(ack(id_of(&publish)))).await;
    second.answer().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_is_sent_again_in_its_order_with_its_identifiers_and_dup() {
    // [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    for version in [V311, V5] {
        let (stage, mut options) = Stage::new(version);
        kept(&mut options);
        let (client, mut stage, mut server) = connected_with(stage, options, Connack::default()).await;
        let qos = [QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce];
        let publishing = [0, 1, 2, 3].map(|n| client.try_publish(numbered(qos[n], n as u32)).unwrap());
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(id_of(&server.receive_publish().await));
        }
        server.send(Packet::Pubrec(ack(ids[0]))).await;
        assert_eq!(server.receive().await, Packet::Pubrel(ack(ids[0])));
        server.send(Packet::Puback(ack(ids[1]))).await;
        drop(server);
        let (mut server, connect) = stage.accept(present()).await;
        assert!(!connect.clean_start);
        assert_eq!(server.receive().await, Packet::Pubrel(ack(ids[0])));
        for n in [2, 3] {
            let publish = server.receive_publish().await;
            assert!(publish.dup && id_of(&publish) == ids[n] && text(&publish) == n.to_string());
        }
        server.send(Packet::Pubcomp(ack(ids[0]))).await;
        server.send(Packet::Pubrec(ack(ids[2]))).await;
        assert_eq!(server.receive().await, Packet::Pubrel(ack(ids[2])));
        server.send(Packet::Pubcomp(ack(ids[2]))).await;
        server.send(Packet::Puback(ack(ids[3]))).await;
        for publishing in publishing {
            publishing.answer().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_is_sent_as_new_where_the_server_lost_the_session() {
    let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
    let first = client.try_publish(numbered(QoS::AtLeastOnce, 1)).unwrap();
    let second = client.try_publish(numbered(QoS::ExactlyOnce, 2)).unwrap();
    server.receive_publish().await;
    let id = id_of(&server.receive_publish().await);
    server.send(Packet::Pubrec(ack(id))).await;
    server.receive().await;
    drop(server);
    let third = client.try_publish(numbered(QoS::AtLeastOnce, 3)).unwrap();
    let (mut server, _) = stage.accept(Connack::default()).await;
    // The server had taken the second over.
    second.answer().await.unwrap();
    for n in ["1", "3"] {
        let publish = server.receive_publish().await;
        assert!(!publish.dup && text(&publish) == n, "{publish:?}");
        server.send(Packet::Puback(ack(id_of(&publish)))).await;
    }
    first.answer().await.unwrap();
    third.answer().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn qos_2_message_is_received_once_though_the_connection_broke_before_pubrel() {
    // [MQTT-4.3.3-10]
    let (stage, mut options) = Stage::new(V5);
    kept(&mut options);
    let (client, mut stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let mut messages = client.messages();
    server.send(received(QoS::ExactlyOnce, 7, 1)).await;
    assert_eq!(text(&messages.next().await.unwrap()), "1");
    drop(server);
    let (mut server, _) = stage.accept(present()).await;
    server.send(received(QoS::ExactlyOnce, 7, 1)).await;
    assert_eq!(server.receive().await, Packet::Pubrec(ack(7)));
    server.send(Packet::Pubrel(ack(7))).await;
    assert_eq!(server.receive().await, Packet::Pubcomp(ack(7)));
    server.send(received(QoS::AtMostOnce, 0, 2)).await;
    assert_eq!(text(&messages.next().await.unwrap()), "2");
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_made_again_only_where_the_session_was_lost() {
    for present in [true, false] {
        let (client, mut stage, mut server) = connected(V5, Connack::default()).await;
        let (subscription, _) = tokio::join!(client.subscribe("a/#"), server.grant());
        let mut subscription = subscription.unwrap();
        drop(server);
        let connack = Connack { session_present: present, ..Connack::default() };
        let (mut server, _) = stage.accept(connack).await;
        if present {
            assert!(server.is_silent().await);
        } else {
            assert_eq!(server.grant().await.subscriptions[0].filter, "a/#");
        }
        server.send(received(QoS::AtMostOnce, 0, 5)).await;
        assert_eq!(text(&subscription.next().await.unwrap()), "5");
    }
}

#[tokio::test]
async fn a_topic_alias_stands_for_its_topic() {
    let (stage, mut options) = Stage::new(V5);
    options.connect.topic_alias_maximum = 3;
    let (client, _stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let mut messages = client.messages();
    let alias = NonZeroU16::new(3);
    server.send(Packet::Publish(Publish { topic_alias: alias, ..message(QoS::AtMostOnce) })).await;
    let short = Publish { topic_alias: alias, topic: "".into(), ..message(QoS::AtMostOnce) };
    server.send(Packet::Publish(short)).await;
    assert_eq!(messages.next().await.unwrap().topic, "a/b");
    assert_eq!(messages.next().await.unwrap().topic, "a/b");
}

#[tokio::test(start_paused = true)]
async fn long_topics_get_aliases_and_get_them_anew_on_each_connection() {
    // [MQTT-3.3.2-12]
    let connack = Connack { topic_alias_maximum: Some(1), ..Connack::default() };
    let (client, mut stage, mut server) = connected(V5, connack.clone()).await;
    let publish = || Publish::new("a/long/topic".into(), "x".into());
    for expected in ["a/long/topic", ""] {
        client.enqueue(publish()).await.unwrap();
        let publish = server.receive_publish().await;
        assert_eq!((&*publish.topic, publish.topic_alias), (expected, NonZeroU16::new(1)));
    }
    drop(server);
    let (mut server, _) = stage.accept(connack).await;
    client.enqueue(publish()).await.unwrap();
    assert_eq!(server.receive_publish().await.topic, "a/long/topic");
}

#[tokio::test]
async fn messages_by_hand_are_acknowledged_in_the_order_in_which_they_came() {
    // [MQTT-4.6.0-2]
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let mut options = SubscribeOptions::from("a/b");
    options.acknowledge_by_hand = true;
    let (subscription, _) = tokio::join!(client.subscribe(options), server.grant());
    let mut subscription = subscription.unwrap();
    for id in [1, 2, 3] {
        server.send(received(QoS::AtLeastOnce, id, id.into())).await;
    }
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(subscription.next().await.unwrap());
    }
    messages[1].acknowledge();
    messages[2].acknowledge();
    // What follows shows that nothing was acknowledged before the first was.
    client.enqueue(message(QoS::AtMostOnce)).await.unwrap();
    server.receive_publish().await;
    messages[0].acknowledge();
    for id in [1, 2, 3] {
        assert_eq!(server.receive().await, Packet::Puback(ack(id)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_holds_the_connection_up_until_there_is_room() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    let mut options = SubscribeOptions::from("a/b");
    options.capacity = 2;
    let (subscription, _) = tokio::join!(client.subscribe(options), server.grant());
    let mut subscription = subscription.unwrap();
    for id in 1..=5 {
        server.send(received(QoS::AtLeastOnce, id, id.into())).await;
    }
    for id in [1, 2] {
        assert_eq!(server.receive().await, Packet::Puback(ack(id)));
    }
    assert!(server.is_silent().await);
    for id in 1..=5 {
        assert_eq!(text(&subscription.next().await.unwrap()), id.to_string());
    }
    for id in [3, 4, 5] {
        assert_eq!(server.receive().await, Packet::Puback(ack(id)));
    }
}

/// A client that waits for SUBACK with room for one message, and its server.
async fn subscribing() -> (tokio::task::JoinHandle<Result<Subscription, SubscribeError>>, Stage, Server) {
    let (client, stage, mut server) = connected(V5, Connack::default()).await;
    let mut options = SubscribeOptions::from(("a/b", QoS::AtMostOnce));
    options.capacity = 1;
    let subscribing = tokio::spawn(async move { client.subscribe(options).await });
    assert!(matches!(server.receive().await, Packet::Subscribe(_)));
    (subscribing, stage, server)
}

#[tokio::test(start_paused = true)]
async fn messages_before_suback_do_not_keep_it_from_being_read() {
    // They filled the stream, which its taker gets with SUBACK only: nothing was read any more, without end.
    let (subscribing, _stage, mut server) = subscribing().await;
    for number in 0..5 {
        server.send(received(QoS::AtMostOnce, 0, number)).await;
    }
    let reason_codes = vec![ReasonCode::GRANTED_QOS_0];
    let packet_identifier = PacketIdentifier::FIRST;
    server.send(Packet::Suback(Suback { packet_identifier, reason_codes, properties: None })).await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    for number in 0..5 {
        assert_eq!(text(&subscription.next().await.unwrap()), number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_without_end_before_suback_end_the_connection() {
    let (subscribing, _stage, mut server) = subscribing().await;
    let flood = tokio::spawn(async move {
        let bytes = b"\x30\x07\x00\x03a/b\x00x".repeat(1000);
        while server.stream.write_all(&bytes).await.is_ok() {}
    });
    assert!(matches!(subscribing.await.unwrap(), Err(SubscribeError::TimedOut)));
    flood.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_expired_while_it_waited_is_not_sent() {
    let (mut stage, options) = Stage::new(V5);
    let client = Client::new(options).unwrap();
    let mut short = numbered(QoS::AtLeastOnce, 1);
    short.properties.get_or_insert_default().message_expiry_interval = Some(10);
    let mut long = numbered(QoS::AtLeastOnce, 2);
    long.properties.get_or_insert_default().message_expiry_interval = Some(100);
    let short = client.try_publish(short).unwrap();
    let _long = client.try_publish(long).unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    client.start();
    let (mut server, _) = stage.accept(Connack::default()).await;
    let publish = server.receive_publish().await;
    assert_eq!(text(&publish), "2");
    assert_eq!(publish.properties.unwrap().message_expiry_interval, Some(70));
    assert!(matches!(short.answer().await, Err(PublishError::Expired)));
}

#[tokio::test]
async fn a_full_queue_refuses_or_gives_up_its_oldest() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let (mut stage, mut options) = Stage::new(V5);
        options.queue = Queue { messages: 2, overflow, ..Queue::default() };
        let client = Client::new(options).unwrap();
        let first = client.try_publish(numbered(QoS::AtLeastOnce, 1)).unwrap();
        client.try_publish(numbered(QoS::AtMostOnce, 2)).unwrap();
        let third = client.try_publish(numbered(QoS::AtLeastOnce, 3));
        client.start();
        let (mut server, _) = stage.accept(Connack::default()).await;
        let sent = [server.receive_publish().await, server.receive_publish().await];
        match overflow {
            Overflow::DropNewest => {
                assert!(matches!(third, Err(PublishError::QueueFull)));
                assert_eq!([text(&sent[0]), text(&sent[1])], ["1", "2"]);
            }
            Overflow::DropOldest => {
                assert!(matches!(first.answer().await, Err(PublishError::Dropped)));
                assert_eq!([text(&sent[0]), text(&sent[1])], ["2", "3"]);
            }
        }
    }
}

#[tokio::test]
async fn publish_waits_for_room_in_the_queue() {
    let (mut stage, mut options) = Stage::new(V5);
    options.queue.messages = 1;
    let client = Client::new(options).unwrap();
    let publishing = client.clone();
    let all = tokio::spawn(async move {
        for n in 0..100 {
            publishing.enqueue(numbered(QoS::AtMostOnce, n)).await.unwrap();
        }
    });
    client.start();
    let (mut server, _) = stage.accept(Connack::default()).await;
    for n in 0..100 {
        assert_eq!(text(&server.receive_publish().await), n.to_string());
    }
    all.await.unwrap();
}

#[tokio::test]
async fn what_a_server_does_not_take_is_not_sent() {
    // [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-15]
    let connack = Connack {
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: Some(100),
        ..Connack::default()
    };
    let (client, _stage, mut server) = connected(V5, connack).await;
    let qos = client.publish(message(QoS::ExactlyOnce)).await;
    assert!(matches!(qos, Err(PublishError::Qos { maximum: QoS::AtLeastOnce, .. })));
    let retained = client.publish(message(QoS::AtMostOnce).with_retain(true)).await;
    assert!(matches!(retained, Err(PublishError::Retain)));
    let large = client.publish(Publish::new("a/b".into(), vec![0; 100].into())).await;
    assert!(matches!(large, Err(PublishError::TooLarge { size: 108, limit: 100 })), "{large:?}");
    client.publish(numbered(QoS::AtMostOnce, 4)).await.unwrap();
    assert_eq!(text(&server.receive_publish().await), "4");
}

#[tokio::test]
async fn a_full_stream_drops_what_it_is_told_to_and_acknowledges_it() {
    for (when_full, kept) in [(WhenFull::DropOldest, [4, 5]), (WhenFull::DropNewest, [1, 2])] {
        let (client, _stage, mut server) = connected(V5, Connack::default()).await;
        let mut options = SubscribeOptions::from("a/b");
        options.capacity = 2;
        options.when_full = when_full;
        let (subscription, _) = tokio::join!(client.subscribe(options), server.grant());
        let mut subscription = subscription.unwrap();
        for id in 1..=5 {
            server.send(received(QoS::AtLeastOnce, id, id.into())).await;
            assert_eq!(server.receive().await, Packet::Puback(ack(id)));
        }
        assert_eq!(subscription.dropped(), 3);
        for number in kept {
            assert_eq!(text(&subscription.next().await.unwrap()), number.to_string());
        }
        assert!(subscription.try_next().is_none());
    }
}

#[tokio::test]
async fn a_subscribe_that_is_not_waited_for_is_given_up() {
    let (client, _stage, mut server) = connected(V5, Connack::default()).await;
    {
        let mut subscribing = std::pin::pin!(client.subscribe("a/b"));
        tokio::select! {
            biased;
            _ = &mut subscribing => panic!("nobody has answered"),
            subscribe = server.receive() => assert!(matches!(subscribe, Packet::Subscribe(_))),
        }
    }
    let Packet::Unsubscribe(unsubscribe) = server.receive().await else { panic!() };
    assert_eq!(unsubscribe.filters, ["a/b"]);
    server.send(received(QoS::AtMostOnce, 0, 1)).await;
    client.publish(message(QoS::AtMostOnce)).await.unwrap();
    server.receive_publish().await;
}
