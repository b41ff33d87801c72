//! WebSockets, with a client of another implementation, and with bytes that no client sends.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tidegate::hook::What;
use tidegate::peer::Transport;
use tidegate::server::{ListenerOptions, Server};
use tidegate::transport::websocket::{Origins, WebSocketOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::*;

fn listener() -> ListenerOptions {
    let mut listener = ListenerOptions::loopback(0);
    listener.transport.web_socket = Some(WebSocketOptions::default());
    listener
}

async fn start() -> Server {
    Server::builder().workers(2).listener(listener()).start().await.unwrap()
}

/// A handshake as clients do it, with these headers beside.
async fn upgraded<S>(
    stream: S,
    url: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let (socket, response) = client_async(request, stream).await.map_err(|error| error.to_string())?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "mqtt");
    Ok(socket)
}

async fn opened(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    upgraded(stream, &format!("ws://{address}/mqtt"), &[("sec-websocket-protocol", "mqtt")]).await.unwrap()
}

/// Carries bytes between a stream and a WebSocket, in frames of so many bytes at most.
pub fn carried<S>(socket: WebSocketStream<S>, frame: usize) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (ours, theirs) = duplex(1 << 16);
    let (mut sink, mut source) = socket.split();
    let (mut read, mut write) = tokio::io::split(theirs);
    tokio::spawn(async move {
        let mut bytes = vec![0; frame];
        while let Ok(len @ 1..) = read.read(&mut bytes).await {
            if sink.send(Message::binary(bytes[..len].to_vec())).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Binary(bytes) = message
                && write.write_all(&bytes).await.is_err()
            {
                break;
            }
        }
        let _ = write.shutdown().await;
    });
    ours
}

