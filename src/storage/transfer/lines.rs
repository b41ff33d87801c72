//! Reads a text of either format, change by change.

use std::io::{BufRead, Read};

use serde_json::error::Category;

use super::line::Line;
use super::{At, FORMAT, Header, VERSION, Wrong, mqttnet};
use crate::message::Timestamp;
use crate::storage::Change;

/// Bytes of a line: a message of the largest size in base64, with properties of which each letter is escaped.
const LONGEST: u64 = 1 << 31;
/// Bytes of a text that is held in memory as a whole.
const LARGEST: u64 = 1 << 30;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of [`export`](super::export).
    Tidegate,
    /// The list of retained messages that servers made with MQTTnet keep.
    Mqttnet,
}

/// A change with its place.
pub type Placed = Result<(At, Change), Wrong>;

/// What a text says. After what is wrong there may be more.
pub type Changes<'a> = Box<dyn Iterator<Item = Placed> + 'a>;

struct Lines<R> {
    input: R,
    /// Those that were read.
    number: u64,
    is_over: bool,
}

/// Reads a text; without a format it is found out. `now` is when MQTTnet's messages begin to expire.
///
/// # Errors
/// Where it begins with what neither format has.
pub fn read<'a>(
    mut input: impl BufRead + 'a,
    format: Option<Format>,
    now: Timestamp,
) -> Result<Changes<'a>, Wrong> {
    let first = first_byte(&mut input)?;
    let format = match (format, first) {
        (Some(format), _) => format,
        (None, Some(b'[')) => Format::Mqttnet,
        (None, Some(b'{')) => Format::Tidegate,
        (None, Some(_)) => {
            let why =
                "is neither what `tidegate store export` writes nor a list of retained messages of MQTTnet";
            return Err(At::Text.wrong(why));
        }
        (None, None) => return Err(At::Text.wrong("is empty")),
    };
    match format {
        Format::Tidegate => {
            let mut lines = Lines { input, number: 0, is_over: false };
            lines.read_header()?;
            Ok(Box::new(lines))
        }
        Format::Mqttnet => {
            let mut text = Vec::new();
            input.take(LARGEST + 1).read_to_end(&mut text).map_err(unreadable)?;
            if text.len() as u64 > LARGEST {
                return Err(At::Text.wrong("is larger than 1 GiB"));
            }
            Ok(Box::new(mqttnet::changes(&text, now)?.into_iter()))
        }
    }
}

/// The first that is not white space, which stays.
fn first_byte(input: &mut impl BufRead) -> Result<Option<u8>, Wrong> {
    if input.fill_buf().map_err(unreadable)?.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    loop {
        let bytes = input.fill_buf().map_err(unreadable)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let spaces = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let first = bytes.get(spaces).copied();
        input.consume(spaces);
        if first.is_some() {
            return Ok(first);
        }
    }
}

fn unreadable(error: std::io::Error) -> Wrong {
    At::Text.wrong(format!("cannot be read: {error}"))
}

impl<R: BufRead> Lines<R> {
    fn read_header(&mut self) -> Result<(), Wrong> {
        let line = self.next_line()?.unwrap_or_default();
        let header: Header = serde_json::from_slice(&line).map_err(|_| {
            At::Line(1).wrong("does not name a format; is this a file of `tidegate store export`?")
        })?;
        if header.format != FORMAT {
            let why = format!("names the format `{}`, not `{FORMAT}`", header.format.escape_debug());
            return Err(At::Line(1).wrong(why));
        }
        if header.version > VERSION {
            let why = format!(
                "was written by a newer tidegate (version {} of the format; this one knows {VERSION}): run that one",
                header.version
            );
            return Err(At::Line(1).wrong(why));
        }
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Wrong> {
        let mut line = Vec::new();
        let at = At::Line(self.number + 1);
        let read = self.input.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        read.map_err(|error| at.wrong(format!("cannot be read: {error}")))?;
        if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
            return Err(at.wrong("is longer than 2 GiB"));
        }
        self.number += 1;
        Ok((!line.is_empty()).then_some(line))
    }

    /// None at the end.
    fn change(&mut self) -> Result<Option<Change>, Wrong> {
        let Some(text) = self.next_line().inspect_err(|_| self.is_over = true)? else {
            self.is_over = true;
            let why = "is missing: the text is cut short; export once more";
            return Err(At::Line(self.number).wrong(why));
        };
        let at = At::Line(self.number);
        let line: Line = serde_json::from_slice(&text).map_err(|error| at.wrong(without_line(&error)))?;
        if let Line::End { lines } = line {
            self.is_over = true;
            self.end(at, lines)?;
            return Ok(None);
        }
        line.into_change().map_err(|why| at.wrong(why))
    }

    fn end(&mut self, at: At, said: u64) -> Result<(), Wrong> {
        // Beside those that it counts there are the first line and itself.
        let there_are = self.number - 2;
        if said != there_are {
            let why = format!(
                "says that there are {said} lines before it, and there are {there_are}; export once more"
            );
            return Err(at.wrong(why));
        }
        match self.next_line()? {
            Some(_) => Err(At::Line(self.number).wrong("stands behind the end")),
            None => Ok(()),
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Placed;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let change = self.change().transpose()?;
        Some(change.map(|change| (At::Line(self.number), change)))
    }
}

/// The text of an error that counts lines from the beginning of the line.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        Category::Data => what.to_owned(),
        Category::Eof => "is cut short".to_owned(),
        Category::Syntax | Category::Io => format!("column {}: {what}", error.column()),
    }
}
