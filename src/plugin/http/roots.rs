//! Whom a server's certificate may come from: whom the system trusts, and whom the operator does.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Read where the first plugin needs them: a broker without such plugins does not look for them.
pub(super) struct Roots {
    ca: Option<PathBuf>,
    read: OnceLock<Result<RootCerts, String>>,
}

impl Roots {
    pub(super) fn new(ca: Option<PathBuf>) -> Roots {
        Roots { ca, read: OnceLock::new() }
    }

    pub(super) fn get(&self) -> Result<RootCerts, String> {
        self.read.get_or_init(|| self.read()).clone()
    }

    fn read(&self) -> Result<RootCerts, String> {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "a certificate that the system trusts cannot be read");
        }
        let mut certificates: Vec<Certificate<'static>> =
            native.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        if let Some(ca) = &self.ca {
            let of_file = |why: String| format!("{}: {why}", ca.display());
            let pem = std::fs::read(ca).map_err(|error| of_file(error.to_string()))?;
            let before = certificates.len();
            for item in parse_pem(&pem) {
                if let PemItem::Certificate(certificate) = item.map_err(|error| of_file(error.to_string()))? {
                    certificates.push(certificate);
                }
            }
            if certificates.len() == before {
                return Err(of_file("there is no certificate in it".into()));
            }
        }
        Ok(RootCerts::Specific(Arc::new(certificates)))
    }
}
