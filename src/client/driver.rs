//! The task that owns a connection: reads, writes, keeps alive, and hands messages over.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::flow::{Flow, Reply, Step};
use super::{End, Error};
use crate::packet::{
    Ack, Decoder, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode, Suback,
    Subscribe, Unsuback, Unsubscribe, encode, encoded_len,
};

/// While more bytes than this wait to be written, nothing new is taken on.
const MAXIMUM_UNWRITTEN: usize = 256 * 1024;

/// What a [`Client`](super::Client) asks of its connection.
pub(super) enum Command {
    Publish { publish: Publish, permit: Option<OwnedSemaphorePermit>, reply: Reply<Ack> },
    Subscribe { subscribe: Box<Subscribe>, reply: Reply<Suback> },
    Unsubscribe { unsubscribe: Box<Unsubscribe>, reply: Reply<Unsuback> },
    Disconnect { disconnect: Box<Disconnect>, done: oneshot::Sender<()> },
}

/// What was agreed when the connection was made.
pub(super) struct Agreed {
    pub(super) version: ProtocolVersion,
    /// Zero: never.
    pub(super) keep_alive: Duration,
    /// Bytes of a packet to the server.
    pub(super) maximum_packet_size: u32,
}

pub(super) struct Driver<S> {
    pub(super) stream: S,
    pub(super) decoder: Decoder,
    pub(super) received: BytesMut,
    pub(super) agreed: Agreed,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) messages: mpsc::Sender<Publish>,
    pub(super) end: Arc<OnceLock<End>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Runs until the connection is over, and says why to everyone who waits.
    pub(super) async fn run(mut self) {
        let mut state = State::new();
        let end = match self.serve(&mut state).await {
            Ok(()) => End::Client,
            Err(end @ (End::Network(_) | End::Closed)) => self.last_words(&mut state).await.unwrap_or(end),
            Err(end) => end,
        };
        let _ = self.end.set(end.clone());
        state.flow.end(&end);
        self.commands.close();
        if let Some(done) = state.leaving {
            let _ = done.send(());
        }
    }

    /// A server that closes while we write said why before, and that may not have been read yet.
    async fn last_words(&mut self, state: &mut State) -> Option<End> {
        state.held = None;
        while self.stream.read_buf(&mut self.received).await.is_ok_and(|count| count > 0) {}
        loop {
            match self.decoder.decode(&mut self.received).ok()?? {
                Packet::Disconnect(disconnect) => return Some(End::Server(disconnect)),
                _ => continue,
            }
        }
    }

    async fn serve(&mut self, state: &mut State) -> Result<(), End> {
        self.take_in(state)?;
        loop {
            if state.leaving.is_some() && state.unwritten.is_empty() {
                self.stream.shutdown().await?;
                return Ok(());
            }
            self.one_step(state).await?;
            self.take_in(state)?;
        }
    }

    /// Waits for the first thing that can be done, and does it.
    async fn one_step(&mut self, state: &mut State) -> Result<(), End> {
        let ping_at = state.last_sent + self.agreed.keep_alive;
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        tokio::select! {
            read = reader.read_buf(&mut self.received), if state.held.is_none() && state.leaving.is_none() => {
                if read? == 0 {
                    return Err(End::Closed);
                }
                state.ping_unanswered = false;
            }
            written = writer.write_buf(&mut state.unwritten), if !state.unwritten.is_empty() => {
                if written? == 0 {
                    return Err(End::Closed);
                }
                state.last_sent = Instant::now();
            }
            permit = self.messages.reserve(), if state.held.is_some() => state.hand_over(permit.ok())
                .map_or(Ok(()), |packet| state.send(&packet, self.agreed.version))?,
            command = self.commands.recv(), if state.unwritten.len() < MAXIMUM_UNWRITTEN && state.leaving.is_none() => {
                self.obey(command, state)?;
            }
            () = tokio::time::sleep_until(ping_at), if !self.agreed.keep_alive.is_zero() => {
                state.ping(self.agreed.version)?;
            }
        }
        Ok(())
    }

    /// Decodes what was received, up to a message that has to be handed over first.
    fn take_in(&mut self, state: &mut State) -> Result<(), End> {
        while state.held.is_none() {
            let Some(packet) = self.decoder.decode(&mut self.received)? else { break };
            match state.flow.receive(packet)? {
                Step::Nothing => {}
                Step::Send(packet) => state.send(&packet, self.agreed.version)?,
                Step::Deliver(publish) => state.held = Some(publish),
            }
        }
        Ok(())
    }

    fn obey(&self, command: Option<Command>, state: &mut State) -> Result<(), End> {
        match command {
            Some(Command::Publish { publish, permit, reply }) => self.publish(publish, permit, reply, state),
            Some(Command::Subscribe { mut subscribe, reply }) => {
                let Some(id) = state.flow.identifier() else { return refuse(reply, Error::Busy) };
                subscribe.packet_identifier = id;
                match self.encode(&Packet::Subscribe(subscribe), state) {
                    Ok(()) => state.flow.subscribed(id, reply),
                    Err(error) => return refuse(reply, error),
                }
            }
            Some(Command::Unsubscribe { mut unsubscribe, reply }) => {
                let Some(id) = state.flow.identifier() else { return refuse(reply, Error::Busy) };
                unsubscribe.packet_identifier = id;
                match self.encode(&Packet::Unsubscribe(unsubscribe), state) {
                    Ok(()) => state.flow.unsubscribed(id, reply),
                    Err(error) => return refuse(reply, error),
                }
            }
            Some(Command::Disconnect { disconnect, done }) => {
                state.leaving = Some(done);
                state.send(&Packet::Disconnect(disconnect), self.agreed.version)?;
            }
            None => {
                state.leaving = Some(oneshot::channel().0);
                let disconnect = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
                state.send(&Packet::Disconnect(Box::new(disconnect)), self.agreed.version)?;
            }
        }
        Ok(())
    }

    fn publish(
        &self,
        mut publish: Publish,
        permit: Option<OwnedSemaphorePermit>,
        reply: Reply<Ack>,
        state: &mut State,
    ) {
        let qos = publish.qos;
        let id = if qos == QoS::AtMostOnce { None } else { state.flow.identifier() };
        publish.packet_identifier = id;
        let sent = self.encode(&Packet::Publish(publish), state);
        match (sent, id, permit) {
            (Err(error), ..) => drop(reply.send(Err(error))),
            (Ok(()), Some(id), Some(permit)) => state.flow.published(id, qos, reply, permit),
            // QoS 0 is done once it is on its way; nothing names it, so the identifier is not looked at.
            (Ok(()), ..) => drop(reply.send(Ok(Ack::new(PacketIdentifier::FIRST, ReasonCode::SUCCESS)))),
        }
    }

    fn encode(&self, packet: &Packet, state: &mut State) -> Result<(), Error> {
        let size = encoded_len(packet, self.agreed.version)?;
        let limit = self.agreed.maximum_packet_size;
        if size > limit as usize {
            return Err(Error::TooLarge { size, limit });
        }
        encode(packet, self.agreed.version, &mut state.unwritten)?;
        Ok(())
    }
}

