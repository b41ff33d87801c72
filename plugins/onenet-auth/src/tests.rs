//! The plugin as the broker uses it: settings in, verdicts out.

use std::time::Duration;

use tidegate_plugin::prelude::*;
use tidegate_plugin::{Lifecycle, WillMessage, testing};

use crate::OnenetAuth;

/// The platform's own example.
const EXAMPLE_PASSWORD: &str = "version=2018-10-31&res=products%2F238322%2Fdevices%2Fmqtts-test-device&et=7557387130\
    &method=sha1&sign=Rs0u%2FKnyoK5%2FMuKo5xKa0tW%2BWqY%3D";

const K1: &str = "KuF3NT/jUBJ62LNBB/A8XZA9CqS3Cu79B/ABmfA1UCw=";
const OTHER_KEY: &str = "bm90IHRoZSBrZXk=";

/// When the tokens of K1 end.
const END: u64 = 1_537_255_523;

/// res, method, sign; all by K1 until END
const VECTORS: [(&str, &str, &str); 6] = [
    ("products/123123", "md5", "M3jB6jcSNUuGcvW3dFcrWA=="),
    ("products/123123", "sha1", "lsaPSiiGvEFFjXu5WU7a6IkScqE="),
    ("products/123123", "sha256", "tuFMd8Cc5krZO+RiNaW4mad5tauSFq2J89Gd70MXQPI="),
    ("products/123123/devices/mydev", "md5", "XV29qkZOl7StAMRW9zVvaQ=="),
    ("products/123123/devices/mydev", "sha1", "p2Bv5QYrZolQCtt68923gtxRCVk="),
    ("products/123123/devices/mydev", "sha256", "dL9mxHdJXyd2TZcmTna60TMUei2dYU5W6iOow7fH/7w="),
];

fn plugin(settings: serde_json::Value) -> OnenetAuth {
    start(settings).expect("good settings").0
}

fn start(settings: serde_json::Value) -> Result<(OnenetAuth, Registration), String> {
    testing::reset();
    testing::set_now_ms((END - 1000) * 1000);
    testing::with(|host| host.connection.keep_alive = 60);
    OnenetAuth::init(tidegate_plugin::settings::parse(&settings.to_string())?)
}

fn refused_settings(settings: serde_json::Value) -> String {
    start(settings).err().expect("bad settings")
}

fn one_product(product: serde_json::Value) -> serde_json::Value {
    serde_json::json!({ "products": [product] })
}

/// Product 123123 with K1 for the product.
fn by_product_key() -> OnenetAuth {
    plugin(one_product(
        serde_json::json!({ "id": "123123", "key": K1, "devices": { "mydev": "", "other": "" } }),
    ))
}

fn by_device_key() -> OnenetAuth {
    plugin(one_product(serde_json::json!({ "id": "123123", "key": OTHER_KEY, "devices": { "mydev": K1 } })))
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F").replace('+', "%2B").replace('=', "%3D")
}

fn token(res: &str, method: &str, sign: &str) -> String {
    format!("version=2018-10-31&res={}&et={END}&method={method}&sign={}", escape(res), escape(sign))
}

/// A right token by K1 with another method or end than those of the vectors.
fn signed(res: &str, method: &str, et: u64) -> String {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    let algorithm = match method.to_ascii_lowercase().as_str() {
        "md5" => crypto::Algorithm::Md5,
        "sha1" => crypto::Algorithm::Sha1,
        _ => crypto::Algorithm::Sha256,
    };
    let key = base64.decode(K1).unwrap();
    let sign =
        base64.encode(crypto::hmac(algorithm, &key, format!("{et}\n{method}\n{res}\n2018-10-31").as_bytes()));
    format!("version=2018-10-31&res={}&et={et}&method={method}&sign={}", escape(res), escape(&sign))
}

