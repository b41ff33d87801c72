//! Files of cases for plugins: where they lie, and how they are read.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::exit::{Exit, Failure};
use super::plugin_host::user_cache;
use crate::config;
use crate::plugin::{CaseFile, Harness, PluginError, PluginOptions};

/// Where the file of cases lies beside a plugin, or above it.
const USUAL: &str = "tests/cases.toml";

/// Folders above the plugin that are looked into: `target/wasm32-unknown-unknown/release` is three below its
/// project, and a workspace one more.
const FOLDERS: usize = 6;

/// Those that were named, or the one in its usual place.
pub(super) fn find(plugin: &Path, named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let plugin = std::path::absolute(plugin).unwrap_or_else(|_| plugin.to_owned());
    let above = plugin.ancestors().skip(1).take(FOLDERS).map(|folder| folder.join(USUAL));
    match above.into_iter().find(|file| file.is_file()) {
        Some(file) => Ok(vec![file]),
        None => Err(Failure::usage(format!(
            "there is no {USUAL} beside {} or above it; write one, or name a file with --cases",
            plugin.display()
        ))),
    }
}

pub(super) fn read(file: &Path) -> Result<CaseFile, Failure> {
    let told = |why: &str| Failure::usage(format!("failed to read the cases in {}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| told(&error.to_string()))?;
    let is_lines = file.extension().is_some_and(|extension| extension == "jsonl" || extension == "json");
    let read = if is_lines {
        CaseFile::read_lines(&text)
    } else {
        let table: Map<String, Value> = toml::from_str(&text).map_err(|error| told(&error.to_string()))?;
        let table = table.into_iter().map(|(key, value)| (key, with_dates_as_texts(value))).collect();
        CaseFile::read(&table)
    };
    let read = read.and_then(|cases| with_settings_files(cases, file));
    read.map_err(|problems| wrong(file, &problems))
}

/// The texts of `settings-files`, which lie beside the file of cases or where their paths say.
fn with_settings_files(mut cases: CaseFile, file: &Path) -> Result<CaseFile, Vec<String>> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut problems = Vec::new();
    for (key, path) in &cases.settings_files {
        let path = folder.join(path);
        match config::read_settings_file(&path) {
            Ok(text) => cases.settings[key] = Value::String(text),
            Err(why) => problems.push(format!("settings-files: {key}: {} {why}", path.display())),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

fn wrong(file: &Path, problems: &[String]) -> Failure {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("\n{}: {problem}", file.display())).collect();
    Failure::usage(format!("the cases cannot be used{}", lines.concat()))
}

/// As in the configuration. A date comes as a table with one key, which names the type.
fn with_dates_as_texts(value: Value) -> Value {
    match value {
        Value::Object(table) => match table.get("$__toml_private_datetime") {
            Some(date) => date.clone(),
            None => Value::Object(
                table.into_iter().map(|(key, value)| (key, with_dates_as_texts(value))).collect(),
            ),
        },
        Value::Array(list) => Value::Array(list.into_iter().map(with_dates_as_texts).collect()),
        other => other,
    }
}

type Load = fn(PluginOptions, &CaseFile, Option<PathBuf>) -> Result<Harness, PluginError>;

/// The plugin with what its cases say of settings and grants.
pub(super) fn load(load: Load, plugin: &Path, file: &CaseFile) -> Result<Harness, Failure> {
    let name = plugin.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy().into_owned());
    load(PluginOptions::new(name, plugin), file, user_cache())
        .map_err(|error| Failure::new(Exit::Usage, format!("failed to {error}")))
}

/// Numbers with commas, which are easier to compare.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
    }
}
