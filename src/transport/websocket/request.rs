//! The request by which a client makes a WebSocket of its connection (RFC 6455, 4.1), and what it takes for an answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::handshake::accept_of;
use crate::transport::answer::{Answer, AnswerError};

/// The version that is spoken (RFC 6455).
const VERSION: &str = "13";
/// Headers that the handshake itself is made of.
const OURS: [&str; 7] = [
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
];

/// What a client asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct WebSocketRequest {
    /// Path and query, as they stand in the request.
    target: String,
    /// Beside those of the handshake.
    headers: Vec<(String, String)>,
}

/// Why a request cannot be made of this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    #[error(
        "the path {0:?} cannot stand in an HTTP request; it begins with a slash, and what is no letter, digit or mark of ASCII is percent-encoded"
    )]
    Target(String),
    #[error("{0:?} is no name of an HTTP header that may be set here")]
    HeaderName(String),
    #[error("the value of the header {0} has characters that HTTP does not allow there")]
    HeaderValue(String),
}

/// Why no WebSocket came of a connection.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error("the server answers {status} {reason}{}", hint(*.status))]
    Refused { status: u16, reason: String },
    #[error("the server's answer is no WebSocket: {0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl WebSocketRequest {
    /// # Errors
    /// Where this cannot stand in a request.
    pub fn new(target: impl Into<String>) -> Result<WebSocketRequest, InvalidRequest> {
        let target = target.into();
        if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(InvalidRequest::Target(target));
        }
        Ok(WebSocketRequest { target, headers: Vec::new() })
    }

    /// Adds a header, such as one that lets the client in.
    ///
    /// # Errors
    /// Where it cannot stand in a request, or is one of the handshake's own.
    pub fn header(mut self, name: &str, value: &str) -> Result<WebSocketRequest, InvalidRequest> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) || OURS.contains(&&*name.to_ascii_lowercase()) {
            return Err(InvalidRequest::HeaderName(name.to_owned()));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F)) {
            return Err(InvalidRequest::HeaderValue(name.to_owned()));
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Asks for a WebSocket at a host, and returns what came behind the answer. Bounded in bytes; in time by who calls.
    ///
    /// # Errors
    /// Where the server does not make one of it.
    pub async fn upgrade<S>(&self, stream: &mut S, host: &str) -> Result<Bytes, UpgradeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
        stream.write_all(self.text(host, &key).as_bytes()).await.map_err(AnswerError::Io)?;
        stream.flush().await.map_err(AnswerError::Io)?;
        let answer = Answer::receive(stream).await?;
        check(&answer, &key)?;
        Ok(answer.behind)
    }

    fn text(&self, host: &str, key: &str) -> String {
        let target = &self.target;
        let mut text = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {VERSION}\r\nSec-WebSocket-Protocol: mqtt\r\n"
        );
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text + "\r\n"
    }
}

/// Headers may have tokens.
impl std::fmt::Debug for WebSocketRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("WebSocketRequest")
            .field("path", &path)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

fn check(answer: &Answer, key: &str) -> Result<(), UpgradeError> {
    if answer.status != 101 {
        return Err(UpgradeError::Refused { status: answer.status, reason: answer.reason.clone() });
    }
    if !answer.has_token("upgrade", "websocket") || !answer.has_token("connection", "upgrade") {
        return Err(UpgradeError::Invalid("Upgrade and Connection do not say so"));
    }
    if answer.header("sec-websocket-accept") != Some(&accept_of(key)) {
        return Err(UpgradeError::Invalid("Sec-WebSocket-Accept does not belong to the request"));
    }
    if answer.header("sec-websocket-extensions").is_some_and(|extensions| !extensions.is_empty()) {
        return Err(UpgradeError::Invalid("it uses an extension that was not asked for"));
    }
    // [MQTT-6.0.0-4]
    if answer.header("sec-websocket-protocol") != Some("mqtt") {
        return Err(UpgradeError::Invalid("it does not choose the subprotocol mqtt"));
    }
    Ok(())
}

fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => "; redirects are not followed",
        401 | 403 => "; it may need a header that lets the client in",
        404 => "; is the path right?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// Answers the request with what is made of its key, and returns what became of it and the request.
    async fn upgraded(
        request: &WebSocketRequest,
        answer: impl FnOnce(&str) -> String,
    ) -> (Result<Bytes, UpgradeError>, String) {
        let (mut ours, mut theirs) = duplex(1 << 16);
        let serving = async {
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") {
                text.push(theirs.read_u8().await.unwrap().into());
            }
            let key = text.split("Key: ").nth(1).unwrap().split("\r\n").next().unwrap();
            theirs.write_all(answer(key).as_bytes()).await.unwrap();
            text
        };
        tokio::join!(request.upgrade(&mut ours, "broker.example:8083"), serving)
    }

    fn granted(key: &str) -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\nearly",
            accept_of(key)
        )
    }

    #[tokio::test]
    async fn a_request_has_what_the_handshake_needs_and_the_headers_beside() {
        // [MQTT-6.0.0-3]
        let request = WebSocketRequest::new("/mqtt?room=1").unwrap();
        let request = request.header("Authorization", "Bearer secret").unwrap();
        let (upgraded, text) = upgraded(&request, granted).await;
        assert_eq!(upgraded.unwrap(), "early");
        assert!(text.starts_with("GET /mqtt?room=1 HTTP/1.1\r\nHost: broker.example:8083\r\n"), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"), "{text}");
        assert!(text.contains("\r\nAuthorization: Bearer secret\r\n"), "{text}");
        assert!(!format!("{request:?}").contains("secret"));
    }

    #[tokio::test]
    async fn an_answer_that_grants_something_else_is_not_taken() {
        // [MQTT-6.0.0-4]
        let request = WebSocketRequest::new("/").unwrap();
        for (from, to) in [
            ("upgrade: WebSocket", "upgrade: h2c"),
            ("keep-alive, upgrade", "keep-alive"),
            ("Accept: ", "Accept: x"),
            ("Protocol: mqtt", "Protocol: amqp"),
            ("Sec-WebSocket-Protocol: mqtt\r\n", ""),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ] {
            let (upgraded, _) = upgraded(&request, |key| granted(key).replacen(from, to, 1)).await;
            assert!(matches!(upgraded, Err(UpgradeError::Invalid(_))), "{to}: {upgraded:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_status() {
        let request = WebSocketRequest::new("/").unwrap();
        let refusal = |_: &str| "HTTP/1.1 404 Not Found\r\n\r\n".to_owned();
        let error = upgraded(&request, refusal).await.0.unwrap_err();
        assert_eq!(error.to_string(), "the server answers 404 Not Found; is the path right?");
    }

    #[test]
    fn what_would_be_another_request_is_none() {
        for target in ["", "mqtt", "/a b", "/a\r\nX: y", "/ä", "/a#b"] {
            assert!(WebSocketRequest::new(target).is_err(), "{target:?}");
        }
        let request = WebSocketRequest::new("/mqtt").unwrap();
        for (name, value) in [("", "x"), ("a b", "x"), ("Host", "x"), ("X", "a\r\nY: z"), ("X\r\n", "x")] {
            assert!(request.clone().header(name, value).is_err(), "{name:?}");
        }
    }
}
