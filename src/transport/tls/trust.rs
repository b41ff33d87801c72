//! Which servers a client takes for those that they say they are.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::client::ClientTlsError;
use super::files::{self, FileError};
use super::fingerprint::Fingerprint;

/// Whose certificates are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that the authorities of this machine have signed, for the server's name.
    #[default]
    System,
    /// Those that these authorities have signed, for the server's name. PEM files.
    Authorities(Vec<PathBuf>),
    /// These certificates and no others, whoever has signed them, for whatever name and time.
    Certificates(Vec<Fingerprint>),
    /// Any. Whoever is between client and server can read and change all that they say.
    Anybody,
}

impl Trust {
    /// Reads the files it needs.
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, ClientTlsError> {
        let provider = provider.clone();
        let roots = match self {
            Trust::System => system_roots()?,
            Trust::Authorities(files) => read_roots(files)?,
            Trust::Certificates(accepted) => {
                return Ok(Arc::new(ByFingerprint { accepted: Some(accepted.clone()), provider }));
            }
            Trust::Anybody => return Ok(Arc::new(ByFingerprint { accepted: None, provider })),
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
        Ok(verifier.map_err(|error| ClientTlsError::NoAuthorities(error.to_string()))?)
    }
}

/// Some that cannot be read leave the others.
fn system_roots() -> Result<RootCertStore, ClientTlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = if why.is_empty() { "this machine has none".into() } else { why.join(", ") };
        return Err(ClientTlsError::NoAuthorities(why));
    }
    Ok(roots)
}

fn read_roots(all: &[PathBuf]) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for file in all {
        for certificate in files::certificates(file, &files::read(file)?)? {
            let unusable = |error: Error| FileError::new(file, format!("is no authority: {error}"));
            roots.add(certificate).map_err(unusable)?;
        }
    }
    Ok(roots)
}

/// Looks at nothing but which certificate it is, and that the server has its key.
#[derive(Debug)]
struct ByFingerprint {
    /// None: any.
    accepted: Option<Vec<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

/// Of a certificate that is none of those that were named.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it has the fingerprint {0}, which is none of those that are accepted")]
pub(super) struct OtherCertificate(Fingerprint);

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of(certificate);
        match &self.accepted {
            Some(accepted) if !accepted.contains(&shown) => {
                let other = OtherError(Arc::new(OtherCertificate(shown)));
                Err(CertificateError::Other(other).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
