//! The clients against Debian's broker, where it is installed.

use std::process::Command;

use crate::cli_support::run;
use crate::request::{answering, by_properties};
use crate::support::{Mosquitto, Reading, is_installed, printed, publish_lines};

#[test]
fn messages_travel_through_mosquitto_in_each_version_and_qos() {
    let Some(broker) = Mosquitto::start("mosquitto-through") else { return };
    let port = broker.port.to_string();
    let at = ["-h", "127.0.0.1", "-p", &port];
    for version in ["311", "5"] {
        for qos in ["0", "1", "2"] {
            let topic = format!("t/{version}/{qos}");
            let common = [&at[..], &["-V", version, "-q", qos, "-t", &topic]].concat();
            let sent = run(&[&["pub"], &common[..], &["-m", "hello", "-r"]].concat());
            assert_eq!(sent.code, 0, "{}", sent.err);
            let got = run(&[&["sub"], &common[..], &["-v", "-C", "1", "-W", "20"]].concat());
            assert_eq!((got.code, got.out), (0, format!("{topic} hello\n")), "{}", got.err);
        }
    }
}

#[test]
fn many_lines_reach_a_subscriber_of_mosquitto_in_their_order() {
    let Some(broker) = Mosquitto::start("mosquitto-lines") else { return };
    let port = broker.port.to_string();
    let at = ["-h", "127.0.0.1", "-p", &port];
    let keeper = [&at[..], &["-i", "keeper", "-c", "-q", "1", "-t", "lines"]].concat();
    assert_eq!(run(&[&["sub"], &keeper[..], &["-E"]].concat()).code, 0);
    let mut subscriber = Reading::start(&[&["sub"], &keeper[..], &["-C", "5000"]].concat());
    let text: String = (0..5000).map(|number| format!("{number}\n")).collect();
    // Mosquitto drops what is beyond its queue of 1000, so that this is one piece after the other.
    for (piece, lines) in text.lines().collect::<Vec<_>>().chunks(500).enumerate() {
        let lines = lines.join("\n");
        let (err, code) =
            publish_lines(&[&["pub"], &at[..], &["-t", "lines", "-l", "-q", "1"]].concat(), &lines);
        assert_eq!(code, 0, "{err}");
        for number in piece * 500..(piece + 1) * 500 {
            assert_eq!(subscriber.line(), number.to_string());
        }
    }
    assert_eq!(subscriber.wait(), Some(0));
}

#[test]
fn their_clients_and_ours_understand_each_other_there() {
    if !is_installed("mosquitto_pub") {
        return;
    }
    let Some(broker) = Mosquitto::start("mosquitto-clients") else { return };
    let port = broker.port.to_string();
    let at = ["-h", "127.0.0.1", "-p", &port, "-V", "5", "-q", "1", "-t", "t"];
    printed(Command::new("mosquitto_pub").args(at).args(["-m", "theirs", "-r"]));
    let ours = run(&[&["sub"], &at[..], &["-C", "1", "-W", "20"]].concat());
    assert_eq!(ours.out, "theirs\n", "{}", ours.err);
    assert_eq!(run(&[&["pub"], &at[..], &["-m", "ours", "-r"]].concat()).code, 0);
    let theirs = printed(Command::new("mosquitto_sub").args(at).args(["-C", "1", "-W", "20"]));
    assert_eq!(theirs, b"ours\n");
}

#[test]
fn a_request_through_mosquitto_is_answered() {
    let Some(broker) = Mosquitto::start("mosquitto-rpc") else { return };
    let port = broker.port.to_string();
    let at = ["-h", "127.0.0.1", "-p", &port];
    for more in [&["-V", "5", "-e", "sum"][..], &["-V", "5"]] {
        let answering = answering(broker.port, "add", by_properties);
        let asked = run(&[&["rpc"], &at[..], &["-t", "add", "-m", "1 2", "-W", "20"], more].concat());
        assert_eq!((asked.code, asked.out.as_str()), (0, "fine\0\u{e9}\n"), "{}", asked.err);
        answering.join().unwrap();
    }
}
