//! `wasi:random`: true, also where it is called insecure.

use wasmtime::component::Val;

use super::values::{list, u64};
use super::{Function, HostData};

/// At once.
const MOST: u64 = 65_536;

pub(super) fn find(interface: &str, function: &str) -> Option<Function> {
    Some(match (interface, function) {
        ("random", "get-random-bytes") | ("insecure", "get-insecure-random-bytes") => |store, params| {
            let length = u64(params, 0)?;
            if length > MOST {
                let why = format!("{length} random bytes at once, {MOST} are allowed");
                return Err(wasmtime::Error::msg(why));
            }
            Ok(list(&store.data().random_bytes(length as usize)?))
        },
        ("random", "get-random-u64") | ("insecure", "get-insecure-random-u64") => {
            |store, _| Ok(Val::U64(store.data().random_word()?))
        }
        ("insecure-seed", "insecure-seed") => |store, _| {
            let word = || store.data().random_word().map(Val::U64);
            Ok(Val::Tuple(vec![word()?, word()?]))
        },
        _ => return None,
    })
}

impl HostData {
    pub(in crate::plugin) fn random_word(&self) -> wasmtime::Result<u64> {
        let bytes = self.random_bytes(8)?;
        Ok(bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    }
}
