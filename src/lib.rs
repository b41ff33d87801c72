#![doc = include_str!("../README.md")]

pub mod broker;
pub mod cluster;
pub mod connection;
pub mod hook;
pub mod message;
pub mod packet;
#[cfg(feature = "wasm")]
pub mod plugin;
pub mod server;
pub mod session;
pub mod storage;
pub mod topic;
pub mod transport;
