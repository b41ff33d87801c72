//! Users of a file that mosquitto_passwd wrote, over the wire.

use serde_json::json;
use tidegate::client::ConnectError;
use tidegate::packet::{ProtocolVersion, ReasonCode};
use tidegate::plugin::PluginOptions;

use super::{Broker, module};

/// As mosquitto_passwd 2.0 and 1.6 write it; the passwords are `secret-` and the name.
const FILE: &str = "\
old:$6$2B2UD/rgCTAYK7GX$SvEj2F3MsiXPpY0qVahCvkJrKUl1UV/bcCJ9ZDSiKjd3YNuBBlwt84fk1Rw5T6dInqk3bHyxONPvJJm+IL3PGQ==\n\
new:$7$101$aiLWAouB/zdzQKLx$OHmBMLmnJ5FuVyQfpGDBXsQiNq6/FU43dPFA3xi4CJVhxQM4f6I5RaOKvZfzSlN6vuMsChWIFxtdjOU3vCPUJQ==\n\n";

fn password_file(file: &str) -> PluginOptions {
    PluginOptions {
        settings: json!({ "users": file }),
        ..PluginOptions::new("password-file", module("password-file"))
    }
}

async fn refusal(
    broker: &Broker,
    version: ProtocolVersion,
    user: &str,
    password: &str,
) -> Option<ReasonCode> {
    match broker.connect_as(version, "c1", user, password).await {
        Err(ConnectError::Refused(connack)) => Some(connack.reason_code),
        Err(error) => panic!("refused without CONNACK: {error}"),
        Ok(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_mosquittos_file_are_let_in_with_their_passwords_only() {
    let broker = Broker::start(&[password_file(FILE)]).await;
    const BAD: Option<ReasonCode> = Some(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        for user in ["new", "old"] {
            assert_eq!(
                refusal(&broker, version, user, &format!("secret-{user}")).await,
                None,
                "{user} {version}"
            );
            assert_eq!(refusal(&broker, version, user, "secret").await, BAD, "{user} {version}");
        }
        assert_eq!(refusal(&broker, version, "nobody", "secret-new").await, BAD, "{version}");
    }
    assert_eq!(broker.host.status()[0].failures, []);
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_taken_over_and_a_broken_one_is_not() {
    let broker = Broker::start(&[password_file(FILE)]).await;
    let without_old: String = FILE.lines().filter(|line| !line.starts_with("old:")).collect();
    broker.host.reload(&[password_file(&without_old)]).expect("loaded");
    let v5 = ProtocolVersion::V5;
    assert!(refusal(&broker, v5, "old", "secret-old").await.is_some());
    assert_eq!(refusal(&broker, v5, "new", "secret-new").await, None);
    let errors = broker.host.reload(&[password_file("new:secret-new")]).expect_err("not hashed");
    assert!(errors[0].to_string().contains("line 1"), "{}", errors[0]);
    assert!(!errors[0].to_string().contains("secret-new"), "{}", errors[0]);
    assert_eq!(refusal(&broker, v5, "new", "secret-new").await, None);
    broker.server.shutdown().await;
}
