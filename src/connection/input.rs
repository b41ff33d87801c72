//! The reader: from bytes to packets.
//!
//! Bytes are read into a buffer that all connections of a thread share, so that an idle connection holds
//! none; packets are slices of it. Only the beginning of a packet that is not all there yet is copied: where it is
//! short, to the front of what is read next, else into a buffer that is this packet's alone. Behind a long packet, the
//! next is read into such a buffer from the start.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroize;

use super::effort;
use super::incomplete::Beginning;
use super::read_buffers::{self, READ_SIZE};
use crate::broker::{Count, Counters, note_many_buffers};
use crate::packet::{DecodeError, Decoder, Packet, PacketType, QoS};

/// The longest beginning of a packet that is copied to the front of what is read next.
const SHORT: usize = 1024;
/// Who has sent a packet of so many bytes probably sends another: to copy most of it would cost more than a buffer.
const LONG: usize = 32 * 1024;
/// Room that is made for a long packet before anything of it is there.
const MOST_EXPECTED: usize = 2 * READ_SIZE;

pub(super) struct Input {
    decoder: Decoder,
    /// What was read last, as far as it was not decoded.
    chunk: Bytes,
    /// None where there is nothing of it.
    partial: Option<Box<Partial>>,
}

struct Partial {
    /// The beginning of a packet; what is read next belongs behind it.
    bytes: BytesMut,
    /// Bytes to make room for, as the last packet was long. There is a beginning where it is zero.
    long: usize,
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
        !self.chunk.is_empty() || self.begun().is_some()
    }

    /// The beginning of a packet.
    fn begun(&self) -> Option<&BytesMut> {
        self.partial.as_ref().map(|partial| &partial.bytes).filter(|bytes| !bytes.is_empty())
    }

    /// What came of a packet that is not all there.
    pub(super) fn beginning(&self) -> Option<Beginning> {
        let partial = self.begun()?;
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

    pub(super) fn next_byte(&self) -> Option<u8> {
        let unread: &[u8] = self.begun().map_or(&self.chunk, |begun| begun);
        unread.first().copied()
    }

    /// The next packet of those that have been read.
    #[inline(always)]
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
            Some(partial) if partial.bytes.len() > SHORT => {
                pin!(stream.read_buf(&mut room_for_rest(&mut partial.bytes, &self.decoder))).poll(cx)
            }
            Some(partial) if partial.bytes.is_empty() => {
                let mut own = BytesMut::with_capacity(partial.long);
                let read = pin!(stream.read_buf(&mut (&mut own).limit(partial.long))).poll(cx);
                if matches!(read, Poll::Ready(Ok(_))) {
                    self.take_long(own);
                }
                read
            }
            partial => read_buffers::with(|shared| {
                shared.extend_from_slice(partial.as_ref().map_or(&[], |partial| &partial.bytes));
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
        read.map(|read| noted(read, counters))
    }

    /// Reads once into a buffer of this connection's own: what is in it can be wiped, as nobody else has it.
    pub(super) fn poll_read_own(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        counters: &Counters,
    ) -> Poll<Result<(), &'static str>> {
        let mut own = self.partial.take().map_or_else(BytesMut::new, |partial| partial.bytes);
        make_room(&mut own);
        let read = pin!(stream.read_buf(&mut own)).poll(cx);
        self.set_beginning(own);
        read.map(|read| noted(read, counters))
    }

    /// What is still to be decoded shares no buffer with what was.
    pub(super) fn move_rest(&mut self) {
        if let Some(partial) = self.partial.take() {
            self.set_beginning(BytesMut::from(&*partial.bytes));
        }
    }

    /// What was read and waits keeps no buffer that is shared.
    pub(super) fn move_chunk(&mut self) {
        if !self.chunk.is_empty() {
            self.chunk = Bytes::copy_from_slice(&self.chunk);
        }
    }

    fn set_beginning(&mut self, bytes: BytesMut) {
        self.partial = (!bytes.is_empty()).then(|| Box::new(Partial { bytes, long: 0 }));
    }

    #[inline(always)]
    fn decode(&mut self) -> Result<Option<Packet>, DecodeError> {
        if self.begun().is_some() {
            return self.decode_begun();
        }
        let packet = self.decoder.decode(&mut self.chunk);
        if matches!(packet, Ok(None)) && !self.chunk.is_empty() {
            self.keep_beginning();
        }
        packet
    }

    /// What was read last ends in the midst of a packet.
    fn keep_beginning(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        let missing = missing(&chunk, &self.decoder);
        // With room at once: to make some later would copy the beginning a second time.
        let room = if chunk.len() > SHORT { chunk.len() + missing } else { chunk.len() };
        let mut bytes = BytesMut::with_capacity(room);
        bytes.extend_from_slice(&chunk);
        self.partial = Some(Box::new(Partial { bytes, long: 0 }));
    }

    #[inline(never)]
    fn decode_begun(&mut self) -> Result<Option<Packet>, DecodeError> {
        let Some(partial) = &mut self.partial else { return Ok(None) };
        let length = partial.bytes.len();
        let packet = self.decoder.decode(&mut partial.bytes)?;
        if partial.bytes.is_empty() {
            self.partial = (length >= LONG).then(|| {
                let bytes = BytesMut::new();
                Box::new(Partial { bytes, long: length.min(MOST_EXPECTED) })
            });
        }
        Ok(packet)
    }

    /// What was read where a long packet was expected. What is none, or has come to little, or is much shorter than
    /// the room for it, shares no buffer with one.
    fn take_long(&mut self, read: BytesMut) {
        let whole = self.decoder.packet_len(&read).ok().flatten().unwrap_or_default();
        if whole >= read.len().max(LONG) && read.len() > SHORT && read.capacity() <= 2 * whole {
            self.partial = Some(Box::new(Partial { bytes: read, long: 0 }));
        } else {
            self.chunk = Bytes::copy_from_slice(&read);
            self.partial = None;
            // Nobody counts this buffer: what waits is not to keep it.
            note_many_buffers(true);
        }
    }
}

