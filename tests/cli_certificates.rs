//! A configuration that changes while a file that it names is broken.
#![cfg(all(feature = "daemon", feature = "tls"))]

#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;

use std::sync::Arc;

use cli_support::{Daemon, Folder, RawClient, run};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

const TLS: &str = "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
                   [[listener.certificate]]\nchain = \"server.pem\"\nkey = \"server.key\"\n";
const OTHER: &str = "[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:0\"\nanonymous = true\n";

/// Whether a client that trusts this certificate comes through.
fn is_served(port: u16, certificate: &rcgen::Certificate) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    while connection.is_handshaking() {
        if connection.complete_io(&mut socket).is_err() {
            return false;
        }
    }
    true
}

#[test]
fn a_broken_certificate_keeps_nothing_else_of_a_new_configuration_back() {
    // The whole file was refused for it, and so was a limit that an operator needed at once.
    let folder = Folder::new("certificates");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("server.pem", &certified.cert.pem());
    folder.write("server.key", &certified.signing_key.serialize_pem());
    let config = folder.write("t.toml", TLS);
    let mut daemon = Daemon::start(&["--config", &config]);
    folder.write("server.pem", "nothing of the kind");
    daemon.wait_for("what was before stays in use");
    daemon.wait_for("is taken over, but for the certificates named above");
    assert_eq!(daemon.log().matches("what was before stays in use").count(), 1, "{}", daemon.log());

    // With another limit for the listener with the broken file, and a further listener.
    let limited = TLS.replace("[[listener.cert", "maximum-connections = 7\n[[listener.cert");
    folder.write("t.toml", &format!("{limited}{OTHER}"));
    daemon.wait_for("listener=\"other\"");
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains("listener=\"other\"")).expect(&log);
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    RawClient::connect(port.parse().unwrap(), "somebody");
    assert!(is_served(daemon.port, &certified.cert));
    assert!(log.contains("server.pem"), "{log}");

    // Another file that is broken is one that nobody used.
    let elsewhere = limited.replace("server.pem", "new.pem");
    folder.write("new.pem", "nothing of the kind");
    folder.write("t.toml", &elsewhere);
    daemon.wait_for("the configuration was not taken over");
    assert!(is_served(daemon.port, &certified.cert));
    // At a start, and for `check`, every file has to be good.
    let checked = run(&["check", "--config", &folder.write("u.toml", TLS)]);
    assert_eq!(checked.code, 64, "{}", checked.out);
    assert!(checked.err.contains("server.pem: has no certificate"), "{}", checked.err);
}