/// The request of a handshake, as bytes.
async fn raw(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within(stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A frame whose mask is zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let mut frame = vec![first];
    match len {
        0..126 => frame.push(0x80 | len as u8),
        126..=0xFFFF => {
            frame.push(0xFE);
            frame.extend((len as u16).to_be_bytes());
        }
        _ => {
            frame.push(0xFF);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn packets_come_in_frames_of_any_length() {
    // [MQTT-6.0.0-1] [MQTT-6.0.0-2] [MQTT-6.0.0-3] [MQTT-6.0.0-4]
    let server = start().await;
    let address = server.addresses()[0];
    for frame in [1, 3, 100, 70_000] {
        let mut client = Client::over(carried(opened(address).await, frame), V5);
        client.handshake(connect(V5, "a")).await;
        client.subscribe("t", QOS2).await;
        for length in [0, 1, 125, 126, 5_000, 70_000] {
            let payload = "x".repeat(length);
            client.publish("t", &payload, QOS1).await;
            assert_eq!(text(&client.next_publish().await), payload);
        }
        client.disconnect().await;
    }
}

#[tokio::test]
async fn hooks_see_the_path_and_the_origin() {
    let script = Script::default().shared();
    let server = Server::builder().hooks(script.clone()).listener(listener()).start().await.unwrap();
    let address = server.addresses()[0];
    let stream = TcpStream::connect(address).await.unwrap();
    let origin = format!("http://{address}");
    let headers = [("sec-websocket-protocol", "mqtt"), ("origin", origin.as_str())];
    let socket = upgraded(stream, &format!("ws://{address}/mqtt?page=7"), &headers).await.unwrap();
    let mut client = Client::over(carried(socket, 1000), V5);
    client.handshake(connect(V5, "a")).await;
    let is_seen = |what: &What| match what {
        What::ClientConnected { client, .. } => {
            let seen = client.known().and_then(|known| known.web_socket.as_ref()).unwrap();
            assert_eq!((seen.path.as_str(), seen.origin.as_ref()), ("/mqtt?page=7", Some(&origin)));
            assert_eq!(client.listener.transport, Transport::WebSocket);
            true
        }
        _ => false,
    };
    until(|| script.saw(is_seen)).await;
}

#[tokio::test]
async fn pages_of_other_hosts_are_refused_unless_they_are_listed() {
    let server = start().await;
    let try_from = async |origin: &str| {
        let address = server.addresses()[0];
        let stream = TcpStream::connect(address).await.unwrap();
        let headers = [("sec-websocket-protocol", "mqtt"), ("origin", origin)];
        upgraded(stream, &format!("ws://{address}/mqtt"), &headers).await.map(|_| ())
    };
    assert!(try_from("https://evil.example").await.unwrap_err().contains("403"));
    let mut listed = listener();
    listed.address = server.listeners()[0].address.clone();
    listed.transport.web_socket.as_mut().unwrap().origins =
        Origins::Listed(vec!["https://shop.example".into()]);
    server.remove_listener("default").await;
    server.add_listener(listed).await.unwrap();
    assert!(try_from("https://evil.example").await.unwrap_err().contains("403"));
    try_from("https://shop.example").await.unwrap();
    until(|| server.statistics().refused_web_socket == 2).await;
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_counted() {
    let server = start().await;
    let address = server.addresses()[0];
    let long = format!("GET /mqtt HTTP/1.1\r\nCookie: {}", "x".repeat(40_000));
    for (request, status) in [
        ("\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03abc", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n", "426"),
        (&long, "431"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 64];
        let len = within(stream.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..len]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    until(|| server.statistics().refused_web_socket == 4).await;
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_connection_with_a_code() {
    // [MQTT-6.0.0-1]
    let server = start().await;
    let mut unmasked = frame(0x82, b"x");
    unmasked[1] &= 0x7F;
    for (bytes, code) in [
        (frame(0x81, b"text"), 1003u16),
        (frame(0x81, b"\xFF\xFE not UTF-8"), 1003),
        (unmasked, 1002),
        (frame(0x80, b"continues nothing"), 1002),
        (frame(0xC2, b"compressed"), 1002),
        (frame(0x89, &vec![0; 1 << 20]), 1002),
        ([frame(0x02, b"\x10"), frame(0x82, b"x")].concat(), 1002),
    ] {
        let mut stream = raw(server.addresses()[0]).await;
        // The broker may have closed before all of it is out.
        let _ = stream.write_all(&bytes).await;
        let mut answer = [0; 4];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[..2], [0x88, 2], "{code}");
        assert_eq!(u16::from_be_bytes([answer[2], answer[3]]), code);
    }
    until(|| server.broker().guard().connections() == 0).await;
}

#[tokio::test]
async fn a_ping_is_answered_before_connect_and_after_it() {
    let server = start().await;
    let mut stream = raw(server.addresses()[0]).await;
    stream.write_all(&frame(0x89, b"hello")).await.unwrap();
    let mut pong = [0; 7];
    within(stream.read_exact(&mut pong)).await.unwrap();
    assert_eq!(&pong, b"\x8A\x05hello");
    // CONNECT in frames of one byte, with pings between them.
    for byte in b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03abc" {
        stream.write_all(&[frame(0x82, &[*byte]), frame(0x89, b"")].concat()).await.unwrap();
    }
    let mut connack = Vec::new();
    while connack.len() < 6 {
        let [first, len] = [within(stream.read_u8()).await.unwrap(), stream.read_u8().await.unwrap()];
        let mut payload = vec![0; len.into()];
        stream.read_exact(&mut payload).await.unwrap();
        if first == 0x82 {
            connack = [vec![first, len], payload].concat();
        }
    }
    assert_eq!(connack, [0x82, 4, 0x20, 2, 0, 0]);
}

#[tokio::test]
async fn a_close_is_answered_and_a_client_that_only_goes_is_gone() {
    let server = start().await;
    let mut stream = raw(server.addresses()[0]).await;
    stream.write_all(&frame(0x88, &1001u16.to_be_bytes())).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, [0x88, 2, 0x03, 0xE9]);
    drop(raw(server.addresses()[0]).await);
    until(|| server.broker().guard().connections() == 0).await;
}

#[tokio::test]
async fn the_broker_says_goodbye_with_disconnect_and_close() {
    let server = start().await;
    let mut socket = opened(server.addresses()[0]).await;
    socket.send(Message::binary(&b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03abc"[..])).await.unwrap();
    assert!(matches!(within(socket.next()).await, Some(Ok(Message::Binary(_)))));
    assert!(server.disconnect("abc", tidegate::packet::ReasonCode::ADMINISTRATIVE_ACTION));
    let Some(Ok(Message::Binary(disconnect))) = within(socket.next()).await else { panic!("no DISCONNECT") };
    assert_eq!(disconnect[0], 0xE0);
    assert!(matches!(within(socket.next()).await, Some(Ok(Message::Close(Some(_))))));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_secure_websocket_is_one_in_tls() {
    use super::Folder;
    use super::authority::{Authority, try_connect};
    use tidegate::transport::tls::TlsOptions;

    let (folder, authority) = (Folder::new(), Authority::new("Servers"));
    let (chain, key) = authority.issue("broker", &["broker.example"]).write(&folder, "server");
    let mut listener = listener();
    listener.transport.tls = Some(TlsOptions::new(chain, key));
    let script = Script::default().shared();
    let server = Server::builder().workers(2).hooks(script.clone()).listener(listener).start().await.unwrap();
    let connector = authority.http_client();
    let stream = try_connect(&connector, server.addresses()[0], "broker.example").await.unwrap();
    let socket = upgraded(stream, "wss://broker.example/mqtt", &[("sec-websocket-protocol", "mqtt")]).await;
    let mut client = Client::over(carried(socket.unwrap(), 1000), V5);
    client.handshake(connect(V5, "a")).await;
    client.subscribe("t", QOS1).await;
    let payload = "x".repeat(200_000);
    client.publish("t", &payload, QOS1).await;
    assert_eq!(text(&client.next_publish().await), payload);
    assert!(script.saw(|what| matches!(what, What::ClientConnected { client, .. }
        if client.listener.transport == Transport::SecureWebSocket && client.known().is_some_and(|known| known.tls.is_some()))));
}
