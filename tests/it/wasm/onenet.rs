//! Devices with OneNET credentials: the vectors of the platform, over the wire.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidegate::client::device::OneNet;
use tidegate::client::{self, ConnectError, Disconnection, End, Event, Options};
use tidegate::packet::{ProtocolVersion, ReasonCode};
use tidegate::plugin::{HostOptions, PluginOptions};
use tidegate::server::ListenerOptions;

use super::{Broker, base64, filter, message, module, text};
use crate::examples::Running;

const PRODUCT: &str = "238322";
const DEVICE: &str = "mqtts-test-device";
/// The platform's own example.
const TOKEN: &str = "version=2018-10-31&res=products%2F238322%2Fdevices%2Fmqtts-test-device&et=7557387130&method=sha1&sign=Rs0u%2FKnyoK5%2FMuKo5xKa0tW%2BWqY%3D";
const EXPIRED: &str = "version=2018-10-31&res=products%2F123123%2Fdevices%2Fmydev&et=1537255523&method=sha256&sign=dL9mxHdJXyd2TZcmTna60TMUei2dYU5W6iOow7fH%2F7w%3D";

fn onenet_auth() -> PluginOptions {
    let settings = serde_json::json!({ "products": [
        { "id": PRODUCT, "devices": {
            DEVICE: "EnW4T71eIE55xOIQMN6pFMKuqel5T5HTzsGJRPiDhlM=",
            "another": "EnW4T71eIE55xOIQMN6pFMKuqel5T5HTzsGJRPiDhlM=",
        } },
        { "id": "123123", "devices": { "mydev": "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw=" } },
    ] });
    PluginOptions { settings, ..PluginOptions::new("onenet-auth", module("onenet-auth")) }
}

