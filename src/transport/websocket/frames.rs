//! WebSocket frames (RFC 6455), without IO: those of clients, which are masked, and those of servers, which are not.
//!
//! The payload of binary frames is a stream of bytes, and handed on as it comes: neither frames nor messages are put
//! together, so that how long they are and how they are cut makes no difference, and a connection holds no buffer.

use bytes::BytesMut;

/// A frame's head at its longest: two bytes, a length of eight, a mask of four.
const LONGEST_HEAD: usize = 14;
pub const MASK: usize = 4;
/// The longest payload of a control frame.
const LONGEST_CONTROL: u64 = 125;

/// Why a WebSocket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(pub u16);

impl CloseCode {
    pub const NORMAL: CloseCode = CloseCode(1000);
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    pub const INVALID_TEXT: CloseCode = CloseCode(1007);

    /// Those that may stand in a frame (RFC 6455, 7.4).
    fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// What ends the frames of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It closes, with this code if any.
    Closed(Option<CloseCode>),
    /// It broke the rules.
    Violated(CloseCode),
}

/// Of the frames that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Binary = 2,
    Close = 8,
    Pong = 10,
}

/// Whose frames they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sender {
    #[default]
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Data,
    Ping,
    Pong,
    Close,
}

/// Takes frames apart.
#[derive(Debug, Default)]
pub struct Deframer {
    sender: Sender,
    head: [u8; LONGEST_HEAD],
    /// Bytes of the head that are there. None are while there is payload.
    head_len: u8,
    kind: Kind,
    /// Bytes of the payload that are still to come.
    left: u64,
    mask: [u8; 4],
    /// A message has begun and goes on in the next data frame.
    is_in_message: bool,
    /// Of a control frame that is not complete.
    control: Vec<u8>,
    /// Of the last ping that was not answered yet: only that has to be (RFC 6455, 5.5.3).
    ping: Option<Vec<u8>>,
}

impl Deframer {
    /// Of frames that a server sends.
    pub fn of_server() -> Deframer {
        Deframer { sender: Sender::Server, ..Deframer::default() }
    }

    /// Takes bytes that came, and leaves the payload of its binary frames at their front: returns how much
    /// that is. Behind an end it is not to be called again.
    pub fn decode(&mut self, bytes: &mut [u8]) -> (usize, Option<End>) {
        let (mut read, mut kept) = (0, 0);
        while read < bytes.len() {
            let step = if self.left == 0 {
                read += 1;
                self.take_head(bytes[read - 1])
            } else {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - read);
                if self.sender == Sender::Client {
                    apply_mask(&mut bytes[read..read + len], &mut self.mask);
                }
                match self.kind {
                    Kind::Data => {
                        bytes.copy_within(read..read + len, kept);
                        kept += len;
                    }
                    _ => self.control.extend_from_slice(&bytes[read..read + len]),
                }
                read += len;
                self.left -= len as u64;
                self.finish_payload()
            };
            if let Err(end) = step {
                return (kept, Some(end));
            }
        }
        (kept, None)
    }

    /// The payload that the next pong has to have.
    pub fn take_ping(&mut self) -> Option<Vec<u8>> {
        self.ping.take()
    }

    fn take_head(&mut self, byte: u8) -> Result<(), End> {
        self.head[usize::from(self.head_len)] = byte;
        self.head_len += 1;
        match self.head_len {
            1 => self.check_first(byte),
            2 => self.check_second(byte),
            _ => Ok(()),
        }?;
        if usize::from(self.head_len) == self.whole_head() { self.begin_payload() } else { Ok(()) }
    }

    /// How long the head is that has begun, with length and mask. Before its second byte is there, more than one byte.
    fn whole_head(&self) -> usize {
        let length = match self.head[1] & 0x7F {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        match self.sender {
            Sender::Client => length + MASK,
            Sender::Server => length,
        }
    }

    /// Flags and opcode.
    fn check_first(&mut self, byte: u8) -> Result<(), End> {
        let (is_final, reserved, opcode) = (byte & 0x80 != 0, byte & 0x70, byte & 0x0F);
        if reserved != 0 {
            return violated(CloseCode::PROTOCOL_ERROR);
        }
        let is_control = opcode & 8 != 0;
        self.kind = match opcode {
            // A continuation of nothing, or a message within another.
            0 if !self.is_in_message => return violated(CloseCode::PROTOCOL_ERROR),
            2 if self.is_in_message => return violated(CloseCode::PROTOCOL_ERROR),
            0 | 2 => Kind::Data,
            // [MQTT-6.0.0-1]
            1 => return violated(CloseCode::UNSUPPORTED_DATA),
            8 => Kind::Close,
            9 => Kind::Ping,
            10 => Kind::Pong,
            _ => return violated(CloseCode::PROTOCOL_ERROR),
        };
        if is_control && !is_final {
            return violated(CloseCode::PROTOCOL_ERROR);
        }
        if !is_control {
            self.is_in_message = !is_final;
        }
        Ok(())
    }

    /// Mask and length.
    fn check_second(&mut self, byte: u8) -> Result<(), End> {
        let is_masked = byte & 0x80 != 0;
        let is_too_long = self.kind != Kind::Data && u64::from(byte & 0x7F) > LONGEST_CONTROL;
        // What a client sends is masked, and what a server sends is not (RFC 6455, 5.1).
        if is_masked == (self.sender == Sender::Client) && !is_too_long {
            Ok(())
        } else {
            violated(CloseCode::PROTOCOL_ERROR)
        }
    }

    fn begin_payload(&mut self) -> Result<(), End> {
        let len = usize::from(std::mem::take(&mut self.head_len));
        let mut head = &self.head[..len];
        if self.sender == Sender::Client {
            let (length, mask) = head.split_at(len - MASK);
            self.mask.copy_from_slice(mask);
            head = length;
        }
        self.left = match head {
            [_, short] => u64::from(short & 0x7F),
            [_, _, long @ ..] => long.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
            _ => 0,
        };
        // The highest bit must be 0 (RFC 6455, 5.2).
        if self.left > u64::MAX >> 1 {
            return violated(CloseCode::PROTOCOL_ERROR);
        }
        self.finish_payload()
    }

    /// Where all of it is there.
    fn finish_payload(&mut self) -> Result<(), End> {
        if self.left > 0 {
            return Ok(());
        }
        match self.kind {
            Kind::Data => {}
            Kind::Ping => self.ping = Some(std::mem::take(&mut self.control)),
            Kind::Pong => self.control = Vec::new(),
            Kind::Close => return Err(closed(&self.control)),
        }
        Ok(())
    }
}

