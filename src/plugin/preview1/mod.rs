//! WASI preview1 for core modules that want it, as Go's and wasi-libc's do: `adapter.wat` becomes a part of
//! the component, and asks the host for the little that it cannot answer itself (`adapter.wit`).

use wasmtime::component::Linker;
use wit_parser::Resolve;

use super::encode::embed_world;
use super::host::HostData;
use super::wasi::Stream;

/// What such modules import.
pub(super) const NAME: &str = "wasi_snapshot_preview1";

/// What the adapter imports.
pub(super) const INTERFACE: &str = "tidegate:adapter/preview1@0.1.0";

const WIT: &str = include_str!("adapter.wit");

/// `adapter.wat`, encoded.
const MODULE: &[u8] = include_bytes!("adapter.wasm");

/// For the component encoder.
pub(super) fn adapter() -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    resolve.push_source("adapter.wit", WIT).map_err(|error| format!("{error:#}"))?;
    embed_world(
        MODULE,
        &mut resolve,
        &format!("package tidegate:adapting;\nworld adapter {{ import {INTERFACE}; }}"),
    )
}

/// Gives the linker what the adapter imports.
pub(super) fn add_to_linker(linker: &mut Linker<HostData>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("now", |store, (): ()| {
        Ok((u64::try_from(store.data().services.now().as_nanos()).unwrap_or(u64::MAX),))
    })?;
    interface.func_wrap("monotonic", |store, (): ()| Ok((store.data().services.monotonic_ns(),)))?;
    interface.func_wrap("random", |mut store, (): ()| {
        store.data_mut().count_host_call()?;
        Ok((store.data().random_word()?,))
    })?;
    interface.func_wrap("write", |mut store, (descriptor, bytes): (u32, Vec<u8>)| {
        store.data_mut().count_host_call()?;
        let stream = if descriptor == 1 { Stream::Stdout } else { Stream::Stderr };
        store.data_mut().print(stream, &bytes)
    })?;
    interface.func_wrap("exit", |mut store, (code,): (u32,)| -> wasmtime::Result<()> {
        Err(store.data_mut().exit(code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adapter_is_the_encoded_text_and_small() {
        let encoded = wat::parse_str(include_str!("adapter.wat")).unwrap();
        if std::env::var_os("TIDEGATE_ENCODE").is_some() {
            std::fs::write(
                concat!(env!("CARGO_MANIFEST_DIR"), "/src/plugin/preview1/adapter.wasm"),
                &encoded,
            )
            .unwrap();
        }
        assert!(encoded == MODULE, "run this test with TIDEGATE_ENCODE=1");
    }
}
