//! What one does with a client, against our broker over sockets.

use tidegate::client::{Event, PublishError, RequestError, SubscribeError, connect};
use tidegate::packet::ReasonCode;
use tidegate::server::Server;

use super::*;
use crate::support::{ALL_QOS, QOS0, QOS1, QOS2, V311, VERSIONS, start};

fn options(server: &Server, version: ProtocolVersion, name: &str) -> Options {
    let address = server.addresses()[0];
    let mut options = Options::new(address.ip().to_string(), address.port(), name.to_owned());
    options.connect.protocol_version = version;
    options
}

#[tokio::test]
async fn messages_of_each_qos_go_there_and_back_in_their_order() {
    let server = start().await;
    for version in VERSIONS {
        let client = done(connect(options(&server, version, "client"))).await;
        for qos in ALL_QOS {
            let mut subscription = done(client.subscribe(("t", qos))).await;
            for number in 0..500 {
                client.enqueue(numbered("t", number, qos)).await.unwrap();
            }
            receives(&mut subscription, 0..500).await;
            done(subscription.unsubscribe()).await;
        }
        done(client.disconnect()).await;
    }
}

#[tokio::test]
async fn subscriptions_that_overlap_each_get_their_messages_once() {
    let server = start().await;
    for version in VERSIONS {
        let client = done(connect(options(&server, version, "client"))).await;
        let mut messages = client.messages();
        let mut wide = done(client.subscribe(("a/#", QOS2))).await;
        let mut narrow = done(client.subscribe(("a/b", QOS1))).await;
        let mut same = done(client.subscribe(("a/b", QOS1))).await;
        done(client.subscribe_only(("c", QOS1))).await;
        for number in 0..10 {
            done(client.publish(numbered("a/b", number, QOS2))).await;
            done(client.publish(numbered("c", number, QOS1))).await;
        }
        receives(&mut wide, 0..10).await;
        receives(&mut narrow, 0..10).await;
        receives(&mut same, 0..10).await;
        for number in 0..10 {
            assert_eq!(text(&within(messages.next()).await.unwrap()), number.to_string());
        }
        drop(same);
        done(client.publish(numbered("a/b", 10, QOS1))).await;
        receives(&mut narrow, [10]).await;
        done(client.disconnect()).await;
        assert!(wide.next().await.is_some() && wide.next().await.is_none());
    }
}

#[tokio::test]
async fn what_came_while_a_device_was_off_comes_when_it_is_back() {
    let server = start().await;
    for version in VERSIONS {
        let mut kept = options(&server, version, "device");
        kept.connect.clean_start = false;
        kept.connect.session_expiry_interval = (version == V5).then_some(100);
        let device = done(connect(kept.clone())).await;
        drop(done(device.subscribe(("t", QOS1))).await);
        done(device.disconnect()).await;
        let other = done(connect(options(&server, version, "other"))).await;
        done(other.publish(numbered("t", 1, QOS1))).await;
        let device = Client::new(kept).unwrap();
        let mut messages = device.messages();
        assert!(done(device.connect()).await.session_present);
        assert_eq!(text(&within(messages.next()).await.unwrap()), "1");
        let mut subscription = done(device.subscribe(("t", QOS1))).await;
        done(other.publish(numbered("t", 2, QOS1))).await;
        receives(&mut subscription, [2]).await;
        done(subscription.unsubscribe()).await;
        done(device.disconnect()).await;
    }
}

#[tokio::test]
async fn requests_side_by_side_each_get_their_response() {
    let server = start().await;
    let answerer = done(connect(options(&server, V5, "answerer"))).await;
    let mut requests = done(answerer.subscribe(("double", QOS1))).await;
    let asker = done(connect(options(&server, V5, "asker"))).await;
    let answering = tokio::spawn(async move {
        // The last is answered first.
        let mut waiting = Vec::new();
        for _ in 0..10 {
            waiting.push(requests.next().await.unwrap());
        }
        for request in waiting.into_iter().rev() {
            let number: usize = text(&request).parse().unwrap();
            answerer.respond(&request, (2 * number).to_string()).await.unwrap();
        }
        answerer
    });
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..10 {
        let asker = asker.clone();
        asking.spawn(async move {
            let response = asker.request("double", number.to_string(), PATIENCE).await.unwrap();
            assert_eq!(text(&response), (2 * number).to_string());
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
    let _answerer = answering.await.unwrap();
    let nobody = asker.request("nobody", "", PATIENCE).await;
    assert!(matches!(nobody, Err(RequestError::NoMatchingSubscribers)), "{nobody:?}");
    let _silent = done(asker.subscribe(("silent", QOS1))).await;
    let silent = asker.request("silent", "", Duration::from_millis(50)).await;
    assert!(matches!(silent, Err(RequestError::TimedOut(_))), "{silent:?}");
    let old = done(connect(options(&server, V311, "old"))).await;
    assert!(matches!(old.request("double", "1", PATIENCE).await, Err(RequestError::NotInVersion)));
}

#[tokio::test]
async fn a_client_connects_again_when_it_is_sent_away() {
    let server = start().await;
    let mut kept = options(&server, V5, "device");
    kept.connect.session_expiry_interval = Some(100);
    kept.reconnect = Some(Reconnect { from: Duration::from_millis(1), ..Reconnect::default() });
    let client = done(connect(kept)).await;
    let mut subscription = done(client.subscribe(("t", QOS2))).await;
    let mut events = client.events();
    assert!(server.disconnect("device", ReasonCode::ADMINISTRATIVE_ACTION));
    done(client.publish(numbered("t", 7, QOS2))).await;
    receives(&mut subscription, [7]).await;
    let mut resumed = false;
    while !resumed {
        resumed = matches!(within(events.next()).await, Some(Event::Resumed { session_present: true }));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_an_error_and_asks_nothing() {
    let server = start().await;
    let client = done(connect(options(&server, V311, "client"))).await;
    let wrong = client.publish(numbered("a/#", 1, QOS0)).await;
    assert!(matches!(wrong, Err(PublishError::Topic(_))));
    assert!(matches!(client.subscribe("a/#/b").await, Err(SubscribeError::Filter(_))));
    assert!(matches!(client.subscribe(Vec::new()).await, Err(SubscribeError::Nothing)));
    let mut filter = tidegate::packet::SubscribeFilter::new("a".into(), QOS0);
    filter.no_local = true;
    let not_in_version = client.subscribe(filter).await.unwrap_err().to_string();
    assert_eq!(not_in_version, "use no_local: mqtt 3.1.1 has no such thing");
    assert_eq!(server.clients().len(), 1);
}
