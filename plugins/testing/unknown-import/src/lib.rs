//! Imports a service that no broker has. Written without the SDK, which cannot say this.

// Only for Wasm: the names of such exports are no symbols elsewhere.
#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package tidegate:plugin@0.1.0;

            interface teleport {
                jump: func(client: u64);
            }

            interface lifecycle {
                record registration {
                    topics: list<string>,
                    eager-payload: option<u32>,
                    authorize-deliveries: bool,
                }
                record handover {
                    state-version: u32,
                    bytes: list<u8>,
                }
                init: func(settings: string) -> result<registration, string>;
                drain: func() -> option<handover>;
                migrate: func(handover: handover) -> result<_, string>;
            }

            world unknown-import {
                import teleport;
                export lifecycle;
            }
        ",
        world: "unknown-import",
    });
}

use bindings::exports::tidegate::plugin::lifecycle::{Guest, Handover, Registration};
use bindings::tidegate::plugin::teleport;

struct UnknownImport;

impl Guest for UnknownImport {
    fn init(_: String) -> Result<Registration, String> {
        teleport::jump(0);
        Ok(Registration { topics: Vec::new(), eager_payload: None, authorize_deliveries: false })
    }

    fn drain() -> Option<Handover> {
        None
    }

    fn migrate(_: Handover) -> Result<(), String> {
        Ok(())
    }
}

bindings::export!(UnknownImport with_types_in bindings);
