//! Makes plugins of modules in text: `cargo run -p assemble -- wit target/tidegate/wat one.wat two.wat`. They are
//! core modules with an embedded world, as toolchains write them.
//!
//! A file has the fields of a module. Its first lines say what its world has, in the names of tidegate's interfaces:
//! `;; imports: log state`, `;; exports: authorizer`. Memory, an allocator and the types of the hooks' functions are put
//! behind the fields; `;; memory: 100` is its pages, `;; realloc: loop` and `;; realloc: 0x1000` make an allocator that
//! never ends, or always gives the same.

use std::path::Path;

use anyhow::Context;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wit, folder, files @ ..] = &arguments[..] else { anyhow::bail!("assemble WIT FOLDER FILE…") };
    std::fs::create_dir_all(folder)?;
    for file in files {
        let file = Path::new(file);
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let module = assemble(&text, Path::new(wit)).with_context(|| file.display().to_string())?;
        let name = file.file_stem().context("a file without a name")?;
        let path = Path::new(folder).join(name).with_extension("wasm");
        // In one step: tests of several processes may read it.
        let aside = path.with_extension(format!("{}.new", std::process::id()));
        std::fs::write(&aside, module)?;
        std::fs::rename(&aside, &path)?;
    }
    Ok(())
}

fn assemble(text: &str, wit: &Path) -> anyhow::Result<Vec<u8>> {
    let mut module = wat::parse_str(format!("(module\n{text}\n{})", prelude(text)))?;
    let mut resolve = Resolve::default();
    resolve.push_dir(wit)?;
    let package = resolve.push_str("hostile.wit", &world(text))?;
    let world = resolve.select_world(&[package], Some("hostile"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(module)
}

/// The words behind `;; {key}:`, in all such lines.
fn notes<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines =
        text.lines().filter_map(|line| line.strip_prefix(";; ")?.strip_prefix(key)?.strip_prefix(": "));
    lines.flat_map(str::split_whitespace).collect()
}

fn world(text: &str) -> String {
    let interfaces = |direction: &str, key| -> String {
        let names = notes(text, key);
        names.iter().map(|name| format!("{direction} tidegate:plugin/{name}@0.1.0;\n")).collect()
    };
    let (imports, exports) = (interfaces("import", "imports"), interfaces("export", "exports"));
    format!("package tidegate:hostile;\nworld hostile {{\n{imports}{exports}}}")
}

fn prelude(text: &str) -> String {
    let pages = notes(text, "memory").first().copied().unwrap_or("2");
    let realloc = match notes(text, "realloc").first().copied() {
        None => ALLOCATOR.to_owned(),
        Some("loop") => "(loop $for_ever (br $for_ever)) (unreachable)".to_owned(),
        Some(address) => format!("(i32.const {address})"),
    };
    format!(
        r#"(memory (export "memory") {pages})
        (global $next (mut i32) (i32.const 65536))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
        {TYPES}"#
    )
}

/// From 64 KiB on, and from there again where the second page is full.
const ALLOCATOR: &str = "
    (if (i32.gt_u (i32.add (global.get $next) (local.get 3)) (i32.const 130000))
      (then (global.set $next (i32.const 65536))))
    (global.get $next)
    (global.set $next (i32.and
      (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7))
      (i32.const -8)))";

/// The canonical form of the hooks' functions.
const TYPES: &str = "
    (type $validate (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (type $authenticate (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (type $authorize (func (param i64 i32 i32 i32 i32 i32) (result i32)))
    (type $publish (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (type $enqueue (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (type $subscription (func (param i64 i32 i32 i32 i32) (result i32)))
    (type $unsubscription (func (param i64 i32 i32) (result i32)))
    (type $not_consumed (func (param i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (type $events (func (param i32 i32 i32 i32)))
    (type $init (func (param i32 i32) (result i32)))
    (type $drain (func (result i32)))
    (type $migrate (func (param i32 i32 i32) (result i32)))";
