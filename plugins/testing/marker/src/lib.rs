//! Marks what it lets pass with its version, so that a test sees which version of a plugin a message
//! went through.

const VERSION: u32 = 1;

include!("marker.rs");
