//! The PROXY protocol.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::What;
use tidegate::server::{ListenerOptions, Server};
use tidegate::transport::proxy::{Others, ProxyOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

fn listener(trusted: &[&str]) -> ListenerOptions {
    let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
    let mut listener = ListenerOptions::loopback(0);
    listener.transport.proxy = Some(ProxyOptions::from_networks(trusted));
    listener
}

async fn start(listener: ListenerOptions, script: &std::sync::Arc<Script>) -> Server {
    Server::builder().workers(2).hooks(script.clone()).listener(listener).start().await.unwrap()
}

/// A client behind these bytes.
async fn through(server: &Server, header: &[u8]) -> Client {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    stream.write_all(header).await.unwrap();
    Client::over(stream, V5)
}

async fn is_closed(server: &Server, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{rest:02x?}");
}

const VERSION_1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 1883\r\n";

/// Of version 2, from 192.0.2.8, with the name that was asked for in TLS.
const VERSION_2: &[u8] =
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x12\xC0\x00\x02\x08\xC0\x00\x02\x01\xC3\x50\x07\x5B\x02\x00\x03a.b";

#[tokio::test]
async fn hooks_see_the_address_of_the_client_and_what_the_proxy_said() {
    let script = Script::default().shared();
    let server = start(listener(&["127.0.0.0/8", "::1"]), &script).await;
    for (header, source, fields) in
        [(VERSION_1, "192.0.2.7:50000", vec![]), (VERSION_2, "192.0.2.8:50000", vec![(2u8, b"a.b".to_vec())])]
    {
        let mut client = through(&server, header).await;
        client.handshake(connect(V5, source)).await;
        client.ping().await;
        let is_seen = |what: &What| match what {
            What::ClientConnected { client, .. } if &*client.client_identifier == source => {
                let proxy = client.known().and_then(|known| known.proxy.as_ref()).unwrap();
                assert_eq!(client.remote_address(), Some(source.parse::<SocketAddr>().unwrap()));
                assert_eq!(proxy.destination, Some("192.0.2.1:1883".parse().unwrap()));
                assert!(proxy.address.unwrap().ip().is_loopback());
                assert_eq!(proxy.fields, fields);
                true
            }
            _ => false,
        };
        until(|| script.saw(is_seen)).await;
    }
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_served_under_its_own_address() {
    let script = Script::default().shared();
    let server = start(listener(&["127.0.0.1"]), &script).await;
    for (name, header) in
        [("unknown", &b"PROXY UNKNOWN\r\n"[..]), ("local", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")]
    {
        through(&server, header).await.handshake(connect(V5, name)).await;
        until(|| {
            script.saw(|what| {
                matches!(what, What::ClientConnected { client, .. }
                    if &*client.client_identifier == name && client.remote_address().unwrap().ip().is_loopback())
            })
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_refused_or_served_as_it_is() {
    let script = Script::default().shared();
    let server = start(listener(&["10.0.0.0/8"]), &script).await;
    is_closed(&server, VERSION_1).await;
    until(|| server.statistics().refused_proxy == 1).await;
    let mut direct = listener(&["10.0.0.0/8"]);
    direct.transport.proxy.as_mut().unwrap().others = Others::Direct;
    assert!(server.change_listener(&direct).unwrap());
    Client::connect(&server, connect(V5, "direct")).await.ping().await;
    // Its header is taken for what it is here: no CONNECT.
    is_closed(&server, VERSION_1).await;
}

#[tokio::test]
async fn a_proxy_that_sends_no_header_or_a_broken_one_is_refused() {
    let script = Script::default().shared();
    let server = start(listener(&["127.0.0.1"]), &script).await;
    let too_long = [&VERSION_2[..14], b"\xFF\xFF", &[0; 70_000]].concat();
    let lies: [&[u8]; 5] = [
        // Shorter than any header: nobody waits for more.
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
        b"PROXY TCP4 999.0.2.7 192.0.2.1 50000 1883\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 50000 1883 and so on and so on and so on and so on and so on and so on and so on and so on and",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x02\xC0\x00",
        &too_long,
    ];
    for lie in lies {
        is_closed(&server, lie).await;
    }
    until(|| server.statistics().refused_proxy == lies.len() as u64).await;
}

#[tokio::test]
async fn a_header_that_does_not_come_is_waited_for_as_long_as_connect() {
    let script = Script::default().shared();
    let options = Options { connect_timeout: Duration::from_millis(100), ..Options::default() };
    let builder = Server::builder().hooks(script.clone()).options(options);
    let server = builder.listener(listener(&["127.0.0.1"])).start().await.unwrap();
    is_closed(&server, b"PROXY TCP4 ").await;
    until(|| server.statistics().limit_connect_timeout == 1).await;
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_header_stands_before_tls() {
    use super::Folder;
    use super::authority::Authority;
    use rustls::pki_types::ServerName;
    use tidegate::transport::tls::TlsOptions;

    let (folder, authority) = (Folder::new(), Authority::new("Servers"));
    let (chain, key) = authority.issue("broker", &["broker.example"]).write(&folder, "server");
    let (script, mut listener) = (Script::default().shared(), listener(&["127.0.0.1"]));
    listener.transport.tls = Some(TlsOptions::new(chain, key));
    let server = start(listener, &script).await;
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    stream.write_all(VERSION_1).await.unwrap();
    let connector = authority.client(None, &[&rustls::version::TLS13]);
    let name = ServerName::try_from("broker.example").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    Client::over(stream, V5).handshake(connect(V5, "a")).await;
    until(|| {
        script.saw(|what| {
            matches!(what, What::ClientConnected { client, .. }
                if client.remote_address() == Some("192.0.2.7:50000".parse().unwrap())
                    && client.known().is_some_and(|known| known.tls.is_some() && known.proxy.is_some()))
        })
    })
    .await;
}
