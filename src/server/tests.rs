//! Connections that go from thread to thread.

use super::*;
use crate::client::{self, Client, Messages};
use crate::connection::Thread;
use crate::packet::{Publish, QoS};

/// Two threads between which nothing goes over by itself.
async fn server() -> Server {
    let options = ListenerOptions::loopback(0);
    let builder = Builder { balanced: Balanced::No, ..Server::builder() };
    builder.listener(options).workers(2).start().await.unwrap()
}

async fn connect(server: &Server, name: &str) -> (Client, Messages) {
    let address = server.addresses()[0];
    let mut options = client::Options::new(address.ip().to_string(), address.port(), name);
    options.reconnect = None;
    let client = Client::new(options).unwrap();
    let messages = client.messages();
    client.connect().await.unwrap();
    (client, messages)
}

/// Who subscribes, what it receives, and who publishes.
async fn pair(server: &Server) -> (Client, Messages, (Client, Messages)) {
    let (subscriber, messages) = connect(server, "subscriber").await;
    subscriber.subscribe_only(("t", QoS::ExactlyOnce)).await.unwrap();
    (subscriber, messages, connect(server, "publisher").await)
}

fn message(number: u32, qos: QoS) -> Publish {
    Publish { qos, ..Publish::new("t".into(), number.to_string().into()) }
}

/// Has a message published and received, and takes the number of connections that were busy on either thread.
async fn exchange(server: &Server, publisher: &Client, messages: &mut Messages, number: u32) -> [u32; 2] {
    let threads: [&Thread; 2] = [0, 1].map(|n| server.workers.connections()[n].as_ref());
    let _before = threads.map(Thread::next_period);
    publisher.publish(message(number, QoS::ExactlyOnce)).await.unwrap();
    let received = messages.next().await.unwrap();
    assert_eq!(received.payload, number.to_string());
    threads.map(Thread::next_period)
}

/// So many connections are served by either thread.
async fn are_served(server: &Server, publisher: &Client, messages: &mut Messages, expected: [u32; 2]) {
    // A turn that begins before a period may send what came in it, and counts for the one before: `[1, 0]` was seen
    // where nothing had moved. Where a connection is at another place, none of the rounds shows this.
    for number in 0..20 {
        if exchange(server, publisher, messages, number).await == expected {
            return;
        }
    }
    panic!("connections are not served as {expected:?}");
}

#[tokio::test]
async fn connections_that_go_from_thread_to_thread_lose_nothing_and_keep_their_order() {
    let server = server().await;
    let (subscriber, mut messages, (publisher, _publisher_messages)) = pair(&server).await;
    for number in 0..400 {
        // In half of the rounds both have to go away from where they are.
        let [one, other] = [0, 1].map(|n| &server.workers.connections()[n]);
        one.send_away(u32::from(number % 4 == 0), 1, 0);
        other.send_away(u32::from(number % 4 == 2), 0, 0);
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number as usize % 2];
        publisher.publish(message(number, qos)).await.unwrap();
    }
    for number in 0..400 {
        assert_eq!(messages.next().await.unwrap().payload, number.to_string());
    }
    drop((publisher, subscriber));
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_served_where_it_was_sent() {
    let server = server().await;
    let (_subscriber, mut messages, (publisher, _publisher_messages)) = pair(&server).await;
    are_served(&server, &publisher, &mut messages, [1, 1]).await;
    for to in [0, 1, 0] {
        server.workers.connections()[1 - to].send_away(2, to as u32, 0);
        publisher.publish(message(1, QoS::ExactlyOnce)).await.unwrap();
        messages.next().await.unwrap();
        let mut expected = [0, 0];
        expected[to] = 2;
        are_served(&server, &publisher, &mut messages, expected).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_went_over_ends_like_any_other() {
    let server = server().await;
    let (client, mut messages) = connect(&server, "client").await;
    client.subscribe_only(("t", QoS::AtMostOnce)).await.unwrap();
    let here = usize::from(server.workers.connections()[0].next_period() == 0);
    server.workers.connections()[here].send_away(1, 1 - here as u32, 0);
    client.publish(message(1, QoS::AtMostOnce)).await.unwrap();
    messages.next().await.unwrap();
    assert_eq!(server.broker().guard().connections(), 1);
    assert!(server.disconnect("client", ReasonCode::ADMINISTRATIVE_ACTION));
    while messages.next().await.is_some() {}
    assert!(server.clients().is_empty());
    server.shutdown().await;
}