async fn refusal(
    broker: &Broker,
    version: ProtocolVersion,
    device: &str,
    product: &str,
    token: &str,
) -> ReasonCode {
    match broker.connect_as(version, device, product, token).await {
        Err(ConnectError::Refused(connack)) => connack.reason_code,
        Err(error) => panic!("refused without CONNACK: {error}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_own_example_token_connects_and_uses_its_own_topics() {
    let broker = Broker::start(&[onenet_auth()]).await;
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        let (client, mut messages) =
            broker.connect_as(version, DEVICE, PRODUCT, TOKEN).await.expect("the token is good");
        let own = format!("$sys/{PRODUCT}/{DEVICE}/thing/property/post");
        let suback = client.subscribe(filter(&own)).await.expect("connected");
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1]);
        client.publish(message(&own, "{}")).await.expect("connected");
        assert_eq!(text(&messages.next().await.expect("connected")), "{}");
        client.disconnect().await.expect("connected");
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_expired_and_other_devices_tokens_are_refused_with_the_right_code() {
    let broker = Broker::start(&[onenet_auth()]).await;
    let forged = TOKEN.replace("Rs0u", "Rs0v");
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        let code = refusal(&broker, version, DEVICE, PRODUCT, &forged).await;
        assert_eq!(code, ReasonCode::BAD_USER_NAME_OR_PASSWORD, "forged, {version}");
        let code = refusal(&broker, version, "mydev", "123123", EXPIRED).await;
        assert_eq!(code, ReasonCode::NOT_AUTHORIZED, "expired, {version}");
        let code = refusal(&broker, version, "another", PRODUCT, TOKEN).await;
        assert_eq!(code, ReasonCode::NOT_AUTHORIZED, "of another device, {version}");
        let code = refusal(&broker, version, DEVICE, PRODUCT, "rubbish").await;
        assert_eq!(code, ReasonCode::BAD_USER_NAME_OR_PASSWORD, "rubbish, {version}");
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_may_use_no_other_devices_topics() {
    let broker = Broker::start(&[onenet_auth()]).await;
    let (client, _messages) =
        broker.connect_as(ProtocolVersion::V5, DEVICE, PRODUCT, TOKEN).await.expect("the token is good");
    let other = format!("$sys/{PRODUCT}/another/thing/property/post");
    let ack = client.publish(message(&other, "{}")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::NOT_AUTHORIZED);
    for wide in ["#", "+/+/+/thing/property/post", &format!("$sys/{PRODUCT}/+/#"), &other] {
        let suback = client.subscribe(filter(wide)).await.expect("connected");
        assert_eq!(suback.reason_codes, [ReasonCode::NOT_AUTHORIZED], "{wide}");
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_its_token_does() {
    let broker = Broker::start(&[onenet_auth()]).await;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 2;
    let token = token(expires);
    let (_client, mut messages) =
        broker.connect_as(ProtocolVersion::V5, "mydev", "123123", &token).await.expect("the token is good");
    match messages.next().await {
        Err(End::Server(disconnect)) => assert_eq!(disconnect.reason_code, ReasonCode::NOT_AUTHORIZED),
        other => panic!("{other:?}"),
    }
    broker.server.shutdown().await;
}

/// The key of `mydev`.
const KEY: &str = "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_renews_its_token_before_it_expires() {
    let broker = Broker::start(&[onenet_auth()]).await;
    let device = OneNet::new("123123", "mydev", KEY).unwrap().lifetime(Duration::from_secs(3));
    let mut options = Options::new("127.0.0.1", broker.server.addresses()[0].port(), "mydev");
    options.connect.protocol_version = ProtocolVersion::V311;
    options.credentials = Some(Arc::new(device));
    let client = client::Client::new(options).expect("the options fit together");
    let mut events = client.events();
    client.connect().await.expect("the token is good");
    let mut connections = 0;
    while connections < 3 {
        match events.next().await.expect("the client goes on") {
            Event::Connected { .. } => connections += 1,
            Event::Disconnected { reason, retry_in } => {
                assert!(matches!(reason, Disconnection::Ended(End::Renewal)), "{reason}");
                assert_eq!(retry_in, Some(Duration::ZERO));
            }
            _ => {}
        }
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_device_posts_a_property_and_answers_a_set() {
    let loopback = || ListenerOptions::loopback(0);
    let devices = ListenerOptions { name: "devices".to_owned(), ..loopback() };
    let platform = ListenerOptions { name: "platform".to_owned(), ..loopback().open() };
    let plugin = PluginOptions { listeners: vec!["devices".to_owned()], ..onenet_auth() };
    let host = HostOptions { watch: false, ..HostOptions::default() };
    let broker = Broker::start_at(vec![devices, platform], host, &[plugin], None).await;
    let port = |name: &str| {
        let listeners = broker.server.listeners();
        let found = listeners.iter().find(|listener| &*listener.name == name).expect("it listens");
        found.address.tcp().expect("over TCP").port()
    };

    // The platform's side: it hears what devices post, and answers.
    let mut options = Options::new("127.0.0.1", port("platform"), "platform");
    options.reconnect = None;
    let platform = client::connect(options).await.expect("let in");
    let topic = |rest: &str| format!("$sys/123123/mydev/{rest}");
    let mut posts = platform.subscribe(topic("thing/property/post").as_str()).await.expect("connected");
    let mut answers =
        platform.subscribe(topic("thing/property/set_reply").as_str()).await.expect("connected");

    let uri = format!("mqtt://127.0.0.1:{}", port("devices"));
    let mut device = Running::start("onenet_device", &[&uri, "123123", "mydev", KEY]);
    let post: Value = serde_json::from_slice(&posts.next().await.expect("connected").payload).unwrap();
    assert_eq!(post["params"]["temperature"]["value"], 21.0, "{post}");
    assert!(device.line().starts_with("posted {"));
    let reply = json!({ "id": post["id"], "code": 200, "msg": "success" });
    platform.publish(message(&topic("thing/property/post/reply"), reply.to_string())).await.unwrap();
    assert_eq!(device.line(), format!("reply {reply}"));

    for (params, code) in [(json!({ "target": 25 }), 200), (json!({ "target": "warm" }), 400)] {
        let set = json!({ "id": "7", "version": "1.0", "params": params });
        platform.publish(message(&topic("thing/property/set"), set.to_string())).await.unwrap();
        let answer: Value =
            serde_json::from_slice(&answers.next().await.expect("connected").payload).unwrap();
        assert_eq!((&answer["id"], &answer["code"]), (&json!("7"), &json!(code)), "{answer}");
    }
    drop(device);
    broker.server.shutdown().await;
}

/// A token that ends at `et`, as a device makes it.
fn token(et: u64) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let key = b"\x2a\xe1\x77\x35\x3f\xe3\x50\x12\x7a\xd8\xb3\x41\x07\xf0\x3c\x5d\x90\x3d\x0a\xa4\xb7\x0a\xee\xfd\x07\xf0\x01\x99\xf0\x35\x50\x2c";
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{et}\nsha256\nproducts/123123/devices/mydev\n2018-10-31").as_bytes());
    let sign = base64::encode(&mac.finalize().into_bytes());
    let sign = sign.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("version=2018-10-31&res=products%2F123123%2Fdevices%2Fmydev&et={et}&method=sha256&sign={sign}")
}
