//! What becomes of bytes between a connection and its socket.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn pair(room: usize) -> (DuplexStream, WebSocket<DuplexStream>) {
    let (client, server) = duplex(room);
    (client, WebSocket::new(server, Bytes::new()))
}

async fn read(socket: &mut WebSocket<DuplexStream>) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let len = socket.read(&mut bytes).await.unwrap();
    bytes.truncate(len);
    bytes
}

#[tokio::test]
async fn what_came_with_the_request_is_read_first() {
    let (mut client, server) = duplex(1024);
    let mut socket = WebSocket::new(server, frame(0x82, b"early").into());
    client.write_all(&frame(0x82, b"later")).await.unwrap();
    assert_eq!(read(&mut socket).await, b"early");
    assert_eq!(read(&mut socket).await, b"later");
}

#[tokio::test]
async fn a_write_is_one_frame_however_slowly_it_goes_out() {
    for room in [1, 2, 3, 7, 100, 70_100] {
        let (mut client, mut socket) = pair(room);
        let sent: Vec<u8> = (0..70_000).map(|n| (n % 256) as u8).collect();
        let all = sent.clone();
        let writing = tokio::spawn(async move {
            socket.write_all(&all).await.unwrap();
            socket.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        let (head, rest) = received.split_at(10);
        assert_eq!(head, [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        let (payload, close) = rest.split_at(sent.len());
        assert!(payload == sent);
        assert_eq!(close, [0x88, 2, 0x03, 0xE8]);
    }
}

#[tokio::test]
async fn pieces_that_are_written_together_are_one_frame() {
    let (mut client, mut socket) = pair(1024);
    let pieces = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
    let written = std::future::poll_fn(|cx| Pin::new(&mut socket).poll_write_vectored(cx, &pieces)).await;
    assert_eq!(written.unwrap(), 5);
    let mut received = [0; 7];
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"\x82\x05abcde");
}

#[tokio::test]
async fn a_ping_is_answered_between_frames_and_not_within_one() {
    let (mut client, mut socket) = pair(4);
    // Two bytes of the payload are out, three are not.
    let begun = std::future::poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, b"frame")).await.unwrap();
    assert_eq!(begun, 2);
    let served = tokio::spawn(async move {
        let ping = read(&mut socket).await;
        socket.write_all(b"ame").await.unwrap();
        socket.flush().await.unwrap();
        (ping, socket)
    });
    client.write_all(&[frame(0x89, b"?"), frame(0x82, b"x")].concat()).await.unwrap();
    let mut received = [0; 10];
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"\x82\x05frame\x8A\x01?");
    assert_eq!(served.await.unwrap().0, b"x");
}

#[tokio::test]
async fn a_close_is_answered_and_is_the_end() {
    let (mut client, mut socket) = pair(1024);
    client.write_all(&[frame(0x82, b"last"), frame(0x88, &[0x03, 0xE9])].concat()).await.unwrap();
    assert_eq!(read(&mut socket).await, b"last");
    assert_eq!(read(&mut socket).await, b"");
    assert!(socket.write_all(b"too late").await.is_err());
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x88, 2, 0x03, 0xE9]);
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_with_a_code() {
    // [MQTT-6.0.0-1]
    let (mut client, mut socket) = pair(1024);
    client.write_all(&frame(0x81, b"text")).await.unwrap();
    let error = socket.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [0x88, 2, 0x03, 0xEB]);
}

#[tokio::test]
async fn frames_without_payload_leave_others_their_turn() {
    // They were read on in one turn for as long as they came.
    let (mut client, mut socket) = pair(1 << 20);
    client.write_all(&frame(0x82, b"").repeat(10_000)).await.unwrap();
    let mut small = [0; 64];
    let mut buffer = ReadBuf::new(&mut small);
    let polled =
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_read(cx, &mut buffer).is_pending()));
    assert!(polled.await);
    client.write_all(&frame(0x82, b"x")).await.unwrap();
    assert_eq!(read(&mut socket).await, b"x");
}

/// Both ends, above a stream that takes so many bytes at once.
fn both(room: usize) -> (ClientWebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(room);
    (ClientWebSocket::new(client, Bytes::new()), WebSocket::new(server, Bytes::new()))
}

#[tokio::test]
async fn what_a_client_writes_a_server_reads_and_the_other_way_round() {
    let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    for room in [1, 3, 100, 1 << 20] {
        let (client, server) = both(room);
        let ((mut client_reads, mut client_writes), (mut server_reads, mut server_writes)) =
            (tokio::io::split(client), tokio::io::split(server));
        let (mut by_server, mut by_client) = (Vec::new(), Vec::new());
        let (up, down, _, _) = tokio::join!(
            async {
                client_writes.write_all(&sent).await.unwrap();
                client_writes.shutdown().await
            },
            server_writes.write_all(&sent),
            server_reads.read_to_end(&mut by_server),
            async {
                let mut room = vec![0; sent.len()];
                client_reads.read_exact(&mut room).await.unwrap();
                by_client = room;
            },
        );
        up.unwrap();
        down.unwrap();
        assert!(by_server == sent && by_client == sent, "{room}");
    }
}

#[tokio::test]
async fn a_client_masks_what_it_writes_with_another_mask_each_time() {
    let (client, mut server) = duplex(1024);
    let mut client = ClientWebSocket::new(client, Bytes::new());
    let mut masks = std::collections::BTreeSet::new();
    for _ in 0..8 {
        client.write_all(b"same").await.unwrap();
        let mut frame = [0; 10];
        server.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..2], [0x82, 0x84]);
        assert!(frame[6..].iter().zip(&frame[2..6]).map(|(byte, mask)| byte ^ mask).eq(*b"same"));
        masks.insert(frame[2..6].to_vec());
    }
    assert!(masks.len() > 1);
}

#[tokio::test]
async fn a_server_that_pings_and_reads_nothing_fills_no_buffer() {
    let (client, mut server) = duplex(64);
    let mut client = ClientWebSocket::new(client, Bytes::new());
    for n in 0..10_000u16 {
        server.write_all(&[&[0x89, 0x02][..], &n.to_be_bytes(), &[0x82, 0x01, 0]].concat()).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 0);
        assert!(client.unwritten.len() <= 64 + 8);
    }
}

#[tokio::test]
async fn a_client_answers_a_close_and_ends_where_a_server_breaks_the_rules() {
    for (sent, answered, is_end) in
        [(&[0x88, 0x02, 0x03, 0xE9], 0x03E9u16, true), (&[0x81, 0x02, b'h', b'i'], 0x03EB, false)]
    {
        let (client, mut server) = duplex(1024);
        let mut client = ClientWebSocket::new(client, Bytes::new());
        server.write_all(sent).await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.is_ok_and(|read| read == 0), is_end);
        assert!(client.write_all(b"too late").await.is_err());
        let mut frame = [0; 8];
        server.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..2], [0x88, 0x82]);
        assert_eq!([frame[6] ^ frame[2], frame[7] ^ frame[3]], answered.to_be_bytes());
    }
}
