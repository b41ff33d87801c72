//! What a plugin file is and wants, without running it: for `tidegate plugin inspect`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::digest::sha256_hex;
use super::encode;
pub use super::encode::Kind;
use super::error::Problem;
use super::options::Budgets;
use super::preview1;
pub use super::surface::Interface;
use super::surface::Surface;

#[derive(Clone, Debug)]
pub struct Inspection {
    pub path: PathBuf,
    /// None where the file is no Wasm.
    pub kind: Option<Kind>,
    /// A core module whose toolchain has embedded a world; without one it follows from the names of what the module
    /// imports and exports.
    pub has_embedded_world: bool,
    /// Bytes of the file.
    pub size: usize,
    pub sha256: String,
    /// Hooks and `lifecycle`, and what else the file exports.
    pub exports: Vec<Interface>,
    pub imports: Vec<Interface>,
    /// Keys of `[plugin.grants]` without which what it imports is denied.
    pub grants: Vec<&'static str>,
    /// It may wait, and is called on threads of its own.
    pub waits: bool,
    /// What an operator is to know before it is used.
    pub notes: Vec<&'static str>,
    /// Why this host would not load it; what only shows when it runs is not among them.
    pub problems: Vec<Problem>,
}

/// Looks at the file; compiles and runs nothing.
///
/// # Errors
/// Where the file cannot be read.
pub fn inspect(path: &Path) -> std::io::Result<Inspection> {
    let bytes = super::file::read(path, Budgets::default().file)?;
    let kind = encode::kind(&bytes).ok();
    let mut inspection = Inspection {
        path: path.to_owned(),
        kind,
        has_embedded_world: kind == Some(Kind::CoreModule) && encode::has_world(&bytes),
        size: bytes.len(),
        sha256: sha256_hex(&bytes),
        exports: Vec::new(),
        imports: Vec::new(),
        grants: Vec::new(),
        waits: false,
        notes: Vec::new(),
        problems: Vec::new(),
    };
    match encode::to_component(&bytes) {
        Ok((_, component)) => {
            let surface = Surface::of(&component);
            inspection.notes = notes(&surface);
            inspection.grants = grants(&surface.imports);
            inspection.waits = surface.waits();
            inspection.exports = surface.exports;
            inspection.imports = surface.imports.into_iter().map(as_in_the_file).collect();
            inspection.problems = surface.problems;
        }
        Err(problem) => inspection.problems.push(problem),
    }
    Ok(inspection)
}

/// What our adapter imports is none of the file's own.
fn as_in_the_file(import: Interface) -> Interface {
    if import.full_name != preview1::INTERFACE {
        return import;
    }
    let name = preview1::NAME.to_owned();
    Interface { full_name: name.clone(), name, version: None, known: true, functions: Vec::new() }
}

fn notes(surface: &Surface) -> Vec<&'static str> {
    let http = surface.imports_service("http");
    let all = [
        (surface.waits(), "it may wait, and is called on threads of its own (`calls-at-once`)"),
        (http, "its HTTP requests go only to hosts that `grants.hosts` names"),
        (http && !cfg!(feature = "http"), "this broker is built without http: its HTTP requests fail"),
    ];
    all.into_iter().filter(|(applies, _)| *applies).map(|(_, note)| note).collect()
}

/// By the functions that it imports: what a toolchain adds and nothing calls is not among them.
fn grants(imports: &[Interface]) -> Vec<&'static str> {
    let mut grants = BTreeSet::new();
    for import in imports {
        for function in &import.functions {
            grants.extend(grant(&import.name, function));
        }
    }
    grants.into_iter().collect()
}

fn grant(interface: &str, function: &str) -> Option<&'static str> {
    match (interface, function) {
        ("broker", "publish" | "publish-later") => Some("publish"),
        ("broker", "get-retained" | "match-retained") => Some("retained"),
        ("broker", _) => Some("clients"),
        ("session-items", _) => Some("session-items"),
        ("http", _) => Some("hosts"),
        (name, "get-directories") if name.starts_with("wasi:filesystem/preopens@") => Some("files"),
        _ => None,
    }
}
