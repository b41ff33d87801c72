//! What `tests/conformance.md` promises: every statement has its row, every row its tests, and the tests exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Numbered statements of Appendix B of each version.
const STATEMENTS: [(&str, usize); 2] = [("## MQTT 5.0", 251), ("## MQTT 3.1.1", 141)];
/// The other tables: three columns, the last with tests.
const LISTS: [&str; 2] = ["## Known faults of other brokers", "## Reason Codes that end a connection"];

/// Where tests live.
const FOLDERS: [&str; 3] = ["src", "tests", "plugins"];

/// How a cell without a test begins, where the statement binds the server.
const REASON: &str = "not tested: ";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(project().join("tests/conformance.md")).unwrap()
}

/// The cells of the table below this heading.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let from = document.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = document[from + 1..].lines().skip(1).take_while(|line| !line.starts_with("## "));
    let table = section.filter(|line| line.starts_with('|')).skip(2);
    let cells =
        |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_string()).collect();
    table.map(cells).collect()
}

/// What a cell says in code: the paths of tests.
fn paths(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

struct Test {
    /// As `cargo test` shows it; an integration test with the name of its binary.
    path: String,
    /// From the comment above it to the end of its function.
    text: String,
}

fn tests() -> Vec<Test> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&project().join(folder), &mut files);
    }
    let tests: Vec<Test> = files.iter().flat_map(|file| tests_of(file)).collect();
    assert!(tests.len() > 400, "where are the tests? {} were found", tests.len());
    tests
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules") {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

fn tests_of(file: &Path) -> Vec<Test> {
    let text = fs::read_to_string(file).unwrap();
    let module = module_of(file.strip_prefix(project()).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    let mut inline = String::new();
    let mut tests = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inline = format!("::{name}");
        }
        if is_test_attribute(line.trim_start()) {
            tests.extend(
                test_at(&lines, at)
                    .map(|(name, text)| Test { path: format!("{module}{inline}::{name}"), text }),
            );
        }
    }
    tests
}

fn is_test_attribute(line: &str) -> bool {
    ["#[test]", "#[tokio::test]", "#[tokio::test("].iter().any(|attribute| line.starts_with(attribute))
}

/// `src/session/window.rs` is `session::window`, `tests/it/qos.rs` is `it::qos`.
fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    let mut parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    if matches!(&*parts[0], "src" | "tests") {
        parts.remove(0);
    }
    if parts.last().is_some_and(|last| *last == "mod") {
        parts.pop();
    }
    parts.join("::")
}

/// The name and the text of the test whose attribute stands at this line.
fn test_at(lines: &[&str], attribute: usize) -> Option<(String, String)> {
    let begins = lines[..attribute].iter().rposition(|line| !line.trim_start().starts_with("///"));
    let at = attribute + lines[attribute..].iter().position(|line| line.contains("fn "))?;
    let name: String =
        lines[at].split_once("fn ")?.1.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let indent = lines[at].len() - lines[at].trim_start().len();
    let closing = format!("{}}}", " ".repeat(indent));
    let len = lines[at..].iter().position(|line| *line == closing)?;
    Some((name, lines[begins.map_or(0, |before| before + 1)..=at + len].join("\n")))
}

/// The numbers of statements in a text, without brackets.
fn identifiers(text: &str) -> BTreeSet<String> {
    let number = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect()
    };
    let found = text.split("MQTT-").skip(1).map(number);
    found.filter(|number| number.contains(['.']) && number.contains('-')).collect()
}

fn table(heading: &str) -> BTreeMap<String, Vec<String>> {
    let mut table = BTreeMap::new();
    for row in rows(&document(), heading) {
        assert_eq!(row.len(), 4, "{heading}: {row:?}");
        let number = row[0].trim_start_matches("MQTT-").to_string();
        let former = table.insert(number, row);
        assert!(former.is_none(), "{heading}: {former:?} has two rows");
    }
    table
}

