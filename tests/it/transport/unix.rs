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

#[tokio::test]
async fn the_file_has_the_owner_and_group_that_were_asked_for_or_it_is_said_why_not() {
    let folder = Folder::new();
    let path = folder.path("mqtt.sock");
    let own = std::fs::metadata(folder.path("")).unwrap();
    for (user, group) in [(own.uid(), own.gid()), (12_345, 12_346)] {
        let mut options = at(&path);
        (options.transport.unix.user, options.transport.unix.group) = (Some(user), Some(group));
        match Server::builder().listener(options).start().await {
            Ok(server) => {
                let file = std::fs::metadata(&path).unwrap();
                assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (user, group, 0o600));
                server.shutdown().await;
            }
            // Only root may give files away.
            Err(error) => {
                assert!(own.uid() != 0 && user != own.uid());
                let text = format!("{error}");
                assert!(text.contains("may not give the socket to the user 12345"), "{text}");
                assert!(!path.exists());
            }
        }
    }
}

/// Has these be the listeners.
async fn listen(server: &Server, wanted: &[ListenerOptions]) {
    server.take_listeners(server.prepare_listeners(wanted.to_vec()).unwrap()).await.unwrap();
}

fn names(server: &Server) -> Vec<(String, ListenAddress)> {
    server.listeners().into_iter().map(|listener| (listener.name, listener.address)).collect()
}

#[tokio::test]
async fn listeners_whose_names_go_over_to_each_other_keep_their_addresses() {
    // The second to be renamed was looked for by a name that the first had by then: the first got the options of both,
    // and the second stayed as it was. No later list of listeners could be taken over, as its address was in use.
    let (folder, server) = (Folder::new(), start().await);
    let paths = [folder.path("one.sock"), folder.path("other.sock")];
    for renamed in [["open", "closed"], ["closed", "open"], ["open", "third"], ["third", "open"]] {
        let wanted = [0, 1].map(|n| {
            let listener = ListenerOptions::at(renamed[n], ListenAddress::Unix(paths[n].clone()));
            if renamed[n] == "open" { listener.open() } else { listener }
        });
        listen(&server, &wanted).await;
        let expected = wanted.map(|listener| (listener.name, listener.address));
        assert_eq!(names(&server), expected);
        for (name, path) in renamed.iter().zip(&paths) {
            let mut client = Client::over(UnixStream::connect(path).await.unwrap(), V5);
            let connack = client.handshake(connect(V5, "client")).await;
            assert_eq!(connack.reason_code == ReasonCode::SUCCESS, *name == "open", "{name}");
        }
    }
}

#[tokio::test]
async fn two_listeners_at_one_address_are_refused_before_anything_changes() {
    // The second renamed the first, which was gone then without a word.
    let (folder, server) = (Folder::new(), start().await);
    let address = ListenAddress::Unix(folder.path("mqtt.sock"));
    let at = |name: &str| ListenerOptions::at(name, address.clone()).open();
    listen(&server, &[at("one")]).await;
    let prepared = server.prepare_listeners(vec![at("one"), at("two")]);
    assert!(matches!(prepared, Err(StartError::Listen { name, .. }) if name == "two"));
    assert_eq!(names(&server), [("one".to_owned(), address.clone())]);
}

#[tokio::test]
async fn a_changed_mode_holds_for_a_socket_that_stays() {
    // It was said to be changed, and the file was for whom it had been for before.
    let (folder, server) = (Folder::new(), start().await);
    let path = folder.path("mqtt.sock");
    for mode in [0o666, 0o600] {
        let mut options = at(&path);
        options.transport.unix.mode = mode;
        listen(&server, &[options]).await;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
    }
}
