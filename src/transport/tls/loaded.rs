//! What a listener's files come to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore, SupportedProtocolVersion, version};
use sha2::{Digest, Sha256};

use super::certificate;
use super::files::{self, FileError};
use super::names::ByName;
use super::{CertificateFiles, ClientCertificates, ExpiredList, Need, TlsOptions, TlsVersion};
use crate::peer::{AlternativeName, Certificate};

/// What is spoken in TLS, as its handshake names it (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Mqtt,
    /// Of which WebSockets are made.
    Http,
}

/// A certificate of ours that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// With its chain.
    pub file: PathBuf,
    pub subject: String,
    /// SHA-256 in hexadecimal digits.
    pub fingerprint: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

pub(super) struct Loaded {
    pub config: Arc<ServerConfig>,
    pub certificates: Vec<CertificateStatus>,
    pub warnings: Vec<String>,
    /// Of all files.
    pub digest: [u8; 32],
}

/// What is put together while files are read.
struct Reading {
    provider: Arc<CryptoProvider>,
    certificates: Vec<CertificateStatus>,
    warnings: Vec<String>,
    digest: Sha256,
}

impl Loaded {
    pub(super) fn read(options: &TlsOptions, protocol: Protocol) -> Result<Loaded, FileError> {
        let mut reading = Reading {
            provider: Arc::new(ring::default_provider()),
            certificates: Vec::new(),
            warnings: Vec::new(),
            digest: Sha256::new(),
        };
        let config = reading.config(options, protocol)?;
        let Reading { certificates, warnings, digest, .. } = reading;
        Ok(Loaded { config: Arc::new(config), certificates, warnings, digest: digest.finalize().into() })
    }
}

impl Reading {
    fn config(&mut self, options: &TlsOptions, protocol: Protocol) -> Result<ServerConfig, FileError> {
        let certificates = self.own_certificates(&options.certificates)?;
        let versions: &[&SupportedProtocolVersion] = match options.minimum_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let anywhere = |error: Error| FileError::new(Path::new("TLS"), error.to_string());
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .map_err(anywhere)?;
        let clients = options.client_certificates.as_ref();
        let verifier = clients.map(|clients| self.verifier(clients)).transpose()?;
        let is_verified = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![match protocol {
            Protocol::Mqtt => b"mqtt".to_vec(),
            Protocol::Http => b"http/1.1".to_vec(),
        }];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if is_verified {
            // Who resumes a session is not looked at again, also where its certificate was revoked since.
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = ring::Ticketer::new().map_err(anywhere)?;
            config.send_tls13_tickets = 1;
        }
        Ok(config)
    }

    fn read(&mut self, file: &Path) -> Result<impl std::ops::Deref<Target = Vec<u8>>, FileError> {
        let bytes = files::read(file)?;
        self.digest.update((bytes.len() as u64).to_be_bytes());
        self.digest.update(&*bytes);
        Ok(bytes)
    }

    fn own_certificates(&mut self, all: &[CertificateFiles]) -> Result<ByName, FileError> {
        let mut by_name: Option<ByName> = None;
        for files in all {
            let (key, certificate) = self.own_certificate(files)?;
            let by_name = by_name.get_or_insert_with(|| ByName::new(key.clone()));
            let own = certificate.alternative_names.iter().filter_map(|name| match name {
                AlternativeName::Dns(name) => Some(name),
                _ => None,
            });
            match files.names.as_slice() {
                [] => own.for_each(|name| by_name.add(name, &key)),
                names => names.iter().for_each(|name| by_name.add(name, &key)),
            }
        }
        by_name.ok_or_else(|| FileError::new(Path::new("TLS"), "needs a certificate"))
    }

    fn own_certificate(
        &mut self,
        files: &CertificateFiles,
    ) -> Result<(Arc<CertifiedKey>, Certificate), FileError> {
        let CertificateFiles { chain, key, .. } = files;
        let certificates = files::certificates(chain, &self.read(chain)?)?;
        let private = files::key(key, &self.read(key)?)?;
        let certificate = certificate::read(&certificates).map_err(|error| {
            FileError::new(chain, format!("has a certificate that is not understood: {error}"))
        })?;
        let certified = CertifiedKey::from_der(certificates, private, &self.provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => FileError::new(
                key,
                format!("is not the key of {}; give the two that belong together, the listener's own certificate first", chain.display()),
            ),
            error => FileError::new(key, format!("has a key that cannot be used: {error}")),
        })?;
        if files::is_open_to_all(key) {
            self.warnings
                .push(format!("{} may be read by everybody on this machine: chmod 600", key.display()));
        }
        self.certificates.push(CertificateStatus {
            file: chain.clone(),
            subject: certificate.subject.clone(),
            fingerprint: certificate.fingerprint_text(),
            not_after: certificate.not_after,
        });
        Ok((Arc::new(certified), certificate))
    }

    fn verifier(&mut self, clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
        let mut roots = RootCertStore::empty();
        for file in &clients.authorities {
            for authority in files::certificates(file, &self.read(file)?)? {
                roots.add(authority).map_err(|error| {
                    FileError::new(file, format!("has an authority that cannot be used: {error}"))
                })?;
            }
        }
        let mut revoked = Vec::new();
        for file in &clients.revoked {
            revoked.extend(files::revoked(file, &self.read(file)?)?);
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .with_crls(revoked)
            .only_check_end_entity_revocation();
        if clients.expired_list == ExpiredList::Refuse {
            builder = builder.enforce_revocation_expiration();
        }
        if clients.need == Need::Optional {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map_err(|error| {
            let file = clients.revoked.first().or(clients.authorities.first());
            FileError::new(
                file.map_or(Path::new("client-ca"), |file| file),
                format!("cannot be used: {error}"),
            )
        })
    }
}
