//! Proxies on the way: HTTP's CONNECT, and SOCKS5.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_socks::tcp::Socks5Stream;

use super::parts::{InvalidUri, Parts, bracketed};
use crate::transport::answer::{Answer, AnswerError};

const SCHEMES: &[&str] = &["http", "socks5", "socks5h"];
const LIST: &str = "http://host:port or socks5://host:port";

/// A proxy through which a server is reached. It resolves the server's name itself.
///
/// Variables of the environment such as `HTTPS_PROXY` are not read here.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// CONNECT of HTTP/1.1, with Basic authentication.
    Http,
    /// RFC 1928, with user name and password (RFC 1929).
    Socks5,
}

/// Why a proxy does not lead to the server.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("it answers {status} {reason}{}", hint(*.status))]
    Refused { status: u16, reason: String },
    #[error("it speaks before the server can have")]
    TooEarly,
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("SOCKS5: {0}")]
    Socks5(#[from] tokio_socks::Error),
}

impl Proxy {
    /// Has the proxy connect to a host. Bounded in bytes; in time by who calls.
    pub(super) async fn lead<S>(&self, stream: S, host: &str, port: u16) -> Result<S, ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.kind {
            ProxyKind::Http => self.lead_by_http(stream, host, port).await,
            ProxyKind::Socks5 => self.lead_by_socks5(stream, host, port).await,
        }
    }

    async fn lead_by_http<S>(&self, mut stream: S, host: &str, port: u16) -> Result<S, ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.write_all(self.connect(host, port).as_bytes()).await.map_err(AnswerError::Io)?;
        let answer = Answer::receive(&mut stream).await?;
        if !(200..300).contains(&answer.status) {
            return Err(ProxyError::Refused { status: answer.status, reason: answer.reason });
        }
        // Clients speak first in TLS, in HTTP and in MQTT.
        if answer.behind.is_empty() { Ok(stream) } else { Err(ProxyError::TooEarly) }
    }

    fn connect(&self, host: &str, port: u16) -> String {
        let target = format!("{}:{port}", bracketed(host));
        let authorization = self.credentials.as_ref().map(|(user_name, password)| {
            let basic = STANDARD.encode(format!("{user_name}:{password}"));
            format!("Proxy-Authorization: Basic {basic}\r\n")
        });
        let authorization = authorization.unwrap_or_default();
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
    }

    async fn lead_by_socks5<S>(&self, stream: S, host: &str, port: u16) -> Result<S, ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let target = (host, port);
        let led = match &self.credentials {
            None => Socks5Stream::connect_with_socket(stream, target).await?,
            Some((user_name, password)) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, user_name, password).await?
            }
        };
        Ok(led.into_inner())
    }
}

impl FromStr for Proxy {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Proxy, InvalidUri> {
        let parts = Parts::of(text, SCHEMES, LIST)?;
        let (kind, default_port) = match parts.scheme.as_str() {
            "http" => (ProxyKind::Http, 80),
            _ => (ProxyKind::Socks5, 1080),
        };
        if parts.host.is_empty() {
            return Err(InvalidUri::NoHost(SCHEMES[usize::from(kind == ProxyKind::Socks5)]));
        }
        if !matches!(parts.path, "" | "/") || parts.query.is_some() {
            return Err(InvalidUri::Path);
        }
        let password = parts.password.map(|password| String::from_utf8(password.to_vec()));
        let password = password.transpose().map_err(|_| InvalidUri::NotText)?.unwrap_or_default();
        let credentials = parts.user_name.map(|user_name| (user_name.to_string(), password));
        Ok(Proxy { kind, host: parts.host, port: parts.port.unwrap_or(default_port), credentials })
    }
}

/// Without user name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SCHEMES[usize::from(self.kind == ProxyKind::Socks5)];
        write!(f, "{scheme}://{}:{}", bracketed(&self.host), self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        407 => "; it wants a user name and a password, or others: http://user:password@host:port",
        403 | 405 => "; it may not lead to this port",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_written_as_a_uri_and_shown_without_its_password() {
        let proxy: Proxy = "http://user:p%3Ass@proxy.example:3128".parse().unwrap();
        assert_eq!((proxy.kind, proxy.to_string()), (ProxyKind::Http, "http://proxy.example:3128".into()));
        assert_eq!(proxy.credentials, Some(("user".into(), "p:ss".into())));
        assert!(!format!("{proxy:?}").contains("ss"));
        for (text, shown) in [("socks5://[::1]", "socks5://[::1]:1080"), ("socks5h://p", "socks5://p:1080")] {
            assert_eq!(text.parse::<Proxy>().unwrap().to_string(), shown);
        }
        for wrong in ["https://p", "p:3128", "http://", "http://p/path", "http://p?x", "http://u:%FF@p"] {
            assert!(wrong.parse::<Proxy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_connect_has_an_address_in_brackets_and_its_authorization() {
        let proxy: Proxy = "http://user:pass@p".parse().unwrap();
        assert_eq!(
            proxy.connect("::1", 8883),
            "CONNECT [::1]:8883 HTTP/1.1\r\nHost: [::1]:8883\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        );
    }
}
