//! Connection URIs: `mqtt`, `tcp`; `mqtts`, `ssl`, `tls`; `ws`, `wss`; `unix`.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;

pub use super::parts::InvalidUri;
use super::parts::{Parts, bracketed};
use super::{Dialer, ServerAddress};

const SCHEMES: &[&str] = &["mqtt", "tcp", "mqtts", "ssl", "tls", "ws", "wss", "unix"];
const LIST: &str = "mqtt, mqtts, ws, wss or unix";
/// Where a URI of a WebSocket has no path: most brokers, this one among them, have it there.
const DEFAULT_PATH: &str = "/mqtt";

/// Where a server is, by which way it is reached, and as whom.
///
/// ```
/// use tidegate::client::dial::ServerUri;
///
/// let uri: ServerUri = "mqtts://device-7:p%40ss@broker.example".parse()?;
/// assert_eq!(uri.user_name().unwrap(), "device-7");
/// assert_eq!(&uri.password().unwrap()[..], b"p@ss");
/// assert_eq!(uri.to_string(), "mqtts://broker.example:8883");
/// # Ok::<(), tidegate::client::dial::InvalidUri>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUri {
    way: Way,
    address: ServerAddress,
    /// Path and query of a WebSocket.
    target: String,
    user_name: Option<ByteString>,
    password: Option<Bytes>,
}

/// What lies between the socket and MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
    Unix,
}

impl ServerUri {
    /// With the port that the scheme has, where none is given.
    ///
    /// ```
    /// use tidegate::client::dial::{ServerAddress, ServerUri};
    ///
    /// let uri: ServerUri = "mqtt://broker.example".parse()?;
    /// assert_eq!(uri.address(), &ServerAddress::Host { host: "broker.example".into(), port: 1883 });
    /// # Ok::<(), tidegate::client::dial::InvalidUri>(())
    /// ```
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// For CONNECT, percent-decoded.
    ///
    /// ```
    /// use tidegate::client::dial::ServerUri;
    ///
    /// let uri: ServerUri = "mqtt://site%2F7@broker.example".parse()?;
    /// assert_eq!(uri.user_name().unwrap(), "site/7");
    /// # Ok::<(), tidegate::client::dial::InvalidUri>(())
    /// ```
    pub fn user_name(&self) -> Option<&ByteString> {
        self.user_name.as_ref()
    }

    /// For CONNECT, percent-decoded.
    ///
    /// ```
    /// use tidegate::client::dial::ServerUri;
    ///
    /// let uri: ServerUri = "mqtt://edge:p%40ss@broker.example".parse()?;
    /// assert_eq!(&uri.password().unwrap()[..], b"p@ss");
    /// # Ok::<(), tidegate::client::dial::InvalidUri>(())
    /// ```
    pub fn password(&self) -> Option<&Bytes> {
        self.password.as_ref()
    }

    /// What connects as the URI says; the rest, such as authorities and proxies, is set there.
    ///
    /// ```
    /// use tidegate::client::Options;
    /// use tidegate::client::dial::ServerUri;
    ///
    /// let uri: ServerUri = "mqtt://edge:p%40ss@broker.example".parse()?;
    /// let mut options = Options::with_connector(uri.dialer(), "edge-7");
    /// options.connect.user_name = uri.user_name().cloned();
    /// options.connect.password = uri.password().cloned();
    /// assert_eq!(options.connector.describe(), "mqtt://broker.example:1883");
    /// # Ok::<(), tidegate::client::dial::InvalidUri>(())
    /// ```
    pub fn dialer(&self) -> Dialer {
        #[cfg_attr(not(any(feature = "tls", feature = "websocket")), expect(unused_mut))]
        let mut dialer = Dialer::new(self.address.clone());
        #[cfg(feature = "tls")]
        if matches!(self.way, Way::Mqtts | Way::Wss) {
            dialer.tls = Some(self.tls());
        }
        #[cfg(feature = "websocket")]
        if matches!(self.way, Way::Ws | Way::Wss) {
            // What a URI may have, a request may have.
            dialer.web_socket = crate::transport::websocket::WebSocketRequest::new(&*self.target).ok();
        }
        dialer
    }

    /// At the port of HTTPS others may be served too, and find out by this who is meant.
    #[cfg(feature = "tls")]
    fn tls(&self) -> crate::transport::tls::ClientTlsOptions {
        let is_shared =
            self.way == Way::Mqtts && matches!(self.address, ServerAddress::Host { port: 443, .. });
        crate::transport::tls::ClientTlsOptions {
            application_protocols: if is_shared { vec!["mqtt".into()] } else { Vec::new() },
            ..Default::default()
        }
    }
}

