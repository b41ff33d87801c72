//! What a configuration says of bridges, and what is said of what is wrong with it.

use std::time::Duration;

use tidegate::bridge::{BridgeOptions, BridgedTopic, CleanStart, Direction, Overflow, QueueLimits};
use tidegate::config::Config;
use tidegate::transport::tls::{OwnCertificate, TlsVersion, Trust};

use crate::support::*;
use crate::transport::Folder;
use crate::transport::authority::{Authority, write};

fn folder() -> Folder {
    let (folder, authority) = (Folder::new(), Authority::new("Example"));
    authority.issue("edge", &[]).write(&folder, "edge");
    write(&folder.path("ca.pem"), &authority.pem);
    write(&folder.path("password"), "p@ss word\n");
    folder
}

fn parse(folder: &Folder, keys: &str) -> Result<Vec<BridgeOptions>, String> {
    let file = folder.path("t.toml");
    Config::parse(&file, keys).map(|config| config.bridges).map_err(|report| report.to_string())
}

#[test]
fn every_key_reaches_its_option() {
    let folder = folder();
    let bridges = parse(
        &folder,
        "[[bridge]]\nname = \"cloud\"\nuri = \"wss://ignored:too@cloud.example/path\"\nclient-identifier = \"edge-7\"\n\
         user-name = \"edge\"\npassword-file = \"password\"\nprotocol = \"3.1.1\"\nkeep-alive = \"30s\"\nclean-start = true\n\
         reconnect-minimum = \"2s\"\nreconnect-maximum = \"1m\"\nmaximum-queued-messages = 7\n\
         maximum-queued-bytes = \"2KiB\"\noverflow = \"drop-oldest\"\nproxy = \"socks5://proxy.example\"\n\
         server-name = \"other.example\"\nca = \"ca.pem\"\ncertificate = \"edge.pem\"\nkey = \"edge.key\"\n\
         tls-minimum-version = \"1.3\"\n\
         [[bridge.topic]]\nfilter = \"sensors/#\"\ndirection = \"out\"\nqos = 2\nlocal-prefix = \"a/\"\n\
         remote-prefix = \"b/\"\n[[bridge.topic]]\nfilter = \"commands\"\ndirection = \"both\"\n",
    );
    let bridge = bridges.unwrap_or_else(|report| panic!("{report}")).remove(0);
    let connect =
        (bridge.client_identifier.as_ref(), bridge.user_name.as_deref(), bridge.password.as_deref());
    assert_eq!(connect, ("edge-7", Some("edge"), Some(&b"p@ss word"[..])));
    assert_eq!((bridge.protocol_version, bridge.keep_alive), (V311, 30));
    assert_eq!(bridge.clean_start, CleanStart::Yes);
    assert_eq!(bridge.pauses, (Duration::from_secs(2), Duration::from_secs(60)));
    let queue = QueueLimits { messages: 7, bytes: 2048, overflow: Overflow::DropOldest };
    assert_eq!(bridge.queue, Some(queue));
    assert_eq!(bridge.dialer.to_string(), "wss://cloud.example:443");
    assert_eq!(bridge.dialer.proxy.as_ref().unwrap().to_string(), "socks5://proxy.example:1080");
    let tls = bridge.dialer.tls.as_ref().unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("other.example"));
    assert_eq!(tls.trust, Trust::Authorities(vec![folder.path("ca.pem")]));
    let own = OwnCertificate { chain: folder.path("edge.pem"), key: folder.path("edge.key") };
    assert_eq!((tls.own_certificate.as_ref(), tls.minimum_version), (Some(&own), TlsVersion::V1_3));
    let both = BridgedTopic::new("commands", Direction::Both, QOS1).unwrap();
    assert_eq!(
        bridge.topics,
        [BridgedTopic::between("a/", "b/", "sensors/#", Direction::Out, QOS2).unwrap(), both]
    );
    let shown = format!("{bridge:?}");
    assert!(!shown.contains("p@ss") && !shown.contains("too"), "{shown}");
}

#[test]
fn who_is_trusted_may_be_said_in_three_ways_and_credentials_in_the_uri() {
    let folder = folder();
    let fingerprint = "ab:".repeat(31) + "ab";
    for (keys, trust) in [
        (String::new(), Trust::System),
        ("insecure = true".into(), Trust::Anybody),
        ("insecure = false".into(), Trust::System),
        (format!("fingerprint = [{fingerprint:?}]"), Trust::Certificates(vec![fingerprint.parse().unwrap()])),
    ] {
        let text = format!(
            "[[bridge]]\nname = \"b\"\nuri = \"mqtts://user:p%40ss@b.example\"\nclient-identifier = \"c\"\n{keys}\n\
             [[bridge.topic]]\nfilter = \"#\"\ndirection = \"in\"\n"
        );
        let bridge = parse(&folder, &text).unwrap_or_else(|report| panic!("{report}")).remove(0);
        assert_eq!(bridge.dialer.tls.unwrap().trust, trust);
        assert_eq!(
            (bridge.user_name.as_deref(), bridge.password.as_deref()),
            (Some("user"), Some(&b"p@ss"[..]))
        );
    }
}

