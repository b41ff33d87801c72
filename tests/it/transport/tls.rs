//! TLS: versions, names, certificates of clients, and files that change.

use rustls::version::{TLS12, TLS13};
use tidegate::hook::What;
use tidegate::packet::ReasonCode;
use tidegate::peer::{AlternativeName, CertificateField, Known, Transport};
use tidegate::server::{ListenerOptions, Server, StartError};
use tidegate::transport::tls::{
    CertificateFiles, ClientCertificates, ExpiredList, Need, TlsOptions, TlsVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Folder;
use super::authority::{Authority, Issued, try_connect, write};
use crate::support::*;

/// A listener with a certificate for `broker.example` in a folder.
struct Fixture {
    folder: Folder,
    authority: Authority,
    options: TlsOptions,
}

impl Fixture {
    fn new() -> Fixture {
        let (folder, authority) = (Folder::new(), Authority::new("Servers"));
        let (chain, key) = authority.issue("broker", &["broker.example"]).write(&folder, "server");
        Fixture { folder, authority, options: TlsOptions::new(chain, key) }
    }

    /// Asks clients for certificates of this authority.
    fn asking(mut self, clients: &Authority, need: Need) -> Fixture {
        let file = self.folder.path("clients.pem");
        write(&file, &clients.pem);
        self.options.client_certificates =
            Some(ClientCertificates { need, ..ClientCertificates::required(vec![file]) });
        self
    }

    fn listener(&self) -> ListenerOptions {
        let mut listener = ListenerOptions::loopback(0);
        listener.transport.tls = Some(self.options.clone());
        listener
    }

    async fn start(&self) -> Server {
        Server::builder().workers(2).listener(self.listener()).start().await.unwrap()
    }

    async fn connect(&self, server: &Server, own: Option<&Issued>) -> std::io::Result<Client> {
        let connector = self.authority.client(own, &[&TLS13]);
        let stream = try_connect(&connector, server.addresses()[0], "broker.example").await?;
        let mut client = Client::over(stream, V5);
        let connect = connect(V5, &format!("client-{}", fastrand::u32(..)));
        // In TLS 1.3 a client hears of what is wrong with its certificate when it reads.
        client.send(tidegate::packet::Packet::Connect(Box::new(connect))).await;
        match client.receive_or_end().await {
            Some(_) => Ok(client),
            None => Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

#[tokio::test]
async fn clients_of_either_version_publish_and_subscribe_through_tls() {
    let fixture = Fixture::new();
    let script = Script::default().shared();
    let server = Server::builder().workers(2).hooks(script.clone()).listener(fixture.listener());
    let server = server.start().await.unwrap();
    for version in [&TLS12, &TLS13] {
        let connector = fixture.authority.client(None, &[version]);
        let stream = try_connect(&connector, server.addresses()[0], "broker.example").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"mqtt"[..]));
        let mut client = Client::over(stream, V5);
        client.handshake(connect(V5, "a")).await;
        client.subscribe("t", QOS2).await;
        // Larger than a record, and than what TLS buffers.
        let payload = "x".repeat(300_000);
        client.publish("t", &payload, QOS1).await;
        assert_eq!(text(&client.next_publish().await), payload);
        client.disconnect().await;
    }
    let is_known = |what: &What| match what {
        What::ClientConnected { client, .. } => {
            let Some(Known { tls: Some(tls), certificate: None, .. }) = client.known() else { return false };
            assert_eq!(client.listener.transport, Transport::Tls);
            assert_eq!(tls.server_name.as_deref(), Some("broker.example"));
            assert_eq!(tls.protocol.as_deref(), Some("mqtt"));
            assert!(client.remote_address().unwrap().ip().is_loopback());
            tls.version == "TLSv1.3" && tls.cipher.starts_with("TLS13_AES")
        }
        _ => false,
    };
    until(|| script.saw(is_known)).await;
}

#[tokio::test]
async fn an_old_version_is_refused_where_a_newer_one_is_the_least() {
    let mut fixture = Fixture::new();
    fixture.options.minimum_version = TlsVersion::V1_3;
    let server = fixture.start().await;
    let old = fixture.authority.client(None, &[&TLS12]);
    assert!(try_connect(&old, server.addresses()[0], "broker.example").await.is_err());
    until(|| server.statistics().refused_tls == 1).await;
    fixture.connect(&server, None).await.unwrap();
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let mut fixture = Fixture::new();
    for (file, names, given) in [
        ("second", vec!["second.example", "*.wild.example"], vec![]),
        ("third", vec!["x.example"], vec!["third.example"]),
    ] {
        let (chain, key) = fixture.authority.issue(file, &names).write(&fixture.folder, file);
        let names = given.into_iter().map(str::to_owned).collect();
        fixture.options.certificates.push(CertificateFiles { chain, key, names });
    }
    let server = fixture.start().await;
    let connector = fixture.authority.client(None, &[&TLS13]);
    for (name, is_right) in [
        ("broker.example", true),
        ("second.example", true),
        ("SECOND.example", true),
        ("a.wild.example", true),
        // Its certificate is for another name.
        ("third.example", false),
        // Those that nobody has get the first.
        ("x.example", false),
        ("a.b.wild.example", false),
    ] {
        let connected = try_connect(&connector, server.addresses()[0], name).await;
        assert_eq!(connected.is_ok(), is_right, "{name}");
    }
}

#[tokio::test]
async fn a_client_needs_a_certificate_of_the_authority_that_is_asked_for() {
    let (clients, strangers) = (Authority::new("Clients"), Authority::new("Strangers"));
    let fixture = Fixture::new().asking(&clients, Need::Required);
    let server = fixture.start().await;
    assert!(fixture.connect(&server, None).await.is_err());
    assert!(fixture.connect(&server, Some(&strangers.issue("a", &[]))).await.is_err());
    let over = clients.issue_with("a", &[], |params| params.not_after = rcgen::date_time_ymd(2024, 1, 1));
    assert!(fixture.connect(&server, Some(&over)).await.is_err());
    until(|| server.statistics().refused_certificate == 3).await;
    fixture.connect(&server, Some(&clients.issue("a", &[]))).await.unwrap();
    let optional = Fixture::new().asking(&clients, Need::Optional);
    let server = optional.start().await;
    optional.connect(&server, None).await.unwrap();
    assert!(optional.connect(&server, Some(&strangers.issue("a", &[]))).await.is_err());
}

#[tokio::test]
async fn a_verified_certificate_names_its_client_and_lets_it_in() {
    let clients = Authority::new("Clients");
    let fixture = Fixture::new().asking(&clients, Need::Optional);
    let script = Script::default().shared();
    let listener = ListenerOptions {
        anonymous: false,
        user_name_from: Some(CertificateField::CommonName),
        ..fixture.listener()
    };
    let server = Server::builder().hooks(script.clone()).listener(listener).start().await.unwrap();
    let own = clients.issue("device-7", &["device-7.example", "127.0.0.1"]);
    let connector = fixture.authority.client(Some(&own), &[&TLS12]);
    let stream = try_connect(&connector, server.addresses()[0], "broker.example").await.unwrap();
    let mut client = Client::over(stream, V5);
    let said = tidegate::packet::Connect { user_name: Some("somebody else".into()), ..connect(V5, "c") };
    assert_eq!(client.handshake(said).await.reason_code, ReasonCode::SUCCESS);
    let is_seen = |what: &What| match what {
        What::ClientConnected { client, .. } => {
            let certificate = client.certificate().unwrap();
            assert_eq!(client.user_name.as_deref(), Some("device-7"));
            assert_eq!(certificate.subject, "CN=device-7,O=Example");
            assert_eq!(certificate.issuer, "CN=Clients");
            let names = &certificate.alternative_names;
            assert!(names.contains(&AlternativeName::Dns("device-7.example".into())), "{names:?}");
            assert!(names.contains(&AlternativeName::Ip([127, 0, 0, 1].into())), "{names:?}");
            let serial: String = own.serial.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(certificate.serial, serial.trim_start_matches('0'));
            assert_eq!((certificate.fingerprint_text().len(), certificate.chain.len()), (64, 1));
            true
        }
        _ => false,
    };
    until(|| script.saw(is_seen)).await;
    // Who has none is anonymous, which the listener does not let in.
    let connector = fixture.authority.client(None, &[&TLS13]);
    let stream = try_connect(&connector, server.addresses()[0], "broker.example").await.unwrap();
    let refused = Client::over(stream, V5).handshake(connect(V5, "d")).await;
    assert_eq!(refused.reason_code, ReasonCode::NOT_AUTHORIZED);
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_once_the_list_is_there() {
    let clients = Authority::new("Clients");
    let (good, bad) = (clients.issue("good", &[]), clients.issue("bad", &[]));
    let mut fixture = Fixture::new().asking(&clients, Need::Required);
    let list = fixture.folder.path("clients.crl");
    write(&list, &clients.revoke(&[], 2100));
    fixture.options.client_certificates.as_mut().unwrap().revoked = vec![list.clone()];
    let server = fixture.start().await;
    let mut connected = fixture.connect(&server, Some(&bad)).await.unwrap();
    write(&list, &clients.revoke(&[&bad], 2100));
    server.reload_certificates();
    assert!(fixture.connect(&server, Some(&bad)).await.is_err());
    fixture.connect(&server, Some(&good)).await.unwrap();
    // Nobody is dropped.
    connected.ping().await;
    // Nobody knows what was revoked since the list has expired.
    write(&list, &clients.revoke(&[&bad], 2025));
    server.reload_certificates();
    assert!(fixture.connect(&server, Some(&good)).await.is_err());
    let mut lenient = fixture.listener();
    let tls = lenient.transport.tls.as_mut().unwrap();
    tls.client_certificates.as_mut().unwrap().expired_list = ExpiredList::Accept;
    assert!(server.change_listener(&lenient).unwrap());
    fixture.connect(&server, Some(&good)).await.unwrap();
    assert!(fixture.connect(&server, Some(&bad)).await.is_err());
}

#[tokio::test]
async fn new_certificates_are_used_by_new_handshakes_and_a_broken_one_by_none() {
    let fixture = Fixture::new();
    let server = fixture.start().await;
    let mut before = fixture.connect(&server, None).await.unwrap();
    let first = server.doors().certificates()[0].certificate.fingerprint.clone();
    let next = fixture.authority.issue("renewed", &["broker.example"]);
    let files = &fixture.options.certificates[0];
    // Between the two files nothing fits.
    write(&files.chain, &next.pem);
    server.reload_certificates();
    for broken in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "nonsense"] {
        write(&files.chain, broken);
        server.reload_certificates();
    }
    std::fs::remove_file(&files.chain).unwrap();
    server.reload_certificates();
    let statistics = server.statistics();
    assert_eq!((statistics.certificate_reloads, statistics.certificate_reloads_failed), (0, 5));
    assert_eq!(server.doors().certificates()[0].certificate.fingerprint, first);
    fixture.connect(&server, None).await.unwrap();
    next.write(&fixture.folder, "server");
    server.reload_certificates();
    server.reload_certificates();
    assert_eq!(server.statistics().certificate_reloads, 1);
    let certificate = &server.doors().certificates()[0].certificate;
    assert_eq!(certificate.subject, "CN=renewed,O=Example");
    fixture.connect(&server, None).await.unwrap();
    before.ping().await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_at_the_start() {
    let fixture = Fixture::new();
    let files = fixture.options.certificates[0].clone();
    let (_, other) = fixture.authority.issue("other", &[]).write(&fixture.folder, "other");
    let missing = fixture.folder.path("missing.pem");
    for (chain, key, said) in [
        (&missing, &files.key, "does not exist"),
        (&files.key, &files.key, "has no certificate"),
        (&files.chain, &files.chain, "no private key"),
        (&files.chain, &other, "is not the key of"),
    ] {
        let mut listener = ListenerOptions::loopback(0);
        listener.transport.tls = Some(TlsOptions::new(chain, key));
        match Server::builder().listener(listener).start().await {
            Err(error @ StartError::Transport { .. }) => {
                assert!(error.to_string().contains(said), "{error}");
            }
            _ => panic!("it started, in place of: {said}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_tls_is_refused_and_counted() {
    let fixture = Fixture::new();
    let server = fixture.start().await;
    let plain = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03abc";
    for bytes in
        [&plain[..], b"GET / HTTP/1.1\r\n\r\n", &[0xFF; 600], b"\x16\x03\x01\x00\x05\x01\xFF\xFF\xFF\xFF"]
    {
        let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = within(stream.read_to_end(&mut rest)).await;
        assert!(rest.len() < 16, "an alert at most");
    }
    until(|| {
        let statistics = server.statistics();
        statistics.refused_tls + statistics.refused_gone == 4 && statistics.connections_refused == 4
    })
    .await;
    assert!(server.statistics().refused_tls >= 3);
    fixture.connect(&server, None).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_rest_when_it_does() {
    // Bytes that TLS has taken and the socket has not are sent on without a further write.
    let fixture = Fixture::new();
    let server = fixture.start().await;
    let mut slow = fixture.connect(&server, None).await.unwrap();
    slow.subscribe("t", QOS0).await;
    let mut publisher = fixture.connect(&server, None).await.unwrap();
    let payload = "y".repeat(100_000);
    for _ in 0..50 {
        publisher.publish("t", &payload, QOS1).await;
    }
    for _ in 0..50 {
        assert_eq!(slow.next_publish().await.payload.len(), payload.len());
    }
}
