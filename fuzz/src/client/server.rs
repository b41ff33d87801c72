//! The server's end: streams, bytes, and steps by which it lies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::client::Options;
use tidegate::packet::{Connack, Decoder, Packet, ProtocolVersion, Publish, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::choices::Choices;
use super::book::Book;
use super::honest::WITNESS;
use super::packets;

/// In tokio's paused time: until everybody waits for something.
const IDLE: Duration = Duration::from_millis(1);
/// Bytes that are said before the client is listened to.
const PIECE: usize = 48;
const WAITS: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(31),
    Duration::from_secs(120),
];

pub struct Server {
    pub(super) streams: mpsc::UnboundedReceiver<DuplexStream>,
    pub(super) stream: Option<DuplexStream>,
    pub(super) version: ProtocolVersion,
    /// The largest packet that the client takes.
    accepted: u32,
    heard: Decoder,
    hearing: BytesMut,
    /// What the client makes of what it is sent; none once it is no MQTT.
    said: Option<Decoder>,
    saying: BytesMut,
    /// What the stream has not taken yet.
    unwritten: BytesMut,
    /// What an honest server would say.
    pub(super) owed: VecDeque<Packet>,
    request: Option<Publish>,
    /// Whether an honest answer to CONNECT knows the client's session, where it may.
    pub(super) keeps_session: bool,
    /// The witness has spoken.
    pub(super) is_witnessed: bool,
    pub(super) book: Arc<Mutex<Book>>,
}

impl Server {
    pub fn new(streams: mpsc::UnboundedReceiver<DuplexStream>, options: &Options) -> Server {
        let told = options.connect.maximum_packet_size.unwrap_or(u32::MAX);
        Server {
            streams,
            stream: None,
            version: options.connect.protocol_version,
            accepted: told.min(options.maximum_packet_size),
            heard: Decoder::server(u32::MAX),
            hearing: BytesMut::new(),
            said: None,
            saying: BytesMut::new(),
            unwritten: BytesMut::new(),
            owed: VecDeque::new(),
            request: None,
            keeps_session: false,
            is_witnessed: false,
            book: Arc::default(),
        }
    }

    pub async fn step(&mut self, step: usize, choices: &mut Choices<'_>) {
        if step == 0 {
            return self.cut();
        }
        if step == 1 {
            return sleep(choices.one_of(&WAITS)).await;
        }
        self.open();
        self.listen().await;
        match step {
            2 => {}
            3 => self.say_bytes(choices.bytes()).await,
            4 => {
                let connack = packets::connack(choices, self.version);
                self.say(&Packet::Connack(Box::new(connack))).await;
            }
            5 | 6 => {
                if let Some(packet) = packets::any(choices, self.version) {
                    self.say(&packet).await;
                }
            }
            7 => self.answer_one(choices).await,
            8 => self.answer_all().await,
            _ => {
                if let Some(response) = self.request.take().as_ref().and_then(packets::response) {
                    self.say(&response).await;
                }
            }
        }
    }

    pub fn cut(&mut self) {
        self.stream = None;
    }

    /// Takes the client's last attempt; it has given up those before.
    fn open(&mut self) {
        while let Ok(stream) = self.streams.try_recv() {
            self.begin(stream);
        }
    }

    pub(super) fn begin(&mut self, stream: DuplexStream) {
        self.stream = Some(stream);
        self.heard = Decoder::server(u32::MAX);
        self.said = Some(Decoder::client(self.version, self.accepted));
        self.hearing.clear();
        self.saying.clear();
        self.unwritten.clear();
        self.owed.clear();
        self.book().begin_connection();
    }

    async fn answer_one(&mut self, choices: &mut Choices<'_>) {
        let at = choices.below(self.owed.len().max(1));
        if let Some(packet) = self.owed.remove(at)
            && choices.below(4) != 3
        {
            self.say(&packet).await;
        }
    }

