//! Through proxies that are played here: HTTP's CONNECT and SOCKS5.

use std::net::Ipv6Addr;

use tidegate::client::DialError;
use tidegate::client::dial::{Proxy, ProxyError, ProxyKind};
use tidegate::server::{ListenerOptions, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

#[cfg(feature = "tls")]
use super::direct::Secure;
use super::*;

/// What a proxy was asked for: where to, and as whom.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    target: String,
    as_whom: String,
}

/// A proxy that leads one client to a server, wherever it was asked to.
async fn proxy(kind: ProxyKind, server: SocketAddr) -> (Proxy, JoinHandle<Asked>) {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let asked = match kind {
            ProxyKind::Http => serve_http(&mut client).await,
            ProxyKind::Socks5 => serve_socks5(&mut client).await,
        };
        let mut server = TcpStream::connect(server).await.unwrap();
        // Its end is that of the client, however it comes.
        let _ = copy_bidirectional(&mut client, &mut server).await;
        asked
    });
    let port = address.port();
    (Proxy { kind, host: "127.0.0.1".into(), port, credentials: None }, serving)
}

async fn serve_http(client: &mut TcpStream) -> Asked {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(client.read_u8().await.unwrap().into());
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await.unwrap();
    let mut words = head.split(' ');
    assert_eq!(words.next(), Some("CONNECT"));
    let line = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
    Asked { target: words.next().unwrap().into(), as_whom: line.unwrap_or_default().into() }
}

async fn serve_socks5(client: &mut TcpStream) -> Asked {
    assert_eq!(client.read_u8().await.unwrap(), 5);
    let methods = counted(client).await;
    let mut as_whom = String::new();
    if methods.contains(&2) {
        client.write_all(&[5, 2]).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 1);
        let [user_name, password] = [counted(client).await, counted(client).await];
        as_whom =
            format!("{}:{}", String::from_utf8(user_name).unwrap(), String::from_utf8(password).unwrap());
        client.write_all(&[1, 0]).await.unwrap();
    } else {
        client.write_all(&[5, 0]).await.unwrap();
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        1 => format!("{}", std::net::Ipv4Addr::from(client.read_u32().await.unwrap())),
        4 => format!("[{}]", Ipv6Addr::from(client.read_u128().await.unwrap())),
        _ => String::from_utf8(counted(client).await).unwrap(),
    };
    let port = client.read_u16().await.unwrap();
    client.write_all(&[5, 0, 0, 3, 4, b'n', b'a', b'm', b'e', 0, 1]).await.unwrap();
    Asked { target: format!("{host}:{port}"), as_whom }
}

async fn counted(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn start(listener: ListenerOptions) -> Server {
    Server::builder().workers(2).listener(listener).start().await.unwrap()
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_servers_name_and_told_who_asks() {
    let server = start(ListenerOptions::loopback(0)).await;
    for (kind, credentials, as_whom) in [
        (ProxyKind::Http, None, ""),
        (ProxyKind::Http, Some(("user", "p:ss")), "Basic dXNlcjpwOnNz"),
        (ProxyKind::Socks5, None, ""),
        (ProxyKind::Socks5, Some(("user", "p:ss")), "user:p:ss"),
    ] {
        for (host, target) in [
            ("broker.invalid", "broker.invalid:1883"),
            ("[2001:db8::1]", "[2001:db8::1]:1883"),
            ("10.0.0.1", "10.0.0.1:1883"),
        ] {
            let (mut proxy, serving) = proxy(kind, server.addresses()[0]).await;
            proxy.credentials = credentials.map(|(user_name, password)| (user_name.into(), password.into()));
            let mut dialer = dialer(&format!("mqtt://{host}"));
            dialer.proxy = Some(proxy);
            carries(&dialer).await;
            let asked = Asked { target: target.into(), as_whom: as_whom.into() };
            assert_eq!(serving.await.unwrap(), asked);
        }
    }
}

#[cfg(all(feature = "tls", feature = "websocket"))]
#[tokio::test]
async fn tls_and_websockets_lie_above_a_proxy() {
    let secure = Secure::new();
    for is_web_socket in [false, true] {
        let mut listener = ListenerOptions::loopback(0);
        listener.transport.tls = Some(secure.options.clone());
        listener.transport.web_socket = is_web_socket.then(Default::default);
        let server = start(listener).await;
        for kind in [ProxyKind::Http, ProxyKind::Socks5] {
            let (proxy, serving) = proxy(kind, server.addresses()[0]).await;
            let uri = if is_web_socket { "wss://broker.example" } else { "mqtts://broker.example" };
            let mut dialer = dialer(uri);
            dialer.tls = secure.dialer(uri, &server).tls;
            dialer.proxy = Some(proxy);
            carries(&dialer).await;
            assert!(serving.await.unwrap().target.starts_with("broker.example:"));
        }
    }
}

/// What becomes of a client whose proxy answers so and closes.
async fn answered(kind: ProxyKind, answer: Vec<u8>) -> DialError {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        // The rest of it may meet a client that has gone.
        let _ = client.write_all(&answer).await;
        let _ = client.shutdown().await;
        while client.read(&mut [0; 1024]).await.is_ok_and(|len| len > 0) {}
    });
    let mut dialer = dialer("mqtt://broker.example");
    dialer.proxy =
        Some(Proxy { kind, host: address.ip().to_string(), port: address.port(), credentials: None });
    let error = failed(&dialer).await;
    serving.await.unwrap();
    error
}

#[tokio::test]
async fn a_refusal_of_a_proxy_is_told_with_its_status() {
    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_vec();
    let error = answered(ProxyKind::Http, refusal).await;
    assert!(matches!(error.cause(), Some(ProxyError::Refused { status: 407, .. })), "{error}");
    assert!(
        error.to_string().contains("reach broker.example port 1883 through http://127.0.0.1:"),
        "{error}"
    );
    for (reply, says) in [(2, "not allowed"), (4, "Host unreachable"), (5, "refused")] {
        let answer = vec![5, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
        let error = answered(ProxyKind::Socks5, answer).await;
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = answered(ProxyKind::Socks5, vec![5, 0xFF]).await;
    assert!(error.to_string().contains("No acceptable auth methods"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_talks_nonsense_or_too_much_is_left() {
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 10 << 20]].concat();
    let early = b"HTTP/1.1 200 OK\r\n\r\nI speak first".to_vec();
    for nonsense in [b"".to_vec(), b"SSH-2.0-x\r\n".to_vec(), vec![0; 1 << 20], endless, early] {
        for kind in [ProxyKind::Http, ProxyKind::Socks5] {
            let error = answered(kind, nonsense.clone()).await;
            assert!(error.cause::<ProxyError>().is_some(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_never_answers_is_given_up() {
    let (listener, address) = listen().await;
    for kind in [ProxyKind::Http, ProxyKind::Socks5] {
        let mut dialer = impatient(dialer("mqtt://broker.example"));
        dialer.proxy =
            Some(Proxy { kind, host: address.ip().to_string(), port: address.port(), credentials: None });
        let (error, accepted) = tokio::join!(failed(&dialer), listener.accept());
        assert!(matches!(error, DialError::TimedOut { .. }), "{error}");
        drop(accepted);
    }
    drop(listener);
    let mut dialer = dialer("mqtt://broker.example");
    dialer.proxy = format!("http://{address}").parse().ok();
    let error = failed(&dialer).await;
    assert!(matches!(error.cause(), Some(DialError::Unreachable { .. })), "{error}");
}
