//! Enhanced authentication, by the plugin `every-hook` and its method of that name.

use super::*;

const METHOD: &str = "every-hook";

fn every_hook() -> Host {
    Host::start(&[options("every-hook")])
}

fn named(name: &str, plugin: PluginOptions) -> PluginOptions {
    PluginOptions { name: name.into(), ..plugin }
}

/// What a packet is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Connect,
    ReAuthentication,
}

fn authenticate(host: &Host, of: Of, data: &str, exchange: Option<&Exchange>) -> AuthenticateOutcome {
    authenticate_as(host, "user", of, data, exchange)
}

fn authenticate_as(
    host: &Host,
    user_name: &str,
    of: Of,
    data: &str,
    exchange: Option<&Exchange>,
) -> AuthenticateOutcome {
    let mut connect = Connect::new(ProtocolVersion::V5, "c1".into());
    connect.user_name = Some(user_name.to_owned().into());
    connect.password = Some(Bytes::from_static(b"secret"));
    connect.authentication_method = Some(METHOD.into());
    let (client, data) = (client("c1"), Bytes::copy_from_slice(data.as_bytes()));
    wait(host.host.authenticate(AuthenticateContext {
        client: &client,
        connect: (of == Of::Connect).then_some(&connect),
        method: &METHOD.into(),
        data: Some(&data),
        exchange,
    }))
}

fn challenge(outcome: AuthenticateOutcome) -> Challenge {
    match outcome.verdict {
        AuthenticateVerdict::Challenge(challenge) => challenge,
        other => panic!("{other:?} in place of a challenge"),
    }
}

fn deny(reason: ReasonCode) -> AuthenticateVerdict {
    AuthenticateVerdict::Deny(reason)
}

fn calls(host: &Host) -> Vec<u64> {
    host.host.status().iter().map(|status| status.calls).collect()
}

#[test]
fn each_verdict_reaches_the_broker() {
    let host = every_hook();
    for of in [Of::Connect, Of::ReAuthentication] {
        let verdict = |data| authenticate(&host, of, data, None).verdict;
        assert_eq!(verdict("next"), AuthenticateVerdict::Next);
        assert_eq!(verdict("allow"), AuthenticateVerdict::Allow(None));
        assert_eq!(verdict("welcome"), AuthenticateVerdict::Allow(Some("welcome".into())));
        assert_eq!(verdict("banned"), deny(ReasonCode::BANNED));
        let denied = authenticate(&host, of, "deny", None);
        assert_eq!(denied.verdict, deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD));
        let reply = denied.reply.unwrap();
        assert_eq!(reply.reason_string.as_deref(), Some("denied as asked"));
        assert_eq!(reply.user_properties, [("hook".into(), "validating-connection".into())]);
        assert_eq!(challenge(authenticate(&host, of, "quiet", None)).data, None);
    }
    assert!(host.status().failures.is_empty());
}

#[test]
fn what_is_set_beside_allow_lands_in_the_overrides() {
    let host = every_hook();
    let overrides = authenticate(&host, Of::Connect, "named", None).overrides;
    assert_eq!(overrides.user_name.as_deref(), Some("proved"));
    assert_eq!(overrides.session_expiry_cap, Some(60));
    assert!(authenticate(&host, Of::ReAuthentication, "renew", None).overrides.expires_at.is_some());
}

#[test]
fn the_plugin_sees_each_packet_and_what_its_challenge_left() {
    let host = every_hook();
    let told = |of, exchange| match authenticate(&host, of, "describe", exchange).verdict {
        AuthenticateVerdict::Allow(Some(data)) => String::from_utf8(data.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    let who = "client=c1 user=user method=every-hook";
    assert_eq!(told(Of::Connect, None), format!("Purpose::Connect {who} password=secret state="));
    let first = challenge(authenticate(&host, Of::Connect, "one", None));
    assert_eq!(first.data.as_deref(), Some(&b"one;"[..]));
    assert_eq!(first.exchange.owner.as_deref(), Some("every-hook"));
    let second = challenge(authenticate(&host, Of::Connect, "two", Some(&first.exchange)));
    let expected = format!("Purpose::Connect {who} password=secret state=one;two;");
    assert_eq!(told(Of::Connect, Some(&second.exchange)), expected);
    let expected = format!("Purpose::ReAuthenticate {who} password= state=one;");
    assert_eq!(told(Of::ReAuthentication, Some(&first.exchange)), expected);
}

#[test]
fn what_no_plugin_may_answer_is_a_failure() {
    let host = every_hook();
    for data in ["much", "too-much", "rubbish", "panic"] {
        let failures = || host.status().failures.iter().map(|failure| failure.1).sum::<u64>();
        let before = failures();
        let outcome = authenticate(&host, Of::Connect, data, None);
        assert_eq!(outcome.verdict, deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR), "{data}");
        assert_eq!(failures(), before + 1, "{data}");
    }
}

#[test]
fn the_failure_policy_answers() {
    for (policy, expected) in [
        (FailurePolicy::Deny, deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR)),
        (FailurePolicy::Disconnect, deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR)),
        (FailurePolicy::Allow, AuthenticateVerdict::Allow(None)),
        (FailurePolicy::Next, AuthenticateVerdict::Next),
    ] {
        let plugin = PluginOptions { policies: FailurePolicies::all(policy), ..options("every-hook") };
        let host = Host::start(&[plugin]);
        assert_eq!(authenticate(&host, Of::Connect, "panic", None).verdict, expected, "{policy:?}");
    }
}

