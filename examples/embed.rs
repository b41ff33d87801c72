//! A broker inside a program of your own: listens on 127.0.0.1:1883 until Ctrl-C.

use tidegate::server::{ListenerOptions, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(1883), |port| port.parse())?;
    let server = Server::builder().listener(ListenerOptions::loopback(port)).start().await?;
    println!("listening on {}", server.addresses()[0]);
    std::future::pending::<()>().await;
    server.shutdown().await;
    Ok(())
}
