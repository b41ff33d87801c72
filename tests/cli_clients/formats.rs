//! `-F` beside mosquitto_sub, which gets the same messages of the same broker.

use std::process::Command;

use crate::cli_support::{Daemon, tidegate};
use crate::support::{is_installed, printed};

const PROPERTIES: &str = "-D publish content-type application/json -D publish response-topic re/spo \
                          -D publish correlation-data corr -D publish payload-format-indicator 1 \
                          -D publish user-property k v -D publish user-property k w";

/// What both print of the message that is retained there.
fn both(daemon: &Daemon, topic: &str, arguments: &[&str]) -> [Vec<u8>; 2] {
    let port = daemon.port.to_string();
    let common = ["-V", "5", "-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-C", "1", "-W", "20"];
    let mut theirs = Command::new("mosquitto_sub");
    let mut ours = tidegate();
    [printed(theirs.args(common).args(arguments)), printed(ours.arg("sub").args(common).args(arguments))]
}

fn retain(daemon: &Daemon, topic: &str, payload: &str, more: &str) {
    let first = ["-V", "5", "-q", "1", "-r", "-t", topic, "-m", payload];
    let arguments: Vec<&str> = first.into_iter().chain(more.split_whitespace()).collect();
    let sent = daemon.client("pub", &arguments);
    assert_eq!(sent.code, 0, "{}", sent.err);
}

#[test]
fn conversions_print_what_mosquitto_sub_prints() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let daemon = Daemon::start(&[]);
    retain(&daemon, "a/topic", r#"{"v":21.5}"#, PROPERTIES);
    retain(&daemon, "plain", "text", "");
    let widths = ["", "20", "-20", "020", "-020", "3", "-3", "5", "05", ".3", "10.3", "-10.3"];
    let letters = ["p", "x", "X", "t", "l", "q", "r", "m", "A", "C", "D", "F", "R", "P", "S", "%"];
    // Of hexadecimal it leaves out half where there is room for all; of what is absent it makes zeros at the right, and
    // of a response topic that is absent nothing, whatever the width.
    let differs = |letter: &str, width: &str| match letter {
        "x" | "X" => width.contains("20") || width.contains("10"),
        "R" => !width.is_empty(),
        _ => width == "-020",
    };
    let all = letters.iter().flat_map(|letter| widths.map(|width| (*letter, width)));
    let all: Vec<String> = all
        .filter(|(letter, width)| !differs(letter, width))
        .map(|(letter, width)| format!("%{width}{letter}"))
        .collect();
    let escapes =
        r"@@ @Y-@m-@d @z @Z @q @j @a @A @b @B @C @g @G @h @u @U @V @w @W @x @y @D @F @% @+ \\ \a\e\n\r\t\v\0";
    let format = format!("<{}> {escapes}", all.join("|"));
    for topic in ["a/topic", "plain"] {
        let [theirs, ours] = both(&daemon, topic, &["-F", &format]);
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs), "{topic}");
    }
}

#[test]
fn json_says_what_that_of_mosquitto_sub_says() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let daemon = Daemon::start(&[]);
    retain(&daemon, "a/topic", r#"{"v":21.5,"a":[1,{"x":null}],"b":false}"#, PROPERTIES);
    for format in ["%j", "%J"] {
        for pretty in [&[][..], &["--pretty"]] {
            let arguments: Vec<&str> = ["-F", format].iter().chain(pretty).copied().collect();
            let [theirs, ours] = both(&daemon, "a/topic", &arguments).map(|printed| {
                let mut object: serde_json::Value = serde_json::from_slice(&printed).unwrap();
                let time = object.as_object_mut().unwrap().remove("tst").unwrap();
                assert_eq!(time.as_str().unwrap().as_bytes()[10], b'T');
                object
            });
            assert_eq!(ours, theirs);
        }
    }
    let [theirs, ours] = both(&daemon, "a/topic", &["-F", "%J"]).map(|printed| {
        let text = String::from_utf8(printed).unwrap();
        text.split_once(r#""payload":"#).unwrap().1.to_owned()
    });
    assert_eq!(ours, theirs, "the order of names");
}

#[test]
fn payloads_are_printed_byte_for_byte_with_and_without_topics() {
    if !is_installed("mosquitto_sub") {
        return;
    }
    let daemon = Daemon::start(&[]);
    let folder = crate::cli_support::Folder::new("binary");
    let file = folder.path("payload");
    let bytes: Vec<u8> = (0..=255).chain([0, 255, 13, 10, 0]).collect();
    std::fs::write(&file, &bytes).unwrap();
    let sent = daemon.client("pub", &["-t", "binary", "-r", "-q", "1", "-f", &file]);
    assert_eq!(sent.code, 0, "{}", sent.err);
    for arguments in [&["-N"][..], &[], &["-v"], &["-v", "-N"], &["-F", "<%p>"], &["-N", "-F", "%x%X"]] {
        let [theirs, ours] = both(&daemon, "binary", arguments);
        assert_eq!(ours, theirs, "{arguments:?}");
    }
    assert_eq!(both(&daemon, "binary", &["-N"])[1], bytes);
}

#[test]
fn a_payload_that_is_no_json_is_told_of_on_stderr_and_the_rest_printed() {
    let daemon = Daemon::start(&[]);
    retain(&daemon, "a", "no json", "");
    let get = |more: &[&str]| {
        let arguments = ["-t", "a", "-C", "1", "-W", "20", "-F", "<%J>"];
        daemon.client("sub", &arguments.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let told = get(&[]);
    assert_eq!((told.code, told.out.as_str()), (0, "<>\n"));
    assert!(told.err.contains("of a message of `a` is no JSON"), "{}", told.err);
    let quiet = get(&["--quiet"]);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("<>\n", ""));
}