#[test]
fn limits_that_a_bridge_does_not_say_are_those_of_all_sessions() {
    let folder = folder();
    let of_all = QueueLimits { messages: 50, bytes: 1 << 20, overflow: Overflow::DropOldest };
    for (keys, queue) in [
        ("", None),
        ("maximum-queued-messages = 50", None),
        ("maximum-queued-messages = 7", Some(QueueLimits { messages: 7, ..of_all })),
        ("overflow = \"drop-newest\"", Some(QueueLimits { overflow: Overflow::DropNewest, ..of_all })),
    ] {
        let text = format!(
            "[broker]\nmaximum-queued-messages = 50\nmaximum-queued-bytes = \"1MiB\"\noverflow = \"drop-oldest\"\n\
             [[bridge]]\nname = \"b\"\nuri = \"mqtt://b.example\"\nclient-identifier = \"c\"\n{keys}\n\
             [[bridge.topic]]\nfilter = \"#\"\ndirection = \"out\"\n"
        );
        let bridge = parse(&folder, &text).unwrap_or_else(|report| panic!("{report}")).remove(0);
        assert_eq!(bridge.queue, queue, "{keys}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_key() {
    let folder = folder();
    let begin = "[[bridge]]\nname = \"b\"\nclient-identifier = \"c\"\n";
    let uri = "uri = \"mqtt://b.example\"\n";
    let topic = "[[bridge.topic]]\nfilter = \"#\"\ndirection = \"out\"\n";
    for (text, says) in [
        (format!("{begin}{topic}"), "bridge.uri: is missing"),
        (format!("{begin}uri = \"b.example\"\n{topic}"), "bridge.uri: it does not say how to connect"),
        (format!("{begin}{uri}"), "bridge.topic: is missing"),
        (format!("[[bridge]]\nname = \"b\"\n{uri}{topic}"), "bridge.client-identifier: is missing"),
        (format!("{begin}{uri}ca = \"ca.pem\"\n{topic}"), "bridge.ca: is used with TLS only"),
        (
            format!("{begin}uri = \"mqtts://b\"\nca = \"ca.pem\"\ninsecure = true\n{topic}"),
            "bridge.insecure: who is trusted",
        ),
        (
            format!("{begin}uri = \"mqtts://b\"\nkey = \"edge.key\"\n{topic}"),
            "bridge.key: needs the `certificate`",
        ),
        (format!("{begin}uri = \"mqtts://b\"\nca = \"password\"\n{topic}"), "has no certificate"),
        (
            format!("{begin}uri = \"mqtts://b\"\nfingerprint = \"ab\"\n{topic}"),
            "bridge.fingerprint: a fingerprint is",
        ),
        (format!("{begin}{uri}proxy = \"proxy:1\"\n{topic}"), "bridge.proxy:"),
        (
            format!("{begin}{uri}password-file = \"absent\"\n{topic}"),
            "bridge.password-file: absent does not exist",
        ),
        (format!("{begin}{uri}user = \"x\"\n{topic}"), "bridge.user: unknown key"),
        (format!("{begin}{uri}maximum-queued-messages = 0\n{topic}"), "bridge.maximum-queued-messages"),
        (format!("{begin}{uri}maximum-queued-bytes = \"1B\"\n{topic}"), "bridge.maximum-queued-bytes"),
        (format!("{begin}{uri}overflow = \"wait\"\n{topic}"), "bridge.overflow"),
        (format!("{begin}{uri}{topic}qos = 3\n"), "bridge.topic.qos"),
        (format!("{begin}{uri}{topic}local-prefix = \"+/\"\n"), "has a wildcard"),
        (
            format!("{begin}{uri}{}", topic.replace('#', "a/#/b")),
            "bridge.topic.filter: \"a/#/b\" is no Topic Filter",
        ),
        (format!("{begin}{uri}{}", topic.replace("out", "up")), "bridge.topic.direction"),
        (format!("{begin}{uri}{topic}{begin}{uri}{topic}"), "another bridge named `b`"),
    ] {
        let report = parse(&folder, &text).map(|_| ()).unwrap_err();
        assert!(report.contains(says), "{says} in:\n{report}");
    }
}
