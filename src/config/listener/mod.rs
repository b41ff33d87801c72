//! `[[listener]]`: where clients connect, and what holds where no plugin decides.

#[cfg(feature = "tls")]
mod tls;
mod transport;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::Path;

use super::guard;
use super::report::Problems;
use super::section::{Entry, Section, shortened};
use crate::broker::guard::DoorLimits;
use crate::peer::CertificateField;
use crate::transport::{ListenAddress, TransportOptions};

/// The address of a broker that was not told any.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// A place where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub address: ListenAddress,
    /// Let in clients about which no plugin said anything.
    pub anonymous: bool,
    /// Allow topics about which no plugin said anything.
    pub default_authorization: bool,
    /// How many come in, how fast, and how fast they publish.
    pub limits: DoorLimits,
    /// What of a verified certificate is the User Name.
    pub user_name_from: Option<CertificateField>,
    /// What lies on its sockets.
    pub transport: TransportOptions,
}

impl Listener {
    /// A listener that lets in and allows only what a plugin lets in and allows.
    pub fn strict(name: impl Into<String>, address: impl Into<ListenAddress>) -> Listener {
        Listener {
            name: name.into(),
            address: address.into(),
            anonymous: false,
            default_authorization: false,
            limits: DoorLimits::default(),
            user_name_from: None,
            transport: TransportOptions::default(),
        }
    }

    /// For an address that was given without a configuration: everything is allowed where only this
    /// machine reaches it.
    pub fn unconfigured(name: impl Into<String>, address: SocketAddr) -> Listener {
        let local = address.ip().to_canonical().is_loopback();
        Listener { anonymous: local, default_authorization: local, ..Listener::strict(name, address) }
    }
}

/// The listeners of the sections, with the default one where there is no section. Files of those that are `running` are
/// not looked at.
pub(super) fn read(
    sections: Vec<Section<'_, '_>>,
    folder: &Path,
    running: &[Listener],
    problems: &Problems<'_>,
) -> Vec<Listener> {
    if sections.is_empty() {
        return vec![Listener::strict("default", DEFAULT_ADDRESS)];
    }
    let mut found: Vec<(Listener, Range<usize>)> = Vec::new();
    for section in sections {
        let Some((listener, span)) = read_one(section, folder, running) else { continue };
        for (other, other_span) in &found {
            let line = problems.line(other_span.start);
            if other.name == listener.name && !listener.name.is_empty() {
                problems.add(
                    &span,
                    "listener.name",
                    format!(
                        "`{}` is also the name of the listener of line {line}; names must differ",
                        other.name
                    ),
                );
            }
            if overlap(&other.address, &listener.address) {
                problems.add(
                    &span,
                    "listener.address",
                    format!(
                        "{} collides with {} of line {line}; give one of them another port or address",
                        listener.address, other.address
                    ),
                );
            }
        }
        found.push((listener, span));
    }
    found.into_iter().map(|(listener, _)| listener).collect()
}

fn read_one(
    mut section: Section<'_, '_>,
    folder: &Path,
    running: &[Listener],
) -> Option<(Listener, Range<usize>)> {
    let name = section.require("name", "name each listener, for the log").and_then(|v| v.name());
    let entry = section.require("address", "write an address and a port, such as \"127.0.0.1:1883\"");
    let address = entry.as_ref().and_then(|entry| read_address(entry, folder));
    let mut listener =
        Listener::strict(name.unwrap_or_default(), address.clone().unwrap_or(DEFAULT_ADDRESS.into()));
    section.set("anonymous", &mut listener.anonymous, |v| v.boolean());
    section.set("default-authorization", &mut listener.default_authorization, |v| {
        v.choice(&[("allow", true), ("deny", false)])
    });
    listener.limits = guard::read_door(&mut section);
    read_transport(&mut section, &mut listener, folder, running);
    section.finish();
    address.and(entry).map(|entry| (listener, entry.span()))
}

