//! The HTTP request by which a connection becomes a WebSocket (RFC 6455, 4.2), and its answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Origins, WebSocketOptions};
use crate::peer;

/// Bytes and lines of a request's head. Browsers send cookies of the page's host, up to 4 KB each.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;

/// Of RFC 6455.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request does not become a WebSocket: the status that is answered, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {why}")]
pub struct Refusal {
    pub status: &'static str,
    pub why: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the client closed the connection before its request was complete")]
    Gone,
}

/// A request that is granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub seen: peer::WebSocket,
    subprotocol: &'static str,
    accept: String,
}

/// Answers a request, and returns what it said with the bytes that came behind it.
///
/// # Errors
/// Where it is none of a WebSocket for MQTT, or not one for here. That is answered.
pub async fn shake_hands<S>(
    stream: &mut S,
    options: &WebSocketOptions,
) -> Result<(peer::WebSocket, Bytes), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut received = BytesMut::new();
    loop {
        match read_request(&received, options) {
            Ok(None) if received.len() < LONGEST_HEAD => {
                let room = LONGEST_HEAD - received.len();
                received.reserve(room.min(2048));
                if (&mut *stream).take(room as u64).read_buf(&mut received).await? == 0 {
                    return Err(HandshakeError::Gone);
                }
            }
            Ok(Some((request, len))) => {
                stream.write_all(request.answer().as_bytes()).await?;
                stream.flush().await?;
                // The rest, mostly nothing, must not keep all of the request.
                return Ok((request.seen, Bytes::copy_from_slice(&received[len..])));
            }
            Ok(None) => return refuse(stream, TOO_LARGE).await,
            Err(refusal) => return refuse(stream, refusal).await,
        }
    }
}

async fn refuse<S, T>(stream: &mut S, refusal: Refusal) -> Result<T, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(refusal.answer().as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    Err(refusal.into())
}

const TOO_LARGE: Refusal = Refusal {
    status: "431 Request Header Fields Too Large",
    why: "the head of the request is longer than 16 KiB",
};

fn bad(why: &'static str) -> Refusal {
    Refusal { status: "400 Bad Request", why }
}

impl Refusal {
    fn answer(&self) -> String {
        let Refusal { status, why } = self;
        let version = if status.starts_with("426") { "Sec-WebSocket-Version: 13\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{version}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{why}\n",
            why.len() + 1
        )
    }
}

impl Request {
    fn answer(&self) -> String {
        let Request { subprotocol, accept, .. } = self;
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        )
    }
}

/// A request and its length; None where it is not all there.
///
/// # Errors
/// Where it is not to be granted.
pub fn read_request(bytes: &[u8], options: &WebSocketOptions) -> Result<Option<(Request, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(bad("this is no HTTP request")),
    };
    grant(&request, options).map(|request| Some((request, len)))
}

fn grant(request: &httparse::Request<'_, '_>, options: &WebSocketOptions) -> Result<Request, Refusal> {
    if request.method != Some("GET") || request.version != Some(1) {
        return Err(bad("a WebSocket begins with a GET of HTTP/1.1"));
    }
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(options.path.as_str()) {
        return Err(Refusal { status: "404 Not Found", why: "there is no WebSocket at this path" });
    }
    if !has_token(request, "upgrade", "websocket") || !has_token(request, "connection", "upgrade") {
        return Err(Refusal { status: "426 Upgrade Required", why: "this is a place for WebSockets" });
    }
    if header(request, "sec-websocket-version") != Some("13") {
        return Err(Refusal { status: "426 Upgrade Required", why: "only version 13 is spoken here" });
    }
    let host = header(request, "host").ok_or(bad("the header Host is missing"))?;
    let origin = header(request, "origin");
    if !options.origins.allow(origin, host) {
        return Err(Refusal { status: "403 Forbidden", why: "pages of this Origin may not connect" });
    }
    let key = header(request, "sec-websocket-key").ok_or(bad("the header Sec-WebSocket-Key is missing"))?;
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in Base64"));
    }
    // [MQTT-6.0.0-3], [MQTT-6.0.0-4]. Older clients name the version.
    let subprotocol = ["mqtt", "mqttv3.1"]
        .into_iter()
        .find(|name| has_token(request, "sec-websocket-protocol", name))
        .ok_or(bad("the subprotocol mqtt is not offered [MQTT-6.0.0-3]"))?;
    Ok(Request {
        seen: peer::WebSocket { path: path.to_owned(), origin: origin.map(str::to_owned) },
        subprotocol,
        accept: accept_of(key),
    })
}