fn connect(plugin: &mut OnenetAuth, client: &str, user: &str, password: &str) -> ConnectVerdict {
    plugin.validate(testing::connect(client, Some(user), Some(password.as_bytes())))
}

fn mydev_token() -> String {
    let (res, method, sign) = VECTORS[4];
    token(res, method, sign)
}

const BAD: ConnectVerdict = ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD);
const FORBIDDEN: ConnectVerdict = ConnectVerdict::Deny(reason::NOT_AUTHORIZED);

#[test]
fn the_platforms_own_example_is_let_in() {
    let key = "EnW4T71eIE55xOIQMN6pFMKuqel5T5HTzsGJRPiDhlM=";
    let mut plugin =
        plugin(one_product(serde_json::json!({ "id": "238322", "devices": { "mqtts-test-device": key } })));
    let verdict = connect(&mut plugin, "mqtts-test-device", "238322", EXAMPLE_PASSWORD);
    assert_eq!(verdict, ConnectVerdict::Allow);
    assert_eq!(testing::with(|host| host.connection.expires_at), Some(7_557_387_130_000));
}

#[test]
fn every_vector_is_let_in_whether_device_or_product_signed() {
    for mut plugin in [by_product_key(), by_device_key()] {
        for (res, method, sign) in VECTORS {
            let verdict = connect(&mut plugin, "mydev", "123123", &token(res, method, sign));
            assert_eq!(verdict, ConnectVerdict::Allow, "{res} {method}");
        }
    }
}

#[test]
fn the_connection_ends_when_the_token_does() {
    connect(&mut by_device_key(), "mydev", "123123", &mydev_token());
    assert_eq!(testing::with(|host| host.connection.expires_at), Some(END * 1000));
}

#[test]
fn the_method_is_signed_as_it_was_sent() {
    let res = "products/123123/devices/mydev";
    let mut plugin = by_device_key();
    assert_eq!(connect(&mut plugin, "mydev", "123123", &signed(res, "MD5", END)), ConnectVerdict::Allow);
    let (_, _, lower_case_sign) = VECTORS[3];
    assert_eq!(connect(&mut plugin, "mydev", "123123", &token(res, "MD5", lower_case_sign)), BAD);
}

#[test]
fn a_token_is_good_in_its_last_second_and_expired_after() {
    let mut plugin = by_device_key();
    testing::set_now_ms(END * 1000 + 999);
    assert_eq!(connect(&mut plugin, "mydev", "123123", &mydev_token()), ConnectVerdict::Allow);
    testing::set_now_ms((END + 1) * 1000);
    assert_eq!(connect(&mut plugin, "mydev", "123123", &mydev_token()), FORBIDDEN);
    assert_eq!(testing::take_reply().reason_string.as_deref(), Some("the token is expired"));
}

#[test]
fn a_forged_or_changed_token_is_a_bad_password() {
    let mut plugin = by_device_key();
    let good = mydev_token();
    for changed in [
        good.replace(&END.to_string(), &(END + 1).to_string()),
        good.replace("sha1", "md5"),
        good.replace("mydev", "other"),
        good.replace("sign=p2", "sign=p3"),
        good.replace("sign=p2Bv5QYrZolQCtt68923gtxRCVk%3D", "sign="),
    ] {
        assert_ne!(changed, good);
        assert_eq!(connect(&mut plugin, "mydev", "123123", &changed), BAD, "{changed}");
    }
}

#[test]
fn a_forged_token_does_not_learn_that_it_is_expired() {
    let mut plugin = by_device_key();
    testing::set_now_ms((END + 1) * 1000);
    assert_eq!(connect(&mut plugin, "mydev", "123123", &mydev_token().replace("sign=p2", "sign=p3")), BAD);
}

