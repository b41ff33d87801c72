//! From the bytes of a plugin file to a component. A core module is made into one here: its world is the one
//! that its toolchain has embedded, or follows from the names of what it imports and exports.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::panic::catch_unwind;

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::contract::WIT;
use super::error::Problem;
use super::preview1;

/// What the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Component,
    /// Turned into a component when it is loaded.
    CoreModule,
}

/// The bytes of the file as a component.
pub(super) fn to_component(bytes: &[u8]) -> Result<(Kind, Cow<'_, [u8]>), Problem> {
    let kind = kind(bytes)?;
    if !is_whole(bytes) {
        return Err(Problem::Invalid("it ends in the middle of a section".into()));
    }
    match kind {
        Kind::Component => Ok((Kind::Component, bytes.into())),
        Kind::CoreModule => Ok((Kind::CoreModule, encode(bytes)?.into())),
    }
}

pub(super) fn kind(bytes: &[u8]) -> Result<Kind, Problem> {
    match bytes.get(..8) {
        Some(b"\0asm\x01\0\0\0") => Ok(Kind::CoreModule),
        Some(b"\0asm\x0d\0\x01\0") => Ok(Kind::Component),
        _ => Err(Problem::NotWasm),
    }
}

/// Whether its toolchain has embedded a world; of a core module.
pub(super) fn has_world(module: &[u8]) -> bool {
    Outside::of(module).is_ok_and(|outside| outside.has_world)
}

fn encode(module: &[u8]) -> Result<Vec<u8>, Problem> {
    let outside = Outside::of(module).map_err(|error| Problem::Invalid(format!("{error}")))?;
    let encode = || {
        let module = outside.with_world(module)?;
        let mut encoder = ComponentEncoder::default().module(&module).map_err(told)?;
        if outside.wants_preview1 {
            encoder = encoder.adapter(preview1::NAME, &preview1::adapter()?).map_err(told)?;
        }
        encoder.encode().map_err(told)
    };
    // The encoder takes for granted that custom sections are sound, and panics where they are not.
    match catch_unwind(encode) {
        Ok(encoded) => encoded.map_err(|why| outside.problem(why)),
        Err(_) => Err(Problem::Invalid("its custom sections are broken".into())),
    }
}

/// What the names of a core module tell.
#[derive(Debug, Default)]
struct Outside {
    has_world: bool,
    wants_preview1: bool,
    /// Interfaces, `tidegate:plugin/log@0.1.0`.
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
    /// Functions of no interface, `env::system`.
    others: Vec<String>,
}

impl Outside {
    fn of(module: &[u8]) -> wasmparser::Result<Outside> {
        let mut outside = Outside::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        outside.add_import(import.module, import.name);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        outside.add_export(export?.name);
                    }
                }
                Payload::CustomSection(section) => {
                    outside.has_world |= section.name().starts_with("component-type");
                }
                _ => {}
            }
        }
        Ok(outside)
    }

    fn add_import(&mut self, module: &str, name: &str) {
        if module == preview1::NAME {
            self.wants_preview1 = true;
        } else if module.contains('/') {
            self.imports.insert(module.to_owned());
        } else {
            self.others.push(format!("{module}::{name}"));
        }
    }

    /// Why no component could be made: some toolchains import what is theirs without an interface, so that this is a
    /// reason only where it did not work.
    fn problem(&self, why: String) -> Problem {
        match self.others.iter().find(|import| why.contains(import.as_str())) {
            Some(import) => Problem::UnknownImport(import.clone()),
            None => Problem::NotEncodable(why),
        }
    }

    /// `tidegate:plugin/authorizer@0.1.0#authorize`; the module's own exports have no such names.
    fn add_export(&mut self, name: &str) {
        match name.split_once('#') {
            Some((interface, _)) if interface.contains('/') && !interface.starts_with("cabi_post_") => {
                self.exports.insert(interface.to_owned());
            }
            _ => {}
        }
    }

    /// The module with the world that it has or, by its names, is meant to have.
    fn with_world<'a>(&self, module: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        if self.has_world || self.exports.is_empty() {
            return Ok(module.into());
        }
        let mut world = String::from("package tidegate:by-names;\nworld by-names {\n");
        for (direction, interfaces) in [("import", &self.imports), ("export", &self.exports)] {
            for interface in interfaces {
                world.push_str(&format!("{direction} {interface};\n"));
            }
        }
        world.push('}');
        embed_world(module, &mut contract()?, &world).map(Cow::Owned)
    }
}

/// The packages of `wit/`.
pub(super) fn contract() -> Result<Resolve, String> {
    let mut sources = SourceMap::default();
    for (name, text) in WIT {
        sources.push_str(name, *text);
    }
    let mut resolve = Resolve::default();
    let package = sources.parse().map_err(|(_, error)| error.to_string())?;
    resolve.push_group(package).map_err(|error| error.to_string())?;
    Ok(resolve)
}

/// The module with the one world of this package in it.
pub(super) fn embed_world(module: &[u8], resolve: &mut Resolve, package: &str) -> Result<Vec<u8>, String> {
    let package = resolve.push_source("world.wit", package).map_err(told)?;
    let world = resolve.select_world(&[package], None).map_err(told)?;
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).map_err(told)?;
    Ok(module)
}

/// An error of the encoder with its causes.
fn told(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// Whether the sections of the file end where it ends: half a file is no plugin yet.
fn is_whole(bytes: &[u8]) -> bool {
    let mut rest = &bytes[8..];
    while let Some((_id, after_id)) = rest.split_first() {
        let Some((length, body)) = leb128(after_id) else { return false };
        let Some(next) = body.get(length..) else { return false };
        rest = next;
    }
    true
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (index, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_file_is_told_apart_at_every_length() {
        // Two custom sections.
        let whole = b"\0asm\x01\0\0\0\0\x03\x01ab\0\x02\x01c";
        assert!(is_whole(whole));
        let cuts: Vec<usize> = (8..whole.len()).filter(|&end| is_whole(&whole[..end])).collect();
        assert_eq!(cuts, [8, 13], "only between sections can it not be told");
    }

    #[test]
    fn what_is_not_wasm_is_told_apart() {
        assert_eq!(to_component(b"hello, world").unwrap_err(), Problem::NotWasm);
        assert_eq!(to_component(b"").unwrap_err(), Problem::NotWasm);
    }
}
