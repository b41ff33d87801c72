//! The plugin as the broker uses it: settings in, verdicts out.

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{settings, testing};

use crate::DevicePack;

/// When the vectors of Azure and Tuya are from.
const NOW: u64 = 1_700_000_000;
/// 2023-11-15T06:00Z, the vector of Huawei.
const HUAWEI_HOUR: u64 = 1_700_028_000;

const AZURE_SIGNATURE: &str = "wosmA3uJK9T0mdB5CIYn%2BsAVA2ODflnucuvNO5S6mbM%3D";
const TUYA_PASSWORD: &str = "1560ae9a5d22067b47f6e98347c6e408fd9e9b63cd6c1f354fedbe452b0375db";
const HUAWEI_PASSWORD: &str = "1c05cd54cb1b9585d40f10581aa2c84bf8c93c418eceff2f55f55dbc396c5b32";
const ALIBABA: [(&str, &str); 3] = [
    ("hmacmd5", "16CB9B20009795D576E9172CDC820646"),
    ("hmacsha1", "4E5358D2C33CA163BDA58EC994B9E312712230C7"),
    ("hmacsha256", "2842DC9F2FBA19C671DD3F4D24590D41F91C25FD9BC4E5101951BEA88B7DEACD"),
];

fn all() -> Value {
    json!({
        "alibaba": { "products": { "123456789": { "devices": {
            "abcdefg": "Y877Bgo8X5owd3lcB5wWDjryNPoB", "other": "Y877Bgo8X5owd3lcB5wWDjryNPoB",
        } } } },
        "tuya": { "devices": { "6c95875d0f5ba69607nzfl": "fb803786602df760", "other": "fb803786602df760" } },
        "huawei": { "devices": { "meter_1": "123456789", "other": "123456789" } },
        "azure": { "hubs": { "myhub.azure-devices.net": { "devices": {
            "dev1": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            "dev2": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        } } } },
        "thingsboard": { "devices": { "boiler": "A1_TEST_TOKEN" } },
    })
}

fn start(settings: Value) -> Result<DevicePack, String> {
    testing::reset();
    testing::set_now_ms(NOW * 1000);
    DevicePack::init(settings::parse(&settings.to_string())?).map(|(plugin, _)| plugin)
}

fn plugin(settings: Value) -> DevicePack {
    start(settings).expect("good settings")
}

fn connect(plugin: &mut DevicePack, identifier: &str, user_name: &str, password: &str) -> ConnectVerdict {
    let password = (!password.is_empty()).then_some(password.as_bytes());
    plugin.validate(testing::connect(identifier, Some(user_name), password))
}

fn alibaba(plugin: &mut DevicePack, method: &str, password: &str) -> ConnectVerdict {
    let identifier = format!("123456789.abcdefg|securemode=3,signmethod={method},timestamp=32472115200|");
    connect(plugin, &identifier, "abcdefg&123456789", password)
}

fn tuya(plugin: &mut DevicePack, identifier: &str) -> ConnectVerdict {
    let user_name =
        "6c95875d0f5ba69607nzfl|signMethod=hmacSha256,timestamp=1700000000,secureMode=1,accessType=1";
    connect(plugin, identifier, user_name, TUYA_PASSWORD)
}

fn azure(plugin: &mut DevicePack, device: &str) -> ConnectVerdict {
    let password = format!(
        "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig={AZURE_SIGNATURE}&se=1700000000"
    );
    let user_name = format!("myhub.azure-devices.net/{device}/?api-version=2021-04-12");
    connect(plugin, device, &user_name, &password)
}

const BAD: ConnectVerdict = ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD);
const NOT_AUTHORIZED: ConnectVerdict = ConnectVerdict::Deny(reason::NOT_AUTHORIZED);

/// Under which name the last that was let in is known.
fn name() -> String {
    testing::with(|host| {
        assert_eq!(host.connection.assigned_user_name, host.connection.assigned_client_identifier);
        host.connection.assigned_user_name.take().expect("a name")
    })
}

#[test]
fn alibabas_vectors_are_let_in_in_upper_and_lower_case() {
    let mut plugin = plugin(all());
    for (method, password) in ALIBABA {
        assert_eq!(alibaba(&mut plugin, method, password), ConnectVerdict::Allow, "{method}");
        assert_eq!(name(), "alibaba:123456789/abcdefg");
        assert_eq!(alibaba(&mut plugin, method, &password.to_lowercase()), ConnectVerdict::Allow);
    }
    assert_eq!(alibaba(&mut plugin, "hmacmd5", ALIBABA[1].1), BAD, "of another method");
    assert_eq!(alibaba(&mut plugin, "hmacsha512", ALIBABA[2].1), BAD);
    let identifier = "123456789.abcdefg|securemode=3,signmethod=hmacmd5,timestamp=32472115200|";
    assert_eq!(connect(&mut plugin, identifier, "other&123456789", ALIBABA[0].1), BAD, "of another device");
    assert_eq!(connect(&mut plugin, identifier, "abcdefg&other", ALIBABA[0].1), BAD);
    assert_eq!(connect(&mut plugin, identifier, "abcdefg", ALIBABA[0].1), BAD);
    assert_eq!(connect(&mut plugin, identifier, "abcdefg&123456789", ""), BAD);
}

