//! What the fuzz targets do with an input. Nothing here needs libFuzzer, so that `tests/it/fuzz_corpus.rs` runs the
//! corpus through the same code.
//!
//! Inputs are bytes; where they are more than what a peer sends, [`choices`] makes decisions of them. A target fails by
//! a panic.

pub mod choices;
pub mod client;
pub mod client_text;
#[cfg(feature = "daemon")]
pub mod configuration;
pub mod connection;
pub mod decoders;
pub mod packets;
pub mod proxy;
pub mod round_trip;
pub mod topics;
#[cfg(feature = "websocket")]
pub mod websocket;

/// So that its corpus has a target in any case.
#[cfg(not(feature = "websocket"))]
pub mod websocket {
    pub fn run(_data: &[u8]) {}
}

/// The same.
#[cfg(not(feature = "daemon"))]
pub mod configuration {
    pub fn run(_data: &[u8]) {}
}

/// A target: its name, which is also that of the folder with its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 10] = [
    ("server_decoder", decoders::server),
    ("client_decoder", decoders::client),
    ("round_trip", round_trip::run),
    ("connection", connection::run),
    ("client", client::run),
    ("client_text", client_text::run),
    ("topics", topics::run),
    ("websocket", websocket::run),
    ("proxy", proxy::run),
    ("configuration", configuration::run),
];
