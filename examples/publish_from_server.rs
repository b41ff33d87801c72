//! What an embedder can do with a running broker: publish, list clients, disconnect one.

use std::time::Duration;

use tidegate::message::ApplicationMessage;
use tidegate::packet::{QoS, ReasonCode};
use tidegate::server::{ListenerOptions, Server};
use tidegate::topic::TopicName;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(1883), |port| port.parse())?;
    let server = Server::builder().listener(ListenerOptions::loopback(port)).start().await?;
    println!("listening on {}", server.addresses()[0]);
    for beat in 0_u64.. {
        let message = ApplicationMessage::new(TopicName::try_from("heartbeat")?, beat.to_string())
            .with_qos(QoS::AtLeastOnce)
            .with_retain(true);
        let published = server.publish(message).await;
        println!("beat {beat}: {}; {} sessions", published.reason, server.clients().len());
        server.disconnect("unwanted", ReasonCode::ADMINISTRATIVE_ACTION);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    server.shutdown().await;
    Ok(())
}
