//! `tidegate plugin list` and `tidegate plugin inspect`: what plugin files are, without running them.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::exit::{Exit, Failure, print};
use crate::config::{Config, PluginSpec};
use crate::plugin::{self, Inspection, Interface, Kind};

/// The plugins of a configuration, in the order of the chain.
pub(super) fn list(file: &Path) -> Result<(), Failure> {
    let (specs, mut report) = match Config::load(file) {
        Ok(config) => (config.plugins, None),
        Err(report) => (report.sound_plugins.clone(), Some(report.to_string())),
    };
    let mut text = String::new();
    if specs.is_empty() && report.is_none() {
        text.push_str("no plugins\n");
    }
    for (index, spec) in specs.iter().enumerate() {
        let sound = describe_spec(index + 1, spec, &mut text);
        if !sound && report.is_none() {
            report = Some("there are problems with plugins, see above".to_owned());
        }
    }
    print(&text)?;
    report.map_or(Ok(()), |report| Err(Failure::usage(report)))
}

/// One plugin file.
pub(super) fn inspect(file: &Path, json: bool) -> Result<(), Failure> {
    let inspection = plugin::inspect(file).map_err(|error| {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::Usage,
        };
        Failure::new(exit, format!("failed to read {}: {error}", file.display()))
    })?;
    let mut text = String::new();
    if json {
        let _ = writeln!(text, "{:#}", object(&inspection));
    } else {
        describe(&inspection, &mut text);
    }
    print(&text)?;
    match inspection.problems.len() {
        0 => Ok(()),
        _ => Err(Failure::usage("this broker would not load it, see the problems")),
    }
}

/// Says whether the file can be used, as far as can be seen from outside.
fn describe_spec(number: usize, spec: &PluginSpec, text: &mut String) -> bool {
    let _ = writeln!(text, "{number}. {}", spec.name);
    let inspection = match plugin::inspect(&spec.file) {
        Ok(inspection) => inspection,
        Err(error) => {
            row(text, "file", &spec.file.display().to_string());
            row(text, "problem", &format!("it cannot be read: {error}"));
            return false;
        }
    };
    describe(&inspection, text);
    if let Some(hooks) = &spec.hooks {
        let hooks: Vec<&str> = hooks.iter().map(|hook| hook.as_str()).collect();
        row(text, "of these", &format!("{} (the configuration's choice)", hooks.join(", ")));
    }
    inspection.problems.is_empty()
}

fn describe(inspection: &Inspection, text: &mut String) {
    let kind = match inspection.kind {
        Some(Kind::Component) => "component",
        Some(Kind::CoreModule) if inspection.has_embedded_world => "core module with an embedded world",
        Some(Kind::CoreModule) => "core module, whose world follows from its names",
        None => "not WebAssembly",
    };
    row(text, "file", &inspection.path.display().to_string());
    row(text, "kind", kind);
    row(text, "size", &format!("{} bytes", inspection.size));
    row(text, "version", &format!("sha256 {}", inspection.sha256));
    row(text, "exports", &interfaces(&inspection.exports, "not called by this broker"));
    row(text, "wants", &interfaces(&inspection.imports, "unknown to this broker"));
    if !inspection.grants.is_empty() {
        row(
            text,
            "grants",
            &format!("{} (denied unless the configuration has them)", inspection.grants.join(", ")),
        );
    }
    for note in &inspection.notes {
        row(text, "note", note);
    }
    for problem in &inspection.problems {
        row(text, "problem", &problem.to_string());
    }
    row(text, "runs here", if inspection.problems.is_empty() { "yes" } else { "no" });
}

/// The same for scripts.
fn object(inspection: &Inspection) -> Value {
    let kind = match inspection.kind {
        Some(Kind::Component) => Value::from("component"),
        Some(Kind::CoreModule) => "core-module".into(),
        None => Value::Null,
    };
    let interface = |it: &Interface| {
        let (name, version) = (&it.name, &it.version);
        json!({ "name": name, "version": version, "known": it.known, "functions": it.functions })
    };
    let interfaces = |list: &[Interface]| list.iter().map(interface).collect::<Vec<Value>>();
    json!({
        "file": inspection.path.display().to_string(),
        "kind": kind,
        "embedded-world": inspection.has_embedded_world,
        "size": inspection.size,
        "sha256": inspection.sha256,
        "exports": interfaces(&inspection.exports),
        "imports": interfaces(&inspection.imports),
        "grants": inspection.grants,
        "waits": inspection.waits,
        "notes": inspection.notes,
        "problems": inspection.problems.iter().map(ToString::to_string).collect::<Vec<String>>(),
        "runs-here": inspection.problems.is_empty(),
    })
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "   {name:<9} {value}");
}

/// `log 0.1.0, state 0.1.0`; toolchains add exports of their own, as componentize-py's `exports`.
fn interfaces(interfaces: &[Interface], what_is_unknown: &str) -> String {
    let described = interfaces.iter().map(|interface| {
        // What is not ours has it in its name.
        let version = interface.version.as_ref().filter(|_| interface.name != interface.full_name);
        let version = version.map(|version| format!(" {version}")).unwrap_or_default();
        let unknown = if interface.known { String::new() } else { format!(" ({what_is_unknown})") };
        format!("{}{version}{unknown}", interface.name)
    });
    let described: Vec<String> = described.collect();
    if described.is_empty() { "nothing".to_owned() } else { described.join(", ") }
}
