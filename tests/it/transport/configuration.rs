//! What a configuration says of listeners, and what is said of what is wrong with it.

use std::path::Path;

use tidegate::config::{Config, Listener};
use tidegate::peer::{CertificateField, Transport};
use tidegate::transport::ListenAddress;
use tidegate::transport::proxy::Others;
use tidegate::transport::tls::{ExpiredList, Need, TlsVersion};
use tidegate::transport::websocket::Origins;

use super::Folder;
use super::authority::{Authority, write};

/// A folder with a certificate, an authority of clients and its list.
fn folder() -> Folder {
    let (folder, authority) = (Folder::new(), Authority::new("Example"));
    authority.issue("broker", &["broker.example"]).write(&folder, "server");
    authority.issue("other", &["other.example"]).write(&folder, "other");
    write(&folder.path("ca.pem"), &authority.pem);
    write(&folder.path("ca.crl"), &authority.revoke(&[], 2100));
    folder
}

fn parse(folder: &Folder, keys: &str) -> Result<Vec<Listener>, String> {
    let text = format!("[[listener]]\nname = \"a\"\n{keys}");
    let file = folder.path("t.toml");
    Config::parse(&file, &text).map(|config| config.listeners).map_err(|report| report.to_string())
}

fn one(folder: &Folder, keys: &str) -> Listener {
    parse(folder, keys).unwrap_or_else(|report| panic!("{report}")).remove(0)
}

const CERTIFICATE: &str = "[[listener.certificate]]\nchain = \"server.pem\"\nkey = \"server.key\"\n";

#[test]
fn every_key_of_tls_reaches_its_option() {
    let folder = folder();
    let listener = one(
        &folder,
        &format!(
            "address = \"127.0.0.1:8883\"\nclient-ca = [\"ca.pem\"]\nclient-certificate = \"optional\"\n\
             client-crl = \"ca.crl\"\nexpired-crl = \"accept\"\nuser-name-from = \"certificate-san\"\n\
             tls-minimum-version = \"1.3\"\n{CERTIFICATE}[[listener.certificate]]\nchain = \"other.pem\"\n\
             key = \"other.key\"\nnames = [\"*.example.com\"]\n"
        ),
    );
    let tls = listener.transport.tls.as_ref().unwrap();
    assert_eq!((tls.certificates.len(), tls.minimum_version), (2, TlsVersion::V1_3));
    assert_eq!(tls.certificates[0].chain, folder.path("server.pem"));
    assert_eq!(tls.certificates[1].names, ["*.example.com"]);
    let clients = tls.client_certificates.as_ref().unwrap();
    assert_eq!((clients.need, clients.expired_list), (Need::Optional, ExpiredList::Accept));
    assert_eq!(
        (&clients.authorities[..], &clients.revoked[..]),
        (&[folder.path("ca.pem")][..], &[folder.path("ca.crl")][..])
    );
    assert_eq!(listener.user_name_from, Some(CertificateField::AlternativeName));
    assert_eq!(listener.transport.transport(false), Transport::Tls);
}

#[test]
fn every_key_of_the_other_transports_reaches_its_option() {
    let folder = folder();
    let listener = one(
        &folder,
        "address = \"127.0.0.1:8083\"\nwebsocket = true\nwebsocket-path = \"/\"\nwebsocket-origins = [\"https://a.example\"]\n\
         proxy-protocol-from = [\"10.0.0.0/8\", \"::1\"]\nproxy-protocol-others = \"direct\"\n",
    );
    let web_socket = listener.transport.web_socket.as_ref().unwrap();
    assert_eq!(web_socket.path, "/");
    assert_eq!(web_socket.origins, Origins::Listed(vec!["https://a.example".into()]));
    let proxy = listener.transport.proxy.as_ref().unwrap();
    assert_eq!((proxy.trusted.len(), proxy.others), (2, Others::Direct));
    let any = one(&folder, "address = \"127.0.0.1:8083\"\nwebsocket = true\nwebsocket-origins = [\"*\"]\n");
    assert_eq!(any.transport.web_socket.unwrap().origins, Origins::Any);
    let local = one(
        &folder,
        "address = \"unix:mqtt.sock\"\nunix-mode = \"0660\"\nunix-user = \"root\"\nunix-group = \"7\"\n",
    );
    assert_eq!(local.address, ListenAddress::Unix(folder.path("mqtt.sock")));
    let unix = local.transport.unix;
    assert_eq!((unix.mode, unix.user, unix.group), (0o660, Some(0), Some(7)));
}

