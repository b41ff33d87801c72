//! `wasi:cli`: no arguments, no environment, no terminal; exit ends the call.

use wasmtime::StoreContextMut;
use wasmtime::component::Val;

use super::output::Stream;
use super::resources::{Input, Resource, own};
use super::values::{none, unexpected};
use super::{Function, HostData};

pub(super) fn find(interface: &str, function: &str) -> Option<Function> {
    Some(match (interface, function) {
        ("environment", "get-environment" | "get-arguments") => |_, _| Ok(Val::List(Vec::new())),
        ("environment", "initial-cwd") => |_, _| Ok(none()),
        ("exit", "exit") => exit,
        ("exit", "exit-with-code") => exit_with_code,
        ("stdin", "get-stdin") => |store, _| own(store, "input-stream", Resource::Input(Input::Empty)),
        ("stdout", "get-stdout") => |store, _| own(store, "output-stream", Resource::Output(Stream::Stdout)),
        ("stderr", "get-stderr") => |store, _| own(store, "output-stream", Resource::Output(Stream::Stderr)),
        _ => return None,
    })
}

fn exit(store: &mut StoreContextMut<'_, HostData>, params: &[Val]) -> wasmtime::Result<Val> {
    match params.first() {
        Some(Val::Result(status)) => Err(store.data_mut().exit(u32::from(status.is_err()))),
        _ => unexpected(),
    }
}

fn exit_with_code(store: &mut StoreContextMut<'_, HostData>, params: &[Val]) -> wasmtime::Result<Val> {
    match params.first() {
        Some(&Val::U8(code)) => Err(store.data_mut().exit(u32::from(code))),
        _ => unexpected(),
    }
}
