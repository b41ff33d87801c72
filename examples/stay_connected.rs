//! The usual client helper of MQTTnet's users: it stays connected, remembers the last message of each topic, and publishes
//! from anywhere. `docs/from-mqttnet.md` tells about it.
//!
//!     cargo run --example stay_connected -- mqtt://localhost 'sensors/#'
//!
//! Each line of standard input is a topic and, behind a space, a message to publish; a topic alone prints the last message
//! that came to it.

use std::collections::HashMap;
use std::env::args;
use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tidegate::client::dial::ServerUri;
use tidegate::client::{Client, Event, Events, Options, PublishError, SubscribeError, Subscription};
use tidegate::packet::{Publish, QoS};

/// A client that is always connected, with the last message of each topic that is subscribed to.
#[derive(Clone)]
struct Helper {
    client: Client,
    last: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl Helper {
    /// Begins to connect, and goes on until there is a connection.
    fn start(options: Options) -> Result<Helper, Box<dyn std::error::Error>> {
        let client = Client::new(options)?;
        tokio::spawn(tell(client.events()));
        client.start();
        Ok(Helper { client, last: Arc::default() })
    }

    /// Subscribed again by itself where a server forgets it. The messages of the filter go into the cache.
    async fn subscribe(&self, filter: &str) -> Result<(), SubscribeError> {
        let subscription = self.client.subscribe(filter).await?;
        tokio::spawn(remember(subscription, self.last.clone()));
        Ok(())
    }

    /// Waits until the server has it, also over interruptions.
    async fn publish(&self, topic: &str, message: &str) -> Result<(), PublishError> {
        let publish = Publish::new(topic.to_owned().into(), message.to_owned().into());
        self.client.publish(publish.with_qos(QoS::AtLeastOnce)).await.map(drop)
    }

    fn last(&self, topic: &str) -> Option<Bytes> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned()
    }
}

async fn remember(mut subscription: Subscription, last: Arc<Mutex<HashMap<String, Bytes>>>) {
    while let Some(message) = subscription.next().await {
        let topic = message.topic.to_string();
        last.lock().unwrap_or_else(PoisonError::into_inner).insert(topic, message.payload.clone());
    }
}

/// Connected, ConnectingFailed and Disconnected of MQTTnet's ManagedClient.
async fn tell(mut events: Events) {
    while let Some(event) = events.next().await {
        match event {
            Event::Connected { session_present, .. } => {
                println!("connected; the session is {}", if session_present { "kept" } else { "new" });
            }
            Event::Disconnected { reason, retry_in } => {
                println!("disconnected: {reason}; next in {retry_in:?}")
            }
            Event::GaveUp(end) => println!("gave up: {end}"),
            _ => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = args().skip(1).collect();
    let [uri, filter] = arguments.as_slice() else { return Err("say where and what: URI FILTER".into()) };
    let mut options = Options::with_connector(uri.parse::<ServerUri>()?.dialer(), "stay-connected");
    // The server keeps the session for an hour: what comes meanwhile waits there.
    options.connect.session_expiry_interval = Some(3600);

    let helper = Helper::start(options)?;
    helper.subscribe(filter).await?;
    let (lines, mut typed) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).all(|line| lines.blocking_send(line).is_ok())
    });
    while let Some(line) = typed.recv().await {
        match line.split_once(' ') {
            Some((topic, message)) => {
                helper.publish(topic, message).await?;
                println!("published to {topic}");
            }
            None => println!("{line}: {:?}", helper.last(&line)),
        }
    }
    helper.client.disconnect().await?;
    Ok(())
}
