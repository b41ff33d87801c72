//! The client: connections that are kept for the next request, limits, and what its errors mean to a plugin.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{self, HeaderName};
use ureq::http::{self, HeaderValue, Method, Uri};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use super::grant::{self, Grant, Refusal};
use crate::plugin::bindings::tidegate::plugin::http::{Error, Request, Response};
use crate::plugin::options::PluginOptions;

/// Some servers close a connection that was idle for five seconds: a request that crosses that is lost.
const LONGEST_IDLE: Duration = Duration::from_secs(4);

/// Bytes of the status line and the headers of an answer.
const LONGEST_HEAD: usize = 64 * 1024;

/// Headers that say how a request is carried, or to which of a server's hosts.
const OURS: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
];

pub(super) struct Client {
    agent: Agent,
    grants: Vec<Grant>,
    timeout: Duration,
    /// Bytes of an answer's body.
    most: u64,
}

impl Client {
    pub(super) fn new(roots: RootCerts, options: &PluginOptions) -> Client {
        let budgets = &options.budgets;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(roots)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            // Neither the environment nor the server may send the request elsewhere.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(budgets.http_timeout))
            .max_response_header_size(LONGEST_HEAD)
            .max_idle_age(LONGEST_IDLE)
            .max_idle_connections(budgets.calls_at_once as usize)
            .max_idle_connections_per_host(budgets.calls_at_once as usize)
            .build()
            .new_agent();
        Client {
            agent,
            grants: options.grants.hosts.iter().filter_map(|host| Grant::parse(host)).collect(),
            timeout: budgets.http_timeout,
            most: budgets.handed_over as u64,
        }
    }

    pub(super) fn send(&self, request: Request) -> Result<Response, Error> {
        let timeout_ms = request.timeout_ms;
        let request = self.checked(request)?;
        let answer = match request.body().is_empty() && !needs_body(request.method()) {
            true => self.run(request.map(|_| ()), timeout_ms),
            false => self.run(request, timeout_ms),
        };
        let answer = answer.map_err(to_error)?;
        let headers = answer.headers().iter();
        let headers = headers
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let status = answer.status().as_u16();
        let body = answer.into_body().with_config().limit(self.most).read_to_vec().map_err(to_error)?;
        Ok(Response { status, headers, body })
    }

    pub(super) fn check(&self, request: &Request) -> Result<(), Error> {
        self.checked(request.clone()).map(|_| ())
    }

    fn run(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
        timeout_ms: u32,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let shorter = Duration::from_millis(timeout_ms.into());
        if shorter.is_zero() || shorter >= self.timeout {
            return self.agent.run(request);
        }
        let request = self.agent.configure_request(request).timeout_global(Some(shorter)).build();
        self.agent.run(request)
    }

    fn checked(&self, request: Request) -> Result<http::Request<Vec<u8>>, Error> {
        let url: Uri = request.url.parse().map_err(|error| invalid("the URL", &error))?;
        grant::check(&self.grants, &url).map_err(|refusal| match refusal {
            Refusal::Denied => Error::Denied,
            Refusal::Invalid(why) => Error::Invalid(why.into()),
        })?;
        let method: Method = request.method.parse().map_err(|error| invalid("the method", &error))?;
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(Error::Invalid("the method is not for plugins".into()));
        }
        let mut checked = http::Request::new(request.body);
        for (name, value) in request.headers {
            let name: HeaderName = name.parse().map_err(|error| invalid("a header's name", &error))?;
            if OURS.contains(&name) {
                return Err(Error::Invalid(format!("the header `{name}` is the broker's")));
            }
            let value = HeaderValue::from_str(&value)
                .map_err(|error| invalid(&format!("the header `{name}`"), &error))?;
            checked.headers_mut().append(name, value);
        }
        (*checked.uri_mut(), *checked.method_mut()) = (url, method);
        Ok(checked)
    }
}

fn needs_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn invalid(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::Invalid(format!("{what}: {why}"))
}

fn to_error(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(_) => Error::Timeout,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Error::Timeout,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => Error::TooLarge,
        ureq::Error::Http(error) => Error::Invalid(error.to_string()),
        ureq::Error::BadUri(why) => Error::Invalid(why),
        error => Error::Failed(error.to_string()),
    }
}
