//! Devices with credentials of several clouds: their vectors, over the wire.

use tidegate::client::ConnectError;
use tidegate::packet::{ProtocolVersion, ReasonCode};
use tidegate::plugin::PluginOptions;

use super::{Broker, filter, message, module, text};

const ALIBABA: [&str; 3] = [
    "123456789.abcdefg|securemode=3,signmethod=hmacsha256,timestamp=32472115200|",
    "abcdefg&123456789",
    "2842DC9F2FBA19C671DD3F4D24590D41F91C25FD9BC4E5101951BEA88B7DEACD",
];
const TUYA: [&str; 3] = [
    "tuyalink_6c95875d0f5ba69607nzfl",
    "6c95875d0f5ba69607nzfl|signMethod=hmacSha256,timestamp=1700000000,secureMode=1,accessType=1",
    "1560ae9a5d22067b47f6e98347c6e408fd9e9b63cd6c1f354fedbe452b0375db",
];
const HUAWEI: [&str; 3] =
    ["meter_0_0_2023111506", "meter", "1c05cd54cb1b9585d40f10581aa2c84bf8c93c418eceff2f55f55dbc396c5b32"];
/// It ended in 2023.
const AZURE: [&str; 3] = [
    "dev1",
    "myhub.azure-devices.net/dev1/?api-version=2021-04-12",
    "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=wosmA3uJK9T0mdB5CIYn%2BsAVA2ODflnucuvNO5S6mbM%3D&se=1700000000",
];

fn device_pack() -> PluginOptions {
    let settings = serde_json::json!({
        "alibaba": { "products": { "123456789": { "devices": { "abcdefg": "Y877Bgo8X5owd3lcB5wWDjryNPoB" } } } },
        "tuya": { "devices": { "6c95875d0f5ba69607nzfl": "fb803786602df760" } },
        "huawei": { "devices": { "meter": "123456789" } },
        "azure": { "hubs": { "myhub.azure-devices.net": {
            "devices": { "dev1": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" },
        } } },
        "thingsboard": { "devices": { "boiler": "A1_TEST_TOKEN", "pump": "A2_TEST_TOKEN" } },
    });
    PluginOptions { settings, ..PluginOptions::new("device-pack", module("device-pack")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn device_pack_lets_devices_of_each_cloud_use_their_own_topics() {
    let broker = Broker::start(&[device_pack()]).await;
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        for ([identifier, user_name, password], own) in [
            (ALIBABA, "/sys/123456789/abcdefg/thing/event/property/post"),
            (TUYA, "tylink/6c95875d0f5ba69607nzfl/thing/property/report"),
            (HUAWEI, "$oc/devices/meter/sys/properties/report"),
        ] {
            let connected = broker.connect_as(version, identifier, user_name, password).await;
            let (client, mut messages) = connected.expect(identifier);
            let suback = client.subscribe(filter(own)).await.expect("connected");
            assert_eq!(suback.reason_codes, [ReasonCode::GRANTED_QOS_1], "{own}");
            client.publish(message(own, "{}")).await.expect("connected");
            assert_eq!(text(&messages.next().await.expect("connected")), "{}");
            let suback = client.subscribe(filter("#")).await.expect("connected");
            assert!(suback.reason_codes[0].is_error(), "{identifier}");
            client.disconnect().await.expect("connected");
        }
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn device_pack_refuses_wrong_and_expired_credentials_with_the_right_code() {
    let broker = Broker::start(&[device_pack()]).await;
    let forged = TUYA[2].replace('1', "2");
    for (identifier, user_name, password, expected) in [
        (TUYA[0], TUYA[1], forged.as_str(), ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        ("tuyalink_x", TUYA[1], TUYA[2], ReasonCode::NOT_AUTHORIZED),
        (AZURE[0], AZURE[1], AZURE[2], ReasonCode::NOT_AUTHORIZED),
        ("c", "alice", "secret", ReasonCode::BAD_USER_NAME_OR_PASSWORD),
    ] {
        match broker.connect_as(ProtocolVersion::V5, identifier, user_name, password).await {
            Err(ConnectError::Refused(connack)) => assert_eq!(connack.reason_code, expected, "{identifier}"),
            Err(error) => panic!("refused without CONNACK: {error}"),
            Ok(_) => panic!("{identifier} was let in"),
        }
    }
    broker.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn device_pack_keeps_devices_of_thingsboard_apart_that_use_the_same_topics() {
    let broker = Broker::start(&[device_pack()]).await;
    let connect = |token| broker.connect_as(ProtocolVersion::V5, "any", token, "");
    let (boiler, mut to_boiler) = connect("A1_TEST_TOKEN").await.expect("let in");
    let (pump, mut to_pump) =
        connect("A2_TEST_TOKEN").await.expect("not taken for the other by its identifier");
    for (device, name) in [(&boiler, "boiler"), (&pump, "pump")] {
        device.subscribe(filter("v1/devices/me/#")).await.expect("connected");
        device.publish(message("v1/devices/me/telemetry", name)).await.expect("connected");
    }
    for (messages, name) in [(&mut to_boiler, "boiler"), (&mut to_pump, "pump")] {
        let message = messages.next().await.expect("connected");
        assert_eq!((&*message.topic, text(&message)), ("v1/devices/me/telemetry", name));
    }
    broker.server.shutdown().await;
}