#[test]
fn what_is_wrong_with_a_listener_is_told_at_its_key() {
    let folder = folder();
    write(&folder.path("text.pem"), "no PEM");
    for (keys, said) in [
        ("address = \"unix:\"\n".to_owned(), "listener.address: has no path"),
        (
            "address = \"1.2.3.4:1\"\nunix-mode = \"0660\"\n".into(),
            "listener.unix-mode: is used with an address such as",
        ),
        ("address = \"unix:a\"\nunix-mode = \"0999\"\n".into(), "listener.unix-mode: is no mode"),
        ("address = \"unix:a\"\nunix-user = \"no such user\"\n".into(), "listener.unix-user: is no user"),
        ("address = \"unix:a\"\nunix-group = \"no such group\"\n".into(), "listener.unix-group: is no group"),
        (
            "address = \"1.2.3.4:1\"\nclient-ca = \"ca.pem\"\n".into(),
            "listener.client-ca: is used with TLS only",
        ),
        (
            "address = \"1.2.3.4:1\"\nwebsocket-path = \"/a\"\n".into(),
            "listener.websocket-path: is used with `websocket = true` only",
        ),
        (
            "address = \"1.2.3.4:1\"\nwebsocket = true\nwebsocket-path = \"a\"\n".into(),
            "listener.websocket-path: is no path",
        ),
        (
            "address = \"1.2.3.4:1\"\nwebsocket = true\nwebsocket-origins = [\"a\"]\n".into(),
            "listener.websocket-origins: is no Origin",
        ),
        (
            "address = \"1.2.3.4:1\"\nproxy-protocol-from = []\n".into(),
            "listener.proxy-protocol-from: names no proxy",
        ),
        (
            "address = \"1.2.3.4:1\"\nproxy-protocol-from = [\"a\"]\n".into(),
            "listener.proxy-protocol-from: is neither an IP address",
        ),
        (
            "address = \"1.2.3.4:1\"\nproxy-protocol-others = \"direct\"\n".into(),
            "listener.proxy-protocol-others: is used with",
        ),
        (
            format!("address = \"1.2.3.4:1\"\nuser-name-from = \"certificate-san\"\n{CERTIFICATE}"),
            "listener.user-name-from: is used with `client-ca` only",
        ),
        (
            format!("address = \"1.2.3.4:1\"\ntls-minimum-version = \"1.1\"\n{CERTIFICATE}"),
            "listener.tls-minimum-version: `1.1` is not possible",
        ),
        (format!("address = \"1.2.3.4:1\"\nclient-ca = \"text.pem\"\n{CERTIFICATE}"), "listener.client-ca: "),
        (
            format!("address = \"1.2.3.4:1\"\nclient-ca = []\n{CERTIFICATE}"),
            "listener.client-ca: names no file",
        ),
        (
            format!("address = \"1.2.3.4:1\"\n{}", CERTIFICATE.replace("server.pem", "none.pem")),
            "none.pem: does not exist",
        ),
        (
            format!("address = \"1.2.3.4:1\"\n{}", CERTIFICATE.replace("server.key", "other.key")),
            "other.key: is not the key of",
        ),
        (
            "address = \"1.2.3.4:1\"\n[[listener.certificate]]\nchain = \"server.pem\"\n".into(),
            "listener.certificate.key: is missing",
        ),
        (
            format!("address = \"1.2.3.4:1\"\n{CERTIFICATE}names = [\"a b\"]\n"),
            "listener.certificate.names: is no host name",
        ),
    ] {
        let report = parse(&folder, &keys).expect_err(said);
        assert!(report.contains(said), "{said}\n{report}");
    }
}

#[test]
fn the_listeners_of_the_sample_are_possible() {
    // What stands in its comments is tried too, with files that are there.
    let folder = folder();
    let sample = include_str!("../../../examples/config/tidegate.toml");
    let begin = sample.find("# [[listener]]\n# name = \"tls\"").expect("the sample shows TLS");
    let shown = &sample[begin..sample[begin..].find("\n[").map_or(sample.len(), |end| begin + end)];
    let text: String = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let text = text
        .replace("/etc/tidegate/", "")
        .replace("second.pem", "other.pem")
        .replace("second.key", "other.key")
        .replace("clients.pem", "ca.pem")
        .replace("clients.crl", "ca.crl")
        .replace("cloud.pem", "ca.pem")
        .replace("edge.pem", "other.pem")
        .replace("edge.key", "other.key")
        .replace("unix-user = \"mqtt\"", "unix-user = \"0\"")
        .replace("unix-group = \"mqtt\"", "unix-group = \"0\"");
    std::fs::write(folder.path("cloud.password"), "secret").unwrap();
    let config =
        Config::parse(&folder.path("t.toml"), &text).unwrap_or_else(|report| panic!("{report}\n{text}"));
    assert!(config.listeners.len() >= 3, "{text}");
    assert!(config.file.is_some_and(|file| file.parent() == Some(Path::new(&folder.0))));
}
