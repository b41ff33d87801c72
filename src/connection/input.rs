//! The reader: from bytes to packets.
//!
//! Bytes are read into a buffer that all connections of a thread share, so that an idle connection holds
//! none; packets are slices of it. Only the beginning of a packet that is not all there yet is copied into
//! a buffer of the connection's own.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::read_buffers::{self, LEAST_ROOM, READ_SIZE};
use crate::broker::{Count, Counters};
use crate::packet::{DecodeError, Decoder, Packet, PacketType};

pub(super) struct Input {
    decoder: Decoder,
    /// What was read last, as far as it was not decoded.
    chunk: Bytes,
    /// The beginning of a packet; what is read next belongs behind it. Never empty.
    partial: Option<Box<BytesMut>>,
    counters: Arc<Counters>,
}

impl Input {
    pub(super) fn new(maximum_packet_size: u32, counters: Arc<Counters>) -> Input {
        let decoder = Decoder::server(maximum_packet_size);
        Input { decoder, chunk: Bytes::new(), partial: None, counters }
    }

    pub(super) fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Whether there is something to decode.
    pub(super) fn has_unread(&self) -> bool {
        !self.chunk.is_empty() || self.partial.is_some()
    }

    /// The type of what is to be decoded next, if there is anything.
    pub(super) fn next_type(&self) -> Option<PacketType> {
        let unread: &[u8] = self.partial.as_ref().map_or(&self.chunk, |partial| partial);
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
        let read = if let Some(partial) = &mut self.partial {
            make_room(partial, &self.decoder);
            pin!(stream.read_buf(&mut **partial)).poll(cx)
        } else {
            read_buffers::with(|shared| {
                let read = pin!(stream.read_buf(shared)).poll(cx);
                if matches!(read, Poll::Ready(Ok(_))) {
                    self.chunk = shared.split().freeze();
                }
                read
            })
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
        let Some(partial) = &mut self.partial else {
            let packet = self.decoder.decode(&mut self.chunk)?;
            if packet.is_none() && !self.chunk.is_empty() {
                self.partial = Some(Box::new(BytesMut::from(&*self.chunk)));
                self.chunk = Bytes::new();
            }
            return Ok(packet);
        };
        let packet = self.decoder.decode(&mut **partial)?;
        if partial.is_empty() {
            self.partial = None;
        }
        Ok(packet)
    }
}

/// Makes room for the packet that has begun, in steps: what a packet claims to be long is not yet there.
fn make_room(partial: &mut BytesMut, decoder: &Decoder) {
    let packet = decoder.packet_len(partial).ok().flatten().unwrap_or(LEAST_ROOM);
    let missing = packet.saturating_sub(partial.len());
    partial.reserve(missing.clamp(64, READ_SIZE));
}
