#![doc = include_str!("../README.md")]

pub mod client;
#[cfg(feature = "daemon")]
pub mod config;
pub mod hook;
pub mod message;
pub mod packet;
pub mod topic;
