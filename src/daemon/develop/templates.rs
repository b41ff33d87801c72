//! The files of projects: those of `examples/plugins/`, the contract, and for Rust the SDK.

use super::language::Language;
use crate::plugin::WIT;

/// The name of the examples, which gives way to that of a project.
pub(super) const NAME: &str = "example-plugin";

type Files = &'static [(&'static str, &'static str)];

/// Files of `examples/plugins/`, named by their paths there.
macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../examples/plugins/", $folder, "/", $path)))),+]
    };
}

const RUST: Files = files!("rust":
    "Cargo.toml",
    "src/lib.rs",
    "README.md",
    "tests/cases.toml",
);

const JAVASCRIPT: Files = files!("javascript":
    "src/plugin.js",
    "types/tidegate-plugin.d.ts",
    "wit/world.wit",
    "README.md",
    "tests/cases.toml",
);

const TYPESCRIPT: Files = files!("typescript":
    "src/plugin.ts",
    "tsconfig.json",
    "wit/world.wit",
    "README.md",
    "tests/cases.toml",
);

const PYTHON: Files = files!("python":
    "plugin.py",
    "wit/world.wit",
    "README.md",
    "tests/cases.toml",
);

const GO: Files = files!("go":
    "go.mod",
    "main.go",
    "tidegate/tidegate.go",
    "tidegate/authorizer/authorizer.go",
    "tidegate/events/events.go",
    "tidegate/interceptingclientenqueue/interceptingclientenqueue.go",
    "tidegate/interceptingpublish/interceptingpublish.go",
    "tidegate/interceptingsubscription/interceptingsubscription.go",
    "tidegate/interceptingunsubscription/interceptingunsubscription.go",
    "tidegate/lifecycle/lifecycle.go",
    "tidegate/notconsumed/notconsumed.go",
    "tidegate/validatingconnection/validatingconnection.go",
    "tidegate/internal/abi/abi.go",
    "README.md",
    "tests/cases.toml",
);

const C: Files = files!("c":
    "plugin.c",
    "bindings/plugin.c",
    "bindings/plugin.h",
    "wit/world.wit",
    "README.md",
    "tests/cases.toml",
);

const ZIG: Files = files!("zig":
    "plugin.zig",
    "README.md",
    "tests/cases.toml",
);

const ASSEMBLYSCRIPT: Files = files!("assemblyscript":
    "assembly/index.ts",
    "names.mjs",
    "README.md",
    "tests/cases.toml",
);

/// Types of the contract, for TypeScript as for JavaScript.
const TYPES: Files = files!("javascript": "types/tidegate-plugin.d.ts");

macro_rules! sdk {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../plugins/sdk/src/", $file)))),+]
    };
}

/// The sources of `tidegate-plugin`.
const SDK: Files = sdk!(
    "authentication.rs",
    "authorizer.rs",
    "bindings.rs",
    "broker.rs",
    "client.rs",
    "client_enqueue.rs",
    "clock.rs",
    "crypto.rs",
    "events.rs",
    "export.rs",
    "http.rs",
    "lib.rs",
    "lifecycle.rs",
    "log.rs",
    "message.rs",
    "metrics.rs",
    "not_consumed.rs",
    "passwords.rs",
    "publish.rs",
    "random.rs",
    "reason.rs",
    "reply.rs",
    "session_items.rs",
    "settings.rs",
    "state.rs",
    "subscription.rs",
    "testing.rs",
    "topic.rs",
    "validating_connection.rs",
);

const SDK_MANIFEST: &str = include_str!("../../../plugins/sdk/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../plugins/Cargo.toml");

/// Where the SDK lies in a project, as seen from it; the contract lies where its macros look for it.
const SDK_FOLDER: &str = "vendor/tidegate/plugins/sdk";
const SDK_WIT_FOLDER: &str = "vendor/tidegate/wit";

/// Paths and texts of a project in this language, with [`NAME`] in place of its own.
pub(super) fn files(language: Language) -> Vec<(String, String)> {
    let own = match language {
        Language::Rust => RUST,
        Language::Javascript => JAVASCRIPT,
        Language::Typescript => TYPESCRIPT,
        Language::Python => PYTHON,
        Language::Go => GO,
        Language::C => C,
        Language::Zig => ZIG,
        Language::Assemblyscript => ASSEMBLYSCRIPT,
    };
    let mut files = Vec::new();
    add(&mut files, "", own);
    add(&mut files, "wit/deps/tidegate-plugin/", WIT);
    files.push((".gitignore".to_owned(), ignored(language).to_owned()));
    match language {
        Language::Typescript => add(&mut files, "", TYPES),
        Language::Rust => add_sdk(&mut files),
        _ => {}
    }
    files
}

fn add(files: &mut Vec<(String, String)>, folder: &str, more: &[(&str, &str)]) {
    files.extend(more.iter().map(|(path, text)| (format!("{folder}{path}"), (*text).to_owned())));
}

const fn ignored(language: Language) -> &'static str {
    match language {
        Language::Rust => "/build\n/target\n",
        Language::Python => "/build\n/typings\n__pycache__\n",
        _ => "/build\n",
    }
}

/// The SDK in the project: it is on no registry yet.
fn add_sdk(files: &mut Vec<(String, String)>) {
    for (path, text) in &mut *files {
        if path == "Cargo.toml" {
            *text = text.replace("../../../plugins/sdk", SDK_FOLDER);
        }
    }
    add(files, &format!("{SDK_FOLDER}/src/"), SDK);
    add(files, &format!("{SDK_WIT_FOLDER}/"), WIT);
    files.push((format!("{SDK_FOLDER}/Cargo.toml"), sdk_manifest()));
}

/// The SDK's manifest with what it has from its workspace written out.
fn sdk_manifest() -> String {
    let mut manifest = String::new();
    for line in SDK_MANIFEST.lines() {
        let name = line.split(['.', ' ']).next().unwrap_or(line);
        match line {
            _ if line.contains(".workspace = true") => {
                manifest.push_str(workspace_line(name));
                manifest.push('\n');
            }
            // Lints are for who works on the SDK.
            "[lints]" | "workspace = true" => {}
            _ => {
                manifest.push_str(line);
                manifest.push('\n');
            }
        }
    }
    manifest
}

/// What the workspace says of a key of `[package]` or a dependency.
fn workspace_line(name: &str) -> &'static str {
    let found = WORKSPACE_MANIFEST.lines().find(|line| line.split(" = ").next() == Some(name));
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_sdk_is_there_with_all_its_files_and_needs_no_workspace() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/sdk/src");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name();
            assert!(SDK.iter().any(|(known, _)| name == *known), "{name:?} is missing in SDK");
        }
        let manifest = sdk_manifest();
        assert!(!manifest.contains("workspace"), "{manifest}");
        assert!(
            manifest.contains("\nedition = \"2024\"\n") && manifest.contains("\nserde = {"),
            "{manifest}"
        );
    }
}