/// What changes while a connection lasts.
struct State {
    flow: Flow,
    unwritten: BytesMut,
    /// A message for which there is no room yet.
    held: Option<Publish>,
    last_sent: Instant,
    ping_unanswered: bool,
    /// DISCONNECT is on its way; who waits for the end.
    leaving: Option<oneshot::Sender<()>>,
}

impl State {
    fn new() -> State {
        State {
            flow: Flow::new(),
            unwritten: BytesMut::new(),
            held: None,
            last_sent: Instant::now(),
            ping_unanswered: false,
            leaving: None,
        }
    }

    fn send(&mut self, packet: &Packet, version: ProtocolVersion) -> Result<(), End> {
        Ok(encode(packet, version, &mut self.unwritten)?)
    }

    /// Hands the held message over, or drops it where nobody takes messages; either way it is acknowledged.
    fn hand_over(&mut self, permit: Option<mpsc::Permit<'_, Publish>>) -> Option<Packet> {
        let publish = self.held.take()?;
        let (qos, id) = (publish.qos, publish.packet_identifier);
        if let Some(permit) = permit {
            permit.send(publish);
        }
        self.flow.delivered(qos, id)
    }

    fn ping(&mut self, version: ProtocolVersion) -> Result<(), End> {
        if self.ping_unanswered {
            return Err(End::KeepAlive);
        }
        self.ping_unanswered = true;
        self.last_sent = Instant::now();
        self.send(&Packet::Pingreq, version)
    }
}

fn refuse<T>(reply: Reply<T>, error: Error) -> Result<(), End> {
    drop(reply.send(Err(error)));
    Ok(())
}
