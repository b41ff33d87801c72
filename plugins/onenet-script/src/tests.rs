//! The plugin as the broker uses it: settings in, verdicts out.

use serde_json::{Value, json};
use tidegate_plugin::prelude::*;
use tidegate_plugin::{settings, testing};

use crate::OnenetScript;

/// As the platform's console begins it, in the words of ES5.1.
const THERMOMETER: &str = "
/** what the device sends, as a tree */
function rawDataToJson(rawData) {
    var jsonObj = { id: '' + rawData[0], version: '1.0', params: {}, method: 'thing.property.post' };
    var tenths = ((rawData[1] & 0xff) << 8 | (rawData[2] & 0xff)) << 16 >> 16;
    jsonObj.params.temperature = { value: tenths / 10 };
    return jsonObj;
}
/** what the device is sent, as bytes */
function jsonToRawData(jsonObj) {
    var rawData = [];
    var level = jsonObj.params['level'];
    rawData.push(level >> 8 & 0xff, level & 0xff);
    return rawData;
}
";

fn start(changes: Value) -> Result<(OnenetScript, Registration), String> {
    testing::reset();
    let mut settings = json!({
        "script": THERMOMETER,
        "up": [{ "from": "raw/+/up", "to": "json/$1/up" }],
        "down": [{ "from": "json/+/down", "to": "raw/$1/down" }],
    });
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    OnenetScript::init(settings::parse(&settings.to_string())?)
}

fn plugin(changes: Value) -> OnenetScript {
    start(changes).expect("good settings").0
}

/// A plugin with this body of `rawDataToJson`.
fn up(body: &str) -> OnenetScript {
    plugin(json!({ "script": format!("function rawDataToJson(raw) {{ {body} }}"), "down": [] }))
}

/// A plugin with this body of `jsonToRawData`.
fn down(body: &str) -> OnenetScript {
    plugin(json!({ "script": format!("function jsonToRawData(json) {{ {body} }}"), "up": [] }))
}

fn send(plugin: &mut OnenetScript, topic: &str, payload: impl Into<Vec<u8>>) -> PublishVerdict {
    plugin.intercept(testing::publish(topic, payload))
}

fn converted(topic: &str, payload: impl Into<Vec<u8>>) -> PublishVerdict {
    PublishVerdict::Modify(Modification::new().topic(topic).payload(payload))
}

const REJECTED: PublishVerdict = PublishVerdict::Reject(reason::PAYLOAD_FORMAT_INVALID);

fn why() -> String {
    testing::with(|host| host.log.last().and_then(|line| line.field("why").map(str::to_owned)))
        .unwrap_or_default()
}

#[test]
fn raw_payloads_become_json_on_their_way_up() {
    let (mut plugin, registration) = start(json!({})).unwrap();
    assert_eq!(registration.topics, ["raw/+/up", "json/+/down"]);
    let expected =
        r#"{"id":"7","version":"1.0","params":{"temperature":{"value":-10}},"method":"thing.property.post"}"#;
    let PublishVerdict::Modify(change) = send(&mut plugin, "raw/d1/up", [7, 0xff, 0x9c]) else { panic!() };
    assert_eq!(change.topic.as_deref(), Some("json/d1/up"));
    let json: Value = serde_json::from_slice(&change.payload.unwrap()).unwrap();
    assert_eq!(json, serde_json::from_str::<Value>(expected).unwrap());
    assert_eq!(send(&mut plugin, "raw/d1/other", "x"), PublishVerdict::Continue);
}