impl FromStr for ServerUri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<ServerUri, InvalidUri> {
        let parts = Parts::of(text, SCHEMES, LIST)?;
        let way = Way::of(&parts.scheme)?;
        let address = way.address(&parts)?;
        Ok(ServerUri {
            way,
            address,
            target: way.target(&parts)?,
            user_name: parts.user_name,
            password: parts.password,
        })
    }
}

impl Way {
    fn of(scheme: &str) -> Result<Way, InvalidUri> {
        let way = match scheme {
            "mqtt" | "tcp" => Way::Mqtt,
            "mqtts" | "ssl" | "tls" => Way::Mqtts,
            "ws" => Way::Ws,
            "wss" => Way::Wss,
            _ => Way::Unix,
        };
        let scheme = way.scheme();
        match way {
            Way::Mqtts | Way::Wss if !cfg!(feature = "tls") => {
                Err(InvalidUri::NotBuilt { scheme, feature: "tls" })
            }
            Way::Ws | Way::Wss if !cfg!(feature = "websocket") => {
                Err(InvalidUri::NotBuilt { scheme, feature: "websocket" })
            }
            way => Ok(way),
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Way::Mqtt => "mqtt",
            Way::Mqtts => "mqtts",
            Way::Ws => "ws",
            Way::Wss => "wss",
            Way::Unix => "unix",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Way::Mqtt | Way::Unix => 1883,
            Way::Mqtts => 8883,
            Way::Ws => 80,
            Way::Wss => 443,
        }
    }

    fn address(self, parts: &Parts<'_>) -> Result<ServerAddress, InvalidUri> {
        if self == Way::Unix {
            return unix_address(parts);
        }
        if parts.host.is_empty() {
            return Err(InvalidUri::NoHost(self.scheme()));
        }
        let port = parts.port.unwrap_or(self.default_port());
        Ok(ServerAddress::Host { host: parts.host.clone(), port })
    }

    fn target(self, parts: &Parts<'_>) -> Result<String, InvalidUri> {
        let query = parts.query.map(|query| format!("?{query}")).unwrap_or_default();
        match self {
            Way::Ws | Way::Wss if parts.path.is_empty() => Ok(format!("{DEFAULT_PATH}{query}")),
            Way::Ws | Way::Wss => Ok(format!("{}{query}", parts.path)),
            Way::Mqtt | Way::Mqtts if !matches!(parts.path, "" | "/") => Err(InvalidUri::Path),
            _ if parts.query.is_some() => Err(InvalidUri::Path),
            _ => Ok(String::new()),
        }
    }
}

#[cfg(unix)]
fn unix_address(parts: &Parts<'_>) -> Result<ServerAddress, InvalidUri> {
    use fluent_uri::pct_enc::EStr;
    use fluent_uri::pct_enc::encoder::Path;
    if !parts.host.is_empty() || parts.port.is_some() || parts.path.len() < 2 {
        return Err(InvalidUri::UnixPath);
    }
    let path = EStr::<Path>::new(parts.path).ok_or(InvalidUri::UnixPath)?;
    let path = path.decode().to_string().map_err(|_| InvalidUri::NotText)?;
    Ok(ServerAddress::Unix(path.into_owned().into()))
}

#[cfg(not(unix))]
fn unix_address(_: &Parts<'_>) -> Result<ServerAddress, InvalidUri> {
    Err(InvalidUri::NotBuilt { scheme: "unix", feature: "an operating system with Unix sockets" })
}

/// Without user name, password and query, which may have a token.
impl fmt::Display for ServerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{}://{}{path}", self.way.scheme(), self.address)
    }
}