    pub(super) async fn answer_all(&mut self) {
        // Answers have answers, but all that is asked for has an end.
        while let Some(packet) = self.owed.pop_front() {
            self.say(&packet).await;
        }
    }

    /// Says a packet, unless it cannot be encoded: some choices are too long.
    pub(super) async fn say(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        if encode(packet, self.version, &mut bytes).is_ok() {
            self.say_bytes(&bytes).await;
        }
    }

    /// What the client has said before is listened to before: it cannot have heard this.
    async fn say_bytes(&mut self, bytes: &[u8]) {
        self.unwritten.extend_from_slice(bytes);
        while let Some(stream) = &mut self.stream
            && !self.unwritten.is_empty()
        {
            let piece = &self.unwritten[..self.unwritten.len().min(PIECE)];
            // Whoever does not read is not written to for ever.
            let Ok(Ok(count @ 1..)) = timeout(IDLE, stream.write(piece)).await else { break };
            let written = self.unwritten.split_to(count);
            self.saying.extend_from_slice(&written);
            self.look_at_what_was_said();
            self.listen().await;
        }
    }

    fn look_at_what_was_said(&mut self) {
        while let Some(decoder) = &mut self.said {
            match decoder.decode(&mut self.saying) {
                Ok(None) => break,
                Ok(Some(packet)) => {
                    if let Packet::Connack(connack) = &packet
                        && !self.book().has_let_in()
                    {
                        self.agree(connack);
                    }
                    self.book().said(&packet);
                }
                Err(_) => self.said = None,
            }
        }
    }

    /// [MQTT-3.2.2-15]
    fn agree(&mut self, connack: &Connack) {
        if let Some(maximum) = connack.maximum_packet_size.filter(|_| !connack.reason_code.is_error()) {
            self.heard.set_maximum_packet_size(maximum);
        }
    }

    /// Takes all that the client says until it waits for something.
    pub(super) async fn listen(&mut self) {
        while let Some(stream) = &mut self.stream {
            match timeout(IDLE, stream.read_buf(&mut self.hearing)).await {
                Ok(Ok(1..)) => self.look_at_what_was_heard(),
                Ok(_) => self.cut(),
                Err(_) => break,
            }
        }
    }

    pub(super) fn look_at_what_was_heard(&mut self) {
        while let Some(packet) = self.heard.decode(&mut self.hearing).expect("the client sent it") {
            self.book().heard(&packet);
            self.owed.extend(self.answer(&packet));
            if let Packet::Publish(publish) = packet {
                self.is_witnessed |= publish.topic == WITNESS;
                self.request = publish.properties.is_some().then_some(publish);
            }
        }
    }

    /// Waits for what the client says next. None where it has gone.
    pub(super) async fn hear(&mut self) -> Option<()> {
        match self.stream.as_mut()?.read_buf(&mut self.hearing).await {
            Ok(1..) => self.look_at_what_was_heard(),
            _ => self.cut(),
        }
        self.stream.as_ref().map(drop)
    }

    /// What an honest server says.
    fn answer(&self, packet: &Packet) -> Option<Packet> {
        Some(match packet {
            Packet::Connect(connect) => Packet::Connack(Box::new(Connack {
                session_present: self.keeps_session && !connect.clean_start,
                ..Connack::default()
            })),
            Packet::Publish(publish) => packets::success(publish)?,
            Packet::Pubrec(ack) => Packet::Pubrel(ack.clone()),
            Packet::Pubrel(ack) => Packet::Pubcomp(ack.clone()),
            Packet::Subscribe(subscribe) => packets::granted(subscribe),
            Packet::Unsubscribe(unsubscribe) => packets::taken_back(unsubscribe, self.version),
            Packet::Pingreq => Packet::Pingresp,
            Packet::Auth(auth) => packets::believed(auth),
            _ => return None,
        })
    }

    pub(super) fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics here")
    }
}
