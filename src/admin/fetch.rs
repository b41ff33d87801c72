//! Asks the admin port of a running broker; waits for the answer on the thread that calls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::AdminAddress;
use super::http::BANS_OF;

/// For each of connecting, writing and each read.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer answer is refused.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody listens there, or it does not answer.
    #[error("reach {0}: {1}")]
    Unreachable(AdminAddress, io::Error),
    /// Without the token, or with another one.
    #[error("be let in by {0}: it wants its token")]
    Unauthorized(AdminAddress),
    #[error("understand {0}: {1}; is that the admin port of a tidegate?")]
    NotUnderstood(AdminAddress, String),
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// What lies under this path.
///
/// # Errors
/// Where nobody answers, or something else than what was asked for.
pub fn fetch(address: &AdminAddress, path: &str, token: Option<&str>) -> Result<String, FetchError> {
    request(address, "GET", path, token)
}

/// Lets an address or a name in again. Answers how many bans that were, as JSON.
///
/// # Errors
/// As [`fetch`].
pub fn lift(address: &AdminAddress, whom: &str, token: Option<&str>) -> Result<String, FetchError> {
    let whom = utf8_percent_encode(whom, NON_ALPHANUMERIC);
    request(address, "DELETE", &format!("{BANS_OF}{whom}"), token)
}

fn request(
    address: &AdminAddress,
    method: &str,
    path: &str,
    token: Option<&str>,
) -> Result<String, FetchError> {
    let answer =
        ask(address, method, path, token).map_err(|error| FetchError::Unreachable(address.clone(), error))?;
    let misunderstood = |why: &str| FetchError::NotUnderstood(address.clone(), why.to_owned());
    let (status, body) = split(&answer).ok_or_else(|| misunderstood("that is no HTTP answer"))?;
    match status {
        200 => str::from_utf8(body).map(str::to_owned).map_err(|_| misunderstood("the answer is no text")),
        401 => Err(FetchError::Unauthorized(address.clone())),
        status => Err(misunderstood(&format!("it answers {status}"))),
    }
}

fn ask(address: &AdminAddress, method: &str, path: &str, token: Option<&str>) -> io::Result<Vec<u8>> {
    let mut stream = connect(address)?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let host = match address {
        AdminAddress::Tcp(address) => address.to_string(),
        AdminAddress::Unix(_) => "localhost".to_owned(),
    };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

fn connect(address: &AdminAddress) -> io::Result<Box<dyn Stream>> {
    match address {
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        AdminAddress::Unix(path) => {
            let stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        #[cfg(not(unix))]
        AdminAddress::Unix(_) => Err(ErrorKind::Unsupported.into()),
    }
}

/// Status and body.
fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(answer).ok()? else { return None };
    let body = &answer[length..];
    let announced = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let announced: usize = str::from_utf8(announced?.value).ok()?.parse().ok()?;
    (announced == body.len()).then_some((response.code?, body))
}

impl FetchError {
    /// Whether no broker runs there.
    pub fn is_nobody_there(&self) -> bool {
        matches!(self, FetchError::Unreachable(_, error)
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound))
    }
}
