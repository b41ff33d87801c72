//! HTTP requests, made by the broker to hosts that its configuration grants (`grants.hosts`).
//!
//! A plugin that calls this is called on threads aside, `calls-at-once` of them: while it waits for an answer,
//! no other client waits. The time of a request does not count as the hook's; it has a limit of its own,
//! `http-timeout`.
//!
//! ```
//! use tidegate_plugin::{http, testing};
//!
//! fn is_known(name: &str) -> Result<bool, http::Error> {
//!     let url = format!("https://users.example.com/{name}");
//!     let answer = http::Request::get(&url).header("accept", "text/plain").send()?;
//!     Ok(answer.status == 200)
//! }
//!
//! testing::reset();
//! testing::answer_http(Ok(testing::http_response(200, "")));
//! assert_eq!(is_known("ada"), Ok(true));
//! assert_eq!(testing::with(|host| host.http_requests[0].url.clone()), "https://users.example.com/ada");
//! ```

use std::time::Duration;

use crate::host;

use crate::bindings::host::tidegate::plugin::http as generated;
pub use crate::bindings::host::tidegate::plugin::http::{Error, Response};

/// A request that is being put together; [`send`](Request::send) makes it.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    method: &'a str,
    url: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
    timeout_ms: u32,
}

impl<'a> Request<'a> {
    /// `url` begins with `http://` or `https://`.
    pub fn new(method: &'a str, url: &'a str) -> Self {
        Self { method, url, headers: Vec::new(), body: &[], timeout_ms: 0 }
    }

    pub fn get(url: &'a str) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: &'a str) -> Self {
        Self::new("POST", url)
    }

    /// Not those that say how the request is carried, such as `host` and `content-length`.
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// For everything, from resolving the name to the last byte. Without it, and at most, that of the broker's
    /// configuration.
    pub fn timeout(self, time: Duration) -> Self {
        let timeout_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
        Self { timeout_ms, ..self }
    }

    /// Waits for the whole answer, whatever its status. Redirects are not followed.
    pub fn send(self) -> Result<Response, Error> {
        host::http::send(generated::Request {
            method: self.method,
            url: self.url,
            headers: &self.headers,
            body: self.body,
            timeout_ms: self.timeout_ms,
        })
    }
}

impl Response {
    /// The first header of this name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }
}
