//! Plugins that would take very long, or very much memory, to compile: what `tidegate` says, and that it goes on.
#![cfg(all(feature = "daemon", feature = "wasm", target_os = "linux"))]

#[expect(dead_code, reason = "not every helper is for these tests")]
mod cli_support;

use std::fs;
use std::time::{Duration, Instant};

use cli_support::{Background, Daemon, Folder, module, run};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A plugin of some KB that takes as long to compile as the cube of this: so many locals, each of which has another
/// value in each of so many loops.
fn slow(size: usize) -> Vec<u8> {
    let locals = "i32 ".repeat(size);
    let count = |index| format!("local.get {index} i32.const 7 i32.add local.set {index} ");
    let counts: String = (1..=size).map(count).collect();
    let (loops, ends) = ("loop ".repeat(size), "local.get 0 br_if 0 end ".repeat(size));
    let text = format!(
        r#"(module (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept")
            (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 16))
        (func (param i32) (local {locals}) {loops} {counts} {ends}))"#
    );
    wat::parse_str(text).expect("the text is a module")
}

/// In debug builds it takes minutes and GBs.
const ENDLESS: usize = 1000;

/// A configuration with one plugin, of this file and with these keys.
fn configuration(folder: &Folder, keys: &str) -> String {
    let text = format!(
        "[plugins]\ncache = \"cache\"\n[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\nanonymous = true\n\
         [[plugin]]\nname = \"slow\"\npath = \"slow.wasm\"\n{keys}\n"
    );
    folder.write("tidegate.toml", &text)
}

/// Puts it in place in one go.
fn put(folder: &Folder, bytes: &[u8]) {
    fs::write(folder.path("new.wasm"), bytes).unwrap();
    fs::rename(folder.path("new.wasm"), folder.path("slow.wasm")).unwrap();
}

fn put_plugin(folder: &Folder, name: &str) {
    put(folder, &fs::read(module(name)).unwrap());
}

#[test]
fn a_plugin_that_takes_longer_to_compile_than_it_may_is_refused_and_the_key_is_named() {
    let folder = Folder::new("compiles-long");
    put(&folder, &slow(ENDLESS));
    let outcome = run(&["check", "--config", &configuration(&folder, "compile-timeout = \"50ms\"")]);
    assert_eq!(outcome.code, 64, "{}", outcome.err);
    let told = "plugin `slow`: compiling it took more than 50ms (`compile-timeout`) and was ended";
    assert!(outcome.err.contains(told), "{}", outcome.err);
}

#[test]
fn a_plugin_that_takes_more_memory_to_compile_than_it_may_is_refused_and_the_key_is_named() {
    let folder = Folder::new("compiles-large");
    put(&folder, &slow(ENDLESS / 2));
    let outcome = run(&["check", "--config", &configuration(&folder, "compile-memory = \"128MiB\"")]);
    assert_eq!(outcome.code, 64, "{}", outcome.err);
    let told = "more than 134217728 bytes of memory (`compile-memory`) and was ended";
    assert!(outcome.err.contains(told), "{}", outcome.err);
}

#[test]
fn a_sound_plugin_is_compiled_by_a_process_of_its_own_and_what_is_not_valid_is_told() {
    let folder = Folder::new("compiles");
    let configuration = configuration(&folder, "");
    put_plugin(&folder, "every-hook");
    let outcome = run(&["check", "--config", &configuration]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    // A function that gives nothing where it says that it gives a number.
    let broken = wat::parse_str(
        r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32))
        (func (export "tidegate:plugin/events@0.1.0#handle") (param i32 i32 i32 i32)))"#,
    );
    put(&folder, &broken.unwrap());
    let outcome = run(&["check", "--config", &configuration]);
    assert_eq!(outcome.code, 64, "{}", outcome.err);
    assert!(outcome.err.contains("type mismatch"), "{}", outcome.err);
}

#[test]
fn while_a_plugin_is_compiled_too_long_the_one_before_answers_and_the_next_is_loaded() {
    let folder = Folder::new("compiles-meanwhile");
    // So that both are in the cache.
    for name in ["marker", "every-hook"] {
        put_plugin(&folder, name);
        let outcome = run(&["check", "--config", &configuration(&folder, "")]);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
    }
    let keys = "compile-timeout = \"50ms\"\ndeadline = \"1s\"";
    let mut broker = Daemon::start(&["--config", &configuration(&folder, keys)]);
    put(&folder, &slow(ENDLESS));
    broker.wait_for("the changed plugin cannot be loaded, the version before it goes on");
    assert!(broker.log().contains("more than 50ms (`compile-timeout`)"), "{}", broker.log());
    let outcome = broker.client("pub", &["-V", "5", "-q", "1", "-t", "reject/a", "-m", "x"]);
    assert!(outcome.err.contains("rejected as asked"), "the version before speaks: {}", outcome.err);
    put_plugin(&folder, "marker");
    broker.wait_for("version=2 replaces=1");
    assert_eq!(broker.terminate(), 0);
}

#[test]
fn a_broker_that_is_to_end_does_not_wait_for_what_is_compiled() {
    let folder = Folder::new("compiles-at-the-end");
    put_plugin(&folder, "every-hook");
    let mut broker = Daemon::start(&["--config", &configuration(&folder, "compile-timeout = \"1h\"")]);
    put(&folder, &slow(ENDLESS));
    let compiler = child_of(broker.id());
    assert_eq!(broker.terminate(), 0);
    assert!(!fs::exists(format!("/proc/{compiler}")).unwrap(), "it compiles on");
}

#[test]
fn a_broker_that_is_stopped_while_it_starts_does_not_wait_for_what_is_compiled() {
    let folder = Folder::new("compiles-at-the-start");
    put(&folder, &slow(ENDLESS));
    let mut broker = starting(&folder);
    let compiler = child_of(broker.id());
    broker.terminate();
    let outcome = broker.finish();
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.err.contains("stopped while plugins were loaded"), "{}", outcome.err);
    wait_for_the_end(compiler);
}

#[test]
fn nothing_is_compiled_for_a_broker_that_was_killed() {
    let folder = Folder::new("compiles-for-nobody");
    put(&folder, &slow(ENDLESS));
    let mut broker = starting(&folder);
    let compiler = child_of(broker.id());
    broker.kill();
    wait_for_the_end(compiler);
}

/// A broker that has much time to compile its plugin.
fn starting(folder: &Folder) -> Background {
    Background::start(&["run", "--config", &configuration(folder, "compile-timeout = \"1h\"")])
}

/// Of a process that nobody may ask for how it ended.
fn wait_for_the_end(process: u32) {
    let begun = Instant::now();
    while !matches!(stat(process, 0).as_deref(), None | Some("Z")) {
        assert!(begun.elapsed() < PATIENCE, "it goes on");
        std::thread::yield_now();
    }
}

/// The process that this one has started, once it is there.
fn child_of(process: u32) -> u32 {
    let begun = Instant::now();
    loop {
        let children = processes().filter(|&number| parent_of(number) == Some(process));
        if let Some(child) = children.last() {
            return child;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is compiled");
        std::thread::yield_now();
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok())
}

/// None where it is gone.
fn parent_of(process: u32) -> Option<u32> {
    stat(process, 1)?.parse().ok()
}

/// A field of what the kernel tells about it, counted behind its name: its state, its parent.
fn stat(process: u32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(field).map(str::to_owned)
}
