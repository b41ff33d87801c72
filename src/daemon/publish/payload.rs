//! Where payloads come from.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Args;
use tokio::sync::mpsc;

use crate::daemon::connect::unreadable;
use crate::daemon::exit::Failure;

/// What is published.
#[derive(Debug, Args)]
pub(in crate::daemon) struct PayloadArguments {
    /// The message
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// An empty message
    #[arg(short, long = "null-message")]
    null: bool,
    /// The contents of a file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// All of stdin as one message
    #[arg(short, long = "stdin-file")]
    stdin: bool,
}

/// No packet of MQTT is longer.
const LONGEST: u64 = 268_435_455;
/// What is read of stdin at a time; the lines in it go on together.
const CHUNK: usize = 64 * 1024;
/// Such pieces that wait.
const CHUNKS: usize = 4;

impl PayloadArguments {
    /// The payload; `None` where none was named.
    pub(in crate::daemon) fn read(&self) -> Result<Option<Bytes>, Failure> {
        if let Some(message) = &self.message {
            return Ok(Some(message.clone().into()));
        }
        if let Some(file) = &self.file {
            let read = File::open(file).and_then(read_bounded);
            return read.map(Some).map_err(|error| unreadable(file, "-f", &error));
        }
        if self.stdin {
            let read = read_bounded(io::stdin());
            return read.map(Some).map_err(|error| Failure::usage(format!("failed to read stdin: {error}")));
        }
        Ok(self.null.then(Bytes::new))
    }
}

fn read_bounded(from: impl Read) -> io::Result<Bytes> {
    let mut read = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut read)?;
    if read.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than a message of MQTT can be"));
    }
    Ok(read.into())
}

/// Payloads, one after the other.
pub(super) enum Payloads {
    Repeated { payload: Bytes, left: u64, delay: Option<Duration> },
    Lines { chunks: mpsc::Receiver<io::Result<Vec<Bytes>>>, read: std::vec::IntoIter<Bytes> },
}

impl Payloads {
    pub(super) fn repeated(payload: Bytes, times: u64, delay: Option<Duration>) -> Payloads {
        Payloads::Repeated { payload, left: times, delay }
    }

    /// A thread of its own reads: reading a terminal cannot be broken off.
    pub(super) fn lines() -> Payloads {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        std::thread::spawn(move || {
            let mut lines =
                Lines { from: io::BufReader::with_capacity(CHUNK, io::stdin()), begun: BytesMut::new() };
            while let Some(chunk) = lines.next_chunk().transpose() {
                let failed = chunk.is_err();
                if sender.blocking_send(chunk).is_err() || failed {
                    break;
                }
            }
        });
        Payloads::Lines { chunks, read: Vec::new().into_iter() }
    }

    /// How long to wait after each message has reached the broker; `None`: they overtake each other's acknowledgements.
    pub(super) fn delay(&self) -> Option<Duration> {
        match self {
            Payloads::Repeated { delay, .. } => *delay,
            Payloads::Lines { .. } => None,
        }
    }

    /// The next; `None` where there is no more. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Payloads::Repeated { left: 0, .. } => Ok(None),
            Payloads::Repeated { payload, left, .. } => {
                *left -= 1;
                Ok(Some(payload.clone()))
            }
            Payloads::Lines { chunks, read } => loop {
                if let Some(line) = read.next() {
                    return Ok(Some(line));
                }
                match chunks.recv().await {
                    Some(Ok(chunk)) => *read = chunk.into_iter(),
                    Some(Err(error)) => return Err(Failure::usage(format!("failed to read stdin: {error}"))),
                    None => return Ok(None),
                }
            },
        }
    }
}

/// Reads lines, as many at a time as are there.
struct Lines<R> {
    from: R,
    /// The line of which the end has not been read.
    begun: BytesMut,
}

impl<R: BufRead> Lines<R> {
    /// `None` at the end. Lines that are empty are left out, as mosquitto_pub does.
    fn next_chunk(&mut self) -> io::Result<Option<Vec<Bytes>>> {
        let mut lines = Vec::new();
        let read = loop {
            match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        let count = read.len();
        if count == 0 {
            let last = line(std::mem::take(&mut self.begun));
            return Ok(last.map(|last| vec![last]));
        }
        self.begun.extend_from_slice(read);
        self.from.consume(count);
        // What was begun before has no end of line in it.
        let mut from = self.begun.len() - count;
        while let Some(at) = self.begun[from..].iter().position(|byte| *byte == b'\n') {
            let mut whole = self.begun.split_to(from + at + 1);
            whole.truncate(from + at);
            lines.extend(line(whole));
            from = 0;
        }
        if self.begun.len() as u64 > LONGEST {
            let text = "a line is longer than a message of MQTT can be";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Some(lines))
    }
}

fn line(mut bytes: BytesMut) -> Option<Bytes> {
    if bytes.last() == Some(&b'\r') {
        bytes.truncate(bytes.len() - 1);
    }
    (!bytes.is_empty()).then(|| bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], at_a_time: usize) -> Vec<Bytes> {
        let from = io::BufReader::with_capacity(at_a_time, text);
        let mut lines = Lines { from, begun: BytesMut::new() };
        let mut all = Vec::new();
        while let Some(chunk) = lines.next_chunk().unwrap() {
            all.extend(chunk);
        }
        all
    }

    #[test]
    fn lines_are_the_same_however_they_are_read() {
        for at_a_time in 1..20 {
            let found = lines(b"one\r\n\n\ntwo\n\xff\0three\r\rx\nlast", at_a_time);
            assert_eq!(found, [&b"one"[..], b"two", b"\xff\0three\r\rx", b"last"], "{at_a_time}");
        }
        assert!(lines(b"", 4).is_empty() && lines(b"\n\r\n", 4).is_empty());
    }

    #[test]
    fn a_message_larger_than_mqtt_allows_is_not_read_to_its_end() {
        assert!(read_bounded(io::repeat(b'x')).is_err());
    }
}
