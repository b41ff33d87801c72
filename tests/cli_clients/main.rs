//! `pub`, `sub` and `rpc` as real processes: against this broker, against Mosquitto, and beside mosquitto_sub.
#![cfg(all(feature = "daemon", unix))]

#[path = "../cli_support/mod.rs"]
#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;
mod formats;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod help;
mod mosquitto;
mod publish;
mod request;
mod subscribe;
mod support;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod ways;