#[test]
fn a_product_of_alibaba_may_have_one_secret_for_all_devices() {
    let products = json!({ "123456789": { "secret": "Y877Bgo8X5owd3lcB5wWDjryNPoB" } });
    let mut plugin = plugin(json!({ "alibaba": { "products": products } }));
    assert_eq!(alibaba(&mut plugin, ALIBABA[0].0, ALIBABA[0].1), ConnectVerdict::Allow);
}

#[test]
fn alibabas_time_is_looked_at_where_the_operator_asks_for_it() {
    let mut settings = all();
    settings["alibaba"]["clock-skew-seconds"] = json!(900);
    let mut plugin = plugin(settings);
    assert_eq!(alibaba(&mut plugin, ALIBABA[2].0, ALIBABA[2].1), NOT_AUTHORIZED);
    testing::set_now_ms(32_472_115_200_000 - 900_000);
    assert_eq!(alibaba(&mut plugin, ALIBABA[2].0, ALIBABA[2].1), ConnectVerdict::Allow);
    testing::set_now_ms(32_472_115_200_000 + 901_000);
    assert_eq!(alibaba(&mut plugin, ALIBABA[2].0, ALIBABA[2].1), NOT_AUTHORIZED);
    assert_eq!(alibaba(&mut plugin, ALIBABA[2].0, ALIBABA[1].1), BAD, "the signature comes first");
}

#[test]
fn tuyas_vector_is_let_in() {
    let mut settings = all();
    let mut pack = plugin(settings.clone());
    assert_eq!(tuya(&mut pack, "tuyalink_6c95875d0f5ba69607nzfl"), ConnectVerdict::Allow);
    assert_eq!(name(), "tuya:6c95875d0f5ba69607nzfl");
    assert_eq!(tuya(&mut pack, "tuyalink_other"), NOT_AUTHORIZED, "another's");
    let user_name =
        "6c95875d0f5ba69607nzfl|signMethod=hmacSha256,timestamp=1700000001,secureMode=1,accessType=1";
    assert_eq!(connect(&mut pack, "tuyalink_6c95875d0f5ba69607nzfl", user_name, TUYA_PASSWORD), BAD);
    for malformed in ["6c95875d0f5ba69607nzfl", "6c95875d0f5ba69607nzfl|timestamp=1", "x|a", ""] {
        assert_eq!(connect(&mut pack, "tuyalink_x", malformed, TUYA_PASSWORD), BAD, "{malformed}");
    }

    settings["tuya"]["clock-skew-seconds"] = json!(60);
    let mut pack = plugin(settings);
    testing::set_now_ms((NOW + 60) * 1000);
    assert_eq!(tuya(&mut pack, "tuyalink_6c95875d0f5ba69607nzfl"), ConnectVerdict::Allow);
    testing::set_now_ms((NOW + 61) * 1000);
    assert_eq!(tuya(&mut pack, "tuyalink_6c95875d0f5ba69607nzfl"), NOT_AUTHORIZED);
}

#[test]
fn huaweis_vector_is_let_in_and_its_hour_checked_where_it_asks_for_it() {
    let mut pack = plugin(all());
    let mut at = |seconds: u64, identifier: &str, user_name: &str| {
        testing::set_now_ms(seconds * 1000);
        connect(&mut pack, identifier, user_name, HUAWEI_PASSWORD)
    };
    assert_eq!(at(HUAWEI_HOUR, "meter_1_0_1_2023111506", "meter_1"), ConnectVerdict::Allow);
    assert_eq!(name(), "huawei:meter_1");
    assert_eq!(at(HUAWEI_HOUR - 3600, "meter_1_0_1_2023111506", "meter_1"), ConnectVerdict::Allow);
    assert_eq!(at(HUAWEI_HOUR + 7200, "meter_1_0_1_2023111506", "meter_1"), ConnectVerdict::Allow);
    assert_eq!(at(HUAWEI_HOUR + 7201, "meter_1_0_1_2023111506", "meter_1"), NOT_AUTHORIZED);
    assert_eq!(at(HUAWEI_HOUR + 7201, "meter_1_0_0_2023111506", "meter_1"), ConnectVerdict::Allow);
    assert_eq!(at(HUAWEI_HOUR, "meter_1_0_1_2023111507", "meter_1"), BAD, "signed another hour");
    assert_eq!(at(HUAWEI_HOUR, "other_0_1_2023111506", "meter_1"), NOT_AUTHORIZED);
    assert_eq!(at(HUAWEI_HOUR, "meter_1_0_1_2023111506", "unknown"), BAD);

    let mut settings = all();
    settings["huawei"]["always-check-time"] = json!(true);
    let mut strict = plugin(settings);
    assert_eq!(connect(&mut strict, "meter_1_0_0_2023111506", "meter_1", HUAWEI_PASSWORD), NOT_AUTHORIZED);
}

