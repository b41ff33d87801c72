//! Projects with the hooks that were asked for and nothing in them: parts of `examples/plugins/bare/`, which has
//! every hook.
//!
//! A line `-- authorizer` in a comment begins a part for that hook, `-- not lifecycle` one for projects without it,
//! and `--` what all have.

use super::language::Language;
use super::templates;

/// In the order of the contract's world.
const HOOKS: [&str; 9] = [
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

macro_rules! bare {
    ($file:literal) => {
        include_str!(concat!("../../../examples/plugins/bare/", $file))
    };
}

const CASES: &str = bare!("cases.toml");
const WORLD: &str = bare!("world.wit");

/// What the names of the hooks become in the list that a plugin in Rust exports.
const EXPORTED: &str = "EXPORTED";

/// For the argument `--hooks`.
pub(super) fn parse_hook(text: &str) -> Result<&'static str, String> {
    HOOKS
        .into_iter()
        .find(|hook| *hook == text)
        .ok_or_else(|| format!("there is no such hook; hooks are {}", HOOKS.join(", ")))
}

/// Paths and texts of a project with these hooks alone.
///
/// # Errors
/// Where there is no project for the language but its sample.
pub(super) fn files(language: Language, hooks: &[&str]) -> Result<Vec<(String, String)>, String> {
    let Some(source) = source(language) else {
        return match hooks {
            ["intercepting-publish"] => Ok(templates::files(language)),
            _ => Err(format!(
                "{} has a sample of intercepting-publish, and nothing for other hooks; rust, javascript, \
                 typescript, python, go and c have all",
                if language == Language::Zig { "zig" } else { "assemblyscript" }
            )),
        };
    };
    let mut files = templates::files(language);
    for (path, text) in &mut files {
        match path.as_str() {
            "tests/cases.toml" => *text = parts(CASES, hooks),
            "wit/world.wit" => *text = parts(WORLD, hooks),
            "README.md" => *text = readme(text, hooks),
            "bindings/plugin.c" => *text = exporting(BINDINGS, hooks),
            "bindings/plugin.h" => BINDINGS_HEADER.clone_into(text),
            path if path == language.source() => {
                *text = parts(source, hooks).replace(EXPORTED, &in_snake_case(hooks));
            }
            _ => {}
        }
    }
    Ok(files)
}

/// The bindings of a world with every hook and service.
const BINDINGS: &str = bare!("bindings/plugin.c");
const BINDINGS_HEADER: &str = bare!("bindings/plugin.h");

const fn source(language: Language) -> Option<&'static str> {
    Some(match language {
        Language::Rust => bare!("plugin.rs"),
        Language::Javascript => bare!("plugin.js"),
        Language::Typescript => bare!("plugin.ts"),
        Language::Python => bare!("plugin.py"),
        Language::Go => bare!("main.go"),
        Language::C => bare!("plugin.c"),
        Language::Zig | Language::Assemblyscript => return None,
    })
}

fn in_snake_case(hooks: &[&str]) -> String {
    let names = HOOKS.into_iter().filter(|hook| hooks.contains(hook));
    names.map(|hook| hook.replace('-', "_")).collect::<Vec<_>>().join(", ")
}

/// What the markers leave of a text.
fn parts(text: &str, hooks: &[&str]) -> String {
    let mut is_wanted = true;
    let mut kept = String::new();
    for line in text.lines() {
        match marker(line) {
            Some("") => is_wanted = true,
            Some(hook) => {
                is_wanted = match hook.strip_prefix("not ") {
                    Some(hook) => !hooks.contains(&hook),
                    None => hooks.contains(&hook),
                }
            }
            None if is_wanted => {
                kept.push_str(line);
                kept.push('\n');
            }
            None => {}
        }
    }
    format!("{}\n", kept.trim_end())
}

fn marker(line: &str) -> Option<&str> {
    let comment = line.trim_start();
    let comment = comment.strip_prefix("// ").or_else(|| comment.strip_prefix("# "))?;
    comment.strip_prefix("--").map(str::trim)
}

/// Of generated bindings, without the functions that are exported for other hooks.
fn exporting(bindings: &str, hooks: &[&str]) -> String {
    let mut is_wanted = true;
    let mut kept = String::new();
    for line in bindings.lines() {
        if let Some(hook) = exported_hook(line) {
            is_wanted = hooks.contains(&hook);
        }
        if is_wanted {
            kept.push_str(line);
            kept.push('\n');
        }
        is_wanted |= line == "}";
    }
    kept
}

/// Of a line such as `__attribute__((__export_name__("tidegate:plugin/authorizer@0.1.0#authorize")))`.
fn exported_hook(line: &str) -> Option<&str> {
    let (_, name) = line.split_once("__export_name__(\"")?;
    let (_, name) = name.split_once("tidegate:plugin/")?;
    name.split('@').next()
}

/// With the hooks in place of what the example does, and without its settings.
fn readme(text: &str, hooks: &[&str]) -> String {
    let names: Vec<String> = hooks.iter().map(|hook| format!("`{hook}`")).collect();
    let says = format!(". It implements {}, and changes nothing yet.\n", names.join(", "));
    let mut kept = String::new();
    let mut is_setting = false;
    for line in text.lines() {
        if let Some((begin, _)) = line.split_once(". It gives each message ") {
            kept.push_str(begin);
            kept.push_str(&says);
            continue;
        }
        is_setting = (is_setting || line == "[plugin.settings]") && line != "```";
        if !is_setting {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.replace("\n\n```\n", "\n```\n")
        .replace(", for the world in `wit/world.wit`,", ", with every service and these hooks,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_there_where_its_hook_is_wanted() {
        let text = "a\n// -- events\nb\n  // -- not events\nc\n# --\nd\n";
        assert_eq!(parts(text, &["events"]), "a\nb\nd\n");
        assert_eq!(parts(text, &["authorizer"]), "a\nc\nd\n");
    }

    #[test]
    fn a_project_names_the_hooks_that_were_asked_for_and_no_other() {
        for language in Language::ALL {
            let Ok(files) = files(language, &["authorizer", "events"]) else {
                assert!(source(language).is_none());
                continue;
            };
            let text = |path: &str| files.iter().find(|(name, _)| name == path).map(|(_, text)| &text[..]);
            let cases = text("tests/cases.toml").unwrap();
            assert!(cases.contains("hook = \"authorizer\"") && cases.contains("hook = \"events\""));
            assert!(!cases.contains("intercepting") && !cases.contains("--"), "{cases}");
            let readme = text("README.md").unwrap();
            assert!(readme.contains("implements `authorizer`, `events`,"), "{readme}");
            assert!(!readme.contains("site ="), "{readme}");
            let source = text(language.source()).unwrap().to_lowercase();
            assert!(source.contains("authorize") && source.contains("events"), "{source}");
            for other in ["lifecycle", "consumed", "subscri", "publish", "enqueue", "-- "] {
                assert!(!source.contains(other), "{language:?}: {other} in\n{source}");
            }
            if let Some(bindings) = text("bindings/plugin.c") {
                assert!(bindings.contains("@0.1.0#authorize\"") && !bindings.contains("@0.1.0#init\""));
            }
        }
    }

    #[test]
    fn a_hook_that_there_is_not_is_answered_with_those_that_there_are() {
        assert_eq!(parse_hook("events"), Ok("events"));
        let error = parse_hook("authoriser").unwrap_err();
        assert!(HOOKS.iter().all(|hook| error.contains(hook)), "{error}");
        assert!(files(Language::Zig, &["events"]).unwrap_err().contains("intercepting-publish"));
    }
}
