//! The reader: from bytes to packets.
//!
//! Bytes are read into a buffer that all connections of a thread share, so that an idle connection holds
//! none; packets are slices of it. Only the beginning of a packet that is not all there yet is copied: where it is
//! short, to the front of what is read next, else into a buffer that is this packet's alone.

use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::incomplete::Beginning;
use super::read_buffers::{self, READ_SIZE};
use crate::broker::{Count, Counters};
use crate::packet::{DecodeError, Decoder, Packet, PacketType, QoS};

/// The longest beginning of a packet that is copied to the front of what is read next.
const SHORT: usize = 1024;

pub(super) struct Input {
    decoder: Decoder,
    /// What was read last, as far as it was not decoded.
    chunk: Bytes,
    /// The beginning of a packet; what is read next belongs behind it. Never empty.
    partial: Option<Box<BytesMut>>,
}

impl Input {
    pub(super) fn new(maximum_packet_size: u32) -> Input {
        let decoder = Decoder::server(maximum_packet_size);
        Input { decoder, chunk: Bytes::new(), partial: None }
    }

    pub(super) fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Whether there is something to decode.
    pub(super) fn has_unread(&self) -> bool {
        !self.chunk.is_empty() || self.partial.is_some()
    }

    /// What came of a packet that is not all there.
    pub(super) fn beginning(&self) -> Option<Beginning> {
        let partial = self.partial.as_ref()?;
        let whole = self.decoder.packet_len(partial).ok().flatten();
        Some(Beginning { bytes: partial.len(), whole, has_buffer: partial.len() > SHORT })
    }

    /// The type of what is to be decoded next, if there is anything.
    pub(super) fn next_type(&self) -> Option<PacketType> {
        self.next_byte().map(PacketType::of)
    }

    /// The QoS of the next packet, if that is a PUBLISH.
    pub(super) fn next_publish(&self) -> Option<QoS> {
        let byte = self.next_byte().filter(|&byte| PacketType::of(byte) == PacketType::Publish)?;
        QoS::try_from(byte >> 1 & 3).ok()
    }

    fn next_byte(&self) -> Option<u8> {
        let unread: &[u8] = self.partial.as_ref().map_or(&self.chunk, |partial| partial);
        unread.first().copied()
    }

    /// The next packet of those that have been read.
    pub(super) fn next_packet(&mut self, counters: &Counters) -> Result<Option<Packet>, DecodeError> {
        let packet = self.decode();
        if matches!(packet, Ok(Some(_))) {
            counters.count(Count::PacketsReceived);
        }
        packet
    }

