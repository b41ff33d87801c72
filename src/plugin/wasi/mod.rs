//! WASI 0.2 for components whose toolchain imports it: closed, with nothing behind it that was not granted.
//!
//! Clocks and random are true. What is printed goes to the log, line by line, at the rate of the plugin. There
//! are no arguments, no environment and no sockets; files are those of `grants.files`, read-only (`files`).
//! Nothing waits: every pollable is ready, and a sleep ends at once with the monotonic clock gone on by it.
//!
//! Functions are defined one by one for each component, with the types that the component imports, so that any
//! version 0.2 will do. What is not known here answers its error, or ends the call with the function's name
//! where it has none (`refuse`).

mod cli;
mod clocks;
mod files;
mod folder;
mod io;
mod output;
mod random;
mod refuse;
mod resources;
mod values;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType, Val};

use super::host::HostData;
use resources::{Kinds, Resources};

pub(super) use output::Stream;

/// Interfaces of this package, and of versions that begin so, are served.
const NAMESPACE: &str = "wasi:";
const VERSION: &str = "0.2.";

/// What lies in the Store of each instance.
#[derive(Default)]
pub(super) struct Wasi {
    output: output::Output,
    /// Nanoseconds that were slept through.
    slept: u64,
    resources: Resources,
}

/// A function of WASI: its parameters, with resources as their numbers in [`Resources`], to its result.
type Function = fn(&mut StoreContextMut<'_, HostData>, &[Val]) -> wasmtime::Result<Val>;

/// Whether an import of this name and version is served.
pub(super) fn is_served(full_name: &str) -> bool {
    match full_name.split_once('@') {
        Some((path, version)) => path.starts_with(NAMESPACE) && version.starts_with(VERSION),
        None => false,
    }
}

/// A linker with what `base` has and the parts of WASI that the component imports; none where it imports none.
pub(super) fn linker(
    base: &Linker<HostData>,
    component: &Component,
) -> wasmtime::Result<Option<Linker<HostData>>> {
    let engine = component.engine();
    let mut linker = None;
    let mut kinds = Kinds::default();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !is_served(name) {
            continue;
        }
        let linker = linker.get_or_insert_with(|| base.clone());
        let mut instance = linker.instance(name)?;
        let short = name.split('@').next().unwrap_or(name);
        for (item, export) in interface.exports(engine) {
            define(&mut instance, &mut kinds, short, item, export.ty)?;
        }
    }
    Ok(linker)
}

fn define(
    instance: &mut LinkerInstance<'_, HostData>,
    kinds: &mut Kinds,
    interface: &str,
    item: &str,
    ty: ComponentItem,
) -> wasmtime::Result<()> {
    match ty {
        ComponentItem::Resource(ty) => {
            let kind = ResourceType::host_dynamic(kinds.number(ty, item));
            instance.resource(item, kind, |mut store, number| {
                store.data_mut().wasi.resources.remove(number);
                Ok(())
            })
        }
        ComponentItem::ComponentFunc(_) => match find(interface, item) {
            Some(function) => instance.func_new(item, move |mut store, _, params, results| {
                store.data_mut().count_host_call()?;
                let params = values::release(&mut store, params)?;
                let answer = function(&mut store, &params)?;
                if let Some(result) = results.first_mut() {
                    *result = answer;
                }
                Ok(())
            }),
            None => {
                let name = format!("{interface}#{item}");
                instance.func_new(item, move |mut store, ty, params, results| {
                    store.data_mut().count_host_call()?;
                    values::release(&mut store, params)?;
                    match (ty.results().next(), results.first_mut()) {
                        (Some(ty), Some(result)) => *result = refuse::answer(&mut store, &ty, &name)?,
                        _ => return Err(refuse::trap(&name)),
                    }
                    Ok(())
                })
            }
        },
        // Types have no definition of their own.
        _ => Ok(()),
    }
}

fn find(interface: &str, function: &str) -> Option<Function> {
    let (package, interface) = interface.strip_prefix(NAMESPACE)?.split_once('/')?;
    match package {
        "cli" => cli::find(interface, function),
        "clocks" => clocks::find(interface, function),
        "random" => random::find(interface, function),
        "io" => io::find(interface, function),
        "filesystem" => files::find(interface, function),
        _ => None,
    }
}
