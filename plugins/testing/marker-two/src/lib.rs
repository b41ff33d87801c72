//! The next version of `marker`: the same with another number.

const VERSION: u32 = 2;

include!("../../marker/src/marker.rs");
