//! What the handles of a component stand for: streams, pollables, files.

use wasmtime::StoreContextMut;
use wasmtime::component::{ResourceDynamic, ResourceType, Val};

use super::folder::{Entry, Node};
use crate::plugin::host::HostData;

/// At once, per instance.
const MOST: usize = 1024;

/// Kinds that functions here make, by their place in this list.
const KNOWN: [&str; 6] =
    ["error", "pollable", "input-stream", "output-stream", "descriptor", "directory-entry-stream"];

/// What one handle stands for.
pub(super) enum Resource {
    /// Of a stream that failed.
    Error(String),
    Pollable(Pollable),
    Input(Input),
    Output(super::Stream),
    Descriptor(Node),
    Entries(std::vec::IntoIter<Entry>),
    /// Of a kind that nothing here can do anything with.
    Inert,
}

/// When it is ready.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pollable {
    Now,
    /// Nanoseconds of the monotonic clock.
    At(u64),
}

/// What is read from.
pub(super) enum Input {
    Empty,
    File { file: std::sync::Arc<std::fs::File>, offset: u64 },
}

#[derive(Default)]
pub(super) struct Resources {
    /// Places are used again.
    all: Vec<Option<Resource>>,
    free: Vec<u32>,
}

impl Resources {
    pub(super) fn add(&mut self, resource: Resource) -> wasmtime::Result<u32> {
        if let Some(number) = self.free.pop() {
            self.all[number as usize] = Some(resource);
            return Ok(number);
        }
        if self.all.len() >= MOST {
            return Err(wasmtime::Error::msg(format!("more than {MOST} WASI resources at once")));
        }
        self.all.push(Some(resource));
        Ok((self.all.len() - 1) as u32)
    }

    pub(super) fn get(&mut self, number: u32) -> wasmtime::Result<&mut Resource> {
        let place = self.all.get_mut(number as usize).and_then(Option::as_mut);
        place.ok_or_else(|| wasmtime::Error::msg("a WASI resource that is not there"))
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some(place) = self.all.get_mut(number as usize)
            && place.take().is_some()
        {
            self.free.push(number);
        }
    }
}

/// A new resource as a value of the kind with this name, one of [`KNOWN`].
pub(super) fn own(
    store: &mut StoreContextMut<'_, HostData>,
    kind: &str,
    resource: Resource,
) -> wasmtime::Result<Val> {
    let kind = KNOWN.iter().position(|known| *known == kind).expect("a known kind") as u32;
    own_of(store, kind, resource)
}

/// A resource of a kind that nothing here knows.
pub(super) fn inert(store: &mut StoreContextMut<'_, HostData>, kind: ResourceType) -> wasmtime::Result<Val> {
    let number = (0..KINDS).find(|&number| ResourceType::host_dynamic(number) == kind);
    let number = number.ok_or_else(|| wasmtime::Error::msg("a resource of an unknown kind"))?;
    own_of(store, number, Resource::Inert)
}

fn own_of(store: &mut StoreContextMut<'_, HostData>, kind: u32, resource: Resource) -> wasmtime::Result<Val> {
    let number = store.data_mut().wasi.resources.add(resource)?;
    Ok(Val::Resource(ResourceDynamic::new_own(number, kind).try_into_resource_any(store)?))
}

/// Kinds that one component may import.
const KINDS: u32 = 256;

/// Numbers for the kinds of resources of one component. An interface that uses a resource of another exports it
/// too, and an alias of it under another name (`headers` are `fields` in `wasi:http`): the type tells what is the
/// same. Those of several versions of an interface have their name in common.
#[derive(Default)]
pub(super) struct Kinds {
    types: Vec<(ResourceType, u32)>,
    /// After those of [`KNOWN`].
    names: Vec<String>,
}

impl Kinds {
    pub(super) fn number(&mut self, ty: ResourceType, name: &str) -> u32 {
        if let Some((_, number)) = self.types.iter().find(|(known, _)| *known == ty) {
            return *number;
        }
        let mut names = KNOWN.iter().copied().chain(self.names.iter().map(String::as_str));
        let number = names.position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            KNOWN.len() + self.names.len() - 1
        }) as u32;
        self.types.push((ty, number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_are_limited() {
        let mut resources = Resources::default();
        let first = resources.add(Resource::Inert).unwrap();
        resources.remove(first);
        resources.remove(first);
        for number in 0..MOST as u32 {
            assert_eq!(resources.add(Resource::Inert).unwrap(), number);
        }
        assert!(resources.add(Resource::Inert).is_err());
        assert!(resources.get(MOST as u32).is_err());
    }
}
