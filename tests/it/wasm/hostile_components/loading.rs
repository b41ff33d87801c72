//! What goes wrong before a plugin is called the first time: it does not start, and says why.

use std::fs;
use std::time::{Duration, Instant};

use tidegate::packet::ReasonCode;
use tidegate::plugin::PluginOptions;

use super::super::assemble::{assembled, names};
use super::super::latency::Machine;
use super::super::{Broker, message, until};
use super::{Folder, keep_the_log, logged, patient};

/// What it is, and what the broker says about it.
const REFUSED: [(&str, &str); 9] = [
    ("trap-in-init", "its init failed"),
    ("init-never-ends", "its init failed"),
    ("start-traps", "cannot be instantiated"),
    ("start-never-ends", "cannot be instantiated"),
    ("memory-at-start", "cannot be instantiated"),
    ("table-at-start", "cannot be instantiated"),
    ("lying-world", "cannot be made a component"),
    ("missing-function", "cannot be made a component"),
    ("unknown-import", "it imports `env::system`"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_start_is_refused_with_a_reason_in_bounded_time_and_what_runs_goes_on() {
    keep_the_log();
    let folder = Folder::new("start");
    let plugin = PluginOptions { topics: Vec::new(), ..folder.plugin("starting", &assembled("rejects")) };
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let (client, _messages) = broker.connect("c").await;
    let machine = Machine::watch();
    for (name, why) in REFUSED {
        fs::write(&plugin.path, assembled(name)).unwrap();
        let begun = Instant::now();
        let errors = broker.host.reload(std::slice::from_ref(&plugin)).expect_err(name);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2) + machine.delay(), "{name}: {took:?}");
        assert!(errors[0].to_string().contains(why), "{name}: {}", errors[0]);
        let ack = client.publish(message("t", "x")).await.expect("connected");
        assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID, "{name}: the version before speaks");
    }
    // The same through the watcher, which logs it.
    broker.host.poke();
    until("the file was looked at", || broker.host.status()[0].load_error.is_some()).await;
    assert!(
        logged("starting").iter().any(|line| line.contains("cannot be loaded")),
        "{:?}",
        logged("starting")
    );
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traps_at_the_end_of_a_version_and_at_the_begin_of_the_next_are_contained() {
    keep_the_log();
    let folder = Folder::new("swap");
    let plugin = PluginOptions {
        topics: Vec::new(),
        ..folder.plugin("swapping", &assembled("drain-and-migrate-trap"))
    };
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let (client, _messages) = broker.connect("c").await;
    for next in ["hands-over", "drain-and-migrate-trap", "good"] {
        fs::write(&plugin.path, assembled(next)).unwrap();
        broker
            .host
            .reload(std::slice::from_ref(&plugin))
            .unwrap_or_else(|errors| panic!("{next}: {errors:?}"));
        let ack = client.publish(message("t", "x")).await.expect("connected");
        assert!(!ack.reason_code.is_error(), "{next}");
    }
    let lines = logged("swapping");
    for word in ["drain", "migrate"] {
        assert!(lines.iter().any(|line| line.contains(word)), "{word}: {lines:?}");
    }
    broker.server.shutdown().await;
}

/// A component with one section.
fn component(section: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.push(section);
    bytes.extend(leb128(body.len()));
    bytes.extend(body);
    bytes
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Components of all sorts that are large in number or in depth.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    const BOOL: u8 = 0x7f;
    let counted = |count: usize, item: &[u8]| [leb128(count), item.repeat(count)].concat();
    let mut nested = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..5_000 {
        nested = component(4, &nested);
    }
    // option<option<…>>, each of the type before it
    let options = (0..100_000_usize)
        .flat_map(|index| if index == 0 { vec![BOOL] } else { [vec![0x6b], leb128(index - 1)].concat() });
    let options: Vec<u8> = leb128(100_000).into_iter().chain(options).collect();
    // tuple<t, t> of the type before it: 2^64 fields in the end
    let doubled = (0..64_usize).flat_map(|index| {
        if index == 0 { vec![BOOL] } else { [vec![0x6f, 2], leb128(index - 1), leb128(index - 1)].concat() }
    });
    let doubled: Vec<u8> = leb128(64).into_iter().chain(doubled).collect();
    let empty_instance = [0x01, 0x00];
    vec![
        ("100,000 types", component(7, &counted(100_000, &[BOOL]))),
        ("100,000 instances", component(5, &counted(100_000, &empty_instance))),
        ("5,000 components in each other", nested),
        ("100,000 types in each other", component(7, &options)),
        ("2^64 fields", component(7, &doubled)),
        ("a billion types that are not there", component(7, &leb128(1_000_000_000))),
        ("a name of 4 GiB", component(0, &leb128(0xffff_ffff))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_of_a_great_many_parts_are_refused_in_bounded_time() {
    let folder = Folder::new("bombs");
    let plugin = folder.plugin("bomb", &assembled("good"));
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let machine = Machine::watch();
    for (what, bytes) in bombs() {
        fs::write(&plugin.path, bytes).unwrap();
        let begun = Instant::now();
        broker.host.reload(std::slice::from_ref(&plugin)).expect_err(what);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10) + machine.delay(), "{what}: {took:?}");
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_or_damaged_anywhere_is_refused_or_runs_but_breaks_nothing() {
    let folder = Folder::new("damaged");
    let good = assembled("good");
    let plugin = folder.plugin("damaged", &good);
    let broker = Broker::start_with(patient(), std::slice::from_ref(&plugin)).await;
    let load = |bytes: &[u8]| {
        fs::write(&plugin.path, bytes).unwrap();
        let begun = Instant::now();
        let loaded = broker.host.reload(std::slice::from_ref(&plugin));
        (loaded.is_ok(), begun.elapsed())
    };
    let mut longest = Duration::ZERO;
    let mut cuts = 0;
    for cut in (0..good.len()).step_by(7) {
        let (loaded, took) = load(&good[..cut]);
        // Where it ends between its code and what names its world, it is a plugin by its names.
        cuts += usize::from(loaded);
        longest = longest.max(took);
    }
    assert!(cuts <= 2, "{cuts} parts of it were loaded");
    let mut loaded = 0;
    for place in (8..good.len()).step_by(5) {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        let (runs, took) = load(&bytes);
        loaded += usize::from(runs);
        longest = longest.max(took);
    }
    assert!(loaded < good.len() / 5, "some damage is noticed");
    assert!(longest < Duration::from_secs(10), "{longest:?}");
    let (runs, _) = load(&good);
    assert!(runs, "after all that, a good file is loaded");
    let (client, _messages) = broker.connect("c").await;
    let ack = client.publish(message("damaged/t", "x")).await.expect("connected");
    assert!(!ack.reason_code.is_error());
    broker.server.shutdown().await;
}

#[test]
fn every_hostile_module_is_used_by_a_test() {
    let tests = [include_str!("calls.rs"), include_str!("loading.rs"), include_str!("files.rs")].concat();
    for name in names() {
        assert!(tests.contains(&format!("\"{name}\"")), "{name}");
    }
}
