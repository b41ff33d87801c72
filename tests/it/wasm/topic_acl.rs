//! An `acl_file`, asked of the plugin and of Mosquitto.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::plain::{Client, Messages, connect};
use tidegate::client::Options;
use tidegate::packet::{Connect, ProtocolVersion, ReasonCode};
use tidegate::plugin::PluginOptions;

use super::{Broker, filter, message, module, text};

/// Everybody may read `end`, by which a reader knows that nothing else comes.
const ACL: &str = "\
# rules before the first user are for clients without a User Name
topic read public/#
topic read end

user root
topic #
topic $own/#

user alice
topic alice/own
topic read news/#
topic deny news/secret/#
topic readwrite with spaces/in it
topic  readwrite   many   spaces  \t
topic deny hers/no/#
topic readwrite hers/#
topic devices/+/allowed
topic read end

user bob smith
topic write bob

user alice
topic write later/of/alice
topic write $own/a
topic write +/b

pattern readwrite devices/%c/#
pattern read users/%u/%c
pattern write in-%c/%u-out
pattern deny devices/+/secret
pattern deny devices/+/allowed
pattern read end
";

/// User Name, Client Identifier, topics.
const ASKED: [(Option<&str>, &str, &[&str]); 8] = [
    (None, "c1", &["public", "public/a", "alice/own", "devices/c1/x", "users//c1", "in-c1/-out"]),
    (
        Some("alice"),
        "c1",
        &[
            "public/a",
            "alice/own",
            "alice/own/below",
            "news",
            "news/today",
            "news/secret",
            "news/secret/today",
            "with spaces/in it",
            "many   spaces",
            "many spaces",
            "hers",
            "hers/x",
            "hers/no/x",
            "later/of/alice",
            "users/alice/c1",
            "users/bob/c1",
            "in-c1/alice-out",
            "devices/c1/x",
            "devices/c1/secret",
            "devices/c1/allowed",
            "devices/c2/x",
            "$own/a",
            "$own/b",
            "a/b",
            "unmentioned",
        ],
    ),
    (Some("bob smith"), "c1", &["bob", "public/a", "devices/c1/x"]),
    (Some("bob"), "c1", &["bob", "devices/c1/x"]),
    (Some("nobody"), "c2", &["devices/c2/x", "devices/c1/x", "users/nobody/c2", "public/a"]),
    (Some("alice"), "a/b", &["devices/a/b/x", "devices/a/x", "alice/own", "users/alice/a/b"]),
    (Some("alice"), "c#", &["alice/own", "devices/x", "news/x"]),
    (Some("alice"), "+", &["hers/x", "devices/a/x"]),
];

async fn connect_to(port: u16, user_name: Option<&str>, identifier: &str) -> (Client, Messages) {
    let mut options = Options::new("127.0.0.1", port, identifier.to_owned());
    options.connect = Connect::new(ProtocolVersion::V5, identifier.to_owned().into());
    options.connect.user_name = user_name.map(|name| name.to_owned().into());
    connect(&options).await.expect("the client is let in")
}

/// For each that is asked, whether the broker at this port lets it write and read.
async fn answers(port: u16) -> Vec<(String, bool, bool)> {
    let (root, _unread) = connect_to(port, Some("root"), "the-root").await;
    let mut answers = Vec::new();
    for (user_name, identifier, topics) in ASKED {
        for topic in topics {
            let (client, mut messages) = connect_to(port, user_name, identifier).await;
            let acknowledged = client.publish(message(topic, "written")).await.expect("connected");
            let may_write = acknowledged.reason_code != ReasonCode::NOT_AUTHORIZED;
            client.subscribe(filter(topic)).await.expect("connected");
            client.subscribe(filter("end")).await.expect("connected");
            root.publish(message(topic, "read")).await.expect("connected");
            root.publish(message("end", "end")).await.expect("connected");
            let may_read = text(&messages.next().await.expect("connected")) == "read";
            answers.push((format!("{user_name:?} {identifier} {topic}"), may_write, may_read));
            client.disconnect().await.expect("connected");
        }
    }
    answers
}

struct Mosquitto {
    process: Child,
    folder: PathBuf,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Mosquitto with the same text, where it is installed.
async fn mosquitto() -> Option<(Mosquitto, u16)> {
    let program = ["mosquitto", "/usr/sbin/mosquitto"].into_iter().find(|program| {
        Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    })?;
    let folder = std::env::temp_dir().join(format!("tidegate-topic-acl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let port = crate::support::free_port();
    let acl = folder.join("acl");
    std::fs::write(&acl, ACL).unwrap();
    let configuration = folder.join("mosquitto.conf");
    std::fs::write(&configuration, configuration_of(port, &acl)).unwrap();
    let process = Command::new(program)
        .arg("-c")
        .arg(&configuration)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mosquitto runs");
    let mosquitto = Mosquitto { process, folder };
    until_it_listens(port).await;
    Some((mosquitto, port))
}

fn configuration_of(port: u16, acl: &Path) -> String {
    format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nacl_file {}\n", acl.display())
}

async fn until_it_listens(port: u16) {
    let listening = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listening).await.expect("mosquitto listens");
}

fn topic_acl(settings: serde_json::Value) -> PluginOptions {
    PluginOptions { settings, ..PluginOptions::new("topic-acl", module("topic-acl")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_acl_answers_as_mosquitto_does() {
    let broker = Broker::start(&[topic_acl(serde_json::json!({ "acl": ACL }))]).await;
    let ours = answers(broker.server.addresses()[0].port()).await;
    assert!(ours.contains(&("Some(\"alice\") c1 hers/x".to_owned(), true, true)), "{ours:#?}");
    assert!(ours.contains(&("Some(\"alice\") c1 hers/no/x".to_owned(), false, false)), "{ours:#?}");
    assert!(ours.contains(&("Some(\"alice\") c1 news/today".to_owned(), false, true)), "{ours:#?}");
    broker.server.shutdown().await;

    let Some((_mosquitto, port)) = mosquitto().await else {
        println!("PASSED OVER: mosquitto is not installed; apt-get install mosquitto");
        return;
    };
    assert_eq!(ours, answers(port).await, "left: this broker, right: mosquitto; may write, may read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_acl_refuses_filters_that_are_not_covered() {
    let settings = serde_json::json!({ "acl": ACL, "authorize-deliveries": false });
    let broker = Broker::start(&[topic_acl(settings)]).await;
    let (client, _messages) = broker.connect("c1").await;
    for (wanted, code) in [
        ("public/#", ReasonCode::GRANTED_QOS_1),
        ("#", ReasonCode::NOT_AUTHORIZED),
        ("devices/c1/+", ReasonCode::NOT_AUTHORIZED),
    ] {
        let suback = client.subscribe(filter(wanted)).await.expect("connected");
        assert_eq!(suback.reason_codes, [code], "{wanted}");
    }
    broker.server.shutdown().await;
}