#[test]
fn azures_vector_is_let_in_until_its_end() {
    let mut pack = plugin(all());
    assert_eq!(azure(&mut pack, "dev1"), ConnectVerdict::Allow);
    assert_eq!(name(), "azure:myhub.azure-devices.net/dev1");
    assert_eq!(testing::with(|host| host.connection.expires_at), Some(NOW * 1000));
    assert_eq!(azure(&mut pack, "dev2"), NOT_AUTHORIZED, "signed for another device");
    testing::set_now_ms((NOW + 1) * 1000);
    assert_eq!(azure(&mut pack, "dev1"), NOT_AUTHORIZED);

    let mut settings = all();
    settings["azure"]["clock-skew-seconds"] = json!(5);
    let mut pack = plugin(settings);
    testing::set_now_ms((NOW + 5) * 1000);
    assert_eq!(azure(&mut pack, "dev1"), ConnectVerdict::Allow);
}

#[test]
fn a_hubs_key_is_good_for_devices_that_have_none() {
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let hub = |hub: Value| json!({ "azure": { "hubs": { "myhub.azure-devices.net": hub } } });
    let mut pack = plugin(hub(json!({ "key": key })));
    assert_eq!(azure(&mut pack, "dev1"), ConnectVerdict::Allow);

    // Signed for the whole hub.
    let signed = "myhub.azure-devices.net\n1700000000";
    let sign =
        crypto::hmac(crypto::Algorithm::Sha256, b"0123456789abcdef0123456789abcdef", signed.as_bytes());
    let sign = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sign);
    let password =
        format!("SharedAccessSignature sr=myhub.azure-devices.net&sig={sign}&se=1700000000&skn=device");
    let user_name = "myhub.azure-devices.net/dev7/?api-version=2021-04-12";
    assert_eq!(connect(&mut pack, "dev7", user_name, &password), ConnectVerdict::Allow);
    let mut pack = plugin(hub(json!({ "key": key, "devices": { "dev7": key } })));
    assert_eq!(
        connect(&mut pack, "dev7", user_name, &password),
        NOT_AUTHORIZED,
        "a device's key signs for the device only"
    );
}

#[test]
fn thingsboards_token_is_let_in_and_the_device_has_a_place_of_its_own() {
    let mut pack = plugin(all());
    assert_eq!(connect(&mut pack, "anything", "A1_TEST_TOKEN", ""), ConnectVerdict::Allow);
    assert_eq!(name(), "thingsboard:boiler");
    let prefix = testing::with(|host| host.connection.mount_prefix.clone());
    assert_eq!(prefix.as_deref(), Some("thingsboard/boiler"));
    assert_eq!(connect(&mut pack, "anything", "A1_TEST_TOKEN", "password"), BAD);
    assert_eq!(connect(&mut pack, "anything", "A1_TEST_TOKEM", ""), BAD);
}

#[test]
fn credentials_of_a_cloud_that_is_not_set_up_are_not_looked_at() {
    let only_tuya = |others: &str| json!({ "tuya": all()["tuya"], "others": others });
    let mut pack = plugin(only_tuya("next"));
    assert_eq!(azure(&mut pack, "dev1"), ConnectVerdict::Next);
    assert_eq!(connect(&mut pack, "c", "A1_TEST_TOKEN", ""), ConnectVerdict::Next);
    assert_eq!(tuya(&mut pack, "tuyalink_6c95875d0f5ba69607nzfl"), ConnectVerdict::Allow);
    assert_eq!(tuya(&mut pack, "tuyalink_other"), NOT_AUTHORIZED, "a cloud's own are not left to the next");
    let mut pack = plugin(only_tuya("deny"));
    assert_eq!(azure(&mut pack, "dev1"), BAD);
}

