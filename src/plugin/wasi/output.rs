//! What a plugin prints, line by line to the log.

use super::HostData;
use crate::plugin::bindings::tidegate::plugin::log::{Host, Level};

/// A line that is longer is written as several.
const LONGEST_LINE: usize = 4096;

/// Where it was printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plugin) enum Stream {
    Stdout,
    Stderr,
}

/// Lines that are not at their end.
#[derive(Default)]
pub(super) struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    fn unfinished(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl HostData {
    /// Lines of stderr are warnings.
    pub(in crate::plugin) fn print(&mut self, stream: Stream, bytes: &[u8]) -> wasmtime::Result<()> {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in part.chunks(LONGEST_LINE) {
                let line = self.wasi.output.unfinished(stream);
                line.extend_from_slice(piece);
                if line.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                    self.flush(stream)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self, stream: Stream) -> wasmtime::Result<()> {
        let line = std::mem::take(self.wasi.output.unfinished(stream));
        let text = String::from_utf8_lossy(&line);
        let level = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Warn,
        };
        match text.trim_end() {
            "" => Ok(()),
            text => Host::write(self, level, text.to_owned(), Vec::new()),
        }
    }

    /// The error that ends the call, after what was printed last.
    pub(in crate::plugin) fn exit(&mut self, code: u32) -> wasmtime::Error {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Err(error) = self.flush(stream) {
                return error;
            }
        }
        wasmtime::Error::msg(format!("it ended itself with exit code {code}"))
    }
}
