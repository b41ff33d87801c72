//! Hooks are asked about several messages of one read before the first of them is routed: answers, order and ends
//! are as if each were asked about in its turn.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::broker::Options;
use tidegate::hook::{
    Answer, Authorization, AuthorizationVerdict, PublishContext, PublishOutcome, PublishVerdict, Reply,
};
use tidegate::packet::{Packet, Publish, ReasonCode, encode};

use crate::support::*;

/// QoS 1 messages to "t" with these payloads and their numbers as identifiers, in one write.
async fn send_together(client: &mut Client, payloads: &[&str], behind: Option<Packet>) {
    let message = |(number, payload): (usize, &&str)| {
        let packet_identifier = Some(client::id(number as u16 + 1));
        Packet::Publish(Publish { qos: QOS1, packet_identifier, ..publish("t", payload) })
    };
    let mut bytes = BytesMut::new();
    for packet in payloads.iter().enumerate().map(message).chain(behind) {
        encode(&packet, V5, &mut bytes).unwrap();
    }
    client.send_bytes(&bytes).await;
}

/// Does with a message what its payload says.
fn obey(context: &PublishContext<'_>) -> Answer<PublishOutcome> {
    let ending = || {
        let close = Some(ReasonCode::MESSAGE_RATE_TOO_HIGH);
        Some(Box::new(Reply { close, ..Reply::default() }))
    };
    match &context.message.payload[..] {
        b"reject" => {
            let verdict = PublishVerdict::Reject(ReasonCode::NOT_AUTHORIZED);
            PublishOutcome { verdict, ..PublishOutcome::default() }.into()
        }
        b"close" => PublishOutcome { reply: ending(), ..PublishOutcome::default() }.into(),
        b"later" => Answer::Later(Box::pin(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            PublishOutcome::default()
        })),
        b"panic" => panic!("as it should"),
        _ => PublishOutcome::default().into(),
    }
}

/// A broker whose hook obeys, with what it was asked about, a receiver of "t" and a sender.
async fn obedient() -> (Local, Arc<Mutex<Vec<String>>>, Client, Client) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let script = Script::default().on_publish({
        let asked = asked.clone();
        move |context| {
            asked.lock().unwrap().push(String::from_utf8(context.message.payload.to_vec()).unwrap());
            obey(&context)
        }
    });
    let local = Local::hooked(Options::default(), script.shared());
    let mut receiver = local.connect(connect(V5, "receiver")).await;
    receiver.subscribe("t", QOS1).await;
    let sender = local.connect(connect(V5, "sender")).await;
    (local, asked, receiver, sender)
}

async fn told(sender: &mut Client, count: usize) -> Vec<(u16, ReasonCode)> {
    let mut told = Vec::new();
    for _ in 0..count {
        match sender.receive().await {
            Packet::Puback(ack) => told.push((ack.packet_identifier.get(), ack.reason_code)),
            other => panic!("{other:?} in place of PUBACK"),
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn answers_and_messages_keep_their_order_whatever_the_hook_says() {
    // [MQTT-4.6.0-2] [MQTT-4.6.0-5]
    let (_local, asked, mut receiver, mut sender) = obedient().await;
    let payloads = [
        "0", "reject", "2", "later", "4", "reject", "6", "7", "8", "9", "later", "later", "12", "13", "14",
        "15", "16", "17", "reject",
    ];
    for _ in 0..3 {
        send_together(&mut sender, &payloads, None).await;
        let reason = |payload: &str| match payload {
            "reject" => ReasonCode::NOT_AUTHORIZED,
            _ => ReasonCode::SUCCESS,
        };
        let expected: Vec<_> = (1..).zip(payloads).map(|(id, payload)| (id, reason(payload))).collect();
        assert_eq!(told(&mut sender, payloads.len()).await, expected);
        let delivered: Vec<_> = payloads.into_iter().filter(|&payload| payload != "reject").collect();
        assert_eq!(receiver.payloads(delivered.len()).await, delivered);
        assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), payloads, "each once, in order");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_asked_about_by_eights_before_they_are_routed() {
    // What is gained by it is in benches/README.md.
    let steps = Arc::new(Mutex::new(String::new()));
    let (publishing, authorizing) = (steps.clone(), steps.clone());
    let script = Script::default()
        .on_publish(move |_| {
            publishing.lock().unwrap().push('p');
            PublishOutcome::default().into()
        })
        .on_authorize(move |_| {
            authorizing.lock().unwrap().push('a');
            Authorization { verdict: AuthorizationVerdict::Allow, cache: Duration::ZERO }.into()
        });
    let local = Local::hooked(Options::default(), script.shared());
    let mut sender = local.connect(connect(V5, "sender")).await;
    send_together(&mut sender, &["x"; 10], None).await;
    told(&mut sender, 10).await;
    assert_eq!(*steps.lock().unwrap(), "ppppppppaaaaaaaappaa");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_what_comes_behind_a_message_that_ends_the_connection() {
    let (_local, asked, mut receiver, mut sender) = obedient().await;
    send_together(&mut sender, &["0", "close", "2", "3"], None).await;
    assert_eq!(told(&mut sender, 2).await.len(), 2);
    assert_eq!(sender.farewell().await.unwrap().reason_code, ReasonCode::MESSAGE_RATE_TOO_HIGH);
    assert_eq!(receiver.payloads(2).await, ["0", "close"]);
    assert_eq!(*asked.lock().unwrap(), ["0", "close"]);
    receiver.assert_silent().await;
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_packet_that_ends_the_connection_is_published() {
    for payloads in [&["0", "1", "2"][..], &["0", "later", "2"], &["later", "later", "2"]] {
        let (_local, _asked, mut receiver, mut sender) = obedient().await;
        let unknown_alias = Publish { topic_alias: std::num::NonZeroU16::new(3), ..publish("", "x") };
        send_together(&mut sender, payloads, Some(Packet::Publish(unknown_alias))).await;
        assert_eq!(told(&mut sender, 3).await.len(), 3);
        assert!(sender.farewell().await.unwrap().reason_code.is_error());
        assert_eq!(receiver.payloads(3).await, payloads);
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_message_at_which_a_hook_panics_is_published() {
    let (_local, _asked, mut receiver, mut sender) = obedient().await;
    send_together(&mut sender, &["0", "1", "panic", "3"], None).await;
    assert_eq!(receiver.payloads(2).await, ["0", "1"]);
    receiver.assert_silent().await;
}
