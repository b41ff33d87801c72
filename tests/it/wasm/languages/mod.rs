//! A plugin in every language: a project as `tidegate plugin new` writes it, built with the language's own tools by
//! `tidegate plugin build`, and its verdicts over real sockets.
//!
//! A language whose tools are not on this machine is passed over, and that is said; with `TIDEGATE_TEST_INSTALL`
//! they are got from the package registries first, as `./test` has it. What was built is kept in the target folder
//! for as long as its sources are the same.

mod bare;
mod calls;
mod wasi;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::packet::{Publish, ReasonCode};
use tidegate::plugin::{HostOptions, PluginOptions};

use super::{Broker, filter, message, text};

/// `tidegate plugin build` ends with it where a tool is missing.
const UNAVAILABLE: i32 = 69;

fn tidegate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The plugin of a fresh project; none where the language's tools are missing.
fn built(language: &str) -> Option<PathBuf> {
    built_with(language, &[]).map(|(plugin, _)| plugin)
}

/// The same with further arguments for `plugin new`, and with the project's cases.
fn built_with(language: &str, further: &[&str]) -> Option<(PathBuf, String)> {
    built_after(language, further, |_| {})
}

/// The same of a project that was changed.
fn built_after(language: &str, further: &[&str], change: impl FnOnce(&Path)) -> Option<(PathBuf, String)> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let outer = folder().join(format!("{language}-{}-{number}", std::process::id()));
    let _ = fs::remove_dir_all(&outer);
    fs::create_dir_all(&outer).unwrap();
    let mut new = tidegate();
    new.current_dir(&outer).args(["plugin", "new", "green-house", "--lang", language]).args(further);
    let made = new.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let project = outer.join("green-house");
    change(&project);
    let kept = folder().join(format!("{language}-{:016x}.wasm", hash(&project)));
    if !kept.exists() && !build(&project, language, &kept) {
        return None;
    }
    let cases = fs::read_to_string(project.join("tests/cases.toml")).unwrap();
    let _ = fs::remove_dir_all(&outer);
    Some((kept, cases))
}

fn build(project: &Path, language: &str, kept: &Path) -> bool {
    let mut build = tidegate();
    build.args(["plugin", "build"]).arg(project);
    if std::env::var_os("TIDEGATE_TEST_INSTALL").is_some() {
        build.arg("--install");
    }
    let ran = build.output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.code() == Some(UNAVAILABLE) {
        println!("PASSED OVER: {language}: {complained}");
        return false;
    }
    assert!(ran.status.success(), "{language}\n{said}\n{complained}");
    fs::rename(project.join("build/green-house.wasm"), kept).unwrap();
    true
}

