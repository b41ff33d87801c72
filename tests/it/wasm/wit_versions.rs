//! Plugins of every released version of `wit/`, kept as they were built: they load and answer as they did.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::plugin::{CaseFile, Harness, PluginOptions};

/// Versions, and the SHA-256 of their text. What stands here is never changed; a release adds a line.
///
/// 0.1.0 is about to be released: with its release it gets its line, and until then its text may change.
const RELEASED: [(&str, &str); 0] = [];

const UNRELEASED: &str = "0.1.0";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wit-versions")
}

/// Those of which there are plugins.
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let versions: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    assert!(!versions.is_empty());
    versions
}

fn name(version: &Path) -> &str {
    version.file_name().unwrap().to_str().unwrap()
}

#[test]
fn plugins_of_every_released_version_load_and_answer() {
    let mut plugins = 0;
    for version in versions() {
        for file in fs::read_dir(&version).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            plugins += 1;
            let cases = fs::read_to_string(file.with_extension("jsonl")).unwrap();
            let cases = CaseFile::read_lines(&cases).unwrap_or_else(|problems| panic!("{problems:#?}"));
            let options = PluginOptions::new("kept", &file);
            let mut harness = Harness::load(options, &cases, None).unwrap_or_else(|error| panic!("{error}"));
            for case in &cases.cases {
                let (answer, differences) = harness.run(case);
                assert_eq!(differences, [], "{}: {}: {:?}", file.display(), case.name, answer.fields);
            }
        }
    }
    assert!(plugins >= 2 * versions().len(), "every version has a component and a core module");
}

#[test]
fn the_text_of_a_released_version_is_what_it_was() {
    let digest = |path: &Path| tidegate::plugin::inspect(path).unwrap().sha256;
    for version in versions() {
        let found = digest(&version.join("contract.wit"));
        match RELEASED.iter().find(|(released, _)| *released == name(&version)) {
            Some((released, kept)) => assert_eq!(found, *kept, "the text of {released} was edited"),
            None => assert_eq!(name(&version), UNRELEASED),
        }
    }
    for (released, _) in RELEASED {
        assert!(folder().join(released).is_dir(), "the plugins of {released} are gone");
    }
}

/// Where `wit/` says that it is of a version which is kept, it has that version's text: an addition makes a new one.
#[test]
fn the_contract_is_the_text_that_is_kept_of_its_version() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    let mut files: Vec<PathBuf> = fs::read_dir(wit).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    files.sort();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let version = text.lines().find_map(|line| line.strip_prefix("package tidegate:plugin@")).unwrap();
    let version = version.trim_end_matches(';');
    let kept = folder().join(version).join("contract.wit");
    match fs::read_to_string(&kept) {
        Ok(kept) => assert!(
            kept == text,
            "wit/ is not what tests/wit-versions/{version} has; a released version is never edited, and one that \
             is not is kept anew as tests/wit-versions/README.md says"
        ),
        Err(_) => assert!(RELEASED.iter().all(|(released, _)| *released != version)),
    }
}
