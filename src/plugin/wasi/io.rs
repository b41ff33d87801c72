//! `wasi:io`: streams of stdout, stderr and files, and pollables, which are always ready.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Val;

use super::resources::{Input, Pollable, Resource, own};
use super::values::{bytes, done, error, items, list, ok, this, u64, unexpected};
use super::{Function, HostData, Stream};

/// Bytes that one call reads or may write.
pub(super) const AT_ONCE: u64 = 65_536;

type Store<'a, 'b> = &'a mut StoreContextMut<'b, HostData>;

pub(super) fn find(interface: &str, function: &str) -> Option<Function> {
    Some(match (interface, function) {
        ("error", "[method]error.to-debug-string") => describe_error,
        ("poll", "[method]pollable.ready") => |store, params| {
            let pollable = pollable(store, this(params)?)?;
            Ok(Val::Bool(store.data().is_ready(pollable)))
        },
        ("poll", "[method]pollable.block") => |store, params| {
            let pollable = pollable(store, this(params)?)?;
            store.data_mut().sleep(pollable);
            Ok(NOTHING)
        },
        ("poll", "poll") => poll,
        ("streams", function) => return find_stream(function),
        _ => return None,
    })
}

/// For functions without a result.
const NOTHING: Val = Val::Bool(false);

fn find_stream(function: &str) -> Option<Function> {
    Some(match function {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => |store, params| {
            Ok(match read(store, params)? {
                Ok(read) => ok(list(&read)),
                Err(error) => error,
            })
        },
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => |store, params| {
            Ok(match read(store, params)? {
                Ok(read) => ok(Val::U64(read.len() as u64)),
                Err(error) => error,
            })
        },
        "[method]output-stream.check-write" => |store, params| {
            output(store, params)?;
            Ok(ok(Val::U64(AT_ONCE / 16)))
        },
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            |store, params| {
                let (stream, bytes) = (output(store, params)?, bytes(params, 1)?);
                store.data_mut().print(stream, &bytes)?;
                Ok(done())
            }
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => |store, params| {
            output(store, params)?;
            Ok(done())
        },
        "[method]input-stream.subscribe" | "[method]output-stream.subscribe" => {
            |store, _| own(store, "pollable", Resource::Pollable(Pollable::Now))
        }
        _ => return None,
    })
}

fn describe_error(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    match store.data_mut().wasi.resources.get(this(params)?)? {
        Resource::Error(error) => Ok(Val::String(error.clone())),
        _ => unexpected(),
    }
}

fn pollable(store: Store<'_, '_>, number: u32) -> wasmtime::Result<Pollable> {
    match store.data_mut().wasi.resources.get(number)? {
        Resource::Pollable(pollable) => Ok(*pollable),
        _ => unexpected(),
    }
}

/// Those that are ready, after the time until the first is has gone by.
fn poll(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Val> {
    let numbers = items(params, 0)?;
    let mut pollables = Vec::with_capacity(numbers.len());
    for index in 0..numbers.len() {
        pollables.push(pollable(store, super::values::u32(numbers, index)?)?);
    }
    let first = pollables.iter().min_by_key(|pollable| match pollable {
        Pollable::Now => 0,
        Pollable::At(until) => *until,
    });
    let Some(&first) = first else { return Err(wasmtime::Error::msg("poll of nothing")) };
    store.data_mut().sleep(first);
    let ready = pollables.iter().enumerate().filter(|(_, pollable)| store.data().is_ready(**pollable));
    Ok(Val::List(ready.map(|(index, _)| Val::U32(index as u32)).collect()))
}

fn output(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Stream> {
    match store.data_mut().wasi.resources.get(this(params)?)? {
        Resource::Output(stream) => Ok(*stream),
        _ => unexpected(),
    }
}

/// What was read, or the error that the stream answers.
fn read(store: Store<'_, '_>, params: &[Val]) -> wasmtime::Result<Result<Vec<u8>, Val>> {
    let most = u64(params, 1)?.min(AT_ONCE);
    let result = match store.data_mut().wasi.resources.get(this(params)?)? {
        Resource::Input(Input::Empty) => Ok(Vec::new()),
        Resource::Input(Input::File { file, offset }) => {
            let (file, at) = (Arc::clone(file), *offset);
            let result = read_at(&file, at, most);
            if let Ok(read) = &result {
                *offset = at.saturating_add(read.len() as u64);
            }
            result
        }
        _ => return unexpected(),
    };
    Ok(match result {
        Ok(read) if read.is_empty() && most > 0 => Err(error(Val::Variant("closed".to_owned(), None))),
        Ok(read) => Ok(read),
        Err(failure) => {
            let failure = own(store, "error", Resource::Error(failure.to_string()))?;
            Err(error(Val::Variant("last-operation-failed".to_owned(), Some(Box::new(failure)))))
        }
    })
}

pub(super) fn read_at(mut file: &File, offset: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; most.min(AT_ONCE) as usize];
    file.seek(SeekFrom::Start(offset))?;
    let length = file.read(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}