#[test]
fn every_numbered_statement_of_both_versions_has_a_row() {
    for (heading, count) in STATEMENTS {
        let table = table(heading);
        assert_eq!(table.len(), count, "{heading}");
        for (number, row) in table {
            assert!(["server", "client", "both"].contains(&&*row[2]), "{number} binds {}", row[2]);
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let tests: BTreeSet<String> = tests().into_iter().map(|test| test.path).collect();
    let document = document();
    let headings = STATEMENTS.iter().map(|(heading, _)| *heading).chain(LISTS);
    let named = headings.flat_map(|heading| rows(&document, heading));
    let mut missing = BTreeSet::new();
    for row in named {
        let paths = paths(row.last().unwrap()).into_iter().filter(|path| !tests.contains(*path));
        missing.extend(paths.map(|path| format!("{}: {path}", row[0])));
    }
    assert!(missing.is_empty(), "there are no such tests: {missing:#?}");
}

#[test]
fn every_statement_that_binds_the_server_has_a_test_or_a_reason() {
    for (heading, _) in STATEMENTS {
        for (number, row) in table(heading) {
            let covered = !paths(&row[3]).is_empty();
            let reason = row[3].strip_prefix(REASON).is_some_and(|reason| !reason.is_empty());
            assert!(covered || reason || row[2] == "client", "{heading}: {number} has neither");
            assert!(!(covered && reason), "{heading}: {number} has both");
        }
    }
}

#[test]
fn every_known_fault_and_every_reason_code_has_a_test() {
    for heading in LISTS {
        let rows = rows(&document(), heading);
        assert!(rows.len() > 10, "{heading}");
        for row in rows {
            assert!(row.len() == 3 && !paths(&row[2]).is_empty(), "{row:?}");
        }
    }
}

#[test]
fn every_statement_that_a_test_or_the_source_names_has_a_row() {
    let known: BTreeSet<String> =
        STATEMENTS.iter().flat_map(|(heading, _)| table(heading).into_keys()).collect();
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&project().join(folder), &mut files);
    }
    let mut unknown = BTreeSet::new();
    for file in files.iter().filter(|file| !file.ends_with("tests/it/conformance.rs")) {
        let named = identifiers(&fs::read_to_string(file).unwrap());
        let path = file.strip_prefix(project()).unwrap().display();
        unknown.extend(named.difference(&known).map(|number| format!("{path}: {number}")));
    }
    assert!(unknown.is_empty(), "neither version has these: {unknown:#?}");
}

#[test]
fn a_test_that_names_statements_stands_in_the_row_of_one_of_them() {
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (number, row) in STATEMENTS.iter().flat_map(|(heading, _)| table(heading)) {
        listed.entry(number).or_default().extend(paths(&row[3]).into_iter().map(str::to_string));
    }
    let is_listed =
        |test: &Test, number: &String| listed.get(number).is_some_and(|row| row.contains(&test.path));
    let mut unlisted = Vec::new();
    for test in tests().iter().filter(|test| !test.path.starts_with("it::conformance::")) {
        let comments = test.text.lines().map(str::trim_start).filter(|line| line.starts_with("//"));
        let named = identifiers(&comments.collect::<String>());
        if !named.is_empty() && !named.iter().any(|number| is_listed(test, number)) {
            unlisted.push(format!("{} names {named:?}", test.path));
        }
    }
    assert!(unlisted.is_empty(), "put them into the table: {unlisted:#?}");
}

#[test]
fn tests_are_found_with_their_paths() {
    let paths: BTreeSet<String> = tests().into_iter().map(|test| test.path).collect();
    for path in [
        "it::conformance::tests_are_found_with_their_paths",
        "session::window::tests::a_refused_pubrec_ends_the_flow",
        "packet::codec::tests::rules::messages_name_packet_field_and_statement",
        "packet::codec::tests::streams::any_bytes_never_panic",
        "client::tests::flows::qos_2_publish_is_done_with_pubcomp",
        "cli::a_wrong_command_line_ends_with_64",
    ] {
        assert!(paths.contains(path), "{path}");
    }
    assert_eq!(
        identifiers("// [MQTT-3.1.2-22], [MQTT-3-8.3-4]; MQTT-5 and MQTT-X").into_iter().collect::<Vec<_>>(),
        ["3-8.3-4", "3.1.2-22"]
    );
}
