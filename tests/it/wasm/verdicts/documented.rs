//! Whether the guide's table and the tests know every hook and verdict that `wit/` has.

use std::fs;
use std::path::Path;

use tidegate::plugin::Hook;

use super::{answers, policies, publishing};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Interfaces that hooks are, each with its text.
fn interfaces() -> Vec<(String, String)> {
    let mut interfaces = Vec::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "wit") {
            continue;
        }
        for part in fs::read_to_string(path).unwrap().split("\ninterface ").skip(1) {
            let (name, text) = part.split_once(" {").unwrap();
            interfaces.push((name.to_owned(), text.to_owned()));
        }
    }
    let world = read("wit/worlds.wit");
    interfaces.retain(|(name, _)| world.contains(&format!("export {name};")));
    interfaces
}

/// Cases of each type of the interface whose name ends in `verdict`.
fn verdicts(interface: &str) -> Vec<String> {
    let mut cases = Vec::new();
    let mut inside = false;
    for line in interface.lines().map(str::trim).filter(|line| !line.starts_with("///")) {
        if line.ends_with("verdict {") && (line.starts_with("variant ") || line.starts_with("enum ")) {
            inside = true;
        } else if line == "}" {
            inside = false;
        } else if inside {
            let case = line.trim_start_matches('%').split(['(', ',']).next().unwrap();
            cases.push(case.to_owned());
        }
    }
    cases
}

/// The row of the hook in the table of hooks.
fn row<'a>(document: &'a str, hook: &str) -> &'a str {
    let start = format!("| `{hook}` |");
    let table = document.lines().skip_while(|line| !line.starts_with("| hook | moment |"));
    table
        .take_while(|line| line.starts_with('|'))
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("no row for `{hook}`"))
}

#[test]
fn the_table_of_hooks_has_every_hook_and_verdict_and_is_the_same_in_both_places() {
    let (guide, beside) = (read("plugins/README.md"), read("wit/README.md"));
    let interfaces = interfaces();
    assert_eq!(interfaces.len(), Hook::COUNT + 1, "eight hooks and lifecycle");
    for (hook, text) in interfaces {
        let row = row(&guide, &hook);
        assert_eq!(row, self::row(&beside, &hook));
        assert_eq!(row.matches(" | ").count(), 6, "seven columns: {row}");
        for verdict in verdicts(&text) {
            assert!(row.contains(&format!("`{verdict}`")), "{hook}: {verdict}");
        }
    }
}

#[test]
fn the_tables_of_these_tests_have_every_hook_and_verdict() {
    let mut tested: Vec<(Hook, &str)> = Vec::new();
    tested.extend(publishing::TABLE.iter().map(|row| (row.hook, row.verdict)));
    tested.extend(answers::VALIDATE.iter().map(|row| (Hook::ValidatingConnection, row.0)));
    tested.extend(answers::AUTHENTICATE.iter().map(|row| (Hook::ValidatingConnection, row.0)));
    tested.extend(answers::SUBSCRIBE.iter().map(|row| (row.0, row.1)));
    tested.extend(answers::UNSUBSCRIBE.iter().map(|row| (Hook::InterceptingUnsubscription, row.0)));
    tested.extend(answers::NOT_CONSUMED.iter().map(|row| (Hook::ApplicationMessageNotConsumed, row.0)));
    for (name, text) in interfaces() {
        let Some(hook) = Hook::from_name(&name) else { continue };
        assert!(policies::TABLE.iter().any(|row| row.0 == hook), "{name} fails in no test");
        for verdict in verdicts(&text) {
            let is_it =
                |(of, tested): &&(Hook, &str)| *of == hook && tested.split(':').next() == Some(&*verdict);
            assert!(tested.iter().any(|row| is_it(&row)), "{name}: {verdict}");
        }
    }
}
