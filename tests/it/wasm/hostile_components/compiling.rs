//! Plugins that take long to compile: nobody waits for that but who wants to load them, and files above their budget
//! are not compiled at all.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::packet::ReasonCode;
use tidegate::plugin::PluginOptions;

use super::super::assemble::assembled;
use super::super::latency::{Machine, ping_pong};
use super::super::{Broker, message, until};
use super::{Folder, keep_the_log, logged, patient};

/// A plugin that lets every message pass, by its names, with functions that nobody calls: so many of so many steps.
fn large(functions: usize, steps: usize) -> Vec<u8> {
    let step = "(local.set 0 (i32.mul (i32.xor (local.get 0) (i32.load (local.get 0))) (i32.const 7)))";
    let function = format!("(func (param i32) (result i32) {} (local.get 0))", step.repeat(steps));
    let text = format!(
        r#"(module (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept")
            (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 16))
        {})"#,
        function.repeat(functions)
    );
    wat::parse_str(text).expect("the text is a module")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_flow_while_a_plugin_is_compiled_for_long() {
    let folder = Folder::new("compiling");
    let plugin = PluginOptions { topics: Vec::new(), ..folder.plugin("compiling", &assembled("good")) };
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let client = broker.connect("c").await;
    fs::write(&plugin.path, large(50, 2000)).unwrap();

    let flowing = tokio::spawn(ping_pong(client, "t".to_owned(), stop.clone()));
    let (machine, host) = (Machine::watch(), broker.host.clone());
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || host.reload(&[plugin])).await.unwrap().expect("it is a plugin");
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let times = flowing.await.unwrap();
    let worst = times.iter().max().copied().unwrap_or_default();
    assert_eq!(broker.host.status()[0].version, 2);
    assert!(took > Duration::from_millis(500), "it did not take long: {took:?}");
    // Had they waited for the compiler, the slowest would have taken as long.
    assert!(times.len() > 100, "{} messages in {took:?}", times.len());
    assert!(worst < took / 4 + machine.delay(), "{worst:?} of {took:?}");
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_above_its_budget_is_not_compiled_and_the_log_names_it() {
    keep_the_log();
    let folder = Folder::new("above-budget");
    let mut plugin = folder.plugin("above-budget", &assembled("rejects"));
    plugin.topics = Vec::new();
    plugin.budgets.file = 64 * 1024;
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let (client, _messages) = broker.connect("c").await;
    let bytes = large(5, 2000);
    assert!(bytes.len() > plugin.budgets.file, "{}", bytes.len());
    fs::write(&plugin.path, &bytes).unwrap();
    broker.host.poke();
    until("the file was looked at", || broker.host.status()[0].load_error.is_some()).await;
    let told = broker.host.status()[0].load_error.clone().unwrap();
    assert!(told.contains("65536 at most (`file-size`)"), "{told}");
    let lines = logged("above-budget");
    assert!(lines.iter().any(|line| line.contains("(`file-size`)")), "{lines:?}");
    let ack = client.publish(message("t", "x")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID, "the version before speaks");

    // With a larger budget it is loaded.
    plugin.budgets.file = bytes.len();
    broker.host.reload(&[plugin]).expect("it is a plugin");
    broker.server.shutdown().await;
}
