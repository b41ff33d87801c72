//! What is said about wrong configurations, word for word, and that no text makes the reader panic.
#![cfg(feature = "daemon")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tidegate::broker::SharedStrategy;
use tidegate::broker::guard::{DoorLimits, GuardOptions, PublishLimits, RateAction};
use tidegate::config::{Config, FailurePolicy, HookName, Level, LogFormat, StorageOptions, StoragePlace};
use tidegate::packet::QoS;
use tidegate::storage::Durability;

const SAMPLE: &str = include_str!("../examples/config/tidegate.toml");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/config")
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("t.toml"), text).map_err(|report| report.to_string())
}

fn report(text: &str) -> String {
    parse(text).expect_err("the text is wrong")
}

#[test]
fn the_sample_file_is_legal_and_shows_the_defaults() {
    let config = Config::load(&folder().join("tidegate.toml")).unwrap_or_else(|report| panic!("{report}"));
    let defaults = Config::without_file();
    assert_eq!(format!("{:?}", config.broker), format!("{:?}", defaults.broker));
    assert_eq!(config.log, defaults.log);
    assert_eq!(config.plugins_options, defaults.plugins_options);
    assert!(config.plugins.is_empty());
}

#[test]
fn the_sample_file_shows_a_plugins_default_limits() {
    let some_file = concat!("path = \"", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml\"");
    let enabled = |line: &'static str| match line {
        "enabled = false" => "",
        line if line.starts_with("path = ") => some_file,
        line => line,
    };
    let text = SAMPLE.lines().map(enabled).collect::<Vec<_>>().join("\n");
    let plugin = parse(&text).unwrap().plugins.remove(0);
    let mut expected = tidegate::config::PluginSpec::new("payload-filter", plugin.file.clone());
    expected.line = plugin.line;
    expected.hooks = Some(vec![HookName::InterceptingPublish]);
    expected.topics = vec!["sensors/#".try_into().unwrap()];
    expected.on_failure.insert(HookName::InterceptingPublish, FailurePolicy::Deny);
    expected.settings = json!({ "note": "see the plugin's README" });
    assert_eq!(plugin, expected);
}

