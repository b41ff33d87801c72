//! `wasi:random`: true, also where it is called insecure.

use wasmtime::component::Val;

use super::Function;
use super::values::{list, u64};
use crate::plugin::host::random_bytes;

/// At once.
const MOST: u64 = 65_536;

pub(super) fn find(interface: &str, function: &str) -> Option<Function> {
    Some(match (interface, function) {
        ("random", "get-random-bytes") | ("insecure", "get-insecure-random-bytes") => |_, params| {
            let length = u64(params, 0)?;
            if length > MOST {
                let why = format!("{length} random bytes at once, {MOST} are allowed");
                return Err(wasmtime::Error::msg(why));
            }
            Ok(list(&random_bytes(length as usize)?))
        },
        ("random", "get-random-u64") | ("insecure", "get-insecure-random-u64") => {
            |_, _| Ok(Val::U64(word()?))
        }
        ("insecure-seed", "insecure-seed") => {
            |_, _| Ok(Val::Tuple(vec![Val::U64(word()?), Val::U64(word()?)]))
        }
        _ => return None,
    })
}

pub(in crate::plugin) fn word() -> wasmtime::Result<u64> {
    let bytes = random_bytes(8)?;
    Ok(bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}
