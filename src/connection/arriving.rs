//! A client that was not let in yet: what it may send, and how much of it is held.

use std::future::poll_fn;

use bytes::Bytes;
use tokio::io::AsyncRead;
use zeroize::Zeroize;

use super::handshake::Refused;
use super::input::Input;
use crate::broker::guard::{Login, Pending};
use crate::broker::{Broker, Count};
use crate::packet::{Connect, DecodeError, Packet};

pub(super) struct Arriving {
    input: Input,
    pending: Option<Pending>,
}

impl Arriving {
    pub(super) fn new(input: Input, pending: Option<Pending>) -> Arriving {
        Arriving { input, pending }
    }

    pub(super) fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// It said CONNECT.
    pub(super) fn end_silence(&self) {
        self.pending.iter().for_each(Pending::end_silence);
    }

    /// It is let in.
    pub(super) fn admit(mut self) -> Input {
        self.input.move_rest();
        self.input
    }

    pub(super) fn next_packet(&mut self, broker: &Broker) -> Result<Option<Packet>, DecodeError> {
        self.input.next_packet(broker.counters())
    }

    /// Reads once, unless what all hold that were not let in is too much.
    pub(super) async fn read<S>(&mut self, stream: &mut S, broker: &Broker) -> Result<(), Refused>
    where
        S: AsyncRead + Unpin,
    {
        let held = self.input.beginning().map_or(0, |it| it.bytes);
        let most = broker.guard().options().pending_bytes;
        if self.pending.as_mut().is_some_and(|pending| !pending.holds(held, most)) {
            return Err(Refused::silently("as many bytes as `maximum-pending-bytes` allows")
                .counted(Count::LimitPendingBytes));
        }
        poll_fn(|cx| self.input.poll_read_own(cx, stream, broker.counters())).await.map_err(Refused::gone)
    }
}

/// Wipes the password of a CONNECT that nobody needs any more, unless somebody keeps it.
pub(super) fn wipe(mut connect: Connect) {
    let password = connect.password.take();
    // All that came in the packet shares its buffer.
    drop(connect);
    if let Some(Ok(mut password)) = password.map(Bytes::try_into_mut) {
        password.zeroize();
    }
}

/// Waits until a connection that says nothing is to be closed for another.
pub(super) async fn gives_way(pending: Option<impl Future<Output = ()>>) {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// A login from an address that counts, which is not shut out.
pub(super) fn login<'a>(
    connect: &'a Connect,
    address: Option<std::net::SocketAddr>,
    broker: &Broker,
) -> Result<Option<Login<'a>>, Refused> {
    let guard = broker.guard();
    let name = connect.user_name.as_deref();
    let login = address.and_then(|it| guard.login(it.ip(), &connect.client_identifier, name));
    match login.map(|login| guard.may_log_in(login)) {
        Some(Err(turned)) => Err(Refused::turned(connect.protocol_version, turned)),
        _ => Ok(login),
    }
}
