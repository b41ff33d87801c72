//! What ARCHITECTURE.md promises about the source text: who imports whom, what is pure, how long files are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module imports only from rows with a lower number; modules of one row do not know each other.
const ROWS: &[(u8, &[&str])] = &[
    (10, &["main", "daemon"]),
    (9, &["config"]),
    (8, &["admin"]),
    (7, &["server", "bridge"]),
    (6, &["connection", "client"]),
    (5, &["broker", "plugin"]),
    (4, &["hook", "storage", "cluster", "transport"]),
    (3, &["session"]),
    (2, &["message", "peer"]),
    (1, &["packet"]),
    (0, &["topic", "current", "password", "stamp"]),
];

/// Imports against the direction, as "from -> to". This list only shrinks.
const IMPORT_EXCEPTIONS: &[&str] = &[];

/// Without IO, clock and randomness: these are arguments.
const PURE: &[&str] = &["topic", "packet", "message", "session"];

const IMPURE: &[&str] = &[
    "tokio::",
    "std::net",
    "std::fs",
    "std::io",
    "std::thread",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime",
    "fastrand",
    "rand::",
    "RandomState",
];

/// Impurities, as "file: word". This list only shrinks.
const PURITY_EXCEPTIONS: &[&str] = &[];

/// Files that may be longer than [`LONGEST`]. This list only shrinks.
const LENGTH_EXCEPTIONS: &[&str] = &[];

/// Lines of a file.
const LONGEST: usize = 500;

struct SourceFile {
    /// From `src/` on.
    path: String,
    module: String,
    lines: usize,
    /// Without comments and test modules.
    code: String,
}

