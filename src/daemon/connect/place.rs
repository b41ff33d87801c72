//! Where the broker is, and by which way it is reached.

#[cfg(unix)]
use std::path::PathBuf;

use clap::Args;
use percent_encoding::percent_decode_str;

#[cfg(feature = "tls")]
use super::tls::TlsArguments;
use crate::client::DialError;
use crate::client::dial::{Dialer, Proxy, ServerAddress, ServerUri};
use crate::daemon::exit::Failure;

/// Where the broker is, and by which way it is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct PlaceArguments {
    /// The broker, a name or an address; localhost without it
    #[arg(short = 'h', long, value_name = "HOST")]
    host: Option<String>,
    /// The port of its listener; 1883, in TLS 8883, without it
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// All of it at once: mqtt, mqtts, ws, wss or unix
    ///
    /// mqtt://name:password@host:port/topic, mqtts://… in TLS, ws://host/path and wss://host/path through a WebSocket,
    /// unix:///run/tidegate/mqtt.sock. What is no letter or digit in a name or a password is percent-encoded. The topic
    /// stands for -t and may be left out.
    #[arg(short = 'L', long, value_name = "URI", conflicts_with_all = ["host", "port"], value_parser = parse_url)]
    url: Option<Url>,
    /// The Unix socket of its listener
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["host", "port", "url"])]
    unix: Option<PathBuf>,
    /// Through a WebSocket, at the path /mqtt; -L has others
    #[cfg(feature = "websocket")]
    #[arg(long, conflicts_with = "url")]
    ws: bool,
    /// Through a proxy: http://host:port or socks5://name:password@host:port
    #[arg(long, value_name = "URI", value_parser = parse_proxy)]
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: TlsArguments,
}

/// A URI, and the topic that mosquitto_pub lets stand in it.
#[derive(Clone, Debug)]
pub(super) struct Url {
    pub(super) server: ServerUri,
    pub(super) topic: Option<String>,
}

impl PlaceArguments {
    pub(super) fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    pub(super) fn dialer(&self) -> Result<Dialer, Failure> {
        let mut dialer = self.way();
        dialer.proxy.clone_from(&self.proxy);
        #[cfg(feature = "tls")]
        self.tls.apply(&mut dialer)?;
        #[cfg(feature = "websocket")]
        if self.ws {
            let request = crate::transport::websocket::WebSocketRequest::new("/mqtt");
            dialer.web_socket = Some(request.map_err(|error| Failure::usage(error.to_string()))?);
        }
        if self.url.is_none() {
            self.choose_port(&mut dialer);
        }
        dialer.check().map_err(|error: DialError| Failure::usage(format!("failed to {error}")))?;
        Ok(dialer)
    }

    fn way(&self) -> Dialer {
        if let Some(url) = &self.url {
            return url.server.dialer();
        }
        #[cfg(unix)]
        if let Some(path) = &self.unix {
            return Dialer::new(ServerAddress::Unix(path.clone()));
        }
        let host = self.host.clone().unwrap_or_else(|| "localhost".to_owned());
        Dialer::new(ServerAddress::Host { host, port: 0 })
    }

    fn choose_port(&self, dialer: &mut Dialer) {
        #[cfg(feature = "tls")]
        let encrypted = dialer.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let encrypted = false;
        #[cfg(feature = "websocket")]
        let web_socket = self.ws;
        #[cfg(not(feature = "websocket"))]
        let web_socket = false;
        let usual = match (web_socket, encrypted) {
            (false, false) => 1883,
            (false, true) => 8883,
            (true, false) => 80,
            (true, true) => 443,
        };
        if let ServerAddress::Host { port, .. } = &mut dialer.address {
            *port = self.port.unwrap_or(usual);
        }
    }
}

fn parse_proxy(text: &str) -> Result<Proxy, String> {
    text.parse().map_err(|error: crate::client::dial::InvalidUri| error.to_string())
}

/// Of those schemes in which a path means nothing else, it is a topic.
fn parse_url(text: &str) -> Result<Url, String> {
    let (server, topic) = match text.split_once("://") {
        Some((scheme, rest)) if !["ws", "wss", "unix"].contains(&scheme.to_ascii_lowercase().as_str()) => {
            let (authority, topic) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{scheme}://{authority}"), topic)
        }
        _ => (text.to_owned(), ""),
    };
    let server = server.parse().map_err(|error: crate::client::dial::InvalidUri| error.to_string())?;
    let decoded = percent_decode_str(topic).decode_utf8();
    let topic = decoded.map_err(|_| "what is percent-encoded in its topic is no UTF-8".to_owned())?;
    Ok(Url { server, topic: Some(topic.into_owned()).filter(|topic| !topic.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_stands_in_the_uri_where_a_path_means_nothing_else() {
        for (text, server, topic) in [
            ("mqtt://u:p@b:1884/a/b", "mqtt://b:1884", Some("a/b")),
            ("mqtt://b", "mqtt://b:1883", None),
            ("mqtt://b/", "mqtt://b:1883", None),
            ("mqtt://b/a/+/%23", "mqtt://b:1883", Some("a/+/#")),
            ("mqtt://b/#", "mqtt://b:1883", Some("#")),
            #[cfg(feature = "websocket")]
            ("ws://b/path", "ws://b:80/path", None),
            #[cfg(unix)]
            ("unix:///run/x", "unix:///run/x", None),
        ] {
            let url = parse_url(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.server.to_string().as_str(), url.topic.as_deref()), (server, topic));
        }
        assert!(parse_url("broker").is_err() && parse_url("mqtt://b/%FF").is_err());
    }
}
