//! From bytes to packets and back.
//!
//! `decoder` and `encoder` know the fixed header and hand the rest to the packet's own file, where its fields are
//! read and written beside its struct. `reader` and `sink` are the data types of section 1.5; `texts` what
//! these do not have; `error` is what can go wrong.

pub(super) mod decoder;
pub(super) mod encoder;
pub(super) mod error;
pub(super) mod reader;
pub(super) mod sink;
mod texts;

#[cfg(test)]
mod tests;
