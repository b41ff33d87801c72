#![doc = include_str!("../README.md")]

pub mod hook;
pub mod message;
pub mod packet;
pub mod topic;
