//! A small asynchronous MQTT client for 3.1.1 and 5.0.
//!
//! [`connect`] gives a [`Client`], which publishes and subscribes, and [`Messages`], from which received
//! messages are taken. A task in the background owns the connection and does every flow to its end: QoS 1
//! and 2 in both directions, pings, the server's limits. It does not connect again by itself, and a session
//! that the server kept is not remembered here. Builds without the broker.

pub mod connector;
#[cfg(feature = "devices")]
pub mod device;
#[cfg(feature = "client")]
pub mod dial;
mod driver;
mod error;
mod flow;
mod options;
mod tcp;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use connector::{AsyncStream, BoxFuture, BoxedStream, Connector, DialError, connector_fn};
pub use error::{ConnectError, End, Error};
pub use options::Options;
pub use tcp::Tcp;

use crate::packet::{
    Ack, Connack, Decoder, Disconnect, Packet, PacketIdentifier, Publish, QoS, ReasonCode, Suback, Subscribe,
    SubscribeFilter, Unsuback, Unsubscribe, encode,
};
use driver::{Agreed, Command, Driver};

/// Connects over TCP.
///
/// # Errors
/// Where the server cannot be reached, does not answer in time, or refuses.
pub async fn connect(options: &Options) -> Result<(Client, Messages), ConnectError> {
    let connecting = async {
        let stream = Tcp::new(options.host.as_str(), options.port).open().await?;
        start_unbounded(stream, options).await
    };
    within(options.connect_timeout, connecting).await
}

/// Connects over a byte stream that is already there.
///
/// # Errors
/// Where the server does not answer in time, or refuses.
pub async fn start<S>(stream: S, options: &Options) -> Result<(Client, Messages), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    within(options.connect_timeout, start_unbounded(stream, options)).await
}

/// A connection's sending half; clones share it. When the last one is dropped, DISCONNECT is sent.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    /// Messages of QoS 1 and 2 that may be in flight [MQTT-3.3.4-7].
    in_flight: Arc<Semaphore>,
    connack: Arc<Connack>,
    end: Arc<OnceLock<End>>,
}

impl Client {
    /// What the server said when it let the client in.
    pub fn connack(&self) -> &Connack {
        &self.connack
    }

    /// Publishes and waits for the end of the flow: PUBACK, PUBCOMP, or a PUBREC that refuses; QoS 0 only
    /// waits until it is on its way. The packet identifier is chosen here.
    ///
    /// # Errors
    /// Where the connection ends before, or the server does not accept packets so large.
    pub async fn publish(&self, publish: Publish) -> Result<Ack, Error> {
        self.begin_publish(publish).await?.answer().await
    }

    /// Publishes without waiting for the end of the flow. Waits while the server's Receive Maximum is
    /// reached.
    ///
    /// # Errors
    /// Where the connection is over.
    pub async fn begin_publish(&self, publish: Publish) -> Result<Publishing, Error> {
        let permit = match publish.qos {
            QoS::AtMostOnce => None,
            _ => Some(self.in_flight.clone().acquire_owned().await.map_err(|_| self.ended())?),
        };
        let (reply, answer) = oneshot::channel();
        self.command(Command::Publish { publish, permit, reply }).await?;
        Ok(Publishing { answer, end: self.end.clone() })
    }

    /// Subscribes with 3.1.1's options and no properties.
    ///
    /// # Errors
    /// Where the connection ends before the answer. A refusal is in the answer.
    pub async fn subscribe(&self, filters: Vec<SubscribeFilter>) -> Result<Suback, Error> {
        self.subscribe_with(Subscribe {
            packet_identifier: PacketIdentifier::FIRST,
            subscription_identifier: None,
            user_properties: Vec::new(),
            subscriptions: filters,
        })
        .await
    }