#[test]
fn anothers_token_is_not_authorized() {
    let settings = serde_json::json!({ "products": [
        { "id": "123123", "key": K1, "devices": { "mydev": "", "other": "" } },
        { "id": "456", "key": OTHER_KEY, "devices": { "mydev": "" } },
    ]});
    let mut plugin = plugin(settings);
    assert_eq!(connect(&mut plugin, "other", "123123", &mydev_token()), FORBIDDEN, "another device");
    assert_eq!(connect(&mut plugin, "mydev", "456", &mydev_token()), FORBIDDEN, "another product");
    assert_eq!(connect(&mut plugin, "MYDEV", "123123", &mydev_token()), FORBIDDEN, "names have letter case");
}

#[test]
fn a_device_that_is_not_listed_or_refused_is_not_authorized() {
    let product = serde_json::json!({ "id": "123123", "key": K1, "refused-devices": ["mydev"],
                                      "accept-unlisted-devices": true });
    let mut plugin = plugin(one_product(product));
    assert_eq!(connect(&mut plugin, "mydev", "123123", &mydev_token()), FORBIDDEN, "refused");
    let ghost = signed("products/123123/devices/ghost", "sha256", END);
    assert_eq!(
        connect(&mut plugin, "ghost", "123123", &ghost),
        ConnectVerdict::Allow,
        "unlisted are accepted"
    );
    assert_eq!(connect(&mut by_product_key(), "ghost", "123123", &ghost), FORBIDDEN, "not listed");
}

#[test]
fn a_products_token_cannot_name_a_device_after_a_wildcard() {
    let product = serde_json::json!({ "id": "123123", "key": K1, "accept-unlisted-devices": true });
    let mut plugin = plugin(one_product(product));
    let (res, method, sign) = VECTORS[1];
    for name in ["+", "#", "a/b", ""] {
        assert_eq!(connect(&mut plugin, name, "123123", &token(res, method, sign)), FORBIDDEN, "{name}");
    }
}

#[test]
fn the_order_of_parts_and_the_case_of_escapes_do_not_matter() {
    let (res, _, sign) = VECTORS[5];
    let mut plugin = by_device_key();
    let res = escape(res);
    for password in [
        format!("sign={}&method=sha256&et={END}&res={res}&version=2018-10-31", escape(sign)),
        token(VECTORS[5].0, "sha256", sign).replace("%2F", "%2f").replace("%3D", "%3d"),
        format!("version=2018-10-31&res={}&et={END}&method=sha256&sign={sign}", VECTORS[5].0),
        token(VECTORS[5].0, "sha256", sign).replace("mydev", "%6D%79dev"),
    ] {
        assert_eq!(connect(&mut plugin, "mydev", "123123", &password), ConnectVerdict::Allow, "{password}");
    }
}

#[test]
fn a_malformed_token_is_a_bad_password() {
    let mut plugin = by_device_key();
    let good = mydev_token();
    let mut malformed = vec![
        String::new(),
        "&".into(),
        "version".into(),
        "=".into(),
        format!("{good}&"),
        format!("{good}&et={END}"),
        format!("{good}&extra=1"),
        format!("{good}%"),
        format!("{good}%4"),
        format!("{good}%zz"),
        good.replace("2018-10-31", "2018-10-32"),
        good.replace("sha1", "sha512"),
        good.replace("products", "product"),
        good.replace("%2Fmydev", ""),
        good.replace("mydev", ""),
        good.replace(&END.to_string(), "%2B1537255523"),
        good.replace(&END.to_string(), "99999999999999999999999999"),
        good.replace("%3D", "%3D%3D%3D"),
        format!("{good}{}", "A".repeat(100_000)),
    ];
    for name in ["version", "res", "et", "method", "sign"] {
        let without: Vec<&str> =
            good.split('&').filter(|part| !part.starts_with(&format!("{name}="))).collect();
        malformed.push(without.join("&"));
    }
    for password in malformed {
        assert_eq!(connect(&mut plugin, "mydev", "123123", &password), BAD, "{password}");
    }
    assert_eq!(plugin.validate(testing::connect("mydev", Some("123123"), Some(b"\xFF\xFE"))), BAD);
    assert_eq!(plugin.validate(testing::connect("mydev", Some("123123"), None)), BAD);
    assert_eq!(plugin.validate(testing::connect("mydev", None, None)), BAD);
}

