//! Answers of HTTP servers to the one request after which a connection is no HTTP any more.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes and lines of an answer's head.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;
/// Of the words behind the status: they are shown to people.
const LONGEST_REASON: usize = 80;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("it closed the connection and did not answer")]
    Gone,
    #[error("what it answers is no HTTP")]
    NoHttp,
    #[error("the head of its answer is longer than 16 KiB, or has more than 100 headers")]
    TooLong,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// What the server says of the status, without what could confuse a terminal.
    pub reason: String,
    headers: Vec<(String, Bytes)>,
    /// Came behind the head.
    pub behind: Bytes,
}

impl Answer {
    /// Reads one. Bounded in bytes; in time by who calls.
    ///
    /// # Errors
    /// Where what comes is none.
    pub async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Answer, AnswerError> {
        let mut received = BytesMut::new();
        loop {
            if let Some(answer) = parse(&received)? {
                return Ok(answer);
            }
            let room = LONGEST_HEAD - received.len();
            if room == 0 {
                return Err(AnswerError::TooLong);
            }
            received.reserve(room.min(1024));
            if (&mut *stream).take(room as u64).read_buf(&mut received).await? == 0 {
                return Err(AnswerError::Gone);
            }
        }
    }

    /// The first header of this name, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok().map(str::trim)
    }

    /// Whether a header of this name lists this word.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let named = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let texts = named.filter_map(|(_, value)| std::str::from_utf8(value).ok());
        texts.flat_map(|text| text.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
    }
}

/// None where it is not all there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, AnswerError> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(AnswerError::TooLong),
        Err(_) => return Err(AnswerError::NoHttp),
    };
    let said = response.reason.unwrap_or_default().chars().filter(|letter| !letter.is_control());
    Ok(Some(Answer {
        status: response.code.unwrap_or_default(),
        reason: said.take(LONGEST_REASON).collect(),
        headers: response.headers.iter().map(owned).collect(),
        behind: Bytes::copy_from_slice(&bytes[len..]),
    }))
}

fn owned(header: &httparse::Header<'_>) -> (String, Bytes) {
    (header.name.to_owned(), Bytes::copy_from_slice(header.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive(bytes: &[u8]) -> Result<Answer, AnswerError> {
        Answer::receive(&mut &*bytes).await
    }

    #[tokio::test]
    async fn an_answer_has_a_status_headers_and_what_is_behind() {
        let text = "HTTP/1.1 200 Connection \u{9b}established\r\nVia: a, B\r\nvia: c\r\n\r\nbehind";
        let answer = receive(text.as_bytes()).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, &answer.behind[..]), (200, &b"behind"[..]));
        assert_eq!(answer.header("VIA"), Some("a, B"));
        assert!(answer.has_token("Via", "b") && answer.has_token("via", "c"));
        assert!(!answer.has_token("via", "d"));
        assert!(!answer.reason.contains('\u{9b}'));
    }

    #[tokio::test]
    async fn what_is_no_answer_or_too_long_ends() {
        assert!(matches!(receive(b"").await, Err(AnswerError::Gone)));
        assert!(matches!(receive(b"HTTP/1.1 200").await, Err(AnswerError::Gone)));
        assert!(matches!(receive(b"SSH-2.0-x\r\n\r\n").await, Err(AnswerError::NoHttp)));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20));
        assert!(matches!(receive(long.as_bytes()).await, Err(AnswerError::TooLong)));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
        assert!(matches!(receive(many.as_bytes()).await, Err(AnswerError::TooLong)));
    }
}
