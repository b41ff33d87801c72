//! The client's end of TLS: whom it trusts, what it shows of itself, and why a handshake comes to nothing.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, SupportedProtocolVersion,
    version,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::TlsVersion;
use super::files::{self, FileError};
use super::layer::ClientTlsLayer;
use super::trust::{OtherCertificate, Trust};

/// How a client speaks TLS. By default 1.2 or 1.3, with a server that the authorities of this machine vouch for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsOptions {
    /// The name that is asked for (SNI) and that the certificate has to have. None: that of the host.
    pub server_name: Option<String>,
    pub trust: Trust,
    /// Shown where the server asks for one.
    pub own_certificate: Option<OwnCertificate>,
    pub minimum_version: TlsVersion,
    /// What is offered to be spoken in TLS (ALPN). Empty: none.
    pub application_protocols: Vec<String>,
}

/// A certificate of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// PEM: the certificate, and those by which the server gets from it to one that it trusts.
    pub chain: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Options with the files that they name, for one handshake.
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

/// Why there is no TLS with a server.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("there are no authorities that could vouch for a server: {0}")]
    NoAuthorities(String),
    #[error("{0:?} is neither a host name nor an IP address")]
    Name(String),
    #[error("the own certificate and its key do not go together: {0}")]
    OwnCertificate(String),
    #[error("the server's certificate is not accepted: {message}")]
    Certificate { fault: CertificateFault, message: String },
    /// In TLS 1.3 the server says so after the handshake, and the client hears of it when it reads.
    #[error("the server does not accept this client's certificate, or needs one: {0}")]
    Refused(String),
    #[error("there is no TLS at that port; what is there may speak MQTT without TLS")]
    NoTls,
    #[error("the server speaks no version of TLS that is spoken here")]
    Version,
    #[error("the server closed the connection within the handshake")]
    Gone,
    #[error("the handshake failed: {0}")]
    Handshake(String),
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
}

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    UnknownAuthority,
    Expired,
    NotYetValid,
    OtherName,
    OtherFingerprint,
    Revoked,
    Unusable,
}

impl ClientTls {
    /// Reads the files. It may block.
    ///
    /// # Errors
    /// Where one cannot be used, or the name is none.
    pub fn new(options: &ClientTlsOptions, host: &str) -> Result<ClientTls, ClientTlsError> {
        let name = options.server_name.as_deref().unwrap_or(host);
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|_| ClientTlsError::Name(name.to_owned()))?;
        Ok(ClientTls { config: Arc::new(options.config()?), server_name })
    }

    /// Bounded in bytes; in time by who calls.
    ///
    /// # Errors
    /// Where the server is not the one that was meant, or does not take this client.
    pub async fn connect<S>(self, stream: S) -> Result<ClientTlsLayer<S>, ClientTlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connecting = TlsConnector::from(self.config).connect(self.server_name, stream);
        Ok(ClientTlsLayer::new(connecting.await.map_err(explain)?))
    }
}

impl ClientTlsOptions {
    fn config(&self) -> Result<ClientConfig, ClientTlsError> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.minimum_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let verifier = self.trust.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| ClientTlsError::Handshake(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.own_certificate {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = files::certificates(&own.chain, &files::read(&own.chain)?)?;
                let key = files::key(&own.key, &files::read(&own.key)?)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| ClientTlsError::OwnCertificate(error.to_string()))?
            }
        };
        let protocols = self.application_protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

/// What the library says, by whose fault it is.
fn explain(error: std::io::Error) -> ClientTlsError {
    let Some(cause) = error.get_ref().and_then(|source| source.downcast_ref::<Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => ClientTlsError::Gone,
            _ => ClientTlsError::Io(error),
        };
    };
    match cause {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => ClientTlsError::NoTls,
        Error::InvalidCertificate(wrong) => explain_certificate(wrong),
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied,
        ) => ClientTlsError::Refused(cause.to_string()),
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => ClientTlsError::Version,
        _ => ClientTlsError::Handshake(cause.to_string()),
    }
}

fn explain_certificate(wrong: &CertificateError) -> ClientTlsError {
    use CertificateFault as Fault;
    let (fault, hint) = match wrong {
        CertificateError::UnknownIssuer => {
            (Fault::UnknownAuthority, "; name the file of the authority that signed it, or its fingerprint")
        }
        // By another that has the name of one that is trusted.
        CertificateError::BadSignature => {
            (Fault::UnknownAuthority, "; no authority that is trusted has signed it, though one has the name")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (Fault::Expired, ""),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (Fault::NotYetValid, "; is the clock right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (Fault::OtherName, "")
        }
        CertificateError::Revoked => (Fault::Revoked, ""),
        CertificateError::Other(other) if other.0.is::<OtherCertificate>() => {
            return ClientTlsError::Certificate {
                fault: Fault::OtherFingerprint,
                message: other.0.to_string(),
            };
        }
        _ => (Fault::Unusable, ""),
    };
    ClientTlsError::Certificate { fault, message: format!("{wrong}{hint}") }
}
