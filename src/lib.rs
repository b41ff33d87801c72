#![doc = include_str!("../README.md")]

pub mod broker;
pub mod client;
pub mod cluster;
#[cfg(feature = "daemon")]
pub mod config;
pub mod connection;
#[cfg(feature = "daemon")]
pub mod daemon;
pub mod hook;
pub mod message;
pub mod packet;
pub mod server;
pub mod session;
pub mod storage;
pub mod topic;
pub mod transport;