#[test]
fn passwords_and_keys_do_not_reach_the_log() {
    let mut plugin = by_device_key();
    connect(&mut plugin, "mydev", "123123", &mydev_token());
    connect(&mut plugin, "mydev", "123123", &mydev_token().replace("sign=p2", "sign=p3"));
    let log = testing::with(|host| format!("{:?}", host.log));
    assert!(log.contains("neither the device's nor the product's key fits"));
    assert!(!log.contains("sign=") && !log.contains("Bv5QYrZolQCtt") && !log.contains(K1));
}

#[test]
fn an_unknown_product_is_left_to_the_next_plugin_where_that_is_wanted() {
    assert_eq!(connect(&mut by_device_key(), "mydev", "999", "secret"), BAD);
    let settings =
        serde_json::json!({ "unknown-products": "next", "products": [{ "id": "123123", "key": K1 }] });
    let mut plugin = plugin(settings);
    assert_eq!(connect(&mut plugin, "mydev", "999", "secret"), ConnectVerdict::Next);
    assert_eq!(connect(&mut plugin, "mydev", "123123", "secret"), BAD, "our own are not passed on");
}

fn authorize(plugin: &mut OnenetAuth, action: Action, topic: &str) -> bool {
    match plugin.authorize(testing::access(action, topic)) {
        AuthorizerVerdict::Allow(_) => true,
        AuthorizerVerdict::Deny(denial) => {
            assert_eq!(denial.reason, reason::NOT_AUTHORIZED);
            false
        }
        AuthorizerVerdict::Next => panic!("no opinion on {topic}"),
    }
}

#[test]
fn a_device_publishes_and_subscribes_only_its_own_topics() {
    let mut plugin = by_product_key();
    connect(&mut plugin, "mydev", "123123", &mydev_token());
    for own in [
        "$sys/123123/mydev/thing/property/post",
        "$sys/123123/mydev/thing/property/set_reply",
        "$sys/123123/mydev/dp/post/json",
        "$sys/123123/mydev/cmd/response/42",
    ] {
        assert!(authorize(&mut plugin, Action::Publish, own), "{own}");
    }
    for own in [
        "$sys/123123/mydev/#",
        "$sys/123123/mydev/thing/property/+/reply",
        "$sys/123123/mydev/cmd/request/+",
        "$share/workers/$sys/123123/mydev/dp/#",
    ] {
        assert!(authorize(&mut plugin, Action::Subscribe, own), "{own}");
    }
    for not_own in [
        "#",
        "+/123123/mydev/dp",
        "$sys/#",
        "$sys/+/mydev/dp",
        "$sys/123123/#",
        "$sys/123123/+/dp/post/json",
        "$sys/123123/mydev",
        "$sys/123123/mydev/",
        "$sys/123123/mydevice/dp",
        "$sys/123123/other/dp/post/json",
        "$sys/1231234/mydev/dp",
        "$share/workers/$sys/123123/#",
        "$share/workers/#",
        "$dp",
        "$creq/1",
        "sensors/1",
    ] {
        assert!(!authorize(&mut plugin, Action::Subscribe, not_own), "{not_own}");
        assert!(!authorize(&mut plugin, Action::Publish, not_own), "{not_own}");
    }
}

#[test]
fn a_share_name_does_not_make_a_topic_name_ones_own() {
    let mut plugin = by_product_key();
    connect(&mut plugin, "mydev", "123123", &mydev_token());
    assert!(!authorize(&mut plugin, Action::Publish, "$share/workers/$sys/123123/mydev/dp"));
}

