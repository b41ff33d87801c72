//! The client against a server that is played packet by packet.

mod connection;
mod deaf;
mod flows;
mod unsayable;

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::*;
use crate::packet::{
    Ack, AckProperties, Connect, Decoder, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, Suback,
    encode,
};

const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;

/// The stage on which servers are played: each attempt of the client comes as one.
struct Stage {
    streams: mpsc::UnboundedReceiver<DuplexStream>,
    version: ProtocolVersion,
}

impl Stage {
    fn new(version: ProtocolVersion) -> (Stage, Options) {
        let (sender, streams) = mpsc::unbounded_channel();
        let connector = connector_fn(move || {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let sent = sender.send(far);
            async move {
                sent.map_err(|_| DialError::Configuration("the stage is gone".to_owned()))?;
                Ok(near)
            }
        });
        let mut options = Options::with_connector(connector, "tester");
        options.connect.protocol_version = version;
        (Stage { streams, version }, options)
    }

    /// The next attempt, before its CONNECT.
    async fn open(&mut self) -> Server {
        let stream = self.streams.recv().await.unwrap();
        Server {
            stream,
            decoder: Decoder::server(u32::MAX),
            received: BytesMut::new(),
            version: self.version,
        }
    }

    /// The next attempt, let in.
    async fn accept(&mut self, connack: Connack) -> (Server, Connect) {
        let mut server = self.open().await;
        let Packet::Connect(connect) = server.receive().await else { panic!("no CONNECT") };
        server.send(Packet::Connack(Box::new(connack))).await;
        (server, *connect)
    }
}

/// The server's end of a connection.
struct Server {
    stream: DuplexStream,
    decoder: Decoder,
    received: BytesMut,
    version: ProtocolVersion,
}

impl Server {
    async fn receive(&mut self) -> Packet {
        self.try_receive().await.expect("the client closed")
    }

    /// `None` where the client has closed.
    async fn try_receive(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.received).unwrap() {
                return Some(packet);
            }
            if self.stream.read_buf(&mut self.received).await.unwrap() == 0 {
                return None;
            }
        }
    }

    async fn receive_publish(&mut self) -> Publish {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?}"),
        }
    }

    /// Answers a SUBSCRIBE with what it asks for.
    async fn grant(&mut self) -> crate::packet::Subscribe {
        let Packet::Subscribe(subscribe) = self.receive().await else { panic!("no SUBSCRIBE") };
        let granted = subscribe.subscriptions.iter().map(|it| [0, 1, 2][it.qos as usize]);
        let reason_codes = granted.map(|code| GRANTED[code]).collect();
        let packet_identifier = subscribe.packet_identifier;
        self.send(Packet::Suback(Suback { packet_identifier, reason_codes, properties: None })).await;
        *subscribe
    }

    async fn send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        encode(&packet, self.version, &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Nothing came that was not looked at.
    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.receive()).await.is_err()
    }
}

const GRANTED: [ReasonCode; 3] =
    [ReasonCode::GRANTED_QOS_0, ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_2];

/// A connected client and its server.
async fn connected(version: ProtocolVersion, connack: Connack) -> (Client, Stage, Server) {
    let (stage, options) = Stage::new(version);
    connected_with(stage, options, connack).await
}

async fn connected_with(mut stage: Stage, options: Options, connack: Connack) -> (Client, Stage, Server) {
    let client = Client::new(options).unwrap();
    let (connected, (server, _)) = tokio::join!(client.connect(), stage.accept(connack));
    connected.unwrap();
    (client, stage, server)
}

/// One that keeps its session.
fn kept(options: &mut Options) {
    options.connect.clean_start = false;
    if options.connect.protocol_version == V5 {
        options.connect.session_expiry_interval = Some(3600);
    }
}

fn present() -> Connack {
    Connack { session_present: true, ..Connack::default() }
}

fn message(qos: QoS) -> Publish {
    numbered(qos, 0)
}

fn numbered(qos: QoS, number: u32) -> Publish {
    Publish::new("a/b".into(), number.to_string().into()).with_qos(qos)
}

fn received(qos: QoS, id: u16, number: u32) -> Packet {
    Packet::Publish(Publish { packet_identifier: PacketIdentifier::new(id), ..numbered(qos, number) })
}

fn id_of(publish: &Publish) -> u16 {
    publish.packet_identifier.unwrap().get()
}

fn ack(id: u16) -> Ack {
    Ack::new(PacketIdentifier::new(id).unwrap(), ReasonCode::SUCCESS)
}

fn text(publish: &Publish) -> &str {
    std::str::from_utf8(&publish.payload).unwrap()
}
