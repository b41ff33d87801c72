//! Made for a contract that is not written yet. Without the SDK, which knows only this one.

// Only for Wasm: the names of such exports are no symbols elsewhere.
#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package tidegate:plugin@9.0.0;

            interface intercepting-publish {
                intercept: func(topic: string, payload: list<u8>) -> bool;
            }

            world future-version {
                export intercepting-publish;
            }
        ",
        world: "future-version",
    });
}

use bindings::exports::tidegate::plugin::intercepting_publish::Guest;

struct FutureVersion;

impl Guest for FutureVersion {
    fn intercept(topic: String, payload: Vec<u8>) -> bool {
        topic.is_empty() || payload.is_empty()
    }
}

bindings::export!(FutureVersion with_types_in bindings);