#[test]
fn json_becomes_raw_payloads_on_its_way_down() {
    let mut plugin = plugin(json!({}));
    let verdict = send(&mut plugin, "json/d1/down", r#"{"params":{"level":513}}"#);
    assert_eq!(verdict, converted("raw/d1/down", [2, 1]));
    assert_eq!(send(&mut plugin, "json/d1/down", "no json"), REJECTED);
    assert_eq!(testing::take_reply().reason_string.as_deref(), Some("the payload is not JSON"));
}

#[test]
fn a_text_is_json_as_it_is() {
    let mut plugin = up("return JSON.stringify({ length: raw.length });");
    assert_eq!(send(&mut plugin, "raw/d1/up", [1, 2, 3]), converted("json/d1/up", r#"{"length":3}"#));
}

#[test]
fn bytes_may_be_an_array_a_typed_array_or_negative() {
    for (body, expected) in [
        ("return [1, -1, 256, 2.9];", vec![1, 255, 0, 2]),
        ("return new Uint8Array([1, 2]);", vec![1, 2]),
        ("return [];", vec![]),
    ] {
        assert_eq!(send(&mut down(body), "json/d1/down", "{}"), converted("raw/d1/down", expected), "{body}");
    }
    for body in
        ["return 'text';", "return null;", "return {};", "return [1, 'x'];", "return { length: 1e300 };", ""]
    {
        assert_eq!(send(&mut down(body), "json/d1/down", "{}"), REJECTED, "{body}");
        assert_eq!(why(), "the function returned no array of bytes", "{body}");
    }
}

#[test]
fn the_text_can_be_the_argument_of_the_way_down() {
    let script = "function jsonToRawData(text) { return [typeof text === 'string' ? text.length : 0]; }";
    let mut plugin = plugin(json!({ "script": script, "up": [], "down-argument": "text" }));
    assert_eq!(send(&mut plugin, "json/d1/down", "{\"a\": 1}"), converted("raw/d1/down", [8]));
}

#[test]
fn what_a_script_throws_goes_to_the_log_and_not_to_the_client() {
    let mut plugin = up("throw new Error('frame ' + raw[0]);");
    assert_eq!(send(&mut plugin, "raw/d1/up", [5]), REJECTED);
    assert!(why().contains("frame 5"), "{}", why());
    assert_eq!(testing::take_reply().reason_string.as_deref(), Some("the payload could not be converted"));
    let metric = testing::with(|host| host.metrics.pop()).expect("a metric");
    assert_eq!(metric.name, "errors_total");
    assert!(metric.labels.contains(&("why".into(), "script".into())), "{:?}", metric.labels);
}

#[test]
fn a_message_that_cannot_be_converted_is_rejected_swallowed_or_passed() {
    for (on_error, expected) in
        [("reject", REJECTED), ("swallow", PublishVerdict::Swallow), ("pass", PublishVerdict::Continue)]
    {
        let script = "function rawDataToJson(raw) { return null; }";
        let mut plugin = plugin(json!({ "script": script, "down": [], "on-error": on_error }));
        assert_eq!(send(&mut plugin, "raw/d1/up", "x"), expected);
    }
}

#[test]
fn loops_and_recursion_have_an_end_and_the_script_goes_on() {
    let script = "
        function deeper(n) { return deeper(n + 1) + 1; }
        function rawDataToJson(raw) {
            if (raw[0] === 1) { while (true) { } }
            if (raw[0] === 2) { for (;;) { try { for (;;) { } } catch (e) { } } }
            if (raw[0] === 3) { return deeper(0); }
            return { ok: true };
        }";
    let mut plugin = plugin(json!({ "script": script, "down": [] }));
    for bad in [1, 2, 3] {
        assert_eq!(send(&mut plugin, "raw/d1/up", [bad]), REJECTED, "{bad}");
        assert_eq!(send(&mut plugin, "raw/d1/up", [0]), converted("json/d1/up", r#"{"ok":true}"#));
    }
}

#[test]
fn a_payload_that_is_too_long_is_not_given_to_the_script() {
    let mut plugin = plugin(json!({ "maximum-payload": 3 }));
    assert_ne!(send(&mut plugin, "raw/d1/up", [0; 3]), REJECTED);
    assert_eq!(send(&mut plugin, "raw/d1/up", [0; 4]), REJECTED);
    assert_eq!(why(), "the payload is too long to be converted");
}

#[test]
fn scripts_tell_the_brokers_time_and_the_log() {
    let mut plugin = up(
        "console.log('raw', raw[0]); print('x'); return { t: new Date().getTime(), h: new Date().getHours() };",
    );
    testing::set_now_ms(1_700_000_000_000);
    let expected = converted("json/d1/up", r#"{"t":1700000000000,"h":6}"#);
    assert_eq!(send(&mut plugin, "raw/d1/up", [1]), expected, "22:13 UTC is 06:13 in China");
    let lines: Vec<String> = testing::with(|host| {
        host.log.iter().filter_map(|line| line.field("line").map(str::to_owned)).collect()
    });
    assert_eq!(lines, ["raw 1", "x"]);
}

#[test]
fn scripts_have_nothing_of_the_world() {
    let mut plugin = up("return [typeof require, typeof process, typeof fetch, typeof setTimeout].join();");
    let expected = "undefined,undefined,undefined,undefined";
    assert_eq!(send(&mut plugin, "raw/d1/up", [1]), converted("json/d1/up", expected));
}

#[test]
fn all_problems_are_told_at_once() {
    let told = start(json!({
        "script": "function rawDataToJson(raw) {}",
        "up": [{ "from": "a/#/b", "to": "c" }, { "from": "a/#", "to": "a/$1/x" }],
        "maximum-recursion": 0,
        "utc-offset-minutes": 9999,
    }));
    let told = told.err().expect("bad settings");
    for expected in [
        "up[0]: `a/#/b` is not a Topic Filter",
        "up[1]: `to` is itself one of `from`",
        "script: has no function `jsonToRawData`, which `down` needs",
        "maximum-recursion: should be 1 to 1000",
        "utc-offset-minutes: should be",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let told = start(json!({ "script": "function rawDataToJson( {" })).err().expect("a bad script");
    assert!(told.contains("script: SyntaxError"), "{told}");
    let told = start(json!({ "up": [], "down": [] })).err().expect("no topics");
    assert!(told.contains("up, down: name the topics"), "{told}");
    assert!(start(json!({ "loops": 5 })).err().unwrap().contains("unknown field `loops`"));
}

#[test]
fn the_settings_of_the_readme_are_good() {
    let examples = readme::settings(include_str!("../README.md"));
    assert_eq!(examples.len(), 1);
    for settings in examples {
        testing::reset();
        let settings = settings::parse(&settings.to_string()).expect("good settings");
        OnenetScript::init(settings).map(|_| ()).expect("good settings");
    }
}
