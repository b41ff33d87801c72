#![doc = include_str!("../README.md")]

#[cfg(feature = "admin")]
pub mod admin;
pub mod broker;
pub mod client;
pub mod cluster;
#[cfg(feature = "daemon")]
pub mod config;
pub mod connection;
pub mod current;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod hook;
pub mod message;
pub mod packet;
#[cfg(any(feature = "daemon", feature = "wasm"))]
#[cfg(any(feature = "daemon", feature = "wasm"))]
pub(crate) mod password;
pub mod peer;
#[cfg(feature = "wasm")]
pub mod plugin;
pub mod server;
pub mod session;
#[cfg(any(feature = "daemon", feature = "wasm"))]
pub(crate) mod stamp;
pub mod storage;
pub mod topic;
pub mod transport;
