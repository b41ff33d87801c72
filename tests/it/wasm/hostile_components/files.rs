//! Plugin files that are no plugins, or that somebody writes to while they are read.

use std::fs::{self, File};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::packet::ReasonCode;
use tidegate::plugin::{PluginOptions, inspect};

use super::super::assemble::assembled;
use super::super::{Broker, message};
use super::{Folder, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_500_mb_is_refused_unread() {
    let folder = Folder::new("large");
    let plugin = folder.plugin("large", &assembled("good"));
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    File::options().write(true).open(&plugin.path).unwrap().set_len(500_000_000).unwrap();
    let begun = Instant::now();
    let errors = broker.host.reload(std::slice::from_ref(&plugin)).expect_err("it is too large");
    assert!(errors[0].to_string().contains("500000000 bytes"), "{}", errors[0]);
    assert!(inspect(&plugin.path).is_err());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_to_while_it_is_read_is_one_of_its_states_or_refused() {
    let folder = Folder::new("changing");
    let versions = [assembled("good"), assembled("rejects")];
    let plugin = PluginOptions { topics: Vec::new(), ..folder.plugin("changing", &versions[0]) };
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let known: Vec<String> = versions
        .iter()
        .map(|bytes| {
            fs::write(folder.0.join("known.wasm"), bytes).unwrap();
            inspect(&folder.0.join("known.wasm")).unwrap().sha256
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let (path, theirs) = (plugin.path.clone(), stop.clone());
    let last = versions[1].clone();
    let writer = std::thread::spawn(move || {
        while !theirs.load(Ordering::Relaxed) {
            for version in &versions {
                // Into the file, as nobody should: who reads meanwhile gets a part of it.
                fs::write(&path, version).unwrap();
            }
        }
        fs::write(&path, last).unwrap();
    });
    for _ in 0..100 {
        // Refused or not: what runs is one of the two.
        let _ = broker.host.reload(std::slice::from_ref(&plugin));
        assert!(known.contains(&broker.host.status()[0].sha256));
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    broker.host.reload(std::slice::from_ref(&plugin)).expect("it lies still");
    let (client, _messages) = broker.connect("c").await;
    let ack = client.publish(message("t", "x")).await.expect("connected");
    assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID);
    broker.server.shutdown().await;
}
