//! `random`: bytes that nobody can foresee, from the operating system.

use std::io;

use super::{HostData, refuse};
use crate::plugin::bindings::tidegate::plugin::random::Host;

const MOST: u32 = 65_536;

impl Host for HostData {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > MOST {
            return refuse(format!("{length} random bytes at once, {MOST} are allowed"));
        }
        self.random_bytes(length as usize)
    }
}

impl HostData {
    pub(in crate::plugin) fn random_bytes(&self, length: usize) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        match &self.services.given {
            Some(given) => given.fill(&mut bytes),
            None => {
                fill(&mut bytes).map_err(|error| wasmtime::Error::msg(format!("no randomness: {error}")))?;
            }
        }
        Ok(bytes)
    }
}

#[cfg(unix)]
pub(super) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    use std::fs::File;
    use std::io::Read;
    use std::sync::OnceLock;
    static SOURCE: OnceLock<File> = OnceLock::new();
    let mut source = match SOURCE.get() {
        Some(source) => source,
        None => {
            let opened = File::open("/dev/urandom")?;
            SOURCE.get_or_init(|| opened)
        }
    };
    source.read_exact(bytes)
}

#[cfg(not(unix))]
pub(super) fn fill(_bytes: &mut [u8]) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this platform has no /dev/urandom"))
}
