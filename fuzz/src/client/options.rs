//! Options of a client, with small limits, so that they are reached.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tidegate::client::{
    Authentication, BoxError, BoxFuture, Credentials, DialError, Exchange, GiveUp, Options, Overflow, Queue,
    Reconnect, connector_fn,
};
use tidegate::packet::{Connect, ProtocolVersion};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use super::super::choices::Choices;
use super::packets;

/// Bytes that a stream takes before its writer waits.
pub const PIPES: [usize; 2] = [1 << 20, 64];

/// And the streams by which the client comes.
pub fn options(choices: &mut Choices<'_>) -> (Options, mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, streams) = mpsc::unbounded_channel();
    let pipe = choices.one_of(&PIPES);
    let connector = connector_fn(move || {
        let (near, far) = duplex(pipe);
        let sent = sender.send(far);
        async move {
            sent.map_err(|_| DialError::Configuration("the server is gone".to_owned()))?;
            Ok(near)
        }
    });
    let shape = choices.word();
    let has = |bit: u8| shape & (1 << bit) != 0;
    let version = if has(0) { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
    let mut options = Options::with_connector(connector, "c");
    options.connect = connect(choices, version, has(1));
    // So that an honest server can say what it has to.
    options.connect.maximum_packet_size = options.connect.maximum_packet_size.map(|size| size.max(64));
    options.reconnect = (!has(2)).then(|| reconnect(has(3), has(4)));
    options.queue = Queue {
        messages: if has(5) { 2 } else { 20 },
        bytes: if has(6) { 100 } else { 10_000 },
        overflow: if has(7) { Overflow::DropOldest } else { Overflow::DropNewest },
    };
    options.maximum_in_flight = if has(8) { 2 } else { 100 };
    options.topic_aliases = if has(9) { 2 } else { 0 };
    options.maximum_packet_size = if has(10) { 64 } else { options.maximum_packet_size };
    options.maximum_waiting = if has(11) { 2 } else { 100 };
    options.acknowledgement_timeout = has(12).then_some(Duration::from_secs(20));
    options.response_topic = Some(ByteString::from_static(packets::RESPONSES));
    options.credentials = has(13).then(|| Arc::new(Renewed) as Arc<dyn Credentials>);
    options.authentication = has(14).then(|| Arc::new(Echo) as Arc<dyn Authentication>);
    (options, streams)
}

fn connect(choices: &mut Choices<'_>, version: ProtocolVersion, is_any: bool) -> Connect {
    match is_any {
        true => super::super::packets::connect(choices, version),
        false => Connect {
            clean_start: false,
            session_expiry_interval: (version == ProtocolVersion::V5).then_some(1000),
            keep_alive: 60,
            ..Connect::new(version, ByteString::from_static("c"))
        },
    }
}

fn reconnect(few: bool, hopeless: bool) -> Reconnect {
    Reconnect {
        to: Duration::from_secs(4),
        jitter: 0.0,
        attempts: few.then_some(3),
        give_up: if hopeless { GiveUp::Hopeless } else { GiveUp::Never },
        ..Reconnect::default()
    }
}

/// Credentials that hold for half a minute.
struct Renewed;

impl Credentials for Renewed {
    fn provide<'a>(&'a self, connect: &'a mut Connect) -> BoxFuture<'a, Result<(), BoxError>> {
        connect.user_name = Some(ByteString::from_static("user"));
        connect.password = Some(Bytes::from_static(b"token"));
        Box::pin(std::future::ready(Ok(())))
    }

    fn renew_in(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }
}

/// Says again what it is told, and does not like all of it.
struct Echo;

impl Authentication for Echo {
    fn method(&self) -> ByteString {
        ByteString::from_static("ECHO")
    }

    fn begin(&self) -> BoxFuture<'_, Result<Box<dyn Exchange>, BoxError>> {
        Box::pin(std::future::ready(Ok(Box::new(Echo) as Box<dyn Exchange>)))
    }
}

impl Exchange for Echo {
    fn initial(&mut self) -> Option<Bytes> {
        Some(Bytes::from_static(b"hello"))
    }

    fn proceed(&mut self, data: Option<Bytes>) -> Result<Option<Bytes>, BoxError> {
        if data.as_deref() == Some(b"no") { Err("no".into()) } else { Ok(data) }
    }

    fn finish(&mut self, data: Option<Bytes>) -> Result<(), BoxError> {
        if data.as_deref() == Some(b"no") { Err("no".into()) } else { Ok(()) }
    }
}
