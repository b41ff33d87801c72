//! The keys of a listener that are about TLS.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::super::section::{Entry, Section};
use crate::peer::CertificateField;
use crate::transport::tls::{
    CertificateFiles, ClientCertificates, ExpiredList, Need, Protocol, TlsDoor, TlsOptions, TlsVersion,
};

const NAMES: [(&str, CertificateField); 4] = [
    ("certificate-common-name", CertificateField::CommonName),
    ("certificate-subject", CertificateField::Subject),
    ("certificate-san", CertificateField::AlternativeName),
    ("certificate-fingerprint", CertificateField::Fingerprint),
];

/// Where each file is named, so that what is wrong with it is told there.
pub(super) type Named = Vec<(PathBuf, Range<usize>, String)>;

/// What the keys of a listener say; None where it has no certificate.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    folder: &Path,
) -> (Option<TlsOptions>, Named, Option<CertificateField>) {
    let mut named = Named::new();
    let certificates = section.get("certificate").map(|entry| {
        let sections = entry.sections("listener.certificate");
        sections.into_iter().filter_map(|section| read_certificate(section, folder, &mut named)).collect()
    });
    let certificates: Option<Vec<CertificateFiles>> = certificates;
    let version = section.get("tls-minimum-version");
    let authorities = section.get("client-ca");
    let need = section.get("client-certificate");
    let revoked = section.get("client-crl");
    let expired = section.get("expired-crl");
    let user_name_from = section.get("user-name-from");
    if certificates.is_none() {
        let keys = [&version, &authorities, &need, &revoked, &expired, &user_name_from];
        for key in keys.into_iter().flatten() {
            key.problem::<()>("is used with TLS only: add a [[listener.certificate]], or remove it");
        }
    }
    if authorities.is_none() && certificates.is_some() {
        for key in [&need, &revoked, &expired, &user_name_from].into_iter().flatten() {
            key.problem::<()>(
                "is used with `client-ca` only: name who signs the certificates of clients, or remove it",
            );
        }
    }
    let client_certificates = authorities.map(|entry| ClientCertificates {
        authorities: paths(&entry, folder, &mut named),
        need: choice(need.as_ref(), &[("required", Need::Required), ("optional", Need::Optional)]),
        revoked: revoked.map(|entry| paths(&entry, folder, &mut named)).unwrap_or_default(),
        expired_list: choice(
            expired.as_ref(),
            &[("refuse", ExpiredList::Refuse), ("accept", ExpiredList::Accept)],
        ),
    });
    let minimum_version = choice(version.as_ref(), &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]);
    let user_name_from = user_name_from.and_then(|entry| entry.choice(&NAMES));
    let tls =
        certificates.map(|certificates| TlsOptions { certificates, minimum_version, client_certificates });
    (tls, named, user_name_from)
}

fn read_certificate(
    mut section: Section<'_, '_>,
    folder: &Path,
    named: &mut Named,
) -> Option<CertificateFiles> {
    let chain =
        section.require("chain", "name the PEM file with the certificate and those that lead to a known one");
    let key = section.require("key", "name the PEM file with its private key");
    let mut names = Vec::new();
    section.set("names", &mut names, read_names);
    section.finish();
    let mut path = |entry: Option<Entry<'_, '_>>| path(&entry?, folder, named);
    let (chain, key) = (path(chain), path(key));
    Some(CertificateFiles { chain: chain?, key: key?, names })
}

fn read_names(entry: &Entry<'_, '_>) -> Option<Vec<String>> {
    let read_one = |entry: &Entry<'_, '_>| {
        let name = entry.text()?;
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if plain.is_empty() || plain.starts_with('.') || !plain.bytes().all(is_name) {
            return entry
                .problem("is no host name; write one such as \"mqtt.example.com\" or \"*.example.com\"");
        }
        Some(name.to_owned())
    };
    entry.list()?.iter().map(read_one).collect()
}

/// One path, or a list of them. Relative ones are from the file's folder.
fn paths(entry: &Entry<'_, '_>, folder: &Path, named: &mut Named) -> Vec<PathBuf> {
    if entry.value().as_str().is_some() {
        return path(entry, folder, named).into_iter().collect();
    }
    let entries = entry.list().unwrap_or_default();
    if entries.is_empty() {
        entry.problem::<()>("names no file; name at least one, or remove it");
    }
    entries.iter().filter_map(|entry| path(entry, folder, named)).collect()
}

fn path(entry: &Entry<'_, '_>, folder: &Path, named: &mut Named) -> Option<PathBuf> {
    let path = folder.join(entry.text()?);
    named.push((path.clone(), entry.span(), entry.key().to_owned()));
    Some(path)
}

fn choice<T: Copy + Default>(entry: Option<&Entry<'_, '_>>, choices: &[(&str, T)]) -> T {
    entry.and_then(|entry| entry.choice(choices)).unwrap_or_default()
}

/// Reads the files as a listener would.
pub(super) fn try_files(tls: &TlsOptions, protocol: Protocol, named: &Named, section: &Section<'_, '_>) {
    let Err(error) = TlsDoor::new(tls, protocol) else { return };
    match named.iter().find(|(file, ..)| *file == error.file) {
        Some((_, span, key)) => section.problems().add(span, key, error.to_string()),
        None => section.problems().add(&section.span(), "listener.certificate", error.to_string()),
    }
}
