//! Projects that `tidegate plugin new --hooks` writes: they build, have the hooks that were asked for and no other, and
//! pass their cases.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{built_with, folder, tidegate};

const ALL: [&str; 9] = [
    "lifecycle",
    "validating-connection",
    "authorizer",
    "intercepting-publish",
    "intercepting-client-enqueue",
    "intercepting-subscription",
    "intercepting-unsubscription",
    "application-message-not-consumed",
    "events",
];

const SOME: [&str; 2] = ["intercepting-subscription", "events"];

fn has_only(language: &str, hooks: &[&str]) {
    let Some((plugin, cases)) = built_with(language, &["--hooks", &hooks.join(",")]) else { return };
    let mut expected = hooks.to_vec();
    expected.sort_unstable();
    assert_eq!(exports(&plugin), expected, "{language}");

    let file = folder().join(format!("bare-{language}-{}.toml", hooks.len()));
    fs::write(&file, cases).unwrap();
    let test = tidegate().args(["plugin", "test"]).arg(&plugin).arg("--cases").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&test.stdout);
    assert!(test.status.success(), "{language}: {said}{}", String::from_utf8_lossy(&test.stderr));
    assert!(said.matches("  ok ").count() >= hooks.len(), "{language}: {said}");
}

fn exports(plugin: &Path) -> Vec<String> {
    let shown = tidegate().args(["plugin", "inspect", "--json"]).arg(plugin).output().unwrap();
    let found: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let known = found["exports"].as_array().unwrap().iter().filter(|export| export["known"] == true);
    let mut names: Vec<String> = known.map(|export| export["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_project_in_rust_has_the_hooks_that_were_asked_for() {
    has_only("rust", &ALL[1..]);
}

#[test]
fn a_project_in_javascript_has_the_hooks_that_were_asked_for() {
    has_only("javascript", &ALL);
    has_only("javascript", &SOME);
}

#[test]
fn a_project_in_typescript_has_the_hooks_that_were_asked_for() {
    has_only("typescript", &ALL);
}

#[test]
fn a_project_in_python_has_the_hooks_that_were_asked_for() {
    has_only("python", &ALL);
}

#[test]
fn a_project_in_go_has_the_hooks_that_were_asked_for() {
    has_only("go", &ALL);
    has_only("go", &SOME);
}

#[test]
fn a_project_in_c_has_the_hooks_that_were_asked_for() {
    has_only("c", &ALL);
    has_only("c", &SOME);
}