impl fmt::Debug for ServerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerUri")
            .field("uri", &self.to_string())
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Host { host, port } => write!(f, "{}:{port}", bracketed(host)),
            #[cfg(unix)]
            ServerAddress::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> ServerUri {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn each_scheme_has_its_way_and_its_port() {
        for (text, shown) in [
            ("mqtt://broker.example", "mqtt://broker.example:1883"),
            ("tcp://broker.example:1884/", "mqtt://broker.example:1884"),
            ("MQTT://10.0.0.1", "mqtt://10.0.0.1:1883"),
            ("mqtt://[2001:db8::1]:1", "mqtt://[2001:db8::1]:1"),
            #[cfg(feature = "tls")]
            ("ssl://[::1]", "mqtts://[::1]:8883"),
            #[cfg(feature = "tls")]
            ("tls://b", "mqtts://b:8883"),
            #[cfg(feature = "websocket")]
            ("ws://b", "ws://b:80/mqtt"),
            #[cfg(feature = "websocket")]
            ("ws://b:9001/?token=1", "ws://b:9001/"),
            #[cfg(all(feature = "tls", feature = "websocket"))]
            ("wss://u:p@b/a%20b", "wss://b:443/a%20b"),
            #[cfg(unix)]
            ("unix:///run/a%20b.sock", "unix:///run/a b.sock"),
        ] {
            assert_eq!(uri(text).to_string(), shown, "{text}");
        }
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn a_dialer_has_the_layers_that_the_uri_says() {
        for (text, has_tls, target, protocols) in [
            ("mqtt://b", false, None, 0),
            ("mqtts://b", true, None, 0),
            ("mqtts://b:443", true, None, 1),
            ("ws://b/x?y=z", false, Some("/x?y=z"), 0),
            ("wss://b", true, Some("/mqtt"), 0),
        ] {
            let dialer = uri(text).dialer();
            let offered = dialer.tls.as_ref().map_or(0, |tls| tls.application_protocols.len());
            assert_eq!((dialer.tls.is_some(), offered), (has_tls, protocols), "{text}");
            assert_eq!(dialer.web_socket.as_ref().map(|request| request.target()), target, "{text}");
        }
    }

    #[test]
    fn user_name_and_password_are_decoded_and_never_shown() {
        let with = uri("mqtt://user%3Aname:p%40s%2Fs:%FF@b");
        assert_eq!(with.user_name().unwrap(), "user:name");
        assert_eq!(&with.password().unwrap()[..], b"p@s/s:\xFF");
        for shown in [with.to_string(), format!("{with:?}"), format!("{:?}", with.dialer())] {
            assert!(!shown.contains("s%2Fs") && !shown.contains("p@s"), "{shown}");
        }
        assert_eq!(
            (uri("mqtt://u@b").user_name().unwrap().as_ref(), uri("mqtt://u@b").password()),
            ("u", None)
        );
        let without_user = uri("mqtt://:p@b");
        assert_eq!((without_user.user_name(), &without_user.password().unwrap()[..]), (None, &b"p"[..]));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, says) in [
            ("", "does not say how"),
            ("broker.example", "does not say how"),
            ("10.0.0.1:1883", "does not say how"),
            ("localhost:1883", "\"localhost\" is no way"),
            ("http://u:secret@b", "\"http\" is no way"),
            ("mqtt:b", "names no host"),
            ("mqtt://", "names no host"),
            ("mqtt://u:secret@", "names no host"),
            ("mqtt://u:secret@b:0", "port"),
            ("mqtt://u:secret@b:65536", "port"),
            ("mqtt://u:sec#ret@b", "percent-encoded"),
            ("mqtt://u:sec ret@b", "percent-encoded"),
            ("mqtt://u:sec@ret@b", "percent-encoded"),
            ("mqtt://u:secret%@b", "percent-encoded"),
            ("mqtt://%FF:secret@b", "UTF-8"),
            ("mqtt://u:secret@::1", "brackets"),
            ("mqtt://u:secret@[::1", "brackets"),
            ("mqtt://u:secret@[v1.x]", "brackets"),
            // They went as they are into the requests for a WebSocket and to a proxy.
            ("ws://u:secret@b%0D%0AOrigin%3A%20x", "host cannot"),
            ("mqtt://u:secret@b%2Fc", "host cannot"),
            ("mqtt://u:secret@b%3A1", "host cannot"),
            ("mqtt://u:secret@b%C3%BCcher.example", "host cannot"),
            ("mqtt://u:secret@b/topic", "topics"),
            ("mqtt://u:secret@b?x", "topics"),
            ("mqtt://u:secret@b#x", "percent-encoded"),
            #[cfg(unix)]
            ("unix://run/mqtt.sock", "three slashes"),
            #[cfg(unix)]
            ("unix://", "three slashes"),
        ] {
            let error = text.parse::<ServerUri>().map(|uri| uri.to_string()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("sec") && !error.contains("ret"), "{text}: {error}");
        }
    }
}