fn source_files() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(paths.len() > 50, "where is the source?");
    paths.iter().filter(|path| !is_test_file(path)).map(|path| read(&root, path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Files that a `#[cfg(test)] mod tests;` includes.
fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

fn read(root: &Path, path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap();
    let relative = path.strip_prefix(root).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy();
    SourceFile {
        path: relative.to_string_lossy().into_owned(),
        module: first.trim_end_matches(".rs").to_string(),
        lines: text.lines().count(),
        code: without_tests(&without_comments(&text)),
    }
}

fn without_comments(text: &str) -> String {
    let code =
        |line: &str| if line.trim_start().starts_with("//") { String::new() } else { line.to_string() };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// Leaves out each item behind `#[cfg(test)]`: up to its `;`, or to the brace that closes it.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[end_of_item(rest)..];
    }
    kept + rest
}

fn end_of_item(text: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                // rustfmt puts the closing brace of an item at the beginning of a line.
                if depth <= 0 || text[..at].ends_with('\n') {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The modules of this crate that the code names: `crate::packet`, and also `crate::{packet, topic::X}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        // `$crate::` in a macro and `tidegate_crate::` are other things.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_words_of_group(group)),
            None => found.extend(first_word(rest)),
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Of `a::{b, c}, d}` a and d.
fn first_words_of_group(group: &str) -> Vec<String> {
    let (mut words, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            letter if begins && !letter.is_whitespace() => {
                words.extend(first_word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    words
}

fn row_of(module: &str) -> Option<u8> {
    ROWS.iter().find(|(_, modules)| modules.contains(&module)).map(|(row, _)| *row)
}

#[test]
fn every_module_has_its_row() {
    for file in source_files() {
        assert!(file.module == "lib" || row_of(&file.module).is_some(), "{} stands in no row", file.path);
    }
}

#[test]
fn modules_import_only_from_rows_below() {
    let mut wrong = BTreeSet::new();
    for file in source_files().iter().filter(|file| file.module != "lib") {
        for import in imports(&file.code) {
            let allowed = match row_of(&import) {
                Some(row) => import == file.module || Some(row) < row_of(&file.module),
                // An item of the crate root belongs to no row.
                None => false,
            };
            if !allowed {
                wrong.insert(format!("{} -> {import}", file.module));
            }
        }
    }
    assert_same(&wrong, IMPORT_EXCEPTIONS, "imports against the direction");
}

#[test]
fn pure_modules_are_pure() {
    let mut wrong = BTreeSet::new();
    for file in source_files().iter().filter(|file| PURE.contains(&file.module.as_str())) {
        for word in IMPURE.iter().filter(|word| names(&file.code, word)) {
            wrong.insert(format!("{}: {word}", file.path));
        }
    }
    assert_same(&wrong, PURITY_EXCEPTIONS, "impurities");
}

fn names(code: &str, word: &str) -> bool {
    let part_of_other = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(part_of_other))
}

#[test]
fn files_are_short_enough_to_be_read() {
    let long = source_files().into_iter().filter(|file| file.lines > LONGEST);
    let long = long.map(|file| file.path).collect();
    assert_same(&long, LENGTH_EXCEPTIONS, "files of more than 500 lines");
}

/// Public functions of the client without an example, as "file: name". This list only shrinks.
const EXAMPLE_EXCEPTIONS: &[&str] = &[];

#[test]
fn every_public_function_of_the_client_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut functions, mut without) = (0, BTreeSet::new());
    for file in source_files().iter().filter(|file| file.module == "client") {
        let text = fs::read_to_string(root.join(&file.path)).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (at, name) in lines.iter().enumerate().filter_map(|(at, line)| Some((at, public_function(line)?)))
        {
            functions += 1;
            if !has_example(&lines[..at]) {
                without.insert(format!("{}: {name}", file.path));
            }
        }
    }
    assert!(functions > 50, "where are they?");
    assert_same(&without, EXAMPLE_EXCEPTIONS, "public functions without an example");
}

/// The name, where the line begins one. Those of traits are as public as their traits, and are no `pub fn`.
fn public_function(line: &str) -> Option<String> {
    let rest = line.strip_prefix("pub ")?;
    let rest = ["async ", "const "].iter().fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    first_word(rest.strip_prefix("fn ")?)
}

/// Whether the comment and the attributes that end here have one.
fn has_example(before: &[&str]) -> bool {
    let of_it = before.iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
    of_it.into_iter().any(|line| line.starts_with("/// ```"))
}

#[test]
fn functions_without_an_example_are_found() {
    let source = [
        "/// ```",
        "/// f();",
        "/// ```",
        "#[must_use]",
        "pub async fn f() {}",
        "/// Says.",
        "pub fn g() {}",
    ];
    let found: Vec<_> =
        source.iter().enumerate().filter_map(|(at, line)| Some((at, public_function(line)?))).collect();
    assert_eq!(found, [(4, "f".to_string()), (6, "g".to_string())]);
    assert!(has_example(&source[..4]) && !has_example(&source[..6]));
    assert_eq!(public_function("pub(super) fn h() {}"), None);
}

/// Fails for what is wrong and no exception, and for an exception that is none any more.
fn assert_same(wrong: &BTreeSet<String>, exceptions: &[&str], what: &str) {
    let exceptions: BTreeSet<String> = exceptions.iter().map(|it| it.to_string()).collect();
    let new: Vec<_> = wrong.difference(&exceptions).collect();
    assert!(new.is_empty(), "{what}: {new:#?}");
    let old: Vec<_> = exceptions.difference(wrong).collect();
    assert!(old.is_empty(), "no exceptions any more, take them off the list: {old:?}");
}

#[test]
fn imports_are_found_in_all_their_forms() {
    let code = "use crate::hook::{self, Event};\nuse crate::{\n    packet::{Ack, Packet},\n    topic,\n};\n\
                fn f(x: crate::session::Dropped) { $crate::log!() }\n#[cfg(test)]\nmod tests {\n    use crate::broker;\n}\n";
    let found: Vec<String> = imports(&without_tests(code)).into_iter().filter(|it| it != "log").collect();
    assert_eq!(found, ["hook", "packet", "session", "topic"]);
}