/// What a server answers to a key.
pub(super) fn accept_of(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{KEY_SUFFIX}")))
}

/// The first header of this name, where it is text.
fn header<'h>(request: &httparse::Request<'h, '_>, name: &str) -> Option<&'h str> {
    let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok().map(str::trim)
}

/// Whether a header of this name lists this word.
fn has_token(request: &httparse::Request<'_, '_>, name: &str, token: &str) -> bool {
    let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    let texts = named.filter_map(|header| std::str::from_utf8(header.value).ok());
    texts.flat_map(|text| text.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

impl Origins {
    /// Only browsers send an Origin, and always do: what has none is no page.
    fn allow(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            Origins::Any => true,
            Origins::Listed(listed) => listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
            Origins::SameHost => {
                let of_origin = origin.split_once("://").map(|(_, host)| without_port(host));
                of_origin.is_some_and(|name| name.eq_ignore_ascii_case(without_port(host)))
            }
        }
    }
}

fn without_port(host: &str) -> &str {
    let end_of_address = host.rfind(']').unwrap_or(0);
    host[end_of_address..].find(':').map_or(host, |colon| &host[..end_of_address + colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: broker.example:8083\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n";

    fn read(text: &str) -> Result<Option<(Request, usize)>, Refusal> {
        read_request(text.as_bytes(), &WebSocketOptions::default())
    }

    #[test]
    fn the_example_of_the_rfc_is_granted_however_much_of_it_is_there() {
        for end in 0..REQUEST.len() {
            assert_eq!(read(&REQUEST[..end]), Ok(None), "{end}");
        }
        let (request, len) = read(&format!("{REQUEST}behind")).unwrap().unwrap();
        assert_eq!((request.subprotocol, len), ("mqtt", REQUEST.len()));
        assert_eq!(request.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_not_a_websocket_for_mqtt_is_answered_with_what_is_wrong() {
        let cases = [
            ("GET /mqtt ", "POST /mqtt ", "400"),
            ("HTTP/1.1", "HTTP/1.0", "400"),
            ("/mqtt", "/", "404"),
            ("/mqtt", "/mqtt/x", "404"),
            ("Upgrade: websocket", "Upgrade: h2c", "426"),
            ("keep-alive, Upgrade", "keep-alive", "426"),
            ("Version: 13", "Version: 8", "426"),
            ("Host: broker.example:8083\r\n", "", "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "AAAA", "400"),
            ("mqttv3.1, mqtt", "amqp", "400"),
            ("Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n", "", "400"),
            ("Host", "Origin: https://other.example\r\nHost", "403"),
            ("GET", "\u{1}\u{2}", "400"),
        ];
        for (from, to, status) in cases {
            let refused = read(&REQUEST.replacen(from, to, 1)).unwrap_err();
            assert!(refused.status.starts_with(status), "{to}: {refused}");
            assert!(refused.answer().starts_with(&format!("HTTP/1.1 {status}")));
        }
        assert_eq!(read(&format!("{}{}", &REQUEST[..20], "X: y\r\n".repeat(200))), Err(TOO_LARGE));
    }

    #[test]
    fn a_path_may_have_a_query_and_an_old_client_names_its_version() {
        let request = REQUEST.replacen("/mqtt", "/mqtt?token=1", 1).replace("mqttv3.1, mqtt", "mqttv3.1");
        let (request, _) = read(&request).unwrap().unwrap();
        assert_eq!((request.seen.path.as_str(), request.subprotocol), ("/mqtt?token=1", "mqttv3.1"));
    }

    #[test]
    fn pages_of_the_same_host_and_those_that_are_listed_may_connect() {
        let host = "broker.example:8083";
        let listed = Origins::Listed(vec!["https://shop.example".into()]);
        for (origins, origin, allowed) in [
            (&Origins::SameHost, "https://broker.example", true),
            (&Origins::SameHost, "http://BROKER.example:8080", true),
            (&Origins::SameHost, "https://broker.example.evil.example", false),
            (&Origins::SameHost, "null", false),
            (&listed, "https://shop.example", true),
            (&listed, "https://broker.example", false),
            (&Origins::Any, "https://anything.example", true),
        ] {
            assert_eq!(origins.allow(Some(origin), host), allowed, "{origins:?} {origin}");
            assert!(origins.allow(None, host), "no page");
        }
        assert!(Origins::SameHost.allow(Some("http://[::1]:80"), "[::1]:9001"));
        assert!(!Origins::SameHost.allow(Some("http://[::2]:80"), "[::1]:9001"));
    }
}