/// Of the names and contents of all files.
fn hash(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        entry.file_name().hash(&mut hasher);
        if entry.is_dir() {
            hash(&entry).hash(&mut hasher);
        } else {
            fs::read(&entry).unwrap().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// With time enough for a busy machine.
fn options(module: PathBuf) -> PluginOptions {
    let mut options = PluginOptions::new("green-house", module);
    options.settings = serde_json::json!({ "site": "north", "read-only": "status/" });
    options.budgets.decision = Duration::from_secs(5);
    options.budgets.lifecycle = Duration::from_secs(10);
    options
}

/// Compiled code is kept: for Python compiling takes longer than all else.
async fn broker(options: PluginOptions) -> Broker {
    let host =
        HostOptions { watch: false, cache_dir: Some(folder().join("compiled")), ..HostOptions::default() };
    Broker::start_with(host, &[options]).await
}

/// All that the templates do.
async fn stamps_and_refuses(language: &str) {
    let Some(module) = built(language) else { return };
    let broker = broker(options(module)).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("#")).await.expect("subscribed");

    for number in ["1", "2"] {
        let mut hello = message("a/b", "hello");
        hello.properties.get_or_insert_default().user_properties.push(("kept".into(), "yes".into()));
        let ack = client.publish(hello).await.expect("connected");
        assert!(!ack.reason_code.is_error(), "{language}: {}", ack.reason_code);
        let received = messages.next().await.unwrap();
        assert_eq!((text(&received), &*received.topic), ("hello", "a/b"), "{language}");
        let expected = [("kept", "yes"), ("site", "north"), ("number", number)];
        assert_eq!(user_properties(&received), expected, "{language}");
    }
    refuses_empty(&client).await;
    let ack = client.publish(message("status/x", "x")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::NOT_AUTHORIZED, "{language}");

    assert_eq!(broker.host.status()[0].failures, [], "{language}");
    broker.server.shutdown().await;
}

fn user_properties(publish: &Publish) -> Vec<(&str, &str)> {
    let Some(properties) = &publish.properties else { return Vec::new() };
    properties.user_properties.iter().map(|(name, value)| (&**name, &**value)).collect()
}

async fn refuses_empty(client: &crate::support::plain::Client) {
    let ack = client.publish(message("a/b", "")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID);
    let reason = ack.properties.as_ref().and_then(|properties| properties.reason_string.as_deref());
    assert_eq!(reason, Some("an empty payload says nothing"));
}

/// What the samples do.
async fn refuses(language: &str) {
    let Some(module) = built(language) else { return };
    let broker = broker(options(module)).await;
    let (client, mut messages) = broker.connect("client").await;
    client.subscribe(filter("#")).await.expect("subscribed");
    refuses_empty(&client).await;
    client.publish(message("a/b", "hello")).await.expect("connected");
    assert_eq!(text(&messages.next().await.unwrap()), "hello");
    assert_eq!(broker.host.status()[0].failures, [], "{language}");
    broker.server.shutdown().await;
}

/// The authorizer of the project throws, and the log of the call has what and where.
fn tells_what_was_thrown(language: &str, file: &str, begins: &str, throws: &str) {
    let change = |project: &Path| {
        let file = project.join(file);
        let source = fs::read_to_string(&file).unwrap();
        assert!(source.contains(begins));
        fs::write(&file, source.replace(begins, &format!("{begins}\n{throws}"))).unwrap();
    };
    let Some((module, _)) = built_after(language, &[], change) else { return };
    let mut call = tidegate();
    call.args(["plugin", "run-hook"]).arg(module).args(["authorizer", "--input", r#"{"topic": "a"}"#]);
    let ran = call.args(["--settings", r#"{"site": "north"}"#]).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("it is JSON");
    assert_eq!((ran.status.code(), &answer["verdict"]), (Some(1), &"trap".into()));
    let log = answer["log"].to_string();
    let place = Path::new(file).file_name().unwrap().to_str().unwrap();
    assert!(log.contains("nobody knows a") && log.contains(place), "{answer:#}");
}

#[test]
fn an_exception_in_javascript_is_told_in_the_log() {
    let begins = "  authorize(_client, action, topic, _qos, _retain) {";
    tells_what_was_thrown("javascript", "src/plugin.js", begins, "throw new Error(`nobody knows ${topic}`);");
}

#[test]
fn an_exception_in_python_is_told_in_the_log() {
    let begins = "    def authorize(self, _client, action, topic, qos, retain):";
    let throws = "        raise ValueError(f\"nobody knows {topic}\")";
    tells_what_was_thrown("python", "plugin.py", begins, throws);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_rust_stamps_and_refuses() {
    stamps_and_refuses("rust").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_javascript_stamps_and_refuses() {
    stamps_and_refuses("javascript").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_typescript_stamps_and_refuses() {
    stamps_and_refuses("typescript").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_python_stamps_and_refuses() {
    stamps_and_refuses("python").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_go_stamps_and_refuses() {
    stamps_and_refuses("go").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_c_stamps_and_refuses() {
    stamps_and_refuses("c").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_zig_refuses() {
    refuses("zig").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_in_assemblyscript_refuses() {
    refuses("assemblyscript").await;
}
