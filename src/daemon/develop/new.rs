//! Writes a project.

use std::fs;
use std::io;
use std::path::Path;

use super::bare;
use super::language::Language;
use super::templates::{self, NAME};
use crate::daemon::exit::{Failure, print};

/// Without `hooks` it is the example, which has some.
pub(super) fn run(name: &str, language: Language, hooks: &[&str]) -> Result<(), Failure> {
    let files = match hooks {
        [] => templates::files(language),
        hooks => bare::files(language, hooks).map_err(Failure::usage)?,
    };
    let folder = Path::new(name);
    write(folder, name, files).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{name} is there already; choose another name"))
        }
        _ => Failure::internal(&format!("write {name}"), &error),
    })?;
    print(&format!(
        "{name} is a plugin now. Its code is in {name}/{}. Next:\n  \
         tidegate plugin build {name}\n  tidegate plugin test {name}/build/{name}.wasm\n",
        language.source()
    ))
}

/// A project in a new folder.
fn write(folder: &Path, name: &str, files: Vec<(String, String)>) -> io::Result<()> {
    fs::create_dir(folder)?;
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, named(&text, name))?;
    }
    Ok(())
}

fn named(text: &str, name: &str) -> String {
    text.replace(NAME, name).replace(&NAME.replace('-', "_"), &name.replace('-', "_"))
}

/// What is a legal name of a package in every language.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins
        && text.len() <= 64
        && text.bytes().all(is_legal)
        && !text.ends_with('-')
        && !text.contains("--")
    {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits and single `-`, a letter first, 64 at most".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_paths_or_no_names_are_refused() {
        for name in ["", "..", "a/b", "-a", "1a", "A", "a--b", "a-", "ä"] {
            assert!(parse_name(name).is_err(), "{name}");
        }
        assert_eq!(parse_name("green-house2"), Ok("green-house2".to_owned()));
    }

    #[test]
    fn a_project_of_each_language_has_its_own_name_everywhere() {
        let outer = std::env::temp_dir().join(format!("tidegate-new-{}", std::process::id()));
        for language in Language::ALL {
            let _ = fs::remove_dir_all(&outer);
            fs::create_dir_all(&outer).unwrap();
            let folder = outer.join("green-house");
            write(&folder, "green-house", templates::files(language)).unwrap();
            assert_eq!(Language::of(&folder), Some(language));
            for file in ["README.md", "tests/cases.toml", ".gitignore", "wit/deps/tidegate-plugin/types.wit"]
            {
                assert!(folder.join(file).is_file(), "{language:?} {file}");
            }
            for (path, _) in templates::files(language) {
                let text = fs::read_to_string(folder.join(&path)).unwrap();
                assert!(!text.contains("example-plugin") && !text.contains("example_plugin"), "{path}");
            }
            assert!(write(&folder, "green-house", Vec::new()).is_err(), "nothing is written over");
        }
        let _ = fs::remove_dir_all(&outer);
    }
}