#[test]
fn a_setting_can_be_the_text_of_a_file() {
    let folder = std::env::temp_dir().join(format!("tidegate-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in [("passwd", &b"a:$7$x\n"[..]), ("bytes", b"\xff"), ("p.wasm", b"")] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let parse = |keys: &str| {
        let text = format!("[[plugin]]\nname = \"a\"\npath = \"p.wasm\"\n{keys}\n");
        Config::parse(&folder.join("t.toml"), &text).map_err(|report| report.to_string())
    };
    let plugin =
        parse("settings = { x = 1 }\nsettings-files = { users = \"passwd\" }").unwrap().plugins.remove(0);
    assert_eq!(plugin.settings, json!({ "x": 1, "users": "a:$7$x\n" }));
    assert!(!plugin.has_stale_settings());
    std::fs::write(folder.join("passwd"), "b").unwrap();
    assert!(plugin.has_stale_settings());
    let problems = [
        ("settings-files = { users = \"none\" }", "does not exist (it is relative to this file)"),
        ("settings-files = { users = \"bytes\" }", "is not UTF-8 text"),
        ("settings-files = { users = 1 }", "expects a path for `users`, as a text"),
        ("settings-files = \"passwd\"", "expects a table of settings and files"),
        (
            "settings = { users = 1 }\nsettings-files = { users = \"passwd\" }",
            "`users` is also among the settings; leave one out",
        ),
    ];
    for (keys, problem) in problems {
        let report = parse(keys).unwrap_err();
        assert!(report.contains("plugin.settings-files") && report.contains(problem), "{report}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn state_is_kept_in_one_place_with_a_durability() {
    let storage = |keys: &str| parse(&format!("[storage]\n{keys}")).map(|config| config.storage.unwrap());
    let kept = storage("data = \"state\"").unwrap();
    assert_eq!(kept, StorageOptions::in_folder(Path::new("state")));
    let all = "url = \"mysql://u:secret@h/d\"\ndurability = \"interval\"\ninterval = \"1s\"\nmaximum-bytes = \"1GiB\"";
    let kept = storage(all).unwrap();
    assert_eq!(kept.place, StoragePlace::Mysql("mysql://u:secret@h/d".into()));
    assert_eq!(
        (kept.durability, kept.maximum_bytes),
        (Durability::Interval(Duration::from_secs(1)), Some(1 << 30))
    );
    assert!(!format!("{kept:?}").contains("secret"), "a password in a log");
    let default = storage("data = \"a\"\ndurability = \"interval\"").unwrap();
    assert_eq!(default.durability, Durability::Interval(Duration::from_millis(100)));
    for (keys, problem) in [
        ("", "storage.data: is missing; write a folder, or a `url` of a database"),
        ("data = \"a\"\nurl = \"mysql://h/d\"", "state is kept in one place"),
        ("url = \"postgres://h/d\"", "storage.url: is no URL of a database; write mysql://"),
        ("url-file = \"none\"", "storage.url-file"),
        ("data = \"a\"\ninterval = \"1s\"", "is used with `durability = \"interval\"` only"),
        ("data = \"a\"\ndurability = \"never\"", "storage.durability"),
        ("data = \"a\"\nmaximum-bytes = 1", "storage.maximum-bytes"),
    ] {
        let report = storage(keys).unwrap_err();
        assert!(report.contains(problem), "{problem} is not in\n{report}");
    }
}

#[test]
fn limits_of_plugins_that_wait_are_checked() {
    let some_file = concat!("path = \"", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml\"");
    let text = format!(
        "[plugins]\nhttp-ca = \"none.pem\"\n[[plugin]]\nname = \"a\"\n{some_file}\n\
         calls-at-once = 0\nhttp-timeout = \"1ms\"\nhttp-requests-per-call = -1\n"
    );
    let report = report(&text);
    for problem in [
        "plugins.http-ca: none.pem is not a file (it is relative to this file)",
        "plugin.calls-at-once: must be from 1 to 1000",
        "plugin.http-timeout: must be from 10ms to 1m",
        "plugin.http-requests-per-call: must be from 0 to 1000",
    ] {
        assert!(report.contains(problem), "{problem} is not in\n{report}");
    }
    let good = format!(
        "[plugins]\nhttp-ca = \"{}\"\n[[plugin]]\nname = \"a\"\n{some_file}\n\
         calls-at-once = 2\nhttp-timeout = \"1s\"\nhttp-requests-per-call = 1\n",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")
    );
    let config = parse(&good).unwrap();
    assert!(config.plugins_options.http_ca.is_some());
    let plugin = &config.plugins[0];
    let limits = (plugin.calls_at_once, plugin.http_timeout, plugin.http_requests_per_call);
    assert_eq!(limits, (2, Duration::from_secs(1), 1));
}

#[test]
fn an_empty_file_listens_on_loopback_and_lets_in_nobody() {
    let config = parse("").unwrap();
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:1883");
    assert!(!config.listeners[0].anonymous && !config.listeners[0].default_authorization);
}

#[test]
fn addresses_of_the_command_line_replace_those_of_the_file() {
    let mut config =
        parse("[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\nanonymous = true\n").unwrap();
    config.listen_on(&[]);
    assert_eq!(config.listeners[0].name, "a");
    config.listen_on(&["127.0.0.1:5".parse().unwrap(), "[::1]:6".parse().unwrap()]);
    let listeners: Vec<String> =
        config.listeners.iter().map(|l| format!("{} {}", l.name, l.address)).collect();
    assert_eq!(listeners, ["default-1 127.0.0.1:5", "default-2 [::1]:6"]);
    assert!(config.listeners.iter().all(|listener| !listener.anonymous));
}

#[test]
fn every_value_reaches_its_option() {
    let config = parse(
        r#"
        [broker]
        maximum-qos = 1
        retain-available = false
        maximum-packet-size = "2MiB"
        maximum-connect-size = 4096
        minimum-keep-alive = "5s"
        maximum-keep-alive = "30m"
        wildcard-subscription-available = false
        shared-subscription-available = false
        subscription-identifiers-available = false
        outgoing-topic-alias-maximum = 3
        maximum-topic-length = "1KiB"
        response-information = "answers/{client-id}"
        validate-payload-format = true
        maximum-session-expiry = "2h"
        maximum-authentication-rounds = 3
        connect-timeout = "1500ms"
        maximum-retained-bytes = "0B"
        sys-interval = "0s"
        maximum-total-queued-bytes = "64MiB"
        maximum-total-output-bytes = "32MiB"
        [log]
        level = "debug"
        format = "json"
        [plugins]
        cache = "cache"
        cache-size = "2GiB"
        fuel = true
        reload = false
        "#,
    )
    .unwrap();
    assert_eq!(config.broker.maximum_qos, QoS::AtLeastOnce);
    assert!(!config.broker.retain_available);
    assert_eq!(config.broker.maximum_packet_size, 2 * 1024 * 1024);
    assert_eq!(config.broker.maximum_connect_size, 4096);
    assert_eq!((config.broker.minimum_keep_alive, config.broker.maximum_keep_alive), (5, 1800));
    assert!(!config.broker.wildcard_subscription_available);
    assert!(!config.broker.shared_subscription_available);
    assert!(!config.broker.subscription_identifiers_available);
    assert_eq!(config.broker.outgoing_topic_alias_maximum, 3);
    assert_eq!(config.broker.maximum_topic_length, 1024);
    assert_eq!(config.broker.response_information.as_deref(), Some("answers/{client-id}"));
    assert!(config.broker.validate_payload_format);
    assert_eq!(config.broker.maximum_session_expiry, 7200);
    assert_eq!(config.broker.maximum_retained_bytes, 0);
    assert_eq!(config.broker.sys_interval, Duration::ZERO);
    assert_eq!(config.broker.maximum_total_queued_bytes, 64 * 1024 * 1024);
    assert_eq!(config.broker.maximum_total_output_bytes, 32 * 1024 * 1024);
    assert_eq!(config.broker.maximum_authentication_rounds, 3);
    assert_eq!(config.broker.connect_timeout, Duration::from_millis(1500));
    assert_eq!((config.log.level, config.log.format), (Level::Debug, LogFormat::Json));
    assert_eq!(config.plugins_options.cache, Some(PathBuf::from("cache")));
    assert_eq!(config.plugins_options.cache_size, 2 << 30);
    assert!(config.plugins_options.fuel && !config.plugins_options.reload);
}

#[test]
fn what_the_broker_cannot_offer_is_explained() {
    assert_eq!(
        report(
            "[broker]\nminimum-keep-alive = \"2m\"\nmaximum-keep-alive = \"1m\"\n\
             maximum-topic-length = 65_536\noutgoing-topic-alias-maximum = 65_536\n\
             response-information = \"a\\u0000b\"\nvalidate-payload-format = 1\n"
        ),
        "t.toml:2: broker.minimum-keep-alive: must not be longer than `maximum-keep-alive`\n\
         t.toml:4: broker.maximum-topic-length: must be from 1B to 65535B\n\
         t.toml:5: broker.outgoing-topic-alias-maximum: must be from 0 to 65535\n\
         t.toml:6: broker.response-information: must not contain the null character\n\
         t.toml:7: broker.validate-payload-format: expects `true` or `false`, found a whole number\n\
         5 problems in the configuration"
    );
    let long = format!("[broker]\nresponse-information = \"{}\"\n", "x".repeat(65_536));
    assert!(report(&long).contains("must have at most 65535 bytes"));
    // Without a longest keep-alive any is short enough.
    assert!(parse("[broker]\nminimum-keep-alive = \"2m\"\n").is_ok());
}

#[test]
fn plugins_keep_their_order_and_their_settings() {
    let text = r#"
        [[plugin]]
        name = "second-by-name"
        path = "Cargo.toml"
        settings = { rules = [{ topic = "a/#", min = -1.5 }], since = 2026-01-02, n = 0x10 }
        [[plugin]]
        name = "a-first-by-name"
        path = "Cargo.toml"
        on-failure = { authorizer = "next" }
    "#;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("t.toml");
    let plugins = Config::parse(&file, text).unwrap().plugins;
    assert_eq!(plugins[0].name, "second-by-name");
    assert_eq!(plugins[0].file, file.with_file_name("Cargo.toml"));
    let settings = json!({ "rules": [{ "topic": "a/#", "min": -1.5 }], "since": "2026-01-02", "n": 16 });
    assert_eq!(plugins[0].settings, settings);
    assert_eq!(plugins[1].on_failure[&HookName::Authorizer], FailurePolicy::Next);
}

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

#[test]
fn who_vouches_for_a_plugin_is_read_and_needs_keys() {
    let plugin = concat!("path = \"", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml\"\n");
    let text = format!(
        "[plugins]\ntrusted-keys = [\"{KEY}\"]\nrequire-signature = true\n\
         [[plugin]]\nname = \"a\"\n{plugin}sha256 = \"{}\"\nsignature = \"a.sig\"\n\
         require-signature = false\n",
        "AB".repeat(32)
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.plugins_options.trusted_keys, [KEY]);
    assert!(config.plugins_options.require_signature);
    let plugin_a = &config.plugins[0];
    assert_eq!(plugin_a.sha256, Some("ab".repeat(32)));
    assert_eq!(plugin_a.signature, Some(PathBuf::from("a.sig")));
    assert_eq!(plugin_a.require_signature, Some(false));

    let wrong = format!(
        "[plugins]\nrequire-signature = true\n[[plugin]]\nname = \"a\"\n{plugin}sha256 = \"abc\"\n\
         signature = \"a.sig\"\nrequire-signature = true\n"
    );
    let needs = "needs keys to check signatures with; write them into `trusted-keys` of `[plugins]`";
    assert_eq!(
        report(&wrong),
        format!(
            "t.toml:2: plugins.require-signature: {needs}\n\
             t.toml:6: plugin.sha256: expects a SHA-256, 64 hexadecimal digits as sha256sum prints them\n\
             t.toml:7: plugin.signature: {needs}\n\
             t.toml:8: plugin.require-signature: {needs}\n\
             4 problems in the configuration"
        )
    );
    let bad = report("[plugins]\nrequire-signature = true\ntrusted-keys = [\"ssh-ed25519 AAAA\"]\n");
    assert!(bad.starts_with("t.toml:3: plugins.trusted-keys: `ssh-ed25519 AAAA` is no public key"), "{bad}");
    assert!(bad.ends_with("1 problem in the configuration"), "{bad}");
}

#[test]
fn the_budgets_of_a_plugin_are_read() {
    let text = concat!(
        "[[plugin]]\nname = \"a\"\npath = \"",
        env!("CARGO_MANIFEST_DIR"),
        "/Cargo.toml\"\n",
        "deadline = \"20ms\"\nmemory = \"1MiB\"\nhost-calls-per-call = 7\ntable-elements = 8\n\
         core-instances = 9\nfile-size = \"1KiB\"\ncompile-timeout = \"3s\"\ncompile-memory = \"1GiB\"\n"
    );
    let plugin = parse(text).unwrap().plugins.remove(0);
    assert_eq!((plugin.deadline, plugin.memory), (Duration::from_millis(20), 1 << 20));
    assert_eq!(plugin.file_size, 1024);
    assert_eq!((plugin.compile_timeout, plugin.compile_memory), (Duration::from_secs(3), 1 << 30));
    assert_eq!((plugin.host_calls_per_call, plugin.table_elements, plugin.core_instances), (7, 8, 9));
    let wrong = report(&text.replace("= 7", "= 0"));
    assert!(wrong.contains("plugin.host-calls-per-call: must be from 1 to "), "{wrong}");
    let wrong = report(&text.replace("1KiB", "2GiB"));
    assert!(wrong.contains("plugin.file-size: must be from 1KiB to 1GiB"), "{wrong}");
}

#[test]
fn all_problems_are_reported_together_in_the_order_of_their_lines() {
    let text = r#"
[broker]
maximum_packet_size = "1MiB"
maximum-qos = 3
retain-available = "yes"
connect-timeout = 10
write-timeout = "3 fortnights"
maximum-queued-bytes = "1TB"
overflow = "drop-newset"
colour = "blue"

[[listener]]
name = "a"
address = "localhost:1883"
[[listener]]
name = "b"
address = "0.0.0.0:1883"
default-authorization = "perhaps"
[[listener]]
name = "b"
address = "127.0.0.1:1883"

[[plugin]]
name = "no such file"
path = "missing.wasm"
hooks = ["authoriser", 7]
topics = ["a/#/b", "$share/g/a"]
deadline = "1h"
[plugin.on-failure]
authorizer = "denny"
events = "deny"
[[plugin]]
path = "Cargo.toml"
[plugin.settings]
huge = 99999999999999999999
never = nan

[log]
level = "loud"
"#;
    assert_eq!(report(text), include_str!("config_reports/many.txt").trim_end());
}

#[test]
fn a_strategy_for_shared_subscriptions_is_one_of_four() {
    let text = |strategy: &str| format!("[broker]\nshared-subscription-strategy = \"{strategy}\"\n");
    let wrong = "t.toml:2: broker.shared-subscription-strategy: `round-robbin` is not possible; did you mean `round-robin`?\n\
                 1 problem in the configuration";
    assert_eq!(report(&text("round-robbin")), wrong);
    for (word, strategy) in [
        ("round-robin", SharedStrategy::RoundRobin),
        ("random", SharedStrategy::Random),
        ("sticky", SharedStrategy::Sticky),
        ("least-in-flight", SharedStrategy::LeastInFlight),
    ] {
        assert_eq!(parse(&text(word)).unwrap().broker.shared_subscription_strategy, strategy);
    }
}

#[test]
fn plugins_without_problems_of_their_own_come_with_the_report() {
    let plugin =
        |name: &str, key: &str| format!("[[plugin]]\nname = \"{name}\"\npath = \"Cargo.toml\"\n{key}\n");
    let text =
        ["[broker]\ncolour = 1\n", &plugin("fine", ""), &plugin("wrong", "memory = 1"), &plugin("fine", "")];
    let report = Config::parse(Path::new("t.toml"), &text.concat()).unwrap_err();
    assert_eq!(report.problems.len(), 3, "{report}");
    let names: Vec<(&str, Option<usize>)> =
        report.sound_plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.line)).collect();
    assert_eq!(names, [("fine", Some(5))]);
}

#[test]
fn one_bracket_or_two_is_explained() {
    assert_eq!(
        report("[listener]\nname = \"a\"\n[[broker]]\n[[plugins]]\nname = \"x\"\n"),
        "t.toml:1: listener: expects tables with two brackets, `[[listener]]`, found a table\n\
         t.toml:3: broker: expects a table, `[broker]`, found a list\n\
         t.toml:4: plugins: expects a table, `[plugins]`, found a list\n\
         3 problems in the configuration"
    );
}

#[test]
fn what_is_missing_is_reported_at_its_section() {
    assert_eq!(
        report("\n[[listener]]\nanonymous = true\n\n[[plugin]]\nname = \"x\"\n"),
        "t.toml:2: listener.name: is missing; name each listener, for the log\n\
         t.toml:2: listener.address: is missing; write an address and a port, such as \"127.0.0.1:1883\"\n\
         t.toml:5: plugin.path: is missing; write the plugin's .wasm file, relative to this file\n\
         3 problems in the configuration"
    );
}

#[test]
fn syntax_errors_stand_beside_other_problems_without_echoes() {
    let text = "[broker]\nmaximum-qos = \nretain-available = 1\nname = \"open\n[log]\nlevel = \"debgu\"\n";
    assert_eq!(report(text), include_str!("config_reports/syntax.txt").trim_end());
}

#[test]
fn a_missing_file_and_a_folder_are_explained() {
    let missing = Config::load(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("no/such.toml: does not exist; write it"), "{missing}");
    let file = folder();
    let text = Config::load(&file).unwrap_err().to_string();
    assert!(text.contains("cannot be read: "), "{text}");
}

#[test]
fn deep_nesting_is_a_problem_and_not_the_end() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!("[plugin.settings]\nx = {}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(parse(&text).is_err());
    }
    assert!(parse(&format!("{}a = 1", "a.".repeat(20_000))).is_err());
    assert!(parse(&format!("[[plugin]]\n[plugin.settings.{}a]", "a.".repeat(20_000))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text).map_err(|report| report.len());
    }

    #[test]
    fn no_change_to_the_sample_makes_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..8)
    ) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for (index, byte, what) in changes {
            let at = index.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        let _ = parse(&String::from_utf8_lossy(&bytes)).map_err(|report| report.len());
    }
}

