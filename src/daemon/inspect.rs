//! `tidegate plugin list` and `tidegate plugin inspect`: what plugin files are, without running them.

use std::path::Path;

use super::exit::Failure;

#[cfg(not(feature = "wasm"))]
const REFUSAL: &str = "this build of tidegate has no Wasm host; build it with the feature `wasm`";

#[cfg(not(feature = "wasm"))]
pub(super) fn list(_config: &Path) -> Result<(), Failure> {
    Err(Failure::usage(REFUSAL))
}

#[cfg(not(feature = "wasm"))]
pub(super) fn inspect(_file: &Path) -> Result<(), Failure> {
    Err(Failure::usage(REFUSAL))
}