/// What lies on the sockets.
fn read_transport(
    section: &mut Section<'_, '_>,
    listener: &mut Listener,
    folder: &Path,
    running: &[Listener],
) {
    #[cfg(unix)]
    {
        listener.transport.unix = transport::read_unix(section, &listener.address);
    }
    listener.transport.proxy = transport::read_proxy(section, &listener.address);
    #[cfg(feature = "websocket")]
    transport::read_web_socket(section, &mut listener.transport);
    #[cfg(not(feature = "websocket"))]
    transport::refuse(section, "websocket", "websocket");
    #[cfg(feature = "tls")]
    {
        let protocol = listener.transport.tls_protocol();
        let (tls, named, user_name_from) = tls::read(section, folder);
        let is_in_use = running.iter().any(|it| it.transport.tls == tls);
        if let Some(tls) = tls.as_ref().filter(|tls| !tls.certificates.is_empty() && !is_in_use) {
            tls::try_files(tls, protocol, &named, section);
        }
        (listener.transport.tls, listener.user_name_from) = (tls, user_name_from);
    }
    #[cfg(not(feature = "tls"))]
    {
        let _ = (folder, running);
        transport::refuse(section, "certificate", "tls");
    }
}

/// A relative path is one from the file's folder.
fn read_address(entry: &Entry<'_, '_>, folder: &Path) -> Option<ListenAddress> {
    let text = entry.text()?;
    match text.strip_prefix("unix:") {
        Some("") => {
            entry.problem("has no path; write one behind `unix:`, such as \"unix:/run/tidegate/mqtt.sock\"")
        }
        Some(path) => Some(ListenAddress::Unix(folder.join(path))),
        None => {
            parse_address(text).map_or_else(|message| entry.problem(message), |address| Some(address.into()))
        }
    }
}

/// An IP address and a port.
///
/// # Errors
/// A sentence that says how to write it.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let shown = shortened(text);
    if let Some(port) = text.strip_prefix("localhost:") {
        return Err(format!(
            "`{shown}` is a name; write the IP address, such as \"127.0.0.1:{}\"",
            shortened(port)
        ));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Err(format!("`{shown}` has no port; write \"{}\"", SocketAddr::new(ip, 1883)));
    }
    if text.trim_start_matches(':').parse::<u16>().is_ok() {
        let port = text.trim_start_matches(':');
        return Err(format!(
            "`{shown}` has no address; write \"127.0.0.1:{port}\" for this machine alone, \"0.0.0.0:{port}\" for every network"
        ));
    }
    Err(format!(
        "`{shown}` is not an IP address with a port; write it like \"127.0.0.1:1883\" or \"[::1]:1883\""
    ))
}

fn overlap(a: &ListenAddress, b: &ListenAddress) -> bool {
    let (Some(a), Some(b)) = (a.tcp(), b.tcp()) else { return a == b };
    let every = |ip: IpAddr| ip.is_unspecified();
    let same_family = a.is_ipv4() == b.is_ipv4();
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || same_family && (every(a.ip()) || every(b.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configuration_only_this_machine_is_let_in() {
        let local = Listener::unconfigured("default", "[::ffff:127.0.0.1]:1883".parse().unwrap());
        assert!(local.anonymous && local.default_authorization);
        let open = Listener::unconfigured("default", "0.0.0.0:1883".parse().unwrap());
        assert!(!open.anonymous && !open.default_authorization);
    }

    #[test]
    fn an_address_for_every_interface_collides_with_each_of_them() {
        let address = |text: &str| text.parse::<ListenAddress>().unwrap();
        assert!(overlap(&address("0.0.0.0:1883"), &address("127.0.0.1:1883")));
        assert!(!overlap(&address("127.0.0.2:1883"), &address("127.0.0.1:1883")));
        assert!(!overlap(&address("127.0.0.1:0"), &address("127.0.0.1:0")));
        assert!(!overlap(&address("[::]:1883"), &address("127.0.0.1:1883")));
        assert!(overlap(&address("unix:/run/a"), &address("unix:/run/a")));
        assert!(!overlap(&address("unix:/run/a"), &address("unix:/run/b")));
    }
}
