//! A client of one connection whose messages all come in one stream, for tests that are about the broker.

use tidegate::client::{self, ConnectError, End, Options, PublishError, PublishResult, SubscribeError};
use tidegate::packet::{Publish, Suback, SubscribeFilter};

pub async fn connect(options: &Options) -> Result<(Client, Messages), ConnectError> {
    let options = Options { reconnect: None, ..options.clone() };
    let client = client::Client::new(options)?;
    let messages = Messages(client.messages());
    client.connect().await?;
    Ok((Client(client), messages))
}

#[derive(Clone)]
pub struct Client(pub client::Client);

impl Client {
    /// What the server says, also where that is a refusal.
    pub async fn publish(&self, publish: Publish) -> Result<PublishResult, PublishError> {
        match self.0.publish(publish).await {
            Err(PublishError::Refused(result)) => Ok(result),
            result => result,
        }
    }

    pub async fn subscribe(&self, filters: Vec<SubscribeFilter>) -> Result<Suback, SubscribeError> {
        self.0.subscribe_only(filters).await
    }

    #[cfg(feature = "wasm")]
    pub async fn disconnect(&self) -> Result<(), client::DisconnectError> {
        self.0.disconnect().await
    }
}

pub struct Messages(client::Messages);

impl Messages {
    pub async fn next(&mut self) -> Result<Publish, End> {
        match self.0.next().await {
            Some(message) => Ok(message.into_publish()),
            None => Err(self.0.end().unwrap_or(End::Closed)),
        }
    }
}