#[test]
fn verdicts_are_cached_as_long_as_the_settings_say() {
    let settings =
        serde_json::json!({ "authorization-cache-seconds": 5, "products": [{ "id": "1", "key": K1 }] });
    let mut plugin = plugin(settings);
    testing::connect("dev", Some("1"), None);
    let own = plugin.authorize(testing::access(Action::Publish, "$sys/1/dev/dp/post/json"));
    assert_eq!(own, AuthorizerVerdict::Allow(5000));
}

#[test]
fn clients_of_other_products_are_left_to_the_next_authorizer() {
    let mut plugin = by_product_key();
    testing::connect("mydev", Some("999"), None);
    assert_eq!(plugin.authorize(testing::access(Action::Publish, "a")), AuthorizerVerdict::Next);
    testing::connect("mydev", None, None);
    assert_eq!(plugin.authorize(testing::access(Action::Publish, "a")), AuthorizerVerdict::Next);
}

fn old_platform(shared_commands: bool) -> OnenetAuth {
    plugin(one_product(serde_json::json!({ "id": "77", "old-platform": {
        "api-key": "master-key", "devices": { "1001": "serial-1", "1002": "" }, "shared-commands": shared_commands,
    }})))
}

#[test]
fn the_old_platform_takes_auth_info_or_the_api_key() {
    let mut plugin = old_platform(false);
    assert_eq!(connect(&mut plugin, "1001", "77", "serial-1"), ConnectVerdict::Allow);
    assert_eq!(connect(&mut plugin, "1001", "77", "master-key"), ConnectVerdict::Allow);
    assert_eq!(connect(&mut plugin, "1002", "77", "master-key"), ConnectVerdict::Allow);
    assert_eq!(connect(&mut plugin, "1002", "77", "serial-1"), BAD);
    assert_eq!(connect(&mut plugin, "1002", "77", ""), BAD, "an empty auth info is none");
    assert_eq!(connect(&mut plugin, "1001", "77", "serial-2"), BAD);
    assert_eq!(connect(&mut plugin, "9999", "77", "master-key"), FORBIDDEN, "not listed");
    assert_eq!(connect(&mut plugin, "boiler", "77", "master-key"), FORBIDDEN, "not a number");
    assert_eq!(connect(&mut plugin, "1001", "78", "serial-1"), BAD, "another product");
}

#[test]
fn without_the_option_auth_info_is_a_malformed_token() {
    assert_eq!(connect(&mut by_product_key(), "1001", "123123", "serial-1"), BAD);
}

#[test]
fn an_old_device_has_dp_and_its_replies_and_only_its_own_commands() {
    let mut plugin = old_platform(false);
    connect(&mut plugin, "1001", "77", "serial-1");
    assert!(authorize(&mut plugin, Action::Publish, "$dp"));
    assert!(authorize(&mut plugin, Action::Publish, "$crsp/8a1b"));
    assert!(authorize(&mut plugin, Action::Subscribe, "$creq/1001/#"));
    assert!(authorize(&mut plugin, Action::Deliver, "$creq/1001/8a1b"));
    for not_own in ["$creq/#", "$creq/+", "$creq/1002/#", "$creq/10011/a", "$creq/1001", "$dp", "$crsp/#"] {
        assert!(!authorize(&mut plugin, Action::Subscribe, not_own), "{not_own}");
    }
    assert!(!authorize(&mut plugin, Action::Publish, "$creq/1002/8a1b"), "commands are not a device's");
}

#[test]
fn shared_commands_are_every_old_devices() {
    let mut plugin = old_platform(true);
    connect(&mut plugin, "1001", "77", "serial-1");
    assert!(authorize(&mut plugin, Action::Subscribe, "$creq/#"));
    assert!(!authorize(&mut plugin, Action::Subscribe, "$dp"));
}

fn limited() -> OnenetAuth {
    plugin(
        serde_json::json!({ "limits": true, "products": [{ "id": "123123", "key": K1, "devices": { "mydev": "" }}]}),
    )
}

