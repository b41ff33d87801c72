//! The reader: from bytes to packets.
//!
//! Bytes are read into a buffer that all connections of a thread share, so that an idle connection holds
//! none; packets are slices of it. Only the beginning of a packet that is not all there yet is copied into
//! a buffer of the connection's own.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::broker::{Count, Counters, note_many_buffers};
use crate::packet::{DecodeError, Decoder, Packet, PacketType};

/// Bytes that one read takes at most.
const READ_SIZE: usize = 64 * 1024;
/// Room below which a new buffer is taken for the next read.
const LEAST_ROOM: usize = 8 * 1024;

/// Buffers that messages of one thread keep, from which on these are many.
const MANY_BUFFERS: usize = 16;

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    /// A piece of each buffer before, as far as messages keep it. Not more than are many.
    static IN_USE: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Input {
    decoder: Decoder,
    /// What was read last, as far as it was not decoded.
    chunk: Bytes,
    /// The beginning of a packet; what is read next belongs behind it.
    partial: BytesMut,
    counters: Arc<Counters>,
}

impl Input {
    pub(super) fn new(maximum_packet_size: u32, counters: Arc<Counters>) -> Input {
        let decoder = Decoder::server(maximum_packet_size);
        Input { decoder, chunk: Bytes::new(), partial: BytesMut::new(), counters }
    }

    pub(super) fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Whether there is something to decode.
    pub(super) fn has_unread(&self) -> bool {
        !self.chunk.is_empty() || !self.partial.is_empty()
    }

    /// The type of what is to be decoded next, if there is anything.
    pub(super) fn next_type(&self) -> Option<PacketType> {
        let unread: &[u8] = if self.partial.is_empty() { &self.chunk } else { &self.partial };
        unread.first().copied().map(PacketType::of)
    }

    /// The next packet of those that have been read.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        let packet = self.decode();
        if matches!(packet, Ok(Some(_))) {
            self.counters.count(Count::PacketsReceived);
        }
        packet
    }

    /// Reads once. To be called when [`next_packet`](Input::next_packet) has nothing more.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<Result<(), &'static str>> {
        let read = if self.partial.is_empty() {
            SHARED.with_borrow_mut(|shared| {
                if shared.capacity() < LEAST_ROOM && !shared.try_reclaim(READ_SIZE) {
                    note_in_use(shared.split().freeze());
                    shared.reserve(READ_SIZE);
                }
                let read = pin!(stream.read_buf(shared)).poll(cx);
                if matches!(read, Poll::Ready(Ok(_))) {
                    self.chunk = shared.split().freeze();
                }
                read
            })
        } else {
            self.reserve();
            pin!(stream.read_buf(&mut self.partial)).poll(cx)
        };
        read.map(|read| match read {
            Ok(0) => Err("the client closed the connection without DISCONNECT"),
            Ok(bytes) => {
                self.counters.add(Count::BytesReceived, bytes);
                Ok(())
            }
            Err(_) => Err("the connection broke"),
        })
    }

    fn decode(&mut self) -> Result<Option<Packet>, DecodeError> {
        if self.partial.is_empty() {
            let packet = self.decoder.decode(&mut self.chunk)?;
            if packet.is_none() && !self.chunk.is_empty() {
                self.partial.extend_from_slice(&self.chunk);
                self.chunk = Bytes::new();
            }
            return Ok(packet);
        }
        let packet = self.decoder.decode(&mut self.partial)?;
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        Ok(packet)
    }

    /// Makes room for the packet that has begun, in steps: what a packet claims to be long is not yet
    /// there.
    fn reserve(&mut self) {
        let packet = self.decoder.packet_len(&self.partial).ok().flatten().unwrap_or(LEAST_ROOM);
        let missing = packet.saturating_sub(self.partial.len());
        self.partial.reserve(missing.clamp(64, READ_SIZE));
    }
}

/// A piece of a buffer that is full, and that messages may still keep.
fn note_in_use(piece: Bytes) {
    IN_USE.with_borrow_mut(|in_use| {
        in_use.retain(|piece| !piece.is_unique());
        let many = in_use.len() >= MANY_BUFFERS;
        note_many_buffers(many);
        if !many {
            in_use.push(piece);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full buffer of which a message keeps a part.
    fn kept_buffer() -> (Bytes, Bytes) {
        let mut buffer = BytesMut::with_capacity(READ_SIZE);
        buffer.extend_from_slice(b"message");
        let message = buffer.split().freeze();
        (message, buffer.split().freeze())
    }

    fn in_use() -> usize {
        IN_USE.with_borrow(Vec::len)
    }

    #[test]
    fn buffers_count_for_as_long_as_messages_keep_them() {
        let (messages, pieces): (Vec<_>, Vec<_>) = (0..3).map(|_| kept_buffer()).unzip();
        pieces.into_iter().for_each(note_in_use);
        assert_eq!(in_use(), 3);
        drop(messages);
        note_in_use(kept_buffer().1);
        assert_eq!(in_use(), 1);
    }

    #[test]
    fn no_more_buffers_are_noted_than_are_many() {
        let (messages, pieces): (Vec<_>, Vec<_>) = (0..100).map(|_| kept_buffer()).unzip();
        pieces.into_iter().for_each(note_in_use);
        assert_eq!(in_use(), MANY_BUFFERS);
        drop(messages);
    }
}
