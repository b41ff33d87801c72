//! The plugin as the broker uses it, with a server that answers what a test says.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::testing;

use crate::HttpAuth;

const URL: &str = "http://auth.example.com/login";
const PASSWORD: &str = "very secret";

fn start(settings: Value) -> Result<HttpAuth, String> {
    testing::reset();
    testing::set_now_ms(1_000_000);
    testing::with(|host| {
        host.client.remote_address = "10.0.0.9:50000".to_owned();
        host.client.listener = "default".to_owned();
        host.client.protocol_version = 5;
    });
    HttpAuth::init(tidegate_plugin::settings::parse(&settings.to_string())?).map(|(plugin, _)| plugin)
}

fn plugin(more: Value) -> HttpAuth {
    let mut settings = json!({ "url": URL });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    start(settings).expect("good settings")
}

/// What the server answers next.
fn answer(body: Value) {
    testing::answer_http(Ok(testing::http_response(200, body.to_string())));
}

fn connect(plugin: &mut HttpAuth) -> ConnectVerdict {
    plugin.validate(testing::connect("c1", Some("ada"), Some(PASSWORD.as_bytes())))
}

fn requests() -> Vec<testing::HttpRequest> {
    testing::with(|host| host.http_requests.clone())
}

fn may(plugin: &mut HttpAuth, action: Action, topic: &str) -> AuthorizerVerdict {
    plugin.authorize(testing::access(action, topic)).cached_for(Duration::ZERO)
}

const BAD: ConnectVerdict = ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD);
const DENIED: AuthorizerVerdict = AuthorizerVerdict::deny(reason::NOT_AUTHORIZED);

#[test]
fn the_server_is_told_who_wants_in_and_decides() {
    let mut plugin = plugin(json!({ "headers": { "authorization": "Bearer x" }, "timeout-ms": 300 }));
    for (result, verdict) in
        [("allow", ConnectVerdict::Allow), ("ignore", ConnectVerdict::Next), ("deny", BAD)]
    {
        testing::with(|host| host.client.identifier = result.to_owned());
        answer(json!({ "result": result, "something": "else" }));
        let connect = testing::connect(result, Some("ada"), Some(PASSWORD.as_bytes()));
        assert_eq!(plugin.validate(connect), verdict, "{result}");
    }
    let request = &requests()[0];
    assert_eq!((request.method.as_str(), request.url.as_str(), request.timeout_ms), ("POST", URL, 300));
    assert!(request.headers.contains(&("authorization".to_owned(), "Bearer x".to_owned())));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let expected = json!({
        "client_identifier": "allow", "user_name": "ada", "password": PASSWORD, "address": "10.0.0.9",
        "listener": "default", "protocol_version": 5,
    });
    assert_eq!(body, expected);
}

#[test]
fn a_password_that_is_no_text_goes_in_base64_and_none_as_null() {
    let mut plugin = plugin(json!({}));
    plugin.validate(testing::connect("c1", None, Some(b"\xff\x00")));
    plugin.validate(testing::connect("c1", None, None));
    let bodies: Vec<Value> = requests().iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
    assert_eq!((&bodies[0]["password"], &bodies[0]["password_base64"]), (&Value::Null, &json!("/wA=")));
    assert_eq!((&bodies[1]["password"], bodies[1].get("password_base64")), (&Value::Null, None));
}

