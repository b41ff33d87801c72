//! A OneNET data-parse script between a device and an application.

use std::time::Duration;

use tidegate::packet::ReasonCode;
use tidegate::plugin::{Budgets, PluginOptions};

use super::{Broker, filter, message, module, text};

/// A thermometer: a byte that says what it is, two for tenths of a degree.
const SCRIPT: &str = "
function rawDataToJson(rawData) {
    if (rawData[0] === 0xff) { while (true) {} }
    if (rawData[0] !== 0x01) { throw new Error('unknown frame'); }
    var tenths = (rawData[1] << 8 | rawData[2]) << 16 >> 16;
    return { id: '1', version: '1.0', params: { temperature: { value: tenths / 10 } }, method: 'thing.property.post' };
}
function jsonToRawData(jsonObj) {
    var bytes = [0x02];
    if (jsonObj.params.led) { bytes.push(-1); } else { bytes.push(0); }
    return bytes;
}
";

fn onenet_script(maximum_loop_iterations: u64) -> PluginOptions {
    let settings = serde_json::json!({
        "script": SCRIPT,
        "up": [{ "from": "$sys/+/+/custome/up", "to": "$sys/$1/$2/thing/property/post" }],
        "down": [{ "from": "$sys/+/+/thing/property/set", "to": "$sys/$1/$2/custome/down" }],
        "maximum-loop-iterations": maximum_loop_iterations,
    });
    // A debug build of the broker, on a machine that does other things.
    let budgets = Budgets {
        decision: Duration::from_secs(1),
        lifecycle: Duration::from_secs(20),
        ..Budgets::default()
    };
    PluginOptions { settings, budgets, ..PluginOptions::new("onenet-script", module("onenet-script")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onenet_script_converts_both_ways_and_refuses_what_it_cannot_convert() {
    let broker = Broker::start(&[onenet_script(10_000)]).await;
    let (application, mut values) = broker.connect("application").await;
    let (device, mut commands) = broker.connect("thermometer").await;
    application.subscribe(filter("$sys/p1/+/thing/#")).await.expect("connected");
    device.subscribe(filter("$sys/p1/thermometer/custome/down")).await.expect("connected");

    let ack = device.publish(message("$sys/p1/thermometer/custome/up", vec![1, 0xff, 0x9c])).await.unwrap();
    assert!(!ack.reason_code.is_error(), "{}", ack.reason_code);
    let value = values.next().await.expect("connected");
    assert_eq!(&*value.topic, "$sys/p1/thermometer/thing/property/post");
    let value: serde_json::Value = serde_json::from_str(text(&value)).unwrap();
    assert_eq!(value["params"]["temperature"]["value"], serde_json::json!(-10));

    let set = message("$sys/p1/thermometer/thing/property/set", r#"{"id":"7","params":{"led":true}}"#);
    application.publish(set).await.expect("connected");
    let command = commands.next().await.expect("connected");
    assert_eq!(&*command.topic, "$sys/p1/thermometer/custome/down");
    assert_eq!(&*command.payload, [0x02, 0xff]);

    for frame in [vec![9, 9, 9], vec![0xff]] {
        let ack = device.publish(message("$sys/p1/thermometer/custome/up", frame)).await.unwrap();
        assert_eq!(ack.reason_code, ReasonCode::PAYLOAD_FORMAT_INVALID);
    }
    let ack = device.publish(message("$sys/p1/thermometer/custome/up", vec![1, 0, 5])).await.unwrap();
    assert!(!ack.reason_code.is_error(), "the script goes on: {}", ack.reason_code);
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onenet_script_that_loops_for_ever_is_ended_by_the_deadline() {
    let broker = Broker::start(&[onenet_script(u64::MAX)]).await;
    let (device, _messages) = broker.connect("thermometer").await;
    let ack = device.publish(message("$sys/p1/thermometer/custome/up", vec![0xff])).await.unwrap();
    assert_eq!(ack.reason_code, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    let ack = device.publish(message("$sys/p1/thermometer/custome/up", vec![1, 0, 5])).await.unwrap();
    assert!(!ack.reason_code.is_error(), "a new instance goes on: {}", ack.reason_code);
    broker.server.shutdown().await;
}