#[test]
fn with_limits_a_keep_alive_is_10_to_1800_seconds() {
    let mut plugin = limited();
    for (seconds, good) in [(0, false), (9, false), (10, true), (1800, true), (1801, false)] {
        testing::with(|host| host.connection.keep_alive = seconds);
        let verdict = connect(&mut plugin, "mydev", "123123", &mydev_token());
        assert_eq!(verdict == ConnectVerdict::Allow, good, "{seconds}");
    }
}

#[test]
fn with_limits_a_will_is_refused() {
    let mut plugin = limited();
    let will = WillMessage { topic: "w".into(), payload_length: 1, qos: Qos::AtMostOnce, retain: false };
    testing::with(|host| host.connection.will = Some(will));
    let verdict = connect(&mut plugin, "mydev", "123123", &mydev_token());
    assert_eq!(verdict, ConnectVerdict::Deny(reason::IMPLEMENTATION_SPECIFIC_ERROR));
}

#[test]
fn with_limits_retain_qos_2_and_large_payloads_are_rejected() {
    let mut plugin = limited();
    connect(&mut plugin, "mydev", "123123", &mydev_token());
    let publish = |length| testing::publish("$sys/123123/mydev/dp/post/json", vec![0; length]);
    let unsupported = PublishVerdict::Reject(reason::IMPLEMENTATION_SPECIFIC_ERROR);
    assert_eq!(plugin.intercept_publish(publish(1).with_retain(true)), unsupported);
    assert_eq!(plugin.intercept_publish(publish(1).with_qos(Qos::ExactlyOnce)), unsupported);
    assert_eq!(plugin.intercept_publish(publish(256 * 1024)), PublishVerdict::Continue);
    assert_eq!(
        plugin.intercept_publish(publish(256 * 1024 + 1)),
        PublishVerdict::Reject(reason::QUOTA_EXCEEDED)
    );
    let injected = publish(1).with_retain(true).with_origin(Origin::Injected);
    assert_eq!(plugin.intercept_publish(injected), PublishVerdict::Continue, "only clients are limited");
}

#[test]
fn with_limits_a_subscribe_has_8_topics_and_wildcards_from_the_5th_level() {
    let mut plugin = limited();
    connect(&mut plugin, "mydev", "123123", &mydev_token());
    let invalid = SubscriptionVerdict::Deny(reason::TOPIC_FILTER_INVALID);
    let filters = ["$sys/123123/mydev/#", "$sys/123123/mydev/+/a", "$sys/123123/mydev/dp/#"];
    let verdicts = InterceptingSubscription::intercept(&mut plugin, testing::subscribe(&filters));
    assert_eq!(verdicts, [invalid.clone(), invalid, SubscriptionVerdict::Next]);
    let verdicts = InterceptingSubscription::intercept(&mut plugin, testing::subscribe(&["a"; 9]));
    assert_eq!(verdicts, vec![SubscriptionVerdict::Deny(reason::QUOTA_EXCEEDED); 9]);
    let verdicts = InterceptingSubscription::intercept(&mut plugin, testing::subscribe(&["a"; 8]));
    assert_eq!(verdicts, vec![SubscriptionVerdict::Next; 8]);
}

#[test]
fn more_than_10_connects_in_5_seconds_are_a_ban_for_5_minutes() {
    let mut plugin = limited();
    let mut again = || connect(&mut plugin, "mydev", "123123", &mydev_token());
    for _ in 0..10 {
        assert_eq!(again(), ConnectVerdict::Allow);
    }
    assert_eq!(again(), ConnectVerdict::Deny(reason::BANNED));
    testing::advance(Duration::from_secs(299));
    assert_eq!(again(), ConnectVerdict::Deny(reason::BANNED));
    testing::advance(Duration::from_secs(1));
    assert_eq!(again(), ConnectVerdict::Allow);
}

