//! Between values of WASI and those of Rust. What has another type than it should ends the call.

use wasmtime::StoreContextMut;
use wasmtime::component::Val;

use crate::plugin::host::HostData;

/// The same values with the number of each resource in its place. Resources that were given away are gone
/// after this, unless the function takes them up again.
pub(super) fn release(
    store: &mut StoreContextMut<'_, HostData>,
    values: &[Val],
) -> wasmtime::Result<Vec<Val>> {
    values.iter().map(|value| release_one(store, value)).collect()
}

fn release_one(store: &mut StoreContextMut<'_, HostData>, value: &Val) -> wasmtime::Result<Val> {
    Ok(match value {
        Val::Resource(resource) => {
            let resource = resource.try_into_resource_dynamic(&mut *store)?;
            if resource.owned() {
                store.data_mut().wasi.resources.remove(resource.rep());
            }
            Val::U32(resource.rep())
        }
        Val::List(values) if matches!(values.first(), Some(Val::Resource(_))) => {
            Val::List(release(store, values)?)
        }
        Val::Tuple(values) => Val::Tuple(release(store, values)?),
        Val::Record(fields) => {
            let released = |(name, value): &(String, Val)| Ok((name.clone(), release_one(store, value)?));
            Val::Record(fields.iter().map(released).collect::<wasmtime::Result<_>>()?)
        }
        Val::Option(Some(value)) => Val::Option(Some(Box::new(release_one(store, value)?))),
        Val::Variant(case, Some(value)) => {
            Val::Variant(case.clone(), Some(Box::new(release_one(store, value)?)))
        }
        Val::Result(Ok(Some(value))) => Val::Result(Ok(Some(Box::new(release_one(store, value)?)))),
        Val::Result(Err(Some(value))) => Val::Result(Err(Some(Box::new(release_one(store, value)?)))),
        other => other.clone(),
    })
}

/// `result` with this inside.
pub(super) fn ok(value: Val) -> Val {
    Val::Result(Ok(Some(Box::new(value))))
}

/// `result<_, …>`
pub(super) const fn done() -> Val {
    Val::Result(Ok(None))
}

pub(super) fn error(value: Val) -> Val {
    Val::Result(Err(Some(Box::new(value))))
}

/// An error of an enum.
pub(super) fn error_code(name: &str) -> Val {
    error(Val::Enum(name.to_owned()))
}

pub(super) const fn none() -> Val {
    Val::Option(None)
}

pub(super) fn some(value: Val) -> Val {
    Val::Option(Some(Box::new(value)))
}

pub(super) fn list(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().map(|&byte| Val::U8(byte)).collect())
}

/// `datetime`, of nanoseconds since 1970.
pub(super) fn datetime(nanoseconds: u128) -> Val {
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
    record([("seconds", Val::U64(seconds)), ("nanoseconds", Val::U32((nanoseconds % 1_000_000_000) as u32))])
}

pub(super) fn record<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The number of the resource that a function is a method of.
pub(super) fn this(params: &[Val]) -> wasmtime::Result<u32> {
    u32(params, 0)
}

pub(super) fn u32(params: &[Val], index: usize) -> wasmtime::Result<u32> {
    match params.get(index) {
        Some(&Val::U32(value)) => Ok(value),
        _ => unexpected(),
    }
}

pub(super) fn u64(params: &[Val], index: usize) -> wasmtime::Result<u64> {
    match params.get(index) {
        Some(&Val::U64(value)) => Ok(value),
        _ => unexpected(),
    }
}

pub(super) fn text(params: &[Val], index: usize) -> wasmtime::Result<&str> {
    match params.get(index) {
        Some(Val::String(text)) => Ok(text),
        _ => unexpected(),
    }
}

pub(super) fn flag(params: &[Val], index: usize, name: &str) -> wasmtime::Result<bool> {
    match params.get(index) {
        Some(Val::Flags(flags)) => Ok(flags.iter().any(|flag| flag == name)),
        _ => unexpected(),
    }
}

pub(super) fn bytes(params: &[Val], index: usize) -> wasmtime::Result<Vec<u8>> {
    let Some(Val::List(values)) = params.get(index) else { return unexpected() };
    let byte = |value: &Val| match value {
        Val::U8(byte) => Ok(*byte),
        _ => unexpected(),
    };
    values.iter().map(byte).collect()
}

pub(super) fn items(params: &[Val], index: usize) -> wasmtime::Result<&[Val]> {
    match params.get(index) {
        Some(Val::List(values)) => Ok(values),
        _ => unexpected(),
    }
}

pub(super) fn unexpected<T>() -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg("a WASI function with other parameters than WASI 0.2 has"))
}
