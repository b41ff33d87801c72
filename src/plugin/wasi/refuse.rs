//! What functions answer that are not here: their error, nothing where nothing is an answer, or the end of the
//! call.

use wasmtime::StoreContextMut;
use wasmtime::component::{Type, Val};

use super::resources;
use crate::plugin::host::HostData;

/// Errors that say "not for you", the first that a type has.
const REFUSALS: [&str; 9] = [
    "read-only",
    "access-denied",
    "not-supported",
    "unsupported",
    "not-permitted",
    "forbidden",
    "HTTP-request-denied",
    "closed",
    "other",
];

/// A value of the result's type.
pub(super) fn answer(
    store: &mut StoreContextMut<'_, HostData>,
    ty: &Type,
    function: &str,
) -> wasmtime::Result<Val> {
    match ty {
        Type::Result(result) => match result.err() {
            Some(error) => Ok(Val::Result(Err(Some(Box::new(refusal(&error, function)?))))),
            None => Ok(Val::Result(Err(None))),
        },
        Type::Option(_) => Ok(Val::Option(None)),
        Type::List(_) => Ok(Val::List(Vec::new())),
        // What can be done with it is refused in its turn.
        Type::Own(kind) => resources::inert(store, *kind),
        _ => Err(trap(function)),
    }
}

fn refusal(ty: &Type, function: &str) -> wasmtime::Result<Val> {
    let value = match ty {
        Type::Enum(error) => {
            let chosen = REFUSALS.iter().find(|name| error.names().any(|known| known == **name));
            let chosen = chosen.copied().or_else(|| error.names().next());
            chosen.map(|name| Val::Enum(name.to_owned()))
        }
        Type::Variant(error) => {
            let without_payload = || error.cases().filter(|case| case.ty.is_none());
            let chosen =
                REFUSALS.iter().find(|name| without_payload().any(|case| case.name == **name)).copied();
            let chosen = chosen.or_else(|| without_payload().next().map(|case| case.name));
            chosen.map(|name| Val::Variant(name.to_owned(), None))
        }
        Type::String => Some(Val::String("not available".to_owned())),
        Type::Option(_) => Some(Val::Option(None)),
        _ => None,
    };
    value.ok_or_else(|| trap(function))
}

/// Ends the call.
pub(super) fn trap(function: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("`{function}` is not available to plugins"))
}
