//! `wasi:clocks`: the true time, and a monotonic clock that sleeps move on.

use wasmtime::component::Val;

use super::resources::{Pollable, Resource, own};
use super::values::{datetime, u64};
use super::{Function, HostData};

pub(super) fn find(interface: &str, function: &str) -> Option<Function> {
    Some(match (interface, function) {
        ("wall-clock", "now") => |store, _| Ok(datetime(store.data().services.now().as_nanos())),
        ("wall-clock", "resolution") => |_, _| Ok(datetime(1)),
        ("monotonic-clock", "now") => |store, _| Ok(Val::U64(store.data().monotonic_now())),
        ("monotonic-clock", "resolution") => |_, _| Ok(Val::U64(1)),
        ("monotonic-clock", "subscribe-instant") => |store, params| {
            let until = u64(params, 0)?;
            own(store, "pollable", Resource::Pollable(Pollable::At(until)))
        },
        ("monotonic-clock", "subscribe-duration") => |store, params| {
            let until = store.data().monotonic_now().saturating_add(u64(params, 0)?);
            own(store, "pollable", Resource::Pollable(Pollable::At(until)))
        },
        _ => return None,
    })
}

impl HostData {
    /// Nanoseconds since the host was started, and what was slept through.
    fn monotonic_now(&self) -> u64 {
        self.services.monotonic_ns().saturating_add(self.wasi.slept)
    }

    pub(super) fn is_ready(&self, pollable: Pollable) -> bool {
        match pollable {
            Pollable::Now => true,
            Pollable::At(until) => until <= self.monotonic_now(),
        }
    }

    /// Has it be ready, without waiting.
    pub(super) fn sleep(&mut self, pollable: Pollable) {
        if let Pollable::At(until) = pollable {
            let left = until.saturating_sub(self.monotonic_now());
            self.wasi.slept = self.wasi.slept.saturating_add(left);
        }
    }
}
