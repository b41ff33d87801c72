//! What a listener is made of.

use std::net::{Ipv4Addr, SocketAddr};

use crate::broker::guard::DoorLimits;
use crate::hook::ListenerPolicy;
use crate::peer::CertificateField;
use crate::transport::{ListenAddress, TransportOptions};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// No two of a server have the same.
    pub name: String,
    pub address: ListenAddress,
    /// Let in clients about which no hook said anything.
    pub anonymous: bool,
    /// Allow topics about which no hook said anything.
    pub default_authorization: bool,
    /// What of a verified certificate is the User Name of a client that has one. Such a client is not anonymous.
    pub user_name_from: Option<CertificateField>,
    /// How many come in, how fast, and how fast they publish.
    pub limits: DoorLimits,
    /// What lies on its sockets.
    pub transport: TransportOptions,
}

impl ListenerOptions {
    /// Nobody comes in, and nothing is allowed, unless a hook says so.
    pub fn new(name: impl Into<String>, address: SocketAddr) -> ListenerOptions {
        ListenerOptions::at(name, address.into())
    }

    /// The same, wherever it is.
    pub fn at(name: impl Into<String>, address: ListenAddress) -> ListenerOptions {
        ListenerOptions {
            name: name.into(),
            address,
            anonymous: false,
            default_authorization: false,
            user_name_from: None,
            limits: DoorLimits::default(),
            transport: TransportOptions::default(),
        }
    }

    /// 127.0.0.1 at this port, open to everyone on this machine.
    pub fn loopback(port: u16) -> ListenerOptions {
        ListenerOptions::new("default", SocketAddr::from((Ipv4Addr::LOCALHOST, port))).open()
    }

    /// Everybody comes in, and everything is allowed, unless a hook says otherwise.
    pub fn open(self) -> ListenerOptions {
        ListenerOptions { anonymous: true, default_authorization: true, ..self }
    }

    /// Whether its socket can be that of the other. One that takes any free port has none in common with others.
    pub(super) fn is_at(&self, other: &ListenerOptions) -> bool {
        let takes_any = self.address.tcp().is_some_and(|address| address.port() == 0);
        self.address == other.address && (!takes_any || self.name == other.name)
    }

    pub(super) fn policy(&self) -> ListenerPolicy {
        ListenerPolicy {
            name: self.name.clone(),
            anonymous: self.anonymous,
            default_authorization: self.default_authorization,
            transport: self.transport.transport(self.address.tcp().is_none()),
            user_name_from: self.user_name_from,
        }
    }
}
