//! Servers that are not the ones that were meant, and what only looks like one.

use tidegate::client::DialError;
use tidegate::transport::tls::{
    CertificateFault, ClientTlsError, Fingerprint, OwnCertificate, TlsVersion, Trust,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::direct::Secure;
use super::*;
use crate::transport::authority::{Authority, Issued, write};

fn fault(error: &DialError) -> CertificateFault {
    match error.cause() {
        Some(ClientTlsError::Certificate { fault, .. }) => *fault,
        _ => panic!("{error}"),
    }
}

/// The fingerprint of the certificate in a PEM file.
fn fingerprint(issued: &Issued) -> Fingerprint {
    use rustls::pki_types::pem::PemObject;
    Fingerprint::of(&rustls::pki_types::CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap())
}

/// The server shows this certificate from now on.
fn shows(mut secure: Secure, issued: &Issued) -> Secure {
    let (chain, key) = issued.write(&secure.folder, "other");
    secure.options = tidegate::transport::tls::TlsOptions::new(chain, key);
    secure
}

fn expired(authority: &Authority) -> Issued {
    authority.issue_with("broker", &["broker.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    })
}

fn of_the_future(authority: &Authority) -> Issued {
    authority.issue_with("broker", &["broker.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    })
}

fn by_another(_: &Authority) -> Issued {
    Authority::new("Others").issue("broker", &["broker.example"])
}

fn by_another_of_that_name(_: &Authority) -> Issued {
    Authority::new("Servers").issue("broker", &["broker.example"])
}

#[tokio::test]
async fn a_certificate_is_refused_for_what_is_wrong_with_it() {
    for (of, wrong) in [
        (expired as fn(&Authority) -> Issued, CertificateFault::Expired),
        (of_the_future, CertificateFault::NotYetValid),
        (|authority| authority.issue("broker", &["other.example"]), CertificateFault::OtherName),
        (by_another, CertificateFault::UnknownAuthority),
        (by_another_of_that_name, CertificateFault::UnknownAuthority),
    ] {
        let secure = Secure::new();
        let issued = of(&secure.authority);
        let secure = shows(secure, &issued);
        let server = secure.start().await;
        let mut dialer = secure.dialer("mqtts://b", &server);
        let error = failed(&dialer).await;
        assert_eq!(fault(&error), wrong, "{error}");
        assert!(error.may_pass(), "a server may get another");

        // Who names the certificate looks at nothing else, and who trusts anybody at nothing.
        for trust in [Trust::Certificates(vec![fingerprint(&issued)]), Trust::Anybody] {
            dialer.tls.as_mut().unwrap().trust = trust;
            carries(&dialer).await;
        }
    }
}

#[tokio::test]
async fn authorities_of_the_machine_do_not_vouch_for_ours() {
    let secure = Secure::new();
    let server = secure.start().await;
    let mut dialer = secure.dialer("mqtts://b", &server);
    dialer.tls.as_mut().unwrap().trust = Trust::System;
    let error = failed(&dialer).await;
    match error.cause() {
        // A machine without any is one too.
        Some(ClientTlsError::NoAuthorities(_)) => {}
        _ => assert_eq!(fault(&error), CertificateFault::UnknownAuthority),
    }
}

#[tokio::test]
async fn another_certificate_than_the_one_that_was_named_is_told_by_its_fingerprint() {
    let secure = Secure::new();
    let (named, shown) =
        (secure.authority.issue("a", &["broker.example"]), secure.authority.issue("b", &["broker.example"]));
    let secure = shows(secure, &shown);
    let server = secure.start().await;
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let mut dialer = secure.dialer("mqtts://b", &server);
        let tls = dialer.tls.as_mut().unwrap();
        tls.minimum_version = version;
        tls.trust = Trust::Certificates(vec![fingerprint(&named)]);
        let error = failed(&dialer).await;
        assert_eq!(fault(&error), CertificateFault::OtherFingerprint);
        assert!(error.to_string().contains(&fingerprint(&shown).to_string()), "{error}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_before_the_first_attempt() {
    let secure = Secure::new();
    let server = secure.start().await;
    let good = secure.dialer("mqtts://b", &server);
    good.check().unwrap();
    write(&secure.folder.path("no.pem"), "nothing");
    let (no, absent) = (secure.folder.path("no.pem"), secure.folder.path("absent.pem"));
    for (trust, own) in [
        (Trust::Authorities(vec![no.clone()]), None),
        (Trust::Authorities(vec![absent.clone()]), None),
        (Trust::Anybody, Some(OwnCertificate { chain: no.clone(), key: no.clone() })),
        (Trust::Anybody, Some(OwnCertificate { chain: secure.folder.path("ca.pem"), key: absent.clone() })),
        (
            Trust::Anybody,
            Some(OwnCertificate {
                chain: secure.folder.path("ca.pem"),
                key: secure.folder.path("server.key"),
            }),
        ),
    ] {
        let mut dialer = good.clone();
        let tls = dialer.tls.as_mut().unwrap();
        (tls.trust, tls.own_certificate) = (trust, own);
        let error = dialer.check().unwrap_err();
        assert!(!error.may_pass(), "{error}");
        // A file may be written again.
        assert!(failed(&dialer).await.may_pass());
    }
    let mut nameless = good;
    nameless.tls.as_mut().unwrap().server_name = Some("a name".into());
    assert!(!failed(&nameless).await.may_pass());
}

#[tokio::test]
async fn what_is_no_tls_ends_the_handshake() {
    for answer in [&b"\x20\x02\x00\x00"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0xFF; 100_000], b""] {
        let (listener, address) = listen().await;
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            // The rest of it may meet a client that has gone.
            let _ = socket.write_all(answer).await;
            let _ = socket.shutdown().await;
            while socket.read(&mut [0; 1024]).await.is_ok_and(|len| len > 0) {}
        });
        let mut dialer = at("mqtts://b", address);
        dialer.tls.as_mut().unwrap().trust = Trust::Anybody;
        let error = failed(&dialer).await;
        match error.cause() {
            Some(ClientTlsError::Gone) => assert_eq!(answer, b""),
            Some(ClientTlsError::NoTls | ClientTlsError::Handshake(_)) => assert_ne!(answer, b""),
            _ => panic!("{error}"),
        }
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_never_answers_a_handshake_is_given_up() {
    let (listener, address) = listen().await;
    for uri in ["mqtts://b", "ws://b", "wss://b"] {
        #[cfg(not(feature = "websocket"))]
        if uri.starts_with("ws") {
            continue;
        }
        let mut dialer = impatient(at(uri, address));
        if let Some(tls) = &mut dialer.tls {
            tls.trust = Trust::Anybody;
        }
        let (error, accepted) = tokio::join!(failed(&dialer), listener.accept());
        assert!(matches!(error, DialError::TimedOut { .. }), "{error}");
        assert!(error.may_pass());
        drop(accepted);
    }
}
