//! `tidegate plugin`: what its commands print and end with.
#![cfg(all(feature = "daemon", feature = "wasm"))]

#[expect(dead_code, reason = "brokers and clients are for other tests")]
mod cli_support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use cli_support::{Folder, Outcome, run};
use serde_json::Value;

/// The module of a plugin of `plugins/`, built where it is missing.
fn module(name: &str) -> String {
    static BUILDING: Mutex<()> = Mutex::new(());
    let path = plugins().join(format!("target/tidegate/{name}.wasm"));
    let _one_by_one = BUILDING.lock();
    if !path.exists() {
        let built = Command::new(plugins().join("build")).arg(name).status().expect("plugins/build runs");
        assert!(built.success(), "plugins/build {name} failed");
    }
    path.to_str().unwrap().to_owned()
}

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins")
}

#[test]
fn help_of_every_command_has_an_example_and_exit_codes() {
    for command in ["test", "bench", "run-hook"] {
        let help = run(&["plugin", command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(help.out.contains("Example") && help.out.contains("Exit codes:"), "{command}: {}", help.out);
    }
}

fn test(cases: &str, further: &[&str]) -> Outcome {
    let module = module("every-hook");
    run(&[&["plugin", "test", &module, "--cases", cases], further].concat())
}

#[test]
fn a_plugin_that_answers_as_its_cases_say_ends_with_0() {
    let cases = plugins().join("testing/every-hook/tests/cases.toml");
    let outcome = test(cases.to_str().unwrap(), &[]);
    assert_eq!(outcome.code, 0, "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.ends_with(" cases, 0 failed\n"), "{}", outcome.out);
    assert!(outcome.out.contains("  ok    a message is changed "), "{}", outcome.out);
}

const SHIPPED: [&str; 13] = [
    "audit-log",
    "delayed-publish",
    "device-pack",
    "http-auth",
    "jwt-auth",
    "onenet-auth",
    "onenet-script",
    "password-file",
    "payload-filter",
    "rate-limit",
    "scram-auth",
    "topic-acl",
    "topic-rewrite",
];

#[test]
fn shipped_plugins_answer_as_their_cases_say() {
    for name in SHIPPED {
        let module = module(name);
        let files = std::fs::read_dir(plugins().join(name).join("tests")).expect("cases of a shipped plugin");
        let files = files.map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> =
            files.filter(|file| file.extension().is_some_and(|extension| extension == "toml")).collect();
        files.sort();
        let named = files.iter().flat_map(|file| ["--cases", file.to_str().unwrap()]);
        let arguments: Vec<&str> = ["plugin", "test", &module].into_iter().chain(named).collect();
        let outcome = run(&arguments);
        assert_eq!(outcome.code, 0, "{name}: {}{}", outcome.out, outcome.err);
        assert!(outcome.out.ends_with(" cases, 0 failed\n"), "{name}: {}", outcome.out);
    }
}

const AROUND: &str = r##"
grants = { clients = true, retained = ["a/#"] }
sessions = ["c3", { client = "c1", user-name = "ann", protocol-version = 4, subscriptions = 2 }]
retained = [{ topic = "a/c", payload = "21", qos = 1 }, "a/b", "b"]
[[case]]
name = "sessions of the file are found"
hook = "intercepting-publish"
input = { topic = "do/client", payload = "c1" }
expect = { reason-string = "ann default 4" }
[[case]]
name = "they are listed"
hook = "intercepting-publish"
input = { topic = "do/clients", payload = "9" }
expect = { reason-string = "c1 c3", metrics = [] }
[[case]]
name = "a case has others in their place"
hook = "intercepting-publish"
sessions = [{ client = "c9", connected = false }]
input = { topic = "do/session", payload = "c9" }
expect = { reason-string = "connected=false subscriptions=0" }
[[case]]
name = "they stay"
hook = "intercepting-publish"
input = { topic = "do/sessions", payload = "9" }
expect = { reason-string = "c9" }
[[case]]
name = "retained messages are found"
hook = "intercepting-publish"
input = { topic = "do/retained", payload = "a/c" }
expect = { reason-string = "21 Qos::AtLeastOnce" }
[[case]]
name = "and matched as far as they are granted"
hook = "intercepting-publish"
input = { topic = "do/matching-retained", payload = "#" }
expect = { reason-string = "a/b a/c" }
[[case]]
name = "numbers are told in their order"
hook = "intercepting-publish"
input = { topic = "do/count", payload = "x" }
[case.expect]
metrics = [{ name = "asked_total", count = 2, labels = { by = "x" } }, { gauge = 1.5 }, { observe = 3 }, {}, {}]
[[case]]
name = "as in the beginning"
hook = "intercepting-publish"
fresh = true
input = { topic = "do/sessions", payload = "9" }
expect = { reason-string = "c1 c3" }
[[case]]
name = "wrong"
hook = "intercepting-publish"
input = { topic = "do/count", payload = "x" }
expect = { metrics = [{ count = 1 }, {}, {}, {}, {}] }
"##;

/// What a plugin finds around it, and what it did there, with what is wrong shown.
#[test]
fn lookups_requests_and_metrics_are_given_and_expected() {
    let folder = Folder::new("around");
    let cases = folder.write("cases.toml", AROUND);
    let outcome = run(&["plugin", "test", &module("uses-services"), "--cases", &cases]);
    assert_eq!(outcome.code, 1, "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.ends_with(" 1 failed\n"), "{}", outcome.out);
    let expected = "          metrics[0].count\n            expected 1\n            found    2\n";
    assert!(outcome.out.contains(expected), "{}", outcome.out);
}

const ONE_WRONG: &str = r#"
[[case]]
name = "right"
hook = "intercepting-publish"
input = { topic = "swallow/x" }
expect = { verdict = "swallow" }
[[case]]
name = "wrong"
hook = "intercepting-publish"
input = { topic = "modify/x", payload = "hello" }
expect = { payload = "hello", qos = 0 }
"#;

#[test]
fn a_case_that_fails_shows_the_difference_and_ends_with_1() {
    let folder = Folder::new("one-wrong");
    let cases = folder.write("cases.toml", ONE_WRONG);
    let outcome = test(&cases, &[]);
    assert_eq!((outcome.code, outcome.err.as_str()), (1, ""));
    let difference = "          payload\n            expected \"hello\"\n            found    \"HELLO\"\n";
    assert!(outcome.out.contains(difference), "{}", outcome.out);
    assert!(outcome.out.ends_with("2 cases, 1 failed\n"), "{}", outcome.out);

    let outcome = test(&cases, &["--filter", "right"]);
    assert_eq!(outcome.code, 0, "{}", outcome.out);
    assert!(outcome.out.ends_with("1 cases, 0 failed\n"), "{}", outcome.out);
    assert_eq!(test(&cases, &["--filter", "nothing"]).code, 64);
}

#[test]
fn a_case_that_spends_too_much_fuel_fails() {
    let folder = Folder::new("fuel");
    let cases = folder.write("cases.toml", ONE_WRONG);
    let outcome = test(&cases, &["--filter", "right", "--max-fuel", "10"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("expected at most 10\n"), "{}", outcome.out);
}

#[test]
fn a_call_without_end_fails_by_the_fuel_that_it_may_spend() {
    let folder = Folder::new("endless-fuel");
    let text = r#"(module (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "tidegate:plugin/intercepting-publish@0.1.0#intercept")
            (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable))"#;
    std::fs::write(folder.path("loops.wasm"), wat::parse_str(text).unwrap()).unwrap();
    let cases = "[[case]]\nname = \"a\"\nhook = \"intercepting-publish\"\ninput = { topic = \"t\" }\n\
                 expect = { verdict = \"trap\" }\n";
    let cases = folder.write("cases.toml", cases);
    let outcome =
        run(&["plugin", "test", &folder.path("loops.wasm"), "--cases", &cases, "--max-fuel", "1000"]);
    assert_eq!(outcome.code, 1, "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.contains("fuel\n            expected at most 1"), "{}", outcome.out);
}

#[test]
fn each_case_is_a_json_object_where_that_is_wanted() {
    let folder = Folder::new("lines");
    let line = r#"{"name":"a","hook":"authorizer","input":{"topic":"deny/x"},"expect":{"reason":"0x87"}}"#;
    let outcome = test(&folder.write("cases.jsonl", line), &["--json"]);
    assert_eq!(outcome.code, 0, "{}{}", outcome.out, outcome.err);
    let found: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!((&found["passed"], &found["found"]["verdict"]), (&true.into(), &"deny".into()));
    assert!(found["fuel"].as_u64() > Some(0), "{found}");
}

#[test]
fn cases_are_found_above_the_plugin_and_what_is_wrong_with_them_is_told() {
    let folder = Folder::new("usual");
    let project = PathBuf::from(folder.write("here", ""));
    let project = project.parent().unwrap();
    std::fs::create_dir_all(project.join("target/release")).unwrap();
    std::fs::create_dir_all(project.join("tests")).unwrap();
    let plugin = project.join("target/release/p.wasm");
    std::fs::copy(module("every-hook"), &plugin).unwrap();
    let test = || run(&["plugin", "test", plugin.to_str().unwrap()]);
    let outcome = test();
    assert_eq!(outcome.code, 64);
    assert!(outcome.err.contains("there is no tests/cases.toml"), "{}", outcome.err);

    std::fs::write(project.join("tests/cases.toml"), "[[case]]\nhook = \"authoriser\"\ncolour = 1\n")
        .unwrap();
    let outcome = test();
    assert_eq!(outcome.code, 64);
    assert!(outcome.err.contains("case `case 1`: input: hook: `authoriser` is no hook"), "{}", outcome.err);

    std::fs::write(project.join("tests/cases.toml"), ONE_WRONG).unwrap();
    assert_eq!(test().code, 1);
}

/// A module that says by its names alone what it exports, as those of Go, C and Zig do.
const BY_NAMES: &str = r#"(module (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "tidegate:plugin/events@0.1.0#handle") (param i32 i32 i32 i32)))"#;

#[test]
fn inspect_says_where_the_world_of_a_core_module_comes_from() {
    let folder = Folder::new("by-names");
    let plugin = PathBuf::from(folder.write("by-names.wasm", ""));
    std::fs::write(&plugin, wat::parse_str(BY_NAMES).unwrap()).unwrap();
    let outcome = run(&["plugin", "inspect", plugin.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let kind = "kind      core module, whose world follows from its names\n";
    assert!(outcome.out.contains(kind), "{}", outcome.out);
    assert!(outcome.out.contains("exports   events 0.1.0\n"), "{}", outcome.out);
}

#[test]
fn inspect_names_what_a_core_module_imports_and_not_what_is_made_of_it() {
    let folder = Folder::new("imports");
    let plugin = PathBuf::from(folder.write("imports.wasm", ""));
    let inspect = |import: &str| {
        let text = BY_NAMES.replacen("(module", &format!("(module (import {import} (func (param i32)))"), 1);
        std::fs::write(&plugin, wat::parse_str(text).unwrap()).unwrap();
        run(&["plugin", "inspect", plugin.to_str().unwrap()])
    };
    let outcome = inspect(r#""wasi_snapshot_preview1" "proc_exit""#);
    assert_eq!(outcome.code, 0, "{}{}", outcome.out, outcome.err);
    assert!(outcome.out.contains("wants     wasi_snapshot_preview1\n"), "{}", outcome.out);
    let outcome = inspect(r#""env" "system""#);
    assert_eq!(outcome.code, 64, "{}", outcome.out);
    assert!(
        outcome.out.contains("it imports `env::system`, which this broker does not have"),
        "{}",
        outcome.out
    );
}

#[test]
fn new_answers_a_hook_that_there_is_not_with_those_that_there_are() {
    let outcome = run(&["plugin", "new", "p", "--lang", "go", "--hooks", "events,authoriser"]);
    assert_eq!(outcome.code, 64);
    assert!(outcome.err.contains("'authoriser'"), "{}", outcome.err);
    assert!(
        outcome.err.contains("hooks are lifecycle, validating-connection, authorizer,"),
        "{}",
        outcome.err
    );
    let outcome = run(&["plugin", "new", "p", "--lang", "zig", "--hooks", "events"]);
    assert_eq!(outcome.code, 64);
    assert!(outcome.err.contains("zig has a sample of intercepting-publish"), "{}", outcome.err);
    assert!(!Path::new("p").exists());
}

#[test]
fn run_hook_prints_verdict_and_effects() {
    let module = module("every-hook");
    let call = |hook: &str, input: &str| {
        let grants = r##"{"publish": ["#"]}"##;
        run(&["plugin", "run-hook", &module, hook, "--input", input, "--grants", grants])
    };
    let outcome = call("intercepting-publish", r#"{"topic": "ask/k", "payload": ""}"#);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let found: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(found["verdict"], "swallow");
    assert_eq!(found["published"][0]["topic"], "answer/k");

    let trap = r#"{"authentication-method": "every-hook", "authentication-data": "panic"}"#;
    let outcome = call("validating-connection", trap);
    assert_eq!(outcome.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&outcome.out).unwrap()["verdict"], "trap");

    let outcome = call("intercepting-publish", "[]");
    assert_eq!((outcome.code, outcome.err.as_str()), (64, "tidegate: --input expects a JSON object\n"));
}

#[test]
fn run_hook_asks_init_with_the_settings() {
    let module = module("payload-filter");
    let rules = r#"{"rules": [{"topics": ["a/#"], "require": ["t"], "on-violation": "swallow"}]}"#;
    let outcome = run(&["plugin", "run-hook", &module, "init", "--settings", rules]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let found: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(found["topics"], serde_json::json!(["a/#"]), "{found}");
}

#[test]
fn bench_gives_a_figure_for_what_answers_as_expected_and_none_for_what_does_not() {
    let folder = Folder::new("bench");
    let cases = folder.write("cases.toml", ONE_WRONG);
    let module = module("every-hook");
    let arguments = ["plugin", "bench", &module, "--cases", &cases, "--for", "30ms"];
    let outcome = run(&arguments);
    assert_eq!(outcome.code, 1, "{}", outcome.out);
    assert!(outcome.out.contains("instance and init in "), "{}", outcome.out);
    assert!(outcome.out.contains("  right ") && outcome.out.contains(" ns "), "{}", outcome.out);
    assert!(!outcome.out.contains("  wrong "), "{}", outcome.out);
    assert!(outcome.out.contains(" bytes  ("), "{}", outcome.out);
    assert!(outcome.err.contains("no figure for `wrong`"), "{}", outcome.err);
    assert_eq!(run(&[&arguments[..], &["--hook", "events"]].concat()).code, 64);
    let outcome = run(&[&arguments[..], &["--filter", "righ"]].concat());
    assert_eq!(outcome.code, 0, "what is not measured may answer as it likes: {}", outcome.err);

    // As far as it comes: it has whole pages of memory, and fewer bytes of tables than of memory.
    let outcome = run(&[&arguments[..], &["--json"]].concat());
    let price: Value = serde_json::from_str(outcome.out.lines().next().unwrap()).unwrap();
    let (memory, tables) = (price["memory"].as_u64().unwrap(), price["tables"].as_u64().unwrap());
    assert!(memory > 0 && memory.is_multiple_of(65536), "{price}");
    assert!((8..memory).contains(&tables), "{price}");
}

#[test]
fn inspect_says_what_has_to_be_granted_and_whether_it_runs_here() {
    let inspect =
        |name: &str, further: &[&str]| run(&[&["plugin", "inspect", &module(name)], further].concat());
    let outcome = inspect("every-hook", &[]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.out.contains("grants    clients, publish (denied unless"), "{}", outcome.out);
    assert!(outcome.out.ends_with("runs here yes\n"), "{}", outcome.out);

    assert!(outcome.out.contains("kind      core module with an embedded world\n"), "{}", outcome.out);

    let outcome = inspect("future-version", &["--json"]);
    assert_eq!(outcome.code, 64);
    let found: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!((&found["kind"], &found["runs-here"]), (&"core-module".into(), &false.into()));
    assert_eq!(found["exports"][0]["functions"][0], "intercept");
    assert!(found["problems"][0].as_str().unwrap().contains("knows versions 0.1"), "{found}");
}