#[test]
fn guards_are_read_for_all_listeners_and_for_each() {
    let text = "
[[listener]]
name = \"a\"
address = \"0.0.0.0:1883\"
maximum-connections = 10
connection-rate = 20
publish-rate = 30
publish-bytes = \"1MiB\"

[guard]
exempt = [\"192.0.2.0/24\", \"::1\"]
maximum-connections-per-address = 1
connection-rate-per-address = 2
connection-burst = \"3s\"
maximum-pending-connections = 4
maximum-pending-bytes = \"5KiB\"
maximum-remembered = 6
failed-logins = 7
failed-logins-per-address = 8
failed-login-window = \"9s\"
ban = \"10s\"
longest-ban = \"11s\"
flapping-connects = 12
flapping-window = \"13s\"
flapping-ban = \"14s\"
packet-timeout = \"15s\"
minimum-packet-rate = 16
maximum-incomplete-bytes = \"17KiB\"
client-publish-rate = 18
client-publish-bytes = 19
publish-burst = \"20s\"
publish-rate-action = \"disconnect\"
";
    let config = parse(text).unwrap_or_else(|report| panic!("{report}"));
    let seconds = Duration::from_secs;
    let expected = GuardOptions {
        exempt: vec!["192.0.2.0/24".parse().unwrap(), "::1".parse().unwrap()],
        connections_per_address: 1,
        connection_rate_per_address: 2,
        connection_burst: seconds(3),
        pending_connections: 4,
        pending_bytes: 5 * 1024,
        remembered: 6,
        failed_logins: 7,
        failed_logins_per_address: 8,
        failed_login_window: seconds(9),
        ban: seconds(10),
        longest_ban: seconds(11),
        flapping_connects: 12,
        flapping_window: seconds(13),
        flapping_ban: seconds(14),
        packet_timeout: seconds(15),
        minimum_packet_rate: 16,
        incomplete_bytes: 17 * 1024,
        client_publishes: PublishLimits { messages: 18, bytes: 19 },
        publish_burst: seconds(20),
        publish_rate_action: RateAction::Disconnect,
    };
    assert_eq!(config.broker.guard, expected);
    let publishes = PublishLimits { messages: 30, bytes: 1024 * 1024 };
    let limits = DoorLimits { connections: 10, connection_rate: 20, publishes };
    assert_eq!(config.listeners[0].limits, limits);
}

#[test]
fn what_is_wrong_with_a_guard_is_told() {
    let problems = [
        ("exempt = [\"192.0.2.1/24\"]", "`192.0.2.1/24` has bits behind its length: that is no range"),
        ("exempt = [\"localhost\"]", "`localhost` is neither an IP address nor a range of them"),
        ("exempt = \"::1\"", "expects a list in brackets"),
        ("ban = \"1h\"\nlongest-ban = \"1m\"", "must not be shorter than `ban`"),
        ("ban = \"500ms\"", "must be from 1s to 30d"),
        ("maximum-pending-connections = 0", "must be from 1 to 4294967296"),
        ("publish-rate-action = \"drop\"", "`drop` is not possible"),
        ("failed-login = 3", "unknown key; did you mean `failed-logins`?"),
    ];
    for (keys, expected) in problems {
        let report = report(&format!("[guard]\n{keys}\n"));
        assert!(report.contains(expected) && report.contains("guard."), "{keys}: {report}");
    }
    // The first ban may be longer than the longest is by default.
    assert_eq!(parse("[guard]\nban = \"1d\"").unwrap().broker.guard.longest_ban, Duration::from_secs(86_400));
}
