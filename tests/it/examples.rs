//! The programs of `examples/`, run and used as a reader of them would.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::plain::{Client, Messages, connect};
use tidegate::client::{ConnectError, Options};
use tidegate::packet::{Connect, ProtocolVersion, Publish, QoS, ReasonCode, SubscribeFilter};

#[tokio::test]
async fn embed_is_a_broker() {
    let example = Example::start("embed");
    let (client, mut messages) = example.connect(None).await.expect("let in");
    assert_eq!(echo(&client, &mut messages, "a/b").await, "hello");
}

#[tokio::test]
async fn native_hooks_ask_for_the_password_and_shout() {
    let example = Example::start("native_hooks");
    let refused = example.connect(Some("please")).await.err().expect("refused");
    assert!(
        matches!(&refused, ConnectError::Refused(connack)
            if connack.reason_code == ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        "{refused}"
    );
    let (client, mut messages) = example.connect(Some("open sesame")).await.expect("let in");
    assert_eq!(echo(&client, &mut messages, "a/b").await, "HELLO");
}

#[tokio::test]
async fn publish_from_server_has_a_heartbeat() {
    let example = Example::start("publish_from_server");
    let (client, mut messages) = example.connect(None).await.expect("let in");
    client.subscribe(vec![SubscribeFilter::new("heartbeat".into(), QoS::AtLeastOnce)]).await.unwrap();
    let first = messages.next().await.expect("connected");
    assert!(std::str::from_utf8(&first.payload).unwrap().parse::<u64>().is_ok());
}

#[tokio::test]
async fn stay_connected_remembers_the_last_message_of_each_topic_over_a_restart_of_the_broker() {
    let broker = Example::start("embed");
    let uri = format!("mqtt://127.0.0.1:{}", broker.port);
    let mut helper = Running::start("stay_connected", &[&uri, "sensors/#"]);
    assert_eq!(helper.line(), "connected; the session is new");
    helper.say("sensors/a 21.5");
    assert_eq!(helper.line(), "published to sensors/a");
    assert_eq!(remembered(&mut helper, "sensors/a"), "Some(b\"21.5\")");

    let port = broker.port.to_string();
    drop(broker);
    assert!(helper.line().starts_with("disconnected: "));
    let _broker = Running::start("embed", &[&port]);
    loop {
        let line = helper.line();
        if line == "connected; the session is new" {
            break;
        }
        assert!(line.starts_with("disconnected: "), "{line}");
    }
    helper.say("sensors/b 3");
    assert_eq!(helper.line(), "published to sensors/b");
    assert_eq!(remembered(&mut helper, "sensors/b"), "Some(b\"3\")");
}

/// The acknowledgement of a message may come before the message itself: asks until there is one.
fn remembered(helper: &mut Running, topic: &str) -> String {
    loop {
        helper.say(topic);
        let line = helper.line();
        let last = line.strip_prefix(&format!("{topic}: ")).unwrap_or_else(|| panic!("{line}"));
        if last != "None" {
            return last.to_owned();
        }
    }
}

/// A running example; ended with the test.
pub(crate) struct Running {
    child: Child,
    /// Kept, so that it can go on printing.
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Running {
        let program = program(name);
        let mut command = Command::new(&program);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let output = BufReader::new(child.stdout.take().unwrap());
        Running { child, output }
    }

    /// The next that it prints; empty where it has ended.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Running {
    fn say(&mut self, line: &str) {
        let typed = self.child.stdin.as_mut().unwrap();
        writeln!(typed, "{line}").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example that is a broker.
pub(crate) struct Example {
    _running: Running,
    pub(crate) port: u16,
}

impl Example {
    pub(crate) fn start(name: &str) -> Example {
        let mut running = Running::start(name, &["0"]);
        let line = running.line();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        let port = address.split([':', ';']).nth(1).and_then(|port| port.parse().ok());
        Example { _running: running, port: port.unwrap_or_else(|| panic!("{line}")) }
    }

    async fn connect(&self, password: Option<&str>) -> Result<(Client, Messages), ConnectError> {
        let mut options = Options::new("127.0.0.1", self.port, "reader");
        options.connect = Connect::new(ProtocolVersion::V5, "reader".into());
        options.connect.password = password.map(|password| password.to_string().into());
        connect(&options).await
    }
}

/// Examples are built with all tests, into the folder beside theirs; where only some tests were built, this
/// builds the example.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().unwrap().parent().unwrap();
    let program = profile.join("examples").join(name);
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--example", name, "--target-dir"]).arg(profile.parent().unwrap());
        if cfg!(not(feature = "wasm")) {
            cargo.args(["--no-default-features", "--features", "server,client"]);
        }
        let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "the example {name} cannot be built");
    }
    program
}

async fn echo(client: &Client, messages: &mut Messages, topic: &'static str) -> String {
    client.subscribe(vec![SubscribeFilter::new(topic.into(), QoS::AtLeastOnce)]).await.expect("subscribed");
    client.publish(Publish::new(topic.into(), "hello".into())).await.expect("published");
    let received = messages.next().await.expect("connected");
    String::from_utf8(received.payload.to_vec()).unwrap()
}
