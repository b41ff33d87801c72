//! What stands in certificates.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::der::{self, Decode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::peer::{AlternativeName, Certificate};

/// The first of a chain.
pub(super) fn read(chain: &[CertificateDer<'_>]) -> der::Result<Certificate> {
    let own = chain.first().ok_or(der::ErrorKind::Failed)?;
    let parsed = x509_cert::Certificate::from_der(own)?;
    let parsed = parsed.tbs_certificate();
    let names = parsed.get_extension::<SubjectAltName>()?.map(|(_, names)| names.0).unwrap_or_default();
    Ok(Certificate {
        subject: parsed.subject().to_string(),
        common_name: parsed.subject().common_name()?.map(|name| name.value().into_owned()),
        issuer: parsed.issuer().to_string(),
        alternative_names: names.iter().filter_map(alternative_name).collect(),
        fingerprint: Sha256::digest(own).into(),
        serial: hexadecimal(parsed.serial_number().as_bytes()),
        not_after: parsed.validity().not_after.to_unix_duration().as_secs() as i64,
        chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
    })
}

fn alternative_name(name: &GeneralName) -> Option<AlternativeName> {
    Some(match name {
        GeneralName::DnsName(name) => AlternativeName::Dns(name.to_string()),
        GeneralName::Rfc822Name(name) => AlternativeName::Email(name.to_string()),
        GeneralName::UniformResourceIdentifier(name) => AlternativeName::Uri(name.to_string()),
        GeneralName::IpAddress(address) => AlternativeName::Ip(ip(address.as_bytes())?),
        _ => return None,
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Without leading zeros.
fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() { "0".into() } else { significant.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_has_no_leading_zeros() {
        assert_eq!(hexadecimal(&[0, 0x0A, 0xBC]), "abc");
        assert_eq!(hexadecimal(&[0]), "0");
    }

    #[test]
    fn an_address_of_neither_family_is_none() {
        assert_eq!(ip(&[127, 0, 0, 1]), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(ip(&[1, 2, 3]), None);
    }
}
