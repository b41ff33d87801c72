//! `wasi:filesystem`: the granted files, to be read. What would write is refused as read-only.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::StoreContextMut;
use wasmtime::component::Val;

use super::folder::{self, Code, Entry, Node, code};
use super::io::read_at;
use super::resources::{Input, Resource, own};
use super::values::{
    datetime, done, error_code, flag, list, none, ok, record, some, text, this, u32, u64, unexpected,
};
use super::{Function, HostData};

type Store<'a, 'b> = &'a mut StoreContextMut<'b, HostData>;

pub(super) fn find(interface: &str, function: &str) -> Option<Function> {
    if (interface, function) == ("preopens", "get-directories") {
        return Some(get_directories);
    }
    if interface != "types" {
        return None;
    }
    if function == "filesystem-error-code" {
        return Some(|_, _| Ok(none()));
    }
    if function == "[method]directory-entry-stream.read-directory-entry" {
        return Some(read_directory_entry);
    }
    find_method(function.strip_prefix("[method]descriptor.")?)
}

fn find_method(method: &str) -> Option<Function> {
    Some(match method {
        "get-flags" => |store, params| {
            node(store, params)?;
            Ok(ok(Val::Flags(vec!["read".to_owned()])))
        },
        "get-type" => |store, params| Ok(ok(Val::Enum(kind(&node(store, params)?).to_owned()))),
        "sync" | "sync-data" | "advise" => |store, params| {
            node(store, params)?;
            Ok(done())
        },
        "stat" => |store, params| Ok(answer(stat(&node(store, params)?))),
        "stat-at" => |store, params| Ok(answer(at(store, params, 2)?.and_then(|node| stat(&node)))),
        "metadata-hash" => |store, params| Ok(answer(hash(&node(store, params)?))),
        "metadata-hash-at" => |store, params| Ok(answer(at(store, params, 2)?.and_then(|node| hash(&node)))),
        "is-same-object" => |store, params| {
            let one = node(store, params)?;
            let Resource::Descriptor(other) = store.data_mut().wasi.resources.get(u32(params, 1)?)? else {
                return unexpected();
            };
            Ok(Val::Bool(one.path().is_some() && one.path() == other.path()))
        },
        "open-at" => open_at,
        "read" => read,
        "read-via-stream" => read_via_stream,
        "read-directory" => read_directory,
        _ => return None,
    })
}

fn get_directories(store: Store<'_, '_>, _: &[Val]) -> wasmtime::Result<Val> {
    let folders = folder::granted(&store.data().services.grants.files);
    let mut directories = Vec::with_capacity(folders.len());
    for (seen, folder) in folders {
        let descriptor = own(store, "descriptor", Resource::Descriptor(Node::Folder(folder)))?;
        directories.push(Val::Tuple(vec![descriptor, Val::String(seen)]));
    }
    Ok(Val::List(directories))
}

/// What the method is called on.
fn node(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Node> {
    match store.data_mut().wasi.resources.get(this(params)?)? {
        Resource::Descriptor(node) => Ok(node.clone()),
        _ => unexpected(),
    }
}

/// What the path in the parameter with this number leads to.
fn at(store: Store<'_, '_>, params: &[Val], index: usize) -> wasmtime::Result<Result<Node, Code>> {
    let path = text(params, index)?;
    let follows = flag(params, index - 1, "symlink-follow")?;
    Ok(match node(store, params)? {
        Node::Folder(folder) => match folder.link(path) {
            Some(link) if !follows => Ok(link),
            _ => folder.open(path),
        },
        Node::File { .. } | Node::Link(_) => Err("not-directory"),
    })
}

fn answer(result: Result<Val, Code>) -> Val {
    match result {
        Ok(value) => ok(value),
        Err(code) => error_code(code),
    }
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Folder(_) => "directory",
        Node::File { .. } => "regular-file",
        Node::Link(_) => "symbolic-link",
    }
}

fn stat(node: &Node) -> Result<Val, Code> {
    let metadata = node.metadata().map_err(|error| code(&error))?;
    let time = |time: Option<io::Result<SystemTime>>| match time {
        Some(Ok(time)) => some(datetime(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos())),
        _ => none(),
    };
    let metadata = metadata.as_ref();
    Ok(record([
        ("type", Val::Enum(kind(node).to_owned())),
        ("link-count", Val::U64(1)),
        ("size", Val::U64(metadata.map_or(0, std::fs::Metadata::len))),
        ("data-access-timestamp", time(metadata.map(std::fs::Metadata::accessed))),
        ("data-modification-timestamp", time(metadata.map(std::fs::Metadata::modified))),
        ("status-change-timestamp", time(metadata.map(std::fs::Metadata::modified))),
    ]))
}

/// Tells files apart.
fn hash(node: &Node) -> Result<Val, Code> {
    let metadata = node.metadata().map_err(|error| code(&error))?;
    let mut hasher = DefaultHasher::new();
    node.path().hash(&mut hasher);
    let lower = hasher.finish();
    metadata.and_then(|metadata| metadata.modified().ok()).hash(&mut hasher);
    Ok(record([("lower", Val::U64(lower)), ("upper", Val::U64(hasher.finish()))]))
}

fn open_at(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    let writes = ["create", "exclusive", "truncate"];
    for flag_of_open in writes {
        if flag(params, 3, flag_of_open)? {
            return Ok(error_code("read-only"));
        }
    }
    if flag(params, 4, "write")? || flag(params, 4, "mutate-directory")? {
        return Ok(error_code("read-only"));
    }
    let node = match at(store, params, 2)? {
        Ok(Node::Link(_)) => return Ok(error_code("loop")),
        Ok(Node::File { .. }) if flag(params, 3, "directory")? => return Ok(error_code("not-directory")),
        Ok(node) => node,
        Err(code) => return Ok(error_code(code)),
    };
    Ok(ok(own(store, "descriptor", Resource::Descriptor(node))?))
}

fn read(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    let (most, offset) = (u64(params, 1)?, u64(params, 2)?);
    Ok(answer(match node(store, params)? {
        Node::Folder(_) | Node::Link(_) => Err("is-directory"),
        Node::File { file, .. } => match read_at(&file, offset, most) {
            Ok(read) => {
                let at_end = read.is_empty() && most > 0;
                Ok(Val::Tuple(vec![list(&read), Val::Bool(at_end)]))
            }
            Err(error) => Err(code(&error)),
        },
    }))
}

fn read_via_stream(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    let offset = u64(params, 1)?;
    match node(store, params)? {
        Node::Folder(_) | Node::Link(_) => Ok(error_code("is-directory")),
        Node::File { file, .. } => {
            let input = Input::File { file: Arc::clone(&file), offset };
            Ok(ok(own(store, "input-stream", Resource::Input(input))?))
        }
    }
}

fn read_directory(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    let entries = match node(store, params)? {
        Node::Folder(folder) => folder.entries(),
        Node::File { .. } | Node::Link(_) => Err("not-directory"),
    };
    match entries {
        Ok(entries) => Ok(ok(own(store, "directory-entry-stream", Resource::Entries(entries.into_iter()))?)),
        Err(code) => Ok(error_code(code)),
    }
}

fn read_directory_entry(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    let Resource::Entries(entries) = store.data_mut().wasi.resources.get(this(params)?)? else {
        return unexpected();
    };
    Ok(ok(match entries.next() {
        Some(Entry { kind, name }) => {
            some(record([("type", Val::Enum(kind.to_owned())), ("name", Val::String(name))]))
        }
        None => none(),
    }))
}
