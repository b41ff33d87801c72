//! Certificates, keys and lists of what is revoked, as they lie in files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A larger file is none of these. Lists of what is revoked can be long.
const LARGEST: u64 = 32 * 1024 * 1024;

/// What is wrong with a file, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct FileError {
    pub file: PathBuf,
    pub problem: String,
}

impl FileError {
    pub(super) fn new(file: &Path, problem: impl Into<String>) -> FileError {
        FileError { file: file.to_owned(), problem: problem.into() }
    }
}

/// The bytes of a file, wiped when they are dropped, since it may be a key.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let unreadable =
        |error: io::Error| {
            FileError::new(file, match error.kind() {
            io::ErrorKind::NotFound => "does not exist; correct the path, or put the file there".into(),
            io::ErrorKind::PermissionDenied => {
                "may not be read by the user that this runs as; change its owner, group or permissions".into()
            }
            _ => format!("cannot be read: {error}"),
        })
        };
    let opened = File::open(file).map_err(unreadable)?;
    let length = opened.metadata().map_err(unreadable)?.len();
    // With room for all of it, so that growing leaves no copy of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(LARGEST) as usize + 1));
    opened.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(FileError::new(file, "is larger than 32 MiB; correct the path"));
    }
    Ok(bytes)
}

/// At least one.
pub(super) fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(FileError::new(
            file,
            "has no certificate: it has to be PEM, with `-----BEGIN CERTIFICATE-----` (DER: openssl x509 -inform DER -in … -out …)",
        )),
        Err(error) => Err(FileError::new(file, format!("is not PEM: {error}"))),
    }
}

pub(super) fn key(file: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(bytes);
        FileError::new(file, if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            "is encrypted, and nobody is there to type its password; write it without one (openssl pkey -in … -out …)"
                .to_owned()
        } else {
            format!("has no private key in PEM: {error}")
        })
    })
}

/// As PEM, or one as DER.
pub(super) fn revoked(
    file: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(FileError::new(file, "has no list of what is revoked (`-----BEGIN X509 CRL-----`)")),
        Err(error) => Err(FileError::new(file, format!("is not PEM: {error}"))),
    }
}

/// Whether anybody on this machine may read it.
#[cfg(unix)]
pub(super) fn is_open_to_all(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn is_open_to_all(_file: &Path) -> bool {
    false
}
