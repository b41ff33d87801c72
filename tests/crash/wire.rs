//! One Network Connection of a client: packets in and out.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tidegate::packet::{Connack, Connect, Decoder, Packet, ProtocolVersion, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than an answer takes of a broker that runs, also on a busy machine and with a storage that fails for a while.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    received: BytesMut,
    version: ProtocolVersion,
    out: BytesMut,
}

/// Why a connection is over.
#[derive(Debug)]
pub enum Broken {
    /// The broker is gone, or has ended it.
    Ended,
    /// It is there and says nothing.
    Silent,
    /// CONNACK said no.
    Refused,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Broken {
        Broken::Ended
    }
}

impl Wire {
    /// From TCP to CONNACK.
    pub async fn connect(port: u16, connect: Connect) -> Result<(Wire, Connack), Broken> {
        let version = connect.protocol_version;
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let decoder = Decoder::client(version, u32::MAX);
        let (received, out) = (BytesMut::new(), BytesMut::new());
        let mut wire = Wire { stream, decoder, received, version, out };
        wire.put(Packet::Connect(Box::new(connect)));
        wire.flush().await?;
        match wire.receive().await? {
            Packet::Connack(connack) if connack.reason_code.is_error() => Err(Broken::Refused),
            Packet::Connack(connack) => Ok((wire, *connack)),
            // [MQTT-3.14.0-1]: no DISCONNECT comes before it.
            other => panic!("{other:?} in place of CONNACK"),
        }
    }

    /// Has a packet wait for the next [`flush`](Wire::flush).
    pub fn put(&mut self, packet: Packet) {
        encode(&packet, self.version, &mut self.out).unwrap();
    }

    pub async fn flush(&mut self) -> Result<(), Broken> {
        let written = timeout(PATIENCE, self.stream.write_all(&self.out)).await;
        self.out.clear();
        Ok(written.map_err(|_| Broken::Silent)??)
    }

    /// What has to come.
    pub async fn receive(&mut self) -> Result<Packet, Broken> {
        timeout(PATIENCE, self.read()).await.map_err(|_| Broken::Silent)?
    }

    /// Waits as long as it takes. Nothing is lost where it is given up.
    pub async fn read(&mut self) -> Result<Packet, Broken> {
        loop {
            if let Some(packet) =
                self.decoder.decode(&mut self.received).expect("what the broker sends is MQTT")
            {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Broken::Ended);
            }
        }
    }
}
