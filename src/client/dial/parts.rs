//! What the URIs of servers and of proxies have in common: `scheme://user:password@host:port/path?query`.

use bytes::Bytes;
use bytestring::ByteString;
use fluent_uri::Uri;
use fluent_uri::component::{Authority, Host};
use fluent_uri::pct_enc::{EStr, Encoder};

/// What is wrong with a URI. None of its texts has a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUri {
    #[error("it does not say how to connect: write {0}, such as {1}://broker.example")]
    NoScheme(&'static str, &'static str),
    #[error("{scheme:?} is no way to connect: write {known}")]
    Scheme { scheme: String, known: &'static str },
    #[error(
        "its character {0} cannot stand there; in user names and passwords all but letters, digits and -._~ is percent-encoded, such as %40 for @, and an IPv6 address stands in brackets"
    )]
    Syntax(usize),
    #[error("it names no host: write {0}://broker.example")]
    NoHost(&'static str),
    #[error("its host cannot be understood: write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    #[error("its port is no number from 1 to 65535")]
    Port,
    #[error("it has a path, which only ws and wss have; topics do not stand in a URI")]
    Path,
    #[error("write unix:///run/tidegate/mqtt.sock: three slashes, and the whole path")]
    UnixPath,
    #[error("what is percent-encoded in it is no UTF-8")]
    NotText,
    #[error("{scheme} needs the feature `{feature}`, which this build does not have")]
    NotBuilt { scheme: &'static str, feature: &'static str },
}

/// A URI in its parts, percent-decoded but for path and query.
pub(super) struct Parts<'u> {
    pub scheme: String,
    pub user_name: Option<ByteString>,
    pub password: Option<Bytes>,
    /// Without brackets; empty where there is none.
    pub host: String,
    pub port: Option<u16>,
    pub path: &'u str,
    pub query: Option<&'u str>,
}

impl<'u> Parts<'u> {
    /// Takes a URI of one of these schemes apart.
    pub(super) fn of(
        text: &'u str,
        known: &'static [&'static str],
        list: &'static str,
    ) -> Result<Parts<'u>, InvalidUri> {
        let uri = Uri::parse(text).map_err(|error| {
            let no_scheme = !text.contains(':') || error.index() == 0;
            if no_scheme {
                InvalidUri::NoScheme(list, known[0])
            } else {
                InvalidUri::Syntax(error.index() + 1)
            }
        })?;
        let scheme = uri.scheme().as_str().to_ascii_lowercase();
        // `localhost:1883` is a URI too, of a scheme `localhost`.
        let Some(own) = known.iter().find(|name| **name == scheme) else {
            return Err(InvalidUri::Scheme { scheme, known: list });
        };
        if let Some(fragment) = uri.fragment() {
            return Err(InvalidUri::Syntax(text.len() - fragment.as_str().len()));
        }
        let authority = uri.authority().ok_or(InvalidUri::NoHost(own))?;
        let (user_name, password) = credentials(&authority)?;
        Ok(Parts {
            user_name,
            password,
            host: host(&authority)?,
            port: port(&authority)?,
            path: uri.path().as_str(),
            query: uri.query().map(EStr::as_str),
            scheme,
        })
    }
}

fn credentials(authority: &Authority<'_>) -> Result<(Option<ByteString>, Option<Bytes>), InvalidUri> {
    let Some(all) = authority.userinfo() else { return Ok((None, None)) };
    let (user_name, password) = match all.split_once(':') {
        Some((user_name, password)) => (user_name, Some(password)),
        None => (all, None),
    };
    let user_name = decoded(user_name)?;
    let password = password.map(|password| Bytes::from(password.decode().to_bytes().into_owned()));
    Ok(((!user_name.is_empty()).then(|| user_name.into()), password))
}

fn host(authority: &Authority<'_>) -> Result<String, InvalidUri> {
    match authority.host_parsed() {
        Host::RegName(name) => decoded(name).and_then(require_name),
        Host::IpvFuture { .. } => Err(InvalidUri::Host),
        _ => Ok(authority.host().trim_matches(['[', ']']).to_owned()),
    }
}

/// What is percent-encoded ends up in headers of WebSocket and of proxies: no line end may be among it, nor what would
/// make another address of the host. Names in other scripts are `xn--…` to DNS and TLS.
fn require_name(host: String) -> Result<String, InvalidUri> {
    let stands_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    if host.bytes().all(stands_bare) { Ok(host) } else { Err(InvalidUri::Host) }
}

fn port(authority: &Authority<'_>) -> Result<Option<u16>, InvalidUri> {
    match authority.port_to_u16() {
        Ok(Some(0)) | Err(_) => Err(InvalidUri::Port),
        Ok(port) => Ok(port),
    }
}

fn decoded<E: Encoder>(part: &EStr<E>) -> Result<String, InvalidUri> {
    part.decode().to_string().map(std::borrow::Cow::into_owned).map_err(|_| InvalidUri::NotText)
}

/// As it stands in a URI, or in the header `Host`.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
