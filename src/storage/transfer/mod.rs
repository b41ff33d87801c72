//! What a storage holds as a text: a line of JSON for each change, between a first line that names the format and
//! a last one that says how many they are. With it, state moves from one backend to another.
//!
//! [`export`] writes such a text. [`read`] reads it, or MQTTnet's files of retained messages; [`examine`] looks whether
//! all of it is good, and [`put`] puts it into a storage. Nothing is put before everything was examined: a text is read
//! twice.

mod import;
mod line;
mod lines;
mod message;
mod mqttnet;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

pub use import::{Part, PutError, clear, examine, put};
use line::Line;
pub use lines::{Changes, Format, read};

use super::{Storage, StorageError};

/// What the first line says.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

const FORMAT: &str = "tidegate-store";
/// A text that an older program would misunderstand has a larger one.
const VERSION: u32 = 1;

/// Why nothing, or not all, was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("write: {0}")]
    Write(#[from] io::Error),
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct Wrong {
    pub at: At,
    pub why: String,
}

/// A place in a text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Line(u64),
    /// Of MQTTnet's list.
    Entry(u64),
    Text,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Line(number) => write!(f, "line {number}"),
            At::Entry(number) => write!(f, "entry {number}"),
            At::Text => f.write_str("the text"),
        }
    }
}

impl At {
    fn wrong(self, why: impl ToString) -> Wrong {
        Wrong { at: self, why: why.to_string() }
    }
}

/// Writes all that a storage holds, and says how many changes that are.
///
/// # Errors
/// Where the storage cannot be read, or `out` not be written.
pub fn export(storage: &dyn Storage, out: &mut dyn Write) -> Result<u64, ExportError> {
    write_line(out, &Header { format: FORMAT.to_owned(), version: VERSION })?;
    let (mut lines, mut result) = (0, Ok(()));
    storage.load(&mut |change| {
        if let (Ok(()), Some(line)) = (&result, Line::of(&change)) {
            result = write_line(out, &line);
            lines += 1;
        }
    })?;
    result?;
    write_line(out, &Line::End { lines })?;
    out.flush()?;
    Ok(lines)
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