#[test]
fn forged_connects_do_not_ban_a_device() {
    let mut plugin = limited();
    for _ in 0..50 {
        assert_eq!(connect(&mut plugin, "mydev", "123123", "version=2018-10-31"), BAD);
    }
    assert_eq!(connect(&mut plugin, "mydev", "123123", &mydev_token()), ConnectVerdict::Allow);
}

#[test]
fn too_many_publishes_in_5_seconds_end_the_connection_with_a_ban() {
    for (qos, limit) in [(Qos::AtMostOnce, 300), (Qos::AtLeastOnce, 100)] {
        let mut plugin = limited();
        connect(&mut plugin, "mydev", "123123", &mydev_token());
        let mut publish =
            || plugin.intercept_publish(testing::publish("$sys/123123/mydev/dp", "1").with_qos(qos));
        for _ in 0..limit {
            assert_eq!(publish(), PublishVerdict::Continue);
        }
        testing::advance(Duration::from_secs(5));
        for _ in 0..limit {
            assert_eq!(publish(), PublishVerdict::Continue, "a new window");
        }
        assert_eq!(publish(), PublishVerdict::Reject(reason::QUOTA_EXCEEDED));
        assert_eq!(testing::take_reply().close, Some(reason::MESSAGE_RATE_TOO_HIGH));
        assert_eq!(
            connect(&mut plugin, "mydev", "123123", &mydev_token()),
            ConnectVerdict::Deny(reason::BANNED)
        );
    }
}

#[test]
fn without_limits_no_publish_enters_the_plugin() {
    let settings = one_product(serde_json::json!({ "id": "123123", "key": K1 }));
    let (_, registration) = start(settings).unwrap();
    let ours = |topic| registration.topics.iter().any(|filter| topic::matches(filter, topic));
    assert!(!registration.topics.is_empty() && !ours("$sys/123123/mydev/dp") && !ours("$dp"));
}

#[test]
fn bad_settings_name_the_key_and_what_to_do() {
    assert_eq!(
        refused_settings(serde_json::json!({ "limit": true })),
        "settings: unknown field `limit`, expected one of `products`, `unknown-products`, \
         `authorization-cache-seconds`, `limits`"
    );
    assert_eq!(
        refused_settings(one_product(serde_json::json!({ "id": "1", "kye": K1 }))),
        "settings: products[0].kye: unknown field `kye`, expected one of `id`, `key`, `devices`, \
         `accept-unlisted-devices`, `refused-devices`, `old-platform`"
    );
    assert_eq!(
        refused_settings(serde_json::json!({})),
        "settings: products: name at least one, as a table [[plugin.settings.products]] with `id` and `key`"
    );
}

#[test]
fn all_problems_are_told_at_once_without_the_keys() {
    let settings = serde_json::json!({ "products": [
        { "id": "1", "key": "not base64!" },
        { "id": "1", "devices": { "a/b": K1, "c": "", "d": "secret?" } },
        { "id": "2", "accept-unlisted-devices": true },
        { "id": "3", "old-platform": { "devices": { "x": "y" } } },
    ]});
    let problems = refused_settings(settings);
    for expected in [
        "products[0].key: is not a key in base64",
        "products[1].id: product 1 is there twice",
        "products[1].devices.a/b: a device name",
        "products[1].devices.c: an empty key",
        "products[1].devices.d: is not a key in base64",
        "products[2]: give it a `key`",
        "products[2].accept-unlisted-devices: needs the product's `key`",
        "products[3].old-platform.devices.x: the old platform's device ids are numbers",
    ] {
        assert!(problems.contains(expected), "{expected} in {problems}");
    }
    assert!(!problems.contains("secret?") && !problems.contains("not base64!"));
}

impl OnenetAuth {
    fn intercept_publish(&mut self, publish: Publish) -> PublishVerdict {
        InterceptingPublish::intercept(self, publish)
    }
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        start(settings).map(|_| ()).expect("good settings");
    }
}
