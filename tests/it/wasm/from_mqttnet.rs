//! The usual server of MQTTnet's users, as a plugin.

use tidegate::plugin::PluginOptions;

use super::{Broker, module};
use crate::from_mqttnet::validates_and_intercepts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_server_is_a_plugin() {
    let settings = serde_json::json!({ "user-name": "device", "password": "open sesame" });
    let plugin = PluginOptions::new("validate-and-intercept", module("validate-and-intercept"));
    let broker = Broker::start(&[PluginOptions { settings, ..plugin }]).await;
    validates_and_intercepts(broker.server.addresses()[0]).await;
    assert_eq!(broker.host.status()[0].failures, []);
    broker.server.shutdown().await;
}