#[test]
fn a_server_that_fails_means_what_the_settings_say_and_denies_by_default() {
    let failures = || {
        let answers = [
            (500, "{}"),
            (204, ""),
            (403, "{}"),
            (200, "nonsense"),
            (200, r#"{"result":"yes"}"#),
            (200, "{}"),
        ];
        let bad = json!({ "result": "allow", "acl": [{ "permission": "allow", "topic": "a+" }] }).to_string();
        let mut failures = vec![Err(http::Error::Timeout), Err(http::Error::Failed("refused".to_owned()))];
        failures.extend(answers.map(|(status, body)| Ok(testing::http_response(status, body))));
        failures.push(Ok(testing::http_response(200, bad)));
        failures
    };
    for (setting, verdict) in [
        (json!({}), ConnectVerdict::Deny(reason::SERVER_UNAVAILABLE)),
        (json!({ "on-server-failure": "next" }), ConnectVerdict::Next),
        (json!({ "on-server-failure": "allow" }), ConnectVerdict::Allow),
    ] {
        for failure in failures() {
            let mut plugin = plugin(setting.clone());
            let shown = format!("{failure:?}");
            testing::answer_http(failure);
            assert_eq!(connect(&mut plugin), verdict, "{shown}");
            let log = format!("{:?}", testing::with(|host| host.log.clone()));
            assert!(log.contains("could not be asked") && !log.contains(PASSWORD), "{log}");
            // It is asked again the next time.
            answer(json!({ "result": "allow" }));
            assert_eq!(connect(&mut plugin), ConnectVerdict::Allow, "{shown}");
        }
    }
}

#[test]
fn an_answer_is_remembered_for_a_while_and_for_the_same_question_only() {
    let mut plugin = plugin(json!({ "cache-seconds": 10 }));
    answer(json!({ "result": "allow" }));
    assert_eq!(connect(&mut plugin), ConnectVerdict::Allow);
    testing::advance(Duration::from_secs(9));
    assert_eq!((connect(&mut plugin), requests().len()), (ConnectVerdict::Allow, 1));
    testing::advance(Duration::from_secs(2));
    answer(json!({ "result": "deny" }));
    assert_eq!((connect(&mut plugin), requests().len()), (BAD, 2));
    // A refusal is not remembered unless that is wanted.
    answer(json!({ "result": "allow" }));
    assert_eq!((connect(&mut plugin), requests().len()), (ConnectVerdict::Allow, 3));
    // Another password or address is another question.
    answer(json!({ "result": "deny" }));
    assert_eq!(plugin.validate(testing::connect("c1", Some("ada"), Some(b"guess"))), BAD);
    testing::with(|host| host.client.remote_address = "10.0.0.8:1".to_owned());
    answer(json!({ "result": "deny" }));
    assert_eq!((connect(&mut plugin), requests().len()), (BAD, 5));
    let state =
        format!("{:?}", state::scan("", 100).iter().map(|key| (key, state::get(key))).collect::<Vec<_>>());
    assert!(!state.contains(PASSWORD) && !state.contains("guess"), "{state}");
}

#[test]
fn refusals_are_remembered_where_that_is_wanted_and_nothing_is_where_it_is_not() {
    let mut denying = plugin(json!({ "cache-denied-seconds": 5 }));
    answer(json!({ "result": "deny" }));
    assert_eq!((connect(&mut denying), connect(&mut denying), requests().len()), (BAD, BAD, 1));
    let mut forgetful = plugin(json!({ "cache-seconds": 0 }));
    answer(json!({ "result": "allow" }));
    answer(json!({ "result": "allow" }));
    connect(&mut forgetful);
    connect(&mut forgetful);
    assert_eq!(requests().len(), 2);
}

#[test]
fn the_connection_ends_when_the_server_says_also_from_memory() {
    let mut plugin = plugin(json!({ "cache-seconds": 600 }));
    answer(json!({ "result": "allow", "expires_in": 60 }));
    let ends = || testing::with(|host| host.connection.expires_at.take());
    assert_eq!((connect(&mut plugin), ends()), (ConnectVerdict::Allow, Some(1_060_000)));
    testing::advance(Duration::from_secs(59));
    assert_eq!((connect(&mut plugin), ends(), requests().len()), (ConnectVerdict::Allow, Some(1_060_000), 1));
    testing::advance(Duration::from_secs(1));
    answer(json!({ "result": "allow", "expires_in": 0 }));
    assert_eq!((connect(&mut plugin), requests().len()), (BAD, 2));
}

#[test]
fn a_client_may_do_what_the_servers_rules_say_and_nothing_else() {
    let mut plugin = plugin(json!({}));
    answer(json!({ "result": "allow", "acl": [
        { "permission": "allow", "action": "publish", "topic": "up/%c/%u" },
        { "permission": "allow", "action": "subscribe", "topic": "down/%c/#" },
    ] }));
    assert_eq!(connect(&mut plugin), ConnectVerdict::Allow);
    assert_eq!(may(&mut plugin, Action::Publish, "up/c1/ada"), AuthorizerVerdict::allow());
    assert_eq!(may(&mut plugin, Action::Publish, "up/c2/ada"), DENIED);
    assert_eq!(may(&mut plugin, Action::Publish, "down/c1/x"), DENIED);
    assert_eq!(may(&mut plugin, Action::Subscribe, "down/c1/+"), AuthorizerVerdict::allow());
    assert_eq!(may(&mut plugin, Action::Subscribe, "#"), DENIED);
}

#[test]
fn a_superuser_may_do_anything_and_without_rules_others_decide() {
    let mut plugin = plugin(json!({}));
    answer(json!({ "result": "allow", "is_superuser": true, "acl": [] }));
    connect(&mut plugin);
    assert_eq!(may(&mut plugin, Action::Subscribe, "#"), AuthorizerVerdict::allow());
    let mut plugin = self::plugin(json!({}));
    answer(json!({ "result": "allow" }));
    connect(&mut plugin);
    assert_eq!(may(&mut plugin, Action::Subscribe, "#"), AuthorizerVerdict::Next);
}

#[test]
fn what_an_earlier_connection_of_the_session_could_do_says_nothing_about_this_one() {
    let mut plugin = plugin(json!({}));
    answer(json!({ "result": "allow", "is_superuser": true }));
    connect(&mut plugin);
    let another = Access::clone(&testing::access(Action::Publish, "x"));
    testing::with(|host| {
        let kept = host.session_items.values_mut().next().expect("rights");
        let text = String::from_utf8(kept.clone()).unwrap().replace("\"connection\":1", "\"connection\":2");
        *kept = text.into_bytes();
    });
    assert_eq!(plugin.authorize(another), AuthorizerVerdict::Next);
}

#[test]
fn a_client_that_proves_in_another_way_who_it_is_is_for_others() {
    let mut plugin = plugin(json!({}));
    testing::with(|host| host.connection.authentication_method = Some("SCRAM-SHA-256".to_owned()));
    assert_eq!((connect(&mut plugin), requests().len()), (ConnectVerdict::Next, 0));
}

#[test]
fn settings_that_cannot_be_right_are_refused() {
    for (settings, problem) in [
        (json!({}), "missing field `url`"),
        (json!({ "url": "auth.example.com" }), "url: should begin with http:// or https:// and a host"),
        (json!({ "url": "http:///x" }), "url: should begin with http:// or https:// and a host"),
        (json!({ "url": "http://a:b@c/" }), "url: has user information in it"),
        (json!({ "url": URL, "timeout-ms": 0 }), "timeout-ms: should be 1 or more"),
        (json!({ "url": URL, "on-server-failure": "ignore" }), "on-server-failure: unknown variant"),
        (json!({ "url": URL, "cache": 1 }), "unknown field `cache`"),
    ] {
        let error = start(settings).err().expect("bad settings");
        assert!(error.contains(problem), "{problem} is not in {error}");
    }
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(drop).expect("good settings");
    }
}
