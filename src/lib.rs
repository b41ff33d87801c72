#![cfg_attr(feature = "server", doc = include_str!("../README.md"))]

#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "bridge")]
pub mod bridge;
#[cfg(feature = "server")]
pub mod broker;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod cluster;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "server")]
pub mod connection;
pub mod current;
#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "server")]
pub mod hook;
pub mod message;
pub mod packet;
#[cfg(any(feature = "daemon", feature = "wasm"))]
pub(crate) mod password;
pub mod peer;
#[cfg(feature = "wasm")]
pub mod plugin;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
#[cfg(any(feature = "daemon", feature = "wasm"))]
pub(crate) mod stamp;
pub mod storage;
pub mod topic;
pub mod transport;
