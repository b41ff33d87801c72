//! A device of OneNET: connects with a token that is made anew for each connection, posts a property and answers when one
//! is set.
//!
//!     cargo run --example onenet_device -- mqtt://localhost PRODUCT DEVICE KEY
//!
//! The same works with the platform itself: `mqtts://` and the host name that it shows for a device, beside the device's
//! product, name and key.

use std::env::args;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::client::device::OneNet;
use tidegate::client::dial::ServerUri;
use tidegate::client::{Client, Event, Message, Options};
use tidegate::packet::{ProtocolVersion, Publish, QoS};

const EVERY: Duration = Duration::from_secs(10);

/// What the device measures, and what can be set.
struct Thermostat {
    device: Arc<OneNet>,
    client: Client,
    target: f64,
    number: u64,
}

impl Thermostat {
    /// Posts what it measures, and waits until the broker has it.
    async fn post(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        self.number += 1;
        let params = json!({ "temperature": { "value": self.target - 0.5 } });
        let post = json!({ "id": self.number.to_string(), "version": "1.0", "params": params });
        self.publish("thing/property/post", &post).await?;
        println!("posted {post}");
        Ok(())
    }

    /// Takes over what was set, and says so.
    async fn set(&mut self, message: &Message) -> Result<(), Box<dyn std::error::Error>> {
        let request: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        let answer = match request["params"]["target"].as_f64() {
            Some(target) => {
                self.target = target;
                json!({ "id": request["id"], "code": 200, "msg": "success" })
            }
            None => json!({ "id": request["id"], "code": 400, "msg": "target is no number" }),
        };
        self.publish("thing/property/set_reply", &answer).await?;
        println!("answered {answer}");
        Ok(())
    }

    async fn publish(&self, topic: &str, value: &Value) -> Result<(), Box<dyn std::error::Error>> {
        let publish = Publish::new(self.device.topic(topic).into(), value.to_string().into());
        self.client.publish(publish.with_qos(QoS::AtLeastOnce)).await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = args().skip(1).collect();
    let [uri, product, name, key] = arguments.as_slice() else {
        return Err("say where and who: URI PRODUCT DEVICE KEY".into());
    };
    let device = Arc::new(OneNet::new(product, name, key)?);
    let mut options = Options::with_connector(uri.parse::<ServerUri>()?.dialer(), name.as_str());
    // What the platform speaks, and how often it wants to hear of a device.
    options.connect.protocol_version = ProtocolVersion::V311;
    options.connect.keep_alive = 120;
    options.credentials = Some(device.clone());

    let client = Client::new(options)?;
    let mut events = client.events();
    client.start();
    let mut sets = client.subscribe(device.topic("thing/property/set").as_str()).await?;
    let mut replies = client.subscribe(device.topic("thing/property/post/reply").as_str()).await?;
    let mut thermostat = Thermostat { device, client, target: 21.5, number: 0 };
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => thermostat.post().await?,
            Some(message) = sets.next() => thermostat.set(&message).await?,
            Some(reply) = replies.next() => println!("reply {}", String::from_utf8_lossy(&reply.payload)),
            event = events.next() => match event {
                Some(Event::GaveUp(end)) => return Err(end.into()),
                Some(Event::Disconnected { reason, .. }) => eprintln!("not connected: {reason}"),
                _ => {}
            },
        }
    }
}