fn violated<T>(code: CloseCode) -> Result<T, End> {
    Err(End::Violated(code))
}

fn closed(payload: &[u8]) -> End {
    match payload {
        [] => End::Closed(None),
        [high, low, reason @ ..] => {
            let code = CloseCode(u16::from_be_bytes([*high, *low]));
            match std::str::from_utf8(reason) {
                _ if !code.is_sendable() => End::Violated(CloseCode::PROTOCOL_ERROR),
                Err(_) => End::Violated(CloseCode::INVALID_TEXT),
                Ok(_) => End::Closed(Some(code)),
            }
        }
        [_] => End::Violated(CloseCode::PROTOCOL_ERROR),
    }
}

/// Takes the mask off or puts it on, and turns it to where the next byte goes on.
pub fn apply_mask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let word = u32::from_ne_bytes(*mask);
    let mut words = bytes.chunks_exact_mut(4);
    for four in &mut words {
        let plain = u32::from_ne_bytes([four[0], four[1], four[2], four[3]]) ^ word;
        four.copy_from_slice(&plain.to_ne_bytes());
    }
    let rest = words.into_remainder();
    rest.iter_mut().zip(*mask).for_each(|(byte, mask)| *byte ^= mask);
    mask.rotate_left(rest.len());
}

/// The head of a binary frame of so many bytes, and how long it is.
pub fn binary_head(len: usize) -> ([u8; 10], u8) {
    let mut head = [0; 10];
    head[0] = 0x82;
    let head_len = match len {
        0..126 => {
            head[1] = len as u8;
            2
        }
        126..=0xFFFF => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    (head, head_len)
}

/// A frame of which the whole message is made, as a client sends it: masked, and put behind what is in `out`.
pub fn put_masked(opcode: Opcode, payload: &[u8], mut mask: [u8; MASK], out: &mut BytesMut) {
    let (mut head, len) = binary_head(payload.len());
    (head[0], head[1]) = (0x80 | opcode as u8, head[1] | 0x80);
    out.extend_from_slice(&head[..len.into()]);
    out.extend_from_slice(&mask);
    let begin = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[begin..], &mut mask);
}

/// A pong; its payload is that of a ping.
pub fn pong(payload: &[u8]) -> Vec<u8> {
    control(0x8A, payload)
}

/// A close frame.
pub fn close(code: Option<CloseCode>) -> Vec<u8> {
    control(0x88, code.map(|code| code.0.to_be_bytes()).as_ref().map_or(&[], |code| code))
}