#[test]
fn devices_use_their_own_topics_only() {
    let mut pack = plugin(all());
    let mut may = |user_name: &str, action: Action, topic: &str| {
        testing::with(|host| host.client.user_name = Some(user_name.to_owned()));
        match pack.authorize(testing::access(action, topic)) {
            AuthorizerVerdict::Allow(60_000) => Some(true),
            AuthorizerVerdict::Deny(_) => Some(false),
            AuthorizerVerdict::Next => None,
            other => panic!("{other:?}"),
        }
    };
    for (user_name, action, topic, expected) in [
        ("alibaba:p/d", Action::Publish, "/sys/p/d/thing/event/property/post", Some(true)),
        ("alibaba:p/d", Action::Publish, "/sys/p/e/thing/event/property/post", Some(false)),
        ("alibaba:p/d", Action::Subscribe, "/p/d/user/+", Some(true)),
        ("alibaba:p/d", Action::Subscribe, "/ota/device/upgrade/p/d", Some(true)),
        ("alibaba:p/d", Action::Subscribe, "/sys/p/+/#", Some(false)),
        ("tuya:d", Action::Subscribe, "$share/g/tylink/d/#", Some(true)),
        ("tuya:d", Action::Subscribe, "tylink/#", Some(false)),
        ("tuya:d", Action::Deliver, "tylink/d/thing/property/set", Some(true)),
        ("huawei:d", Action::Publish, "$oc/devices/d/sys/properties/report", Some(true)),
        ("huawei:d", Action::Subscribe, "$oc/devices/+/sys/#", Some(false)),
        ("azure:hub/d", Action::Publish, "devices/d/messages/events/", Some(true)),
        ("azure:hub/d", Action::Subscribe, "$iothub/methods/POST/#", Some(false)),
        ("thingsboard:d", Action::Publish, "thingsboard/d/v1/devices/me/telemetry", Some(true)),
        ("thingsboard:d", Action::Publish, "v1/devices/me/telemetry", Some(false)),
        ("thingsboard:d", Action::Subscribe, "#", Some(false)),
        ("alice", Action::Publish, "tylink/d/x", None),
        ("tuya:", Action::Publish, "tylink//x", None),
        ("tuya:+", Action::Subscribe, "tylink/+/x", None),
    ] {
        assert_eq!(may(user_name, action, topic), expected, "{user_name} {action:?} {topic}");
    }
}

#[test]
fn topics_and_prefix_are_the_operators_choice() {
    let mut settings = all();
    settings["tuya"]["topics"] = json!(["t/{device}/up", "shared/#"]);
    settings["azure"]["mount-prefix"] = json!("hubs/{product}/{device}");
    let mut pack = plugin(settings);
    assert_eq!(azure(&mut pack, "dev1"), ConnectVerdict::Allow);
    let prefix = testing::with(|host| host.connection.mount_prefix.clone());
    assert_eq!(prefix.as_deref(), Some("hubs/myhub.azure-devices.net/dev1"));
    let mut may = |user_name: &str, topic: &str| {
        testing::with(|host| host.client.user_name = Some(user_name.to_owned()));
        pack.authorize(testing::access(Action::Publish, topic)) == AuthorizerVerdict::Allow(60_000)
    };
    assert!(may("tuya:d", "t/d/up") && may("tuya:d", "shared/x") && !may("tuya:d", "tylink/d/x"));
    assert!(may("azure:h/d", "hubs/h/d/$iothub/twin/GET/") && !may("azure:h/d", "devices/d/x"));
}

#[test]
fn all_problems_are_told_at_once_without_the_secrets() {
    let told = start(json!({
        "alibaba": { "products": { "a/b": {}, "p": { "devices": { "d": "" } } } },
        "tuya": { "devices": {}, "topics": ["a/#/b"] },
        "huawei": { "devices": { "d": "s" }, "clock-skew-seconds": 99_999_999 },
        "azure": { "hubs": { "h": { "key": "secret?", "devices": { "d": "" } } }, "mount-prefix": "x" },
        "thingsboard": { "devices": { "a": "same-token", "b": "same-token" } },
    }));
    let told = told.err().expect("bad settings");
    for expected in [
        "alibaba.products.a/b: the name is used in topics",
        "alibaba.products.a/b: give it `devices`",
        "alibaba.products.p.devices.d: an empty secret",
        "tuya.devices: name at least one",
        "tuya.topics: `a/#/b` is not a Topic Filter",
        "huawei.clock-skew-seconds: is more than a year",
        "azure.hubs.h.key: is not a key in base64",
        "azure.hubs.h.devices.d: is not a key in base64",
        "azure.mount-prefix: should be a Topic Name with `{device}`",
        "thingsboard.devices.b: has the token of another device",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!told.contains("secret?") && !told.contains("same-token"));
    assert!(start(json!({})).err().unwrap().contains("set up at least one"));
    assert!(start(json!({ "aws": {} })).err().unwrap().contains("unknown field `aws`"));
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(|_| ()).expect("good settings");
    }
}