#[test]
fn who_has_no_opinion_leaves_it_to_the_next_and_who_asked_gets_the_answer() {
    let host = Host::start(&[options("every-hook"), named("second", options("every-hook"))]);
    assert_eq!(authenticate(&host, Of::ReAuthentication, "next", None).verdict, AuthenticateVerdict::Next);
    assert_eq!(calls(&host), [1, 1]);
    let exchange = Exchange { owner: Some("second".into()), state: Bytes::from_static(b"x;") };
    let outcome = authenticate(&host, Of::ReAuthentication, "more", Some(&exchange));
    assert_eq!(challenge(outcome).exchange.owner.as_deref(), Some("second"));
    assert_eq!(calls(&host), [1, 2]);
    // There is nobody after it.
    let outcome = authenticate(&host, Of::ReAuthentication, "next", Some(&exchange));
    assert_eq!(outcome.verdict, deny(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(calls(&host), [1, 3]);
}

#[test]
fn a_plugin_may_object_to_the_connect_but_not_let_it_in() {
    let host = every_hook();
    let verdict = |user_name, data| authenticate_as(&host, user_name, Of::Connect, data, None).verdict;
    assert_eq!(verdict("deny", "allow"), deny(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(verdict("anybody, whom validate allows", "next"), AuthenticateVerdict::Next);
    let limited = authenticate_as(&host, "limits", Of::Connect, "named", None);
    assert_eq!(limited.overrides.server_keep_alive, Some(30), "what validate set holds");
    assert_eq!(limited.overrides.session_expiry_cap, Some(60));
    // AUTH has no User Name to object to.
    assert_eq!(
        authenticate_as(&host, "deny", Of::ReAuthentication, "allow", None).verdict,
        AuthenticateVerdict::Allow(None)
    );
}

#[test]
fn an_exchange_goes_on_with_the_next_version_and_ends_where_its_plugin_is_gone() {
    let host = every_hook();
    let first = challenge(authenticate(&host, Of::Connect, "one", None));
    let reloaded = settings(serde_json::json!({ "eager-payload": 1 }), options("every-hook"));
    host.host.reload(&[reloaded]).unwrap();
    let second = challenge(authenticate(&host, Of::Connect, "two", Some(&first.exchange)));
    assert_eq!(second.data.as_deref(), Some(&b"one;two;"[..]));
    assert_eq!(host.status().version, 2);
    host.host.reload(&[options("marker"), named("another", options("every-hook"))]).unwrap();
    let outcome = authenticate(&host, Of::Connect, "allow", Some(&second.exchange));
    assert_eq!(outcome.verdict, deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR));
    assert!(outcome.reply.unwrap().reason_string.is_some());
}

#[test]
fn a_plugin_on_probation_is_asked_aside_and_sees_the_same() {
    let quarantine =
        QuarantineOptions { failures: 1, first: Duration::from_millis(20), ..QuarantineOptions::default() };
    let host = Host::start_with(HostOptions { quarantine, ..host_options() }, &[options("every-hook")]);
    let first = challenge(authenticate(&host, Of::Connect, "one", None));
    authenticate(&host, Of::Connect, "panic", None);
    let refused = deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    let mut outcome = AuthenticateOutcome::default();
    eventually("the quarantine is over", || {
        outcome = authenticate(&host, Of::Connect, "describe", Some(&first.exchange));
        outcome.verdict != refused
    });
    assert_eq!(host.status().state, PluginState::Probation);
    let told = "Purpose::Connect client=c1 user=user method=every-hook password=secret state=one;";
    assert_eq!(outcome.verdict, AuthenticateVerdict::Allow(Some(told.into())));
}