    /// Reads once. To be called when [`next_packet`](Input::next_packet) has nothing more.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        counters: &Counters,
    ) -> Poll<Result<(), &'static str>> {
        let read = match &mut self.partial {
            Some(partial) if partial.len() > SHORT => {
                pin!(stream.read_buf(&mut room_for_rest(partial, &self.decoder))).poll(cx)
            }
            partial => read_buffers::with(|shared| {
                shared.extend_from_slice(partial.as_ref().map_or(&[], |partial| partial));
                let read = pin!(stream.read_buf(shared)).poll(cx);
                if matches!(read, Poll::Ready(Ok(_))) {
                    self.chunk = shared.split().freeze();
                    *partial = None;
                } else {
                    shared.clear();
                }
                read
            }),
        };
        read.map(|read| match read {
            Ok(0) => Err("the client closed the connection without DISCONNECT"),
            Ok(bytes) => {
                counters.add(Count::BytesReceived, bytes);
                Ok(())
            }
            Err(_) => Err("the connection broke"),
        })
    }

    fn decode(&mut self) -> Result<Option<Packet>, DecodeError> {
        let Some(partial) = &mut self.partial else {
            let packet = self.decoder.decode(&mut self.chunk)?;
            if packet.is_none() && !self.chunk.is_empty() {
                let chunk = std::mem::take(&mut self.chunk);
                let missing = missing(&chunk, &self.decoder);
                // With room at once: to make some later would copy the beginning a second time.
                let room = if chunk.len() > SHORT { chunk.len() + missing } else { chunk.len() };
                let mut partial = BytesMut::with_capacity(room);
                partial.extend_from_slice(&chunk);
                self.partial = Some(Box::new(partial));
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

/// Room for the packet that has begun. And for no byte of the next: a small one would keep this packet's memory for as
/// long as it waits in a queue, where only its own size counts.
fn room_for_rest<'a>(partial: &'a mut BytesMut, decoder: &Decoder) -> impl BufMut + 'a {
    let missing = missing(partial, decoder);
    partial.reserve(missing);
    partial.limit(missing)
}

/// Bytes that the packet is to be read on by, in steps: what a packet claims to be long is not yet there.
fn missing(beginning: &[u8], decoder: &Decoder) -> usize {
    let packet = decoder.packet_len(beginning).ok().flatten().unwrap_or_default();
    packet.saturating_sub(beginning.len()).clamp(1, READ_SIZE)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::broker::{Broker, Options};
    use crate::cluster::standalone::Standalone;
    use crate::hook::NoHooks;
    use crate::packet::{ProtocolVersion, Publish, encode};

    fn publish(payload_len: usize) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        let publish = Publish::new("t".into(), vec![0; payload_len].into());
        encode(&Packet::Publish(publish), ProtocolVersion::V5, &mut bytes).unwrap();
        bytes.to_vec()
    }

    fn counters() -> Arc<Counters> {
        let hooks = Arc::new(NoHooks);
        let broker = Broker::new(Options::default(), hooks, None, Arc::new(Standalone));
        broker.counters().clone()
    }

    fn input() -> Input {
        let mut input = Input::new(1024 * 1024);
        input.decoder().set_version(ProtocolVersion::V5);
        input
    }

    /// Has the client send this, reads once, and returns the lengths of the payloads that came.
    async fn receive(
        input: &mut Input,
        (client, stream): &mut (DuplexStream, DuplexStream),
        bytes: &[u8],
    ) -> Vec<usize> {
        client.write_all(bytes).await.unwrap();
        let counters = counters();
        poll_fn(|cx| input.poll_read(cx, stream, &counters)).await.unwrap();
        let packets = std::iter::from_fn(|| input.next_packet(&counters).unwrap());
        packets
            .map(|packet| if let Packet::Publish(publish) = packet { publish.payload.len() } else { 0 })
            .collect()
    }

    #[tokio::test]
    async fn a_packet_with_a_buffer_of_its_own_shares_it_with_no_other() {
        // Messages of one byte kept 60 KB each while they waited in a queue, where they counted as a few bytes.
        let (mut input, mut streams) = (input(), duplex(1024 * 1024));
        let long = publish(60_000);
        assert!(receive(&mut input, &mut streams, &long[..40_000]).await.is_empty());
        let rest = [&long[40_000..], &publish(1)].concat();
        assert_eq!(receive(&mut input, &mut streams, &rest).await, [60_000]);
        assert!(!input.has_unread());
        assert_eq!(receive(&mut input, &mut streams, &[]).await, [1]);
    }

    #[tokio::test]
    async fn the_short_beginning_of_a_packet_is_read_on_with_those_behind_it() {
        for cut in 1..20 {
            let (mut input, mut streams) = (input(), duplex(1024 * 1024));
            let packets = [publish(200), publish(1), publish(3000), publish(5)].concat();
            assert!(receive(&mut input, &mut streams, &packets[..cut]).await.is_empty());
            assert_eq!(receive(&mut input, &mut streams, &packets[cut..]).await, [200, 1, 3000, 5]);
        }
    }

    #[tokio::test]
    async fn a_packet_that_comes_byte_by_byte_is_read() {
        let (mut input, mut streams) = (input(), duplex(1024));
        let packet = publish(3 * SHORT);
        let (last, bytes) = packet.split_last().unwrap();
        for byte in bytes {
            assert!(receive(&mut input, &mut streams, &[*byte]).await.is_empty());
        }
        assert_eq!(receive(&mut input, &mut streams, &[*last]).await, [3 * SHORT]);
        assert!(!input.has_unread());
    }

    #[tokio::test]
    async fn a_read_that_has_to_wait_leaves_nothing_in_the_buffer_of_others() {
        let (mut input, mut streams) = (input(), duplex(1024));
        let packet = publish(10);
        assert!(receive(&mut input, &mut streams, &packet[..5]).await.is_empty());
        let counters = counters();
        let waits =
            poll_fn(|cx| Poll::Ready(input.poll_read(cx, &mut streams.1, &counters).is_pending())).await;
        assert!(waits);
        let (mut other, mut others) = (self::input(), duplex(1024));
        assert_eq!(receive(&mut other, &mut others, &packet).await, [10]);
        assert_eq!(receive(&mut input, &mut streams, &packet[5..]).await, [10]);
    }
}
