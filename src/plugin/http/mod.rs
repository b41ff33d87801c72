//! HTTP requests of plugins, to hosts that the configuration grants. They block: only threads that may wait
//! make them.
//!
//! Without the feature `http` there is no client, and every request fails with an error that says so.

#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
mod grant;
#[cfg(feature = "http")]
mod roots;

use std::path::PathBuf;

use super::bindings::tidegate::plugin::http::{Error, Request, Response};
use super::error::Problem;
use super::options::PluginOptions;

/// What the plugins' clients share.
pub(super) struct Http {
    #[cfg(feature = "http")]
    roots: roots::Roots,
}

/// The client of one version of a plugin, with its connections.
pub(super) struct HttpClient {
    pub(super) requests_per_call: u32,
    #[cfg(feature = "http")]
    client: client::Client,
}

impl Http {
    /// `ca`: a PEM file of certificates to trust beside the system's.
    #[cfg_attr(not(feature = "http"), expect(unused_variables, reason = "there is nobody to trust"))]
    pub(super) fn new(ca: Option<PathBuf>) -> Http {
        Http {
            #[cfg(feature = "http")]
            roots: roots::Roots::new(ca),
        }
    }

    pub(super) fn client(&self, options: &PluginOptions) -> Result<HttpClient, Problem> {
        Ok(HttpClient {
            requests_per_call: options.budgets.http_requests_per_call,
            #[cfg(feature = "http")]
            client: client::Client::new(self.roots.get().map_err(Problem::Roots)?, options),
        })
    }
}

impl HttpClient {
    /// Whether it may be sent.
    #[cfg(feature = "http")]
    pub(super) fn check(&self, request: &Request) -> Result<(), Error> {
        self.client.check(request)
    }

    #[cfg(not(feature = "http"))]
    pub(super) fn check(&self, _request: &Request) -> Result<(), Error> {
        Err(Error::Failed("this broker is built without http".into()))
    }

    #[cfg(feature = "http")]
    pub(super) fn send(&self, request: Request) -> Result<Response, Error> {
        self.client.send(request)
    }

    #[cfg(not(feature = "http"))]
    pub(super) fn send(&self, _request: Request) -> Result<Response, Error> {
        Err(Error::Failed("this broker is built without http".into()))
    }
}
