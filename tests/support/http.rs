//! A small HTTP server on loopback that answers what a test says, and can keep its clients waiting.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST /login`
    pub what: String,
    pub body: String,
}

/// Status and body. `Hold` waits until the test lets it go.
pub enum Answer {
    Now(u16, String),
    Hold(u16, String),
}

pub struct Web {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    answer: Box<dyn Fn(&Asked) -> Answer + Send + Sync>,
    /// Guards what was asked so far.
    asked: Mutex<Vec<Asked>>,
    held: Semaphore,
}

impl Web {
    pub async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { answer: Box::new(answer), asked: Mutex::default(), held: Semaphore::new(0) });
        let theirs = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&theirs)));
            }
        });
        Web { address, shared, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Lets this many answers go that are held, or will be.
    pub fn release(&self, count: usize) {
        self.shared.held.add_permits(count);
    }

    /// Nobody listens there any more, and connections are closed.
    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(asked) = read(&mut stream).await {
        shared.asked.lock().unwrap().push(asked.clone());
        let (status, body) = match (shared.answer)(&asked) {
            Answer::Now(status, body) => (status, body),
            Answer::Hold(status, body) => {
                shared.held.acquire().await.unwrap().forget();
                (status, body)
            }
        };
        let answer = format!("HTTP/1.1 {status} .\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let what = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Asked { what, body: String::from_utf8(body).ok()? })
}
