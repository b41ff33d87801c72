//! TLS 1.2 and 1.3: which certificate a client gets, whether it needs one, and how all of that is exchanged while
//! clients are connected.
//!
//! What a listener uses is made of its files at once, and taken over as a whole or not at all (`loaded`): a handshake
//! goes on with what it has begun with, connections stay as they are.

mod certificate;
mod client;
mod files;
mod fingerprint;
mod layer;
mod loaded;
mod names;
mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

pub use client::{CertificateFault, ClientTls, ClientTlsError, ClientTlsOptions, OwnCertificate};
pub use files::FileError;
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use layer::{ClientTlsLayer, TlsLayer};
use loaded::Loaded;
pub use loaded::{CertificateStatus, Protocol};
pub use trust::Trust;

use crate::peer::{self, Certificate};

/// What a listener needs for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The first is for clients that ask for no name, or for one that none has.
    pub certificates: Vec<CertificateFiles>,
    pub minimum_version: TlsVersion,
    /// None: clients are not asked for a certificate.
    pub client_certificates: Option<ClientCertificates>,
}

/// A certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, and those by which clients get from it to one that they trust.
    pub chain: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// Names for which it is; `*.` stands for one label. Empty: those that it has.
    pub names: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    #[default]
    V1_2,
    V1_3,
}

/// What is asked of clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// PEM: authorities that may have signed them.
    pub authorities: Vec<PathBuf>,
    pub need: Need,
    /// PEM or DER: what the authorities have revoked. With one, each authority that signs clients' certificates needs
    /// one.
    pub revoked: Vec<PathBuf>,
    pub expired_list: ExpiredList,
}

/// Whether a client has to have a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    #[default]
    Required,
    /// One that is shown has to be good all the same.
    Optional,
}

/// What becomes of clients while a list of what is revoked is older than it says it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiredList {
    #[default]
    Refuse,
    Accept,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// Missing, or not accepted; or ours was not.
    #[error("a certificate was not accepted: {0}")]
    Certificate(String),
    #[error("what came is no TLS")]
    NoTls,
    /// Its first byte is not of TLS.
    #[error(
        "it speaks no TLS to a listener that has a certificate; where that is MQTT, it comes to the wrong port"
    )]
    Foreign,
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
}

/// What makes TLS of a listener's streams.
pub struct TlsDoor {
    options: TlsOptions,
    protocol: Protocol,
    current: ArcSwap<Loaded>,
}

/// What became of reading the files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    Changed,
    AsBefore,
}

impl TlsDoor {
    /// # Errors
    /// Where a file cannot be used.
    pub fn new(options: &TlsOptions, protocol: Protocol) -> Result<TlsDoor, FileError> {
        let current = ArcSwap::from_pointee(Loaded::read(options, protocol)?);
        Ok(TlsDoor { options: options.clone(), protocol, current })
    }

    pub(super) fn is_of(&self, options: &TlsOptions, protocol: Protocol) -> bool {
        self.options == *options && self.protocol == protocol
    }

    /// Reads the files again. New handshakes use what is in them.
    ///
    /// # Errors
    /// Where one cannot be used: all is as before then.
    pub fn reload(&self) -> Result<Reloaded, FileError> {
        let loaded = Loaded::read(&self.options, self.protocol)?;
        if loaded.digest == self.current.load().digest {
            return Ok(Reloaded::AsBefore);
        }
        self.current.store(Arc::new(loaded));
        Ok(Reloaded::Changed)
    }

    /// Those in use.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        self.current.load().certificates.clone()
    }

    /// What the operator should know of the files in use, such as that others may read a key.
    pub fn warnings(&self) -> Vec<String> {
        self.current.load().warnings.clone()
    }

    /// Every file that is read.
    pub fn files(&self) -> Vec<PathBuf> {
        self.options.files()
    }

    /// # Errors
    /// Where the client does not come through.
    pub async fn accept<S>(
        &self,
        stream: S,
    ) -> Result<(TlsLayer<S>, peer::Tls, Option<Certificate>), TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.current.load().config.clone();
        let stream = TlsAcceptor::from(config).accept(stream).await.map_err(explain)?;
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().map(certificate::read).transpose();
        let certificate = certificate.map_err(|error| TlsError::Certificate(error.to_string()))?;
        let tls = peer::Tls {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: session
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            server_name: session.server_name().map(str::to_owned),
            protocol: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        };
        Ok((TlsLayer::new(stream), tls, certificate))
    }
}

impl std::fmt::Debug for TlsDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsDoor").field("options", &self.options).finish_non_exhaustive()
    }
}

impl TlsOptions {
    /// One certificate, TLS 1.2 or 1.3, and no certificates of clients.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsOptions {
        let certificate = CertificateFiles { chain: chain.into(), key: key.into(), names: Vec::new() };
        TlsOptions {
            certificates: vec![certificate],
            minimum_version: TlsVersion::default(),
            client_certificates: None,
        }
    }

    /// Every file that is read.
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
        let clients = self.client_certificates.iter();
        own.chain(clients.flat_map(|clients| clients.authorities.iter().chain(&clients.revoked)))
            .cloned()
            .collect()
    }
}

impl ClientCertificates {
    /// Every client needs one that these authorities have signed.
    pub fn required(authorities: Vec<PathBuf>) -> ClientCertificates {
        let (need, expired_list) = (Need::Required, ExpiredList::Refuse);
        ClientCertificates { authorities, need, revoked: Vec::new(), expired_list }
    }
}

/// What the library says, by whose fault it is.
fn explain(error: std::io::Error) -> TlsError {
    let Some(cause) = error.get_ref().and_then(|source| source.downcast_ref::<Error>()) else {
        return TlsError::Io(error);
    };
    match cause {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsError::Foreign,
        Error::InvalidMessage(_) => TlsError::NoTls,
        Error::InvalidCertificate(_)
        | Error::InvalidCertRevocationList(_)
        | Error::NoCertificatesPresented => TlsError::Certificate(cause.to_string()),
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate,
        ) => TlsError::Certificate(format!("the client does not accept ours: {cause}")),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOfferedOrEnabled | PeerIncompatible::Tls12NotOffered,
        ) => TlsError::Handshake("the client offers no version that is spoken here".into()),
        Error::PeerMisbehaved(PeerMisbehaved::MissingKeyShare) => TlsError::Handshake(cause.to_string()),
        _ => TlsError::Handshake(cause.to_string()),
    }
}
