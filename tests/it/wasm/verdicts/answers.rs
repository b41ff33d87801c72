//! Verdicts about CONNECT, SUBSCRIBE and UNSUBSCRIBE, and about messages that nobody gets: verdict × version × QoS.

use tidegate::message::ApplicationMessage;
use tidegate::packet::{Auth, Connect, Packet, ProtocolVersion, QoS, ReasonCode};
use tidegate::plugin::Hook;

use super::{NOBODY, NOT_AUTHORIZED, SUCCESS, broker_with, only};
use crate::support::{ALL_QOS, Client, QOS0, QOS1, QOS2, V5, V311, VERSIONS, client::to, connect, text};

const BAD: ReasonCode = ReasonCode::BAD_USER_NAME_OR_PASSWORD;

/// Verdict, User Name, what CONNACK says in 5.0 and what the Connect Return Code of 3.1.1 means.
pub(super) const VALIDATE: [(&str, &str, ReasonCode, ReasonCode); 7] = [
    // The listener of these tests lets everybody in.
    ("next", "next", SUCCESS, SUCCESS),
    ("allow", "any", SUCCESS, SUCCESS),
    ("deny", "deny", NOT_AUTHORIZED, NOT_AUTHORIZED),
    ("deny", "password", BAD, BAD),
    ("deny", "banned", ReasonCode::BANNED, NOT_AUTHORIZED),
    ("deny", "busy", ReasonCode::SERVER_BUSY, ReasonCode::SERVER_UNAVAILABLE),
    ("deny", "moved", ReasonCode::USE_ANOTHER_SERVER, ReasonCode::SERVER_UNAVAILABLE),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_a_connect_is_seen_as_the_table_says() {
    let broker = broker_with(&[only(Hook::ValidatingConnection)]).await;
    for (verdict, user, in_v5, in_v311) in VALIDATE {
        for version in VERSIONS {
            let user_name = Some(user.to_string().into());
            let connect = Connect { user_name, ..connect(version, "c") };
            let (mut client, connack) = Client::try_connect(&broker.server, connect).await;
            let expected = if version == V5 { in_v5 } else { in_v311 };
            assert_eq!(connack.reason_code, expected, "{verdict} {user} {version}");
            if expected.is_error() { assert_eq!(client.end().await, None) } else { client.disconnect().await }
        }
    }
    broker.server.shutdown().await;
}

/// Verdict, Authentication Method and data, and the Reason Code of the answer, which is AUTH for 0x18.
pub(super) const AUTHENTICATE: [(&str, &str, &str, ReasonCode); 4] = [
    ("next", "nobody's", "", ReasonCode::BAD_AUTHENTICATION_METHOD),
    ("allow", "every-hook", "allow", SUCCESS),
    ("deny", "every-hook", "deny", BAD),
    ("challenge", "every-hook", "anything", ReasonCode::CONTINUE_AUTHENTICATION),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_an_authentication_is_seen_as_the_table_says() {
    let broker = broker_with(&[only(Hook::ValidatingConnection)]).await;
    for (verdict, method, data, expected) in AUTHENTICATE {
        let mut connect = connect(V5, "c");
        connect.authentication_method = Some(method.to_string().into());
        connect.authentication_data = Some(data.to_string().into());
        let mut client = Client::open(&broker.server, V5).await;
        client.send(Packet::Connect(Box::new(connect))).await;
        let answer = match client.receive().await {
            Packet::Connack(connack) => connack.reason_code,
            Packet::Auth(auth) => auth.reason_code,
            other => panic!("{verdict}: {other:?}"),
        };
        assert_eq!(answer, expected, "{verdict}");
    }
    broker.server.shutdown().await;
}

/// Verdict, data of the AUTH with which a client authenticates itself again, and what it is answered: AUTH with 0x00
/// or 0x18, or DISCONNECT, which has neither 0x86 nor 0x8C.
const RE_AUTHENTICATE: [(&str, &str, ReasonCode); 4] = [
    ("next", "next", NOT_AUTHORIZED),
    ("allow", "welcome", SUCCESS),
    ("deny", "deny", NOT_AUTHORIZED),
    ("challenge", "anything", ReasonCode::CONTINUE_AUTHENTICATION),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_a_re_authentication_is_seen_as_the_table_says() {
    let broker = broker_with(&[only(Hook::ValidatingConnection)]).await;
    for (verdict, data, expected) in RE_AUTHENTICATE {
        let mut connect = connect(V5, "c");
        connect.authentication_method = Some("every-hook".into());
        connect.authentication_data = Some("allow".into());
        let mut client = Client::connect(&broker.server, connect).await;
        let again = Auth {
            reason_code: ReasonCode::RE_AUTHENTICATE,
            authentication_method: Some("every-hook".into()),
            authentication_data: Some(data.to_string().into()),
            ..Auth::default()
        };
        client.send(Packet::Auth(Box::new(again))).await;
        if expected.is_error() {
            assert_eq!(client.end().await, Some(expected), "{verdict}");
            continue;
        }
        match client.receive().await {
            Packet::Auth(auth) => assert_eq!(auth.reason_code, expected, "{verdict}"),
            other => panic!("{verdict}: {other:?}"),
        }
        // It is in as before, also while a challenge waits.
        client.ping().await;
        client.disconnect().await;
    }
    broker.server.shutdown().await;
}

/// What SUBACK says in 5.0, where it was granted none; in 3.1.1 that is 0x80.
type Refusal = Option<ReasonCode>;

/// Hook, verdict, first level of the filter, refusal, the highest QoS that is granted, and the first level of the
/// topic from which something comes then.
type Row = (Hook, &'static str, &'static str, Refusal, QoS, Option<&'static str>);

pub(super) const SUBSCRIBE: [Row; 9] = [
    (Hook::InterceptingSubscription, "next", "any", None, QOS2, Some("any")),
    (Hook::InterceptingSubscription, "grant", "cap0", None, QOS0, Some("cap0")),
    (Hook::InterceptingSubscription, "grant", "cap1", None, QOS1, Some("cap1")),
    (Hook::InterceptingSubscription, "grant", "rewrite", None, QOS2, Some("rewritten")),
    (Hook::InterceptingSubscription, "grant-without-routing", "nowhere", None, QOS2, None),
    (Hook::InterceptingSubscription, "deny", "deny-filter", Some(NOT_AUTHORIZED), QOS0, None),
    // The listener of these tests lets everybody do everything.
    (Hook::Authorizer, "next", "next", None, QOS2, Some("next")),
    (Hook::Authorizer, "allow", "any", None, QOS2, Some("any")),
    (Hook::Authorizer, "deny", "deny-subscribe", Some(NOT_AUTHORIZED), QOS0, None),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_a_filter_is_seen_as_the_table_says() {
    for hook in [Hook::InterceptingSubscription, Hook::Authorizer] {
        let broker = broker_with(&[only(hook)]).await;
        for row in SUBSCRIBE.iter().filter(|row| row.0 == hook) {
            for version in VERSIONS {
                for qos in ALL_QOS {
                    subscribe(&broker, row, version, qos).await;
                }
            }
        }
        broker.server.shutdown().await;
    }
}

async fn subscribe(
    broker: &super::Broker,
    &(hook, verdict, first, refusal, cap, from): &(Hook, &str, &str, Refusal, QoS, Option<&str>),
    version: ProtocolVersion,
    qos: QoS,
) {
    let name = format!("{hook} {verdict} ({first}) {version} {qos:?}");
    let mut client = Client::connect(&broker.server, connect(version, "c")).await;
    let suback = client.subscribe_to(vec![to(&format!("{first}/t"), qos)]).await;
    let expected = match refusal {
        Some(reason) if version == V5 => reason,
        Some(_) => ReasonCode::UNSPECIFIED_ERROR,
        None => ReasonCode::from(qos.min(cap)),
    };
    assert_eq!(suback.reason_codes, [expected], "{name}");
    for topic in [first, "rewritten"] {
        inject(broker, &format!("{topic}/t")).await;
        if from == Some(topic) {
            let got = client.message().await;
            assert_eq!((&*got.topic, got.qos), (&*format!("{topic}/t"), qos.min(cap)), "{name}");
        }
    }
    client.assert_silent().await;
    client.disconnect().await;
}

async fn inject(broker: &super::Broker, topic: &str) -> ReasonCode {
    let message = ApplicationMessage::new(topic.try_into().unwrap(), "payload").with_qos(QOS2);
    broker.server.publish(message).await.reason
}

/// Verdict, first level of the filter, what UNSUBACK says in 5.0 (in 3.1.1 it says nothing), and whether the
/// subscription is there still.
pub(super) const UNSUBSCRIBE: [(&str, &str, ReasonCode, bool); 3] = [
    ("next", "any", SUCCESS, false),
    ("keep", "keep", SUCCESS, true),
    ("deny", "locked", NOT_AUTHORIZED, true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_an_unsubscribe_is_seen_as_the_table_says() {
    let broker = broker_with(&[only(Hook::InterceptingUnsubscription)]).await;
    for (verdict, first, in_v5, stays) in UNSUBSCRIBE {
        for version in VERSIONS {
            let (name, filter) = (format!("{verdict} {version}"), format!("{first}/t"));
            let mut client = Client::connect(&broker.server, connect(version, "c")).await;
            client.subscribe(&filter, QOS1).await;
            let unsuback = client.unsubscribe(&[&filter]).await;
            let expected: &[ReasonCode] = if version == V5 { &[in_v5] } else { &[] };
            assert_eq!(unsuback.reason_codes, expected, "{name}");
            inject(&broker, &filter).await;
            if stays {
                assert_eq!(text(&client.message().await), "payload", "{name}");
            }
            client.assert_silent().await;
            client.disconnect().await;
        }
    }
    broker.server.shutdown().await;
}

/// Verdict, first level of the topic, what PUBACK or PUBREC say in 5.0, and where the message goes instead.
pub(super) const NOT_CONSUMED: [(&str, &str, ReasonCode, Option<&str>); 3] = [
    ("observe", "any", NOBODY, None),
    ("redirect", "redirect", SUCCESS, Some("redirected/t")),
    ("answer", "answer-quota", ReasonCode::QUOTA_EXCEEDED, None),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verdict_about_a_message_for_nobody_is_seen_as_the_table_says() {
    let broker = broker_with(&[only(Hook::ApplicationMessageNotConsumed)]).await;
    let mut receiver = Client::connect(&broker.server, connect(V5, "receiver")).await;
    receiver.subscribe("redirected/t", QOS2).await;
    for (verdict, first, in_v5, instead) in NOT_CONSUMED {
        for version in VERSIONS {
            for qos in ALL_QOS {
                let name = format!("{verdict} {version} {qos:?}");
                let mut client = Client::connect(&broker.server, connect(version, "c")).await;
                let told = client.publish(&format!("{first}/t"), "payload", qos).await;
                let expected = if version == V311 || qos == QOS0 { SUCCESS } else { in_v5 };
                assert_eq!(told, expected, "{name}");
                client.ping().await;
                client.disconnect().await;
                expect(&mut receiver, instead, qos, &name).await;
            }
        }
        let told = inject(&broker, &format!("{first}/t")).await;
        assert_eq!(told, in_v5, "{verdict}, injected");
        expect(&mut receiver, instead, QOS2, verdict).await;
    }
    broker.server.shutdown().await;
}

async fn expect(receiver: &mut Client, topic: Option<&str>, qos: QoS, name: &str) {
    if let Some(topic) = topic {
        let got = receiver.message().await;
        assert_eq!((&*got.topic, got.qos), (topic, qos), "{name}");
    }
    receiver.assert_silent().await;
}
