//! Logins that an HTTP server decides, over the wire, and what becomes of them where the server fails.

use std::time::Duration;

use crate::support::plain::{Client, Messages};
use serde_json::{Value, json};
use tidegate::client::{ConnectError, End};
use tidegate::packet::{ProtocolVersion, ReasonCode};
use tidegate::plugin::{Budgets, Grants, PluginOptions};

use super::{Broker, filter, message, module, text, until};
use crate::support::http::{Answer, Asked, Web};

const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;

fn http_auth(web: &Web) -> PluginOptions {
    let grants = Grants { hosts: vec!["127.0.0.1".into()], session_items: true, ..Grants::default() };
    let settings = json!({ "url": web.url("login"), "authorization-cache-seconds": 0 });
    let budgets = Budgets { http_timeout: Duration::from_secs(30), ..Budgets::default() };
    PluginOptions { grants, settings, budgets, ..PluginOptions::new("http-auth", module("http-auth")) }
}

fn with_timeout(options: PluginOptions, time: Duration) -> PluginOptions {
    let budgets = Budgets { http_timeout: time, ..options.budgets };
    PluginOptions { budgets, ..options }
}

/// Ada may publish and subscribe below her own topic; the User Name of anybody else says what becomes of it.
fn answer(asked: &Asked) -> Answer {
    let body: Value = serde_json::from_str(&asked.body).expect("JSON");
    let ok = |body: Value| Answer::Now(200, body.to_string());
    match (body["user_name"].as_str().unwrap_or_default(), body["password"].as_str()) {
        ("ada", Some("secret")) => {
            let rule = |topic: &str| json!({ "permission": "allow", "topic": topic });
            ok(json!({ "result": "allow", "acl": [rule("own/%u/%c/#")] }))
        }
        ("root", _) => ok(json!({ "result": "allow", "is_superuser": true })),
        ("brief", _) => ok(json!({ "result": "allow", "is_superuser": true, "expires_in": 1 })),
        ("slow", _) => Answer::Hold(200, json!({ "result": "allow", "is_superuser": true }).to_string()),
        ("broken", _) => Answer::Now(500, "{}".into()),
        ("nonsense", _) => Answer::Now(200, "{\"result\":".into()),
        _ => ok(json!({ "result": "deny" })),
    }
}

async fn login(broker: &Broker, client: &str, user: &str) -> Result<(Client, Messages), ReasonCode> {
    login_with(broker, V5, client, user, "secret").await
}

async fn login_with(
    broker: &Broker,
    version: ProtocolVersion,
    client: &str,
    user: &str,
    password: &str,
) -> Result<(Client, Messages), ReasonCode> {
    match broker.connect_as(version, client, user, password).await {
        Ok(connected) => Ok(connected),
        Err(ConnectError::Refused(connack)) => Err(connack.reason_code),
        Err(error) => panic!("refused without CONNACK: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_lets_clients_in_and_each_may_do_what_its_rules_say() {
    let web = Web::start(answer).await;
    let broker = Broker::start(&[http_auth(&web)]).await;
    for version in [V311, V5] {
        let (client, mut messages) =
            login_with(&broker, version, "c1", "ada", "secret").await.expect("let in");
        let suback = client.subscribe(filter("own/ada/c1/+")).await.expect("connected");
        assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1]);
        client.publish(message("own/ada/c1/x", "hello")).await.expect("connected");
        assert_eq!(text(&messages.next().await.expect("connected")), "hello");
        let suback = client.subscribe(filter("own/ada/#")).await.expect("connected");
        assert!(suback.reason_codes[0].is_error(), "{:?}", suback.reason_codes);
        if version == V5 {
            let puback = client.publish(message("own/eve/c1/x", "x")).await.expect("connected");
            assert_eq!(puback.reason_code, ReasonCode::NOT_AUTHORIZED);
        }
        client.disconnect().await.expect("connected");
        let refused = login_with(&broker, version, "c1", "ada", "guess").await.err();
        assert_eq!(refused, Some(ReasonCode::BAD_USER_NAME_OR_PASSWORD), "{version}");
    }
    let first = &web.asked()[0];
    assert_eq!(first.what, "POST /login");
    let body: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!((&body["client_identifier"], &body["address"]), (&json!("c1"), &json!("127.0.0.1")));
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_is_slow_or_gone_refuses_clients_and_disturbs_nobody_who_is_in() {
    let web = Web::start(answer).await;
    let broker = Broker::start(&[with_timeout(http_auth(&web), Duration::from_millis(300))]).await;
    let (bystander, mut messages) = login(&broker, "bystander", "root").await.expect("let in");
    bystander.subscribe(filter("x")).await.expect("connected");
    for user in ["broken", "nonsense", "slow"] {
        assert_eq!(login(&broker, "c1", user).await.err(), Some(ReasonCode::SERVER_UNAVAILABLE), "{user}");
    }
    bystander.publish(message("x", "still here")).await.expect("connected");
    assert_eq!(text(&messages.next().await.expect("connected")), "still here");
    web.stop().await;
    assert_eq!(login(&broker, "c1", "ada").await.err(), Some(ReasonCode::SERVER_UNAVAILABLE));
    // Who was let in lately, from the same place, still is: that answer is remembered.
    let (_again, _) = login(&broker, "bystander", "root").await.expect("let in");
    assert_eq!(broker.host.status()[0].failures, [], "the plugin did what it should");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_twenty_logins_wait_a_client_that_is_in_goes_on_as_ever() {
    let web = Web::start(answer).await;
    let broker = Broker::start(&[http_auth(&web)]).await;
    let (bystander, mut messages) = login(&broker, "bystander", "root").await.expect("let in");
    bystander.subscribe(filter("x")).await.expect("connected");
    let begin = |n: usize| {
        let options = {
            let mut options = broker.options(&format!("slow-{n}"));
            options.connect.user_name = Some("slow".into());
            options
        };
        tokio::spawn(async move { crate::support::plain::connect(&options).await.map(drop) })
    };
    let logins: Vec<_> = (0..20).map(begin).collect();
    // As many as there are threads for.
    until("the server is asked about eight", || web.asked().len() == 1 + 8).await;
    // Both of the broker's threads have logins that wait; no answer comes before this is over.
    for n in 0..100 {
        bystander.publish(message("x", n.to_string())).await.expect("connected");
        assert_eq!(text(&messages.next().await.expect("connected")), n.to_string());
    }
    assert_eq!(web.asked().len(), 1 + 8, "the others wait for a thread");
    web.release(20);
    for login in logins {
        login.await.unwrap().expect("let in");
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_when_the_server_says() {
    let web = Web::start(answer).await;
    let broker = Broker::start(&[http_auth(&web)]).await;
    let (_client, mut messages) = login(&broker, "c1", "brief").await.expect("let in");
    match messages.next().await {
        Err(End::Server(disconnect)) => assert_eq!(disconnect.reason_code, ReasonCode::NOT_AUTHORIZED),
        other => panic!("{other:?}"),
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_exchanged_while_logins_wait_and_none_is_lost() {
    let web = Web::start(answer).await;
    let broker = Broker::start(&[http_auth(&web)]).await;
    let mut options = broker.options("slow");
    options.connect.user_name = Some("slow".into());
    let login = tokio::spawn(async move { crate::support::plain::connect(&options).await.map(drop) });
    until("the server is asked", || web.asked().len() == 1).await;
    let next = with_timeout(http_auth(&web), Duration::from_secs(20));
    broker.host.reload(&[next]).expect("loaded");
    web.release(1);
    login.await.unwrap().expect("let in");
    broker.server.shutdown().await;
}
