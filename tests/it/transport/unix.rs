//! Unix sockets.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tidegate::hook::What;
use tidegate::packet::ReasonCode;
use tidegate::peer::Transport;
use tidegate::server::{ListenerOptions, Server, StartError};
use tidegate::transport::ListenAddress;
use tokio::net::UnixStream;

use super::Folder;
use crate::support::*;

fn at(path: &Path) -> ListenerOptions {
    ListenerOptions::at("local", ListenAddress::Unix(path.to_owned())).open()
}

async fn connected(path: &Path, name: &str) -> Client {
    let mut client = Client::over(UnixStream::connect(path).await.unwrap(), V5);
    assert_eq!(client.handshake(connect(V5, name)).await.reason_code, ReasonCode::SUCCESS);
    client
}

#[tokio::test]
async fn a_unix_socket_is_served_and_hooks_see_who_is_there() {
    let (folder, script) = (Folder::new(), Script::default().shared());
    let path = folder.path("mqtt.sock");
    let builder = Server::builder().workers(2).hooks(script.clone()).listener(at(&path));
    let server = builder.start().await.unwrap();
    let mut subscriber = connected(&path, "subscriber").await;
    subscriber.subscribe("t", QOS1).await;
    let mut publisher = connected(&path, "publisher").await;
    publisher.publish("t", "over a file", QOS1).await;
    assert_eq!(text(&subscriber.next_publish().await), "over a file");
    let own = std::fs::metadata(&path).unwrap();
    assert_eq!((own.permissions().mode() & 0o777, own.uid()), (0o600, own.uid()));
    let is_here = |what: &What| match what {
        What::ClientConnected { client, .. } => {
            let unix = client.known().and_then(|known| known.unix).unwrap();
            assert_eq!((unix.uid, unix.gid), (own.uid(), own.gid()));
            assert_eq!(unix.pid, Some(std::process::id().cast_signed()));
            assert_eq!((client.remote_address(), client.listener.transport), (None, Transport::Unix));
            true
        }
        _ => false,
    };
    until(|| script.saw(is_here)).await;
    server.shutdown().await;
    assert!(!path.exists(), "the file goes with its listener");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
    let folder = Folder::new();
    let path = folder.path("mqtt.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::builder().listener(at(&path)).start().await.unwrap();
    let second = Server::builder().listener(at(&path)).start().await;
    assert!(matches!(second, Err(StartError::Listen { source, .. })
        if source.kind() == std::io::ErrorKind::AddrInUse));
    connected(&path, "still served").await.ping().await;
    drop(server);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("notes");
    std::fs::write(&path, "mine").unwrap();
    assert!(Server::builder().listener(at(&path)).start().await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[tokio::test]
async fn the_mode_of_the_file_is_what_was_asked_for() {
    let folder = Folder::new();
    let path = folder.path("mqtt.sock");
    let mut options = at(&path);
    options.transport.unix.mode = 0o660;
    let _server = Server::builder().listener(options).start().await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}