fn control(first: u8, payload: &[u8]) -> Vec<u8> {
    debug_assert!(payload.len() as u64 <= LONGEST_CONTROL);
    [&[first, payload.len() as u8], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; MASK] = [0x11, 0xA2, 0x03, 0xF4];

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let (head, len) = binary_head(payload.len());
        let mut frame = head[..len.into()].to_vec();
        (frame[0], frame[1]) = (first, frame[1] | 0x80);
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// The same frames as a server sends them.
    fn of_server(first: u8, payload: &[u8]) -> Vec<u8> {
        let (mut head, len) = binary_head(payload.len());
        head[0] = first;
        [&head[..len.into()], payload].concat()
    }

    /// What comes of a client's bytes that are read in pieces of this length.
    fn decoded(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<End>, Option<Vec<u8>>) {
        decoded_by(Deframer::default(), bytes, piece)
    }

    fn decoded_by(
        mut deframer: Deframer,
        bytes: &[u8],
        piece: usize,
    ) -> (Vec<u8>, Option<End>, Option<Vec<u8>>) {
        let mut payload = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let (kept, end) = deframer.decode(&mut piece);
            payload.extend_from_slice(&piece[..kept]);
            if end.is_some() {
                return (payload, end, deframer.take_ping());
            }
        }
        (payload, None, deframer.take_ping())
    }

    #[test]
    fn frames_of_any_length_and_cut_are_one_stream() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let (first, rest) = payload.split_at(len / 3);
            let whole = frame(0x82, &payload);
            let parts = [frame(0x02, first), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, rest)].concat();
            for piece in [1, 2, 3, 5, 7, 64, 1000, usize::MAX >> 1] {
                assert_eq!(decoded(&whole, piece), (payload.clone(), None, None));
                assert_eq!(decoded(&parts, piece), (payload.clone(), None, Some(b"?".to_vec())));
            }
        }
    }

    #[test]
    fn frames_of_a_server_have_no_mask() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let (first, rest) = payload.split_at(len / 3);
            let parts = [of_server(0x02, first), of_server(0x89, b"?"), of_server(0x80, rest)].concat();
            for piece in [1, 2, 3, 5, 7, 64, 1000, usize::MAX >> 1] {
                let expected = (payload.clone(), None, Some(b"?".to_vec()));
                assert_eq!(decoded_by(Deframer::of_server(), &parts, piece), expected);
            }
        }
        let masked = decoded_by(Deframer::of_server(), &frame(0x82, b"x"), 1);
        assert_eq!(masked.1, Some(End::Violated(CloseCode::PROTOCOL_ERROR)));
    }

    #[test]
    fn what_a_client_sends_is_masked() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let mut out = BytesMut::from(&b"before"[..]);
            put_masked(Opcode::Binary, &payload, KEY, &mut out);
            assert!(out[6..] == frame(0x82, &payload)[..]);
        }
    }

    #[test]
    fn what_breaks_the_rules_of_frames_is_told_apart() {
        let mut unmasked = frame(0x82, b"x");
        unmasked[1] &= 0x7F;
        let protocol = CloseCode::PROTOCOL_ERROR;
        let cases: [(Vec<u8>, CloseCode); 14] = [
            (frame(0x81, b"text"), CloseCode::UNSUPPORTED_DATA),
            (frame(0x81, b"\xFF\xFE"), CloseCode::UNSUPPORTED_DATA),
            (unmasked, protocol),
            (frame(0x80, b"continues nothing"), protocol),
            ([frame(0x02, b"a"), frame(0x82, b"b")].concat(), protocol),
            (frame(0xC2, b"compressed"), protocol),
            (frame(0x83, b"unknown opcode"), protocol),
            (frame(0x8B, b"unknown control"), protocol),
            (frame(0x09, b"a ping in parts"), protocol),
            (frame(0x89, &[0; 126]), protocol),
            (frame(0x88, &[3]), protocol),
            (frame(0x88, &1005u16.to_be_bytes()), protocol),
            (frame(0x88, b"\x03\xE8\xFF"), CloseCode::INVALID_TEXT),
            (vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], protocol),
        ];
        for (bytes, code) in cases {
            for piece in [1, bytes.len()] {
                assert_eq!(decoded(&bytes, piece).1, Some(End::Violated(code)), "{bytes:02x?}");
            }
        }
    }

    #[test]
    fn a_close_has_a_code_or_none() {
        assert_eq!(decoded(&frame(0x88, b""), 1).1, Some(End::Closed(None)));
        let close = frame(0x88, b"\x03\xE9bye");
        assert_eq!(decoded(&close, 4).1, Some(End::Closed(Some(CloseCode(1001)))));
        let before = [frame(0x82, b"a"), close, frame(0x82, b"b")].concat();
        assert_eq!(decoded(&before, 100).0, b"a");
    }

    #[test]
    fn of_several_pings_the_last_is_answered() {
        let pings = [frame(0x89, b"1"), frame(0x8A, b"unasked"), frame(0x89, b"2")].concat();
        assert_eq!(decoded(&pings, 3).2, Some(b"2".to_vec()));
    }
}
