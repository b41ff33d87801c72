//! Time and chance for the engine, which has nothing else of the world.

use std::rc::Rc;

use boa_engine::context::time::{Clock, JsInstant};
use boa_engine::context::{Context, HostHooks};
use tidegate_plugin::clock;

/// More than any script has use for; a plugin's memory is limited too.
const MAXIMUM_BUFFER: u64 = 1024 * 1024;

struct BrokerClock;

impl Clock for BrokerClock {
    fn now(&self) -> JsInstant {
        let nanoseconds = clock::monotonic_ns();
        JsInstant::new(nanoseconds / 1_000_000_000, (nanoseconds % 1_000_000_000) as u32)
    }

    fn system_time_millis(&self) -> i64 {
        i64::try_from(clock::now_ms()).unwrap_or(i64::MAX)
    }
}

/// The local time of scripts is this far ahead of UTC.
struct Hooks {
    offset_seconds: i32,
}

impl HostHooks for Hooks {
    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        self.offset_seconds
    }

    fn max_buffer_size(&self, _: &mut Context) -> u64 {
        MAXIMUM_BUFFER
    }
}

pub(crate) fn context(offset_seconds: i32) -> Result<Context, String> {
    Context::builder()
        .clock(Rc::new(BrokerClock))
        .host_hooks(Rc::new(Hooks { offset_seconds }))
        .build()
        .map_err(|error| error.to_string())
}

/// `Math.random` of the engine takes its seed here: there is no operating system to ask.
#[cfg(target_family = "wasm")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(to: *mut u8, length: usize) -> Result<(), getrandom::Error> {
    let bytes = tidegate_plugin::random::bytes(length as u32);
    // SAFETY: `getrandom` passes a buffer of `length` bytes that nobody else uses, and the broker gives no more
    // than it was asked for.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, length.min(bytes.len())) };
    Ok(())
}
