//! What clients see of a plugin that failed: failure policy × hook × version. The plugin traps in every hook.

use tidegate::packet::{Connect, ProtocolVersion, ReasonCode};
use tidegate::plugin::{FailurePolicies, FailurePolicy, Hook, PluginOptions};

use super::super::assemble::assembled;
use super::super::{module, until};
use super::{NOBODY, NOT_AUTHORIZED, SUCCESS, broker_with, only};
use crate::support::{Client, QOS1, V5, VERSIONS, client::to, connect, text};

const FAILED: ReasonCode = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;

const POLICIES: [FailurePolicy; 5] = [
    FailurePolicy::Deny,
    FailurePolicy::Allow,
    FailurePolicy::Next,
    FailurePolicy::LastGood,
    FailurePolicy::Disconnect,
];

/// What the answer of MQTT 5.0 says under each of `POLICIES`, and whether `disconnect` ends the connection beside it.
/// There is no version before, so that `last-good` denies; with one, see the test below.
pub(super) const TABLE: [(Hook, [ReasonCode; 5], bool); 8] = [
    (Hook::ValidatingConnection, [FAILED, SUCCESS, SUCCESS, FAILED, FAILED], true),
    (Hook::Authorizer, [NOT_AUTHORIZED, SUCCESS, SUCCESS, NOT_AUTHORIZED, NOT_AUTHORIZED], true),
    (Hook::InterceptingPublish, [FAILED, SUCCESS, SUCCESS, FAILED, FAILED], true),
    // The sender is not at fault: it stays, and is not told that its message went to nobody.
    (Hook::InterceptingClientEnqueue, [SUCCESS; 5], false),
    (Hook::InterceptingSubscription, [FAILED, SUCCESS, SUCCESS, FAILED, FAILED], true),
    (Hook::InterceptingUnsubscription, [FAILED, SUCCESS, SUCCESS, FAILED, FAILED], true),
    (Hook::ApplicationMessageNotConsumed, [FAILED, NOBODY, NOBODY, FAILED, FAILED], false),
    (Hook::Events, [SUCCESS; 5], false),
];

/// The same for MQTT 3.1.1.
fn in_v311(hook: Hook, code: ReasonCode) -> ReasonCode {
    match hook {
        _ if !code.is_error() => SUCCESS,
        Hook::ValidatingConnection => ReasonCode::SERVER_UNAVAILABLE,
        Hook::InterceptingSubscription => ReasonCode::UNSPECIFIED_ERROR,
        _ => SUCCESS,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_policy_of_every_hook_is_seen_as_the_table_says() {
    let path = std::env::temp_dir().join(format!("tidegate-policies-{}.wasm", std::process::id()));
    std::fs::write(&path, assembled("traps")).unwrap();
    for (hook, codes, ends) in TABLE {
        for (policy, code) in POLICIES.into_iter().zip(codes) {
            let policies = FailurePolicies::all(policy);
            let options =
                PluginOptions { hooks: Some(vec![hook]), policies, ..PluginOptions::new("traps", &path) };
            let broker = broker_with(&[options]).await;
            for version in VERSIONS {
                let name = format!("{hook} {policy:?} {version}");
                let passes =
                    matches!(policy, FailurePolicy::Allow | FailurePolicy::Next) || hook == Hook::Events;
                let (seen, client) = act(&broker, hook, version, passes).await;
                assert_eq!(seen, if version == V5 { code } else { in_v311(hook, code) }, "{name}");
                let refused = hook == Hook::ValidatingConnection && code.is_error();
                let disconnected = policy == FailurePolicy::Disconnect && ends && !refused;
                let mut client = client;
                if disconnected {
                    assert_eq!(client.end().await, (version == V5).then_some(FAILED), "{name}");
                } else if refused {
                    assert_eq!(client.end().await, None, "{name}");
                } else {
                    client.assert_silent().await;
                    client.disconnect().await;
                }
            }
            let counted = || broker.host.status()[0].failures.iter().any(|failures| failures.0 == hook);
            until(&format!("{hook} failed and was counted"), counted).await;
            broker.server.shutdown().await;
        }
    }
    std::fs::remove_file(path).unwrap();
}

/// A version that failed refuses until the one before it is back; events have no policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_last_good_a_failed_version_refuses_and_the_one_before_it_answers_then() {
    let path = std::env::temp_dir().join(format!("tidegate-last-good-{}.wasm", std::process::id()));
    for (hook, codes, _) in TABLE.into_iter().filter(|row| row.0 != Hook::Events) {
        for version in VERSIONS {
            let name = format!("{hook} {version}");
            let policies = FailurePolicies::all(FailurePolicy::LastGood);
            let options = PluginOptions { policies, path: path.clone(), ..only(hook) };
            std::fs::copy(module("every-hook"), &path).unwrap();
            let broker = broker_with(std::slice::from_ref(&options)).await;
            std::fs::write(&path, assembled("traps")).unwrap();
            broker.host.reload(&[options]).expect("what traps later loads");
            assert_eq!(broker.host.status()[0].version, 2, "{name}");

            let expected = |code| if version == V5 { code } else { in_v311(hook, code) };
            let seen = provoke(&broker, hook, version).await;
            assert_eq!(seen, expected(codes[3]), "{name}, failed");
            until(&format!("{name}: back"), || broker.host.status()[0].version == 1).await;
            let (seen, client) = act(&broker, hook, version, true).await;
            assert_eq!(seen, expected(codes[1]), "{name}, the version before");
            client.disconnect().await;
            broker.server.shutdown().await;
        }
    }
    std::fs::remove_file(path).unwrap();
}

/// Has the hook called once, as the second call may meet the version before.
async fn provoke(broker: &super::Broker, hook: Hook, version: ProtocolVersion) -> ReasonCode {
    if hook == Hook::Authorizer {
        let mut client = Client::connect(&broker.server, connect(version, "c")).await;
        return client.publish("t", "x", QOS1).await;
    }
    act(broker, hook, version, false).await.0
}

/// Has the hook called, and says what a client is answered; a message that passes is received.
async fn act(
    broker: &super::Broker,
    hook: Hook,
    version: ProtocolVersion,
    passes: bool,
) -> (ReasonCode, Client) {
    let server = &broker.server;
    let (mut client, connack) =
        Client::try_connect(server, Connect { user_name: Some("u".into()), ..connect(version, "c") }).await;
    let seen = match hook {
        Hook::ValidatingConnection => connack.reason_code,
        Hook::InterceptingSubscription => {
            let code = client.subscribe_to(vec![to("t", QOS1)]).await.reason_codes[0];
            if code.is_error() { code } else { SUCCESS }
        }
        Hook::InterceptingUnsubscription => {
            client.subscribe("t", QOS1).await;
            client.unsubscribe(&["t"]).await.reason_codes.first().copied().unwrap_or(SUCCESS)
        }
        Hook::ApplicationMessageNotConsumed => client.publish("t", "x", QOS1).await,
        _ => {
            let mut receiver = Client::connect(server, connect(V5, "receiver")).await;
            receiver.subscribe_to(vec![to("t", QOS1)]).await;
            let told = client.publish("t", "x", QOS1).await;
            if passes {
                assert_eq!(text(&receiver.message().await), "x", "{hook}");
            }
            // Under `disconnect`, the authorizer ends this connection too, for its SUBSCRIBE.
            if hook != Hook::Authorizer {
                receiver.assert_silent().await;
            }
            told
        }
    };
    (seen, client)
}
