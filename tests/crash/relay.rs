//! A TCP relay, whose connections can be cut, and made to lose what the server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::sleep;

pub struct Relay {
    port: u16,
    cut: broadcast::Sender<()>,
    loses_answers: Arc<AtomicBool>,
}

impl Relay {
    /// To a port of this machine.
    pub async fn to(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, loses_answers) = (broadcast::Sender::new(1), Arc::new(AtomicBool::new(false)));
        let relay = Relay { port, cut: cut.clone(), loses_answers: loses_answers.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, cut.subscribe(), loses_answers.clone()));
            }
        });
        relay
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// In the middle of whatever is under way.
    pub fn cut(&self) {
        // Where there is no connection, there is nobody to hear it.
        let _ = self.cut.send(());
    }

    /// What is asked still reaches the server, and what it answers is lost; then the connections are cut.
    pub async fn cut_behind_the_server(&self, after: Duration) {
        self.loses_answers.store(true, Ordering::Relaxed);
        sleep(after).await;
        self.cut();
        self.loses_answers.store(false, Ordering::Relaxed);
    }
}

async fn carry(
    client: TcpStream,
    server: u16,
    mut cut: broadcast::Receiver<()>,
    loses_answers: Arc<AtomicBool>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((client_reader, client_writer), (server_reader, server_writer)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = copy(client_reader, server_writer, None) => {}
        () = copy(server_reader, client_writer, Some(&loses_answers)) => {}
        _ = cut.recv() => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, loses: Option<&AtomicBool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let is_lost = loses.is_some_and(|loses| loses.load(Ordering::Relaxed));
        if !is_lost && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