/// Counts what was read.
fn noted(read: io::Result<usize>, counters: &Counters) -> Result<(), &'static str> {
    match read {
        Ok(0) => Err("the client closed the connection without DISCONNECT"),
        Ok(bytes) => {
            counters.add(Count::BytesReceived, bytes);
            effort::moved(bytes);
            Ok(())
        }
        Err(_) => Err("the connection broke"),
    }
}

/// Room to read, without a copy of what is there already left behind.
fn make_room(own: &mut BytesMut) {
    if own.len() < own.capacity() {
        return;
    }
    let mut larger = BytesMut::with_capacity((2 * own.len()).max(SHORT));
    larger.extend_from_slice(own);
    own.zeroize();
    *own = larger;
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
    use crate::broker::{Broker, Options, are_many_buffers_noted};
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
    async fn who_acknowledged_and_is_silent_keeps_no_buffer() {
        let (mut input, mut streams) = (input(), duplex(1024));
        for first_byte in [0x40, 0x50, 0x62, 0x70] {
            assert_eq!(receive(&mut input, &mut streams, &[first_byte, 2, 0, 1]).await, [0]);
            assert!(read_buffers::with(|shared| shared.try_reclaim(READ_SIZE)), "{first_byte:#x}");
        }
    }

    #[tokio::test]
    async fn what_comes_behind_a_long_packet_is_read_whatever_it_is() {
        let (mut input, mut streams) = (input(), duplex(1024 * 1024));
        let long = publish(65_536);
        assert!(receive(&mut input, &mut streams, &long).await.is_empty());
        assert_eq!(receive(&mut input, &mut streams, &[]).await, [65_536]);
        assert!(!input.has_unread() && input.beginning().is_none() && input.next_type().is_none());
        // One as long, in one read; then shorter and longer ones, and what is no long one at all.
        assert_eq!(receive(&mut input, &mut streams, &long).await, [65_536]);
        let others = [publish(50_000), publish(1), publish(2), publish(3_000)].concat();
        assert_eq!(receive(&mut input, &mut streams, &others).await, [50_000, 1, 2, 3_000]);
        assert!(!input.has_unread());
        for length in [65_536, 100_000, 40_000, 100_000, 7, 65_536] {
            client_sends(&mut input, &mut streams, length).await;
        }
        assert!(!input.has_unread());
    }

    #[tokio::test]
    async fn a_read_of_a_long_packet_that_has_to_wait_keeps_nothing() {
        let (mut input, mut streams) = (input(), duplex(1024 * 1024));
        client_sends(&mut input, &mut streams, 65_536).await;
        let counters = counters();
        let waits =
            poll_fn(|cx| Poll::Ready(input.poll_read(cx, &mut streams.1, &counters).is_pending())).await;
        assert!(waits && !input.has_unread() && input.beginning().is_none());
        assert_eq!(receive(&mut input, &mut streams, &publish(5)).await, [5]);
    }

    #[tokio::test]
    async fn messages_that_wait_do_not_keep_what_was_read_in_place_of_a_long_packet() {
        // Of 300 messages of one byte each kept 1 MB while its receiver did not acknowledge it: the buffer had room for
        // as much as the packet before, and nobody counted it.
        let (mut input, mut streams) = (input(), duplex(4 * 1024 * 1024));
        client_sends(&mut input, &mut streams, 1_000_000).await;
        note_many_buffers(false);
        let came = receive(&mut input, &mut streams, &publish(1_000).repeat(1_000)).await;
        assert!(came.len() * 1_000 <= MOST_EXPECTED, "{}", came.len());
        assert!(are_many_buffers_noted());
    }

    #[tokio::test]
    async fn a_packet_that_is_much_shorter_than_the_one_before_has_a_shorter_buffer() {
        let (mut input, mut streams) = (input(), duplex(4 * 1024 * 1024));
        client_sends(&mut input, &mut streams, 1_000_000).await;
        streams.0.write_all(&publish(40_000)).await.unwrap();
        let counters = counters();
        poll_fn(|cx| input.poll_read(cx, &mut streams.1, &counters)).await.unwrap();
        let Some(Packet::Publish(Publish { topic, payload, .. })) = input.next_packet(&counters).unwrap()
        else {
            panic!("no PUBLISH")
        };
        drop((topic, input));
        assert!(payload.try_into_mut().unwrap().capacity() < 2 * 40_000);
    }

    #[tokio::test]
    async fn a_few_bytes_of_a_long_packet_have_no_room_for_all_of_it() {
        let (mut input, mut streams) = (input(), duplex(4 * 1024 * 1024));
        client_sends(&mut input, &mut streams, 65_536).await;
        assert!(receive(&mut input, &mut streams, &publish(65_536)[..10]).await.is_empty());
        assert!(input.begun().unwrap().capacity() < SHORT);
    }

    /// One packet, however many reads it takes.
    async fn client_sends(input: &mut Input, streams: &mut (DuplexStream, DuplexStream), length: usize) {
        let mut received = receive(input, streams, &publish(length)).await;
        while received.is_empty() {
            received = receive(input, streams, &[]).await;
        }
        assert_eq!(received, [length]);
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