    /// Subscribes; the packet identifier is chosen here.
    ///
    /// # Errors
    /// Where the connection ends before the answer.
    pub async fn subscribe_with(&self, subscribe: Subscribe) -> Result<Suback, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Subscribe { subscribe: Box::new(subscribe), reply }).await?;
        answer.await.map_err(|_| self.ended())?
    }

    /// Unsubscribes; the packet identifier is chosen here.
    ///
    /// # Errors
    /// Where the connection ends before the answer.
    pub async fn unsubscribe_with(&self, unsubscribe: Unsubscribe) -> Result<Unsuback, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Unsubscribe { unsubscribe: Box::new(unsubscribe), reply }).await?;
        answer.await.map_err(|_| self.ended())?
    }

    /// Sends DISCONNECT after all that was sent before, and closes the connection.
    ///
    /// # Errors
    /// Where the connection was over already.
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.disconnect_with(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).await
    }

    /// Sends this DISCONNECT and closes the connection.
    ///
    /// # Errors
    /// Where the connection was over already.
    pub async fn disconnect_with(&self, disconnect: Disconnect) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Disconnect { disconnect: Box::new(disconnect), done }).await?;
        answer.await.map_err(|_| self.ended())?;
        match self.end.get() {
            Some(End::Client) | None => Ok(()),
            Some(end) => Err(end.clone().into()),
        }
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> Error {
        ended(&self.end)
    }
}

/// A message that is on its way.
pub struct Publishing {
    answer: oneshot::Receiver<Result<Ack, Error>>,
    end: Arc<OnceLock<End>>,
}

impl Publishing {
    /// Waits for the end of the flow.
    ///
    /// # Errors
    /// Where the connection ends before.
    pub async fn answer(self) -> Result<Ack, Error> {
        self.answer.await.map_err(|_| ended(&self.end))?
    }
}

/// A connection's receiving half. Messages wait here to be taken; while too many wait, nothing is read from
/// the server, neither messages nor acknowledgements. Once it is dropped, messages are acknowledged and
/// thrown away.
pub struct Messages {
    messages: mpsc::Receiver<Publish>,
    end: Arc<OnceLock<End>>,
}

impl Messages {
    /// The next message.
    ///
    /// # Errors
    /// Why the connection is over, after the last message.
    pub async fn next(&mut self) -> Result<Publish, End> {
        match self.messages.recv().await {
            Some(publish) => Ok(publish),
            None => Err(self.end.get().cloned().unwrap_or(End::Closed)),
        }
    }
}

async fn within<T>(
    limit: Duration,
    connecting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    tokio::time::timeout(limit, connecting).await.unwrap_or(Err(ConnectError::TimedOut(limit)))
}

async fn start_unbounded<S>(mut stream: S, options: &Options) -> Result<(Client, Messages), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let version = options.connect.protocol_version;
    let mut out = BytesMut::new();
    encode(&Packet::Connect(Box::new(options.connect.clone())), version, &mut out)?;
    stream.write_all(&out).await.map_err(End::from)?;

    let mut decoder = Decoder::client(version, options.maximum_packet_size);
    let mut received = BytesMut::new();
    let connack = receive_connack(&mut stream, &mut decoder, &mut received).await?;
    if connack.reason_code.is_error() {
        return Err(ConnectError::Refused(Box::new(connack)));
    }

    let keep_alive = connack.server_keep_alive.unwrap_or(options.connect.keep_alive);
    let agreed = Agreed {
        version,
        keep_alive: Duration::from_secs(u64::from(keep_alive)),
        maximum_packet_size: connack.maximum_packet_size.unwrap_or(u32::MAX),
    };
    let in_flight =
        connack.receive_maximum.map_or(usize::from(u16::MAX), |maximum| usize::from(maximum.get()));
    let (commands, commands_end) = mpsc::channel(16);
    let (messages_end, messages) = mpsc::channel(options.maximum_waiting.max(1));
    let end = Arc::new(OnceLock::new());
    let driver = Driver {
        stream,
        decoder,
        received,
        agreed,
        commands: commands_end,
        messages: messages_end,
        end: end.clone(),
    };
    tokio::spawn(driver.run());
    let client = Client {
        commands,
        in_flight: Arc::new(Semaphore::new(in_flight)),
        connack: Arc::new(connack),
        end: end.clone(),
    };
    Ok((client, Messages { messages, end }))
}

async fn receive_connack<S: AsyncRead + Unpin>(
    stream: &mut S,
    decoder: &mut Decoder,
    received: &mut BytesMut,
) -> Result<Connack, End> {
    loop {
        match decoder.decode(received)? {
            Some(Packet::Connack(connack)) => return Ok(*connack),
            Some(other) => return Err(End::Unexpected(other.packet_type())),
            None => {}
        }
        if stream.read_buf(received).await? == 0 {
            return Err(End::Closed);
        }
    }
}

fn ended(end: &OnceLock<End>) -> Error {
    Error::Ended(end.get().cloned().unwrap_or(End::Closed))
}

#[cfg(test)]
mod tests;
