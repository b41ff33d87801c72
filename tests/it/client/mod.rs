//! The client: what it promises, kept over connections that break wherever they can.

mod cuts;
mod flapping;
mod mosquitto;
mod road;
mod store;
mod usual;

use std::time::Duration;

use tidegate::client::{Client, Connector, Options, Reconnect, Subscription};
use tidegate::packet::{ProtocolVersion, Publish, QoS};

use crate::support::{PATIENCE, V5, text, within};

/// A client that keeps its session and soon connects again.
fn persistent(connector: impl Connector, version: ProtocolVersion, name: &str) -> Options {
    let mut options = Options::with_connector(connector, name.to_owned());
    options.connect.protocol_version = version;
    options.connect.clean_start = false;
    if version == V5 {
        options.connect.session_expiry_interval = Some(u32::MAX);
    }
    let reconnect =
        Reconnect { from: Duration::from_millis(1), to: Duration::from_millis(10), ..Reconnect::default() };
    options.reconnect = Some(reconnect);
    options
}

fn started(options: Options) -> Client {
    let client = Client::new(options).unwrap();
    client.start();
    client
}

fn numbered(topic: &str, number: usize, qos: QoS) -> Publish {
    Publish::new(topic.to_owned().into(), number.to_string().into()).with_qos(qos)
}

/// These numbers come next, in this order.
async fn receives(subscription: &mut Subscription, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let message = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let message = message.unwrap_or_else(|_| panic!("{number} did not come")).unwrap();
        assert_eq!(text(&message), number.to_string());
    }
}

/// What must come.
async fn done<T, E: std::fmt::Debug>(result: impl Future<Output = Result<T, E>>) -> T {
    within(result).await.unwrap()
}
