//! What the log says of clients that come to the wrong port.
#![cfg(all(feature = "daemon", feature = "tls"))]

#[expect(dead_code, reason = "other tests of the command use the rest")]
mod cli_support;

use std::io::{Read, Write};
use std::net::TcpStream;

use cli_support::{Daemon, Folder};

/// Sends this, and reads until the broker has closed the connection.
fn say(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The beginning of a ClientHello.
const TLS: &[u8] = &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3];
const MQTT: &[u8] = &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 1, b'x'];

#[test]
fn tls_and_http_that_come_to_a_port_for_mqtt_are_told_as_such() {
    for (bytes, hint) in
        [(TLS, "[[listener.certificate]] is missing"), (b"GET /mqtt HTTP/1.1\r\n", "`websocket = true`")]
    {
        let mut daemon = Daemon::start(&[]);
        say(daemon.port, bytes);
        daemon.wait_for(hint);
        // Whoever does it all the time does not fill the log.
        (0..10).for_each(|_| say(daemon.port, bytes));
        assert_eq!(daemon.log().matches(hint).count(), 1, "{}", daemon.log());
    }
}

#[test]
fn mqtt_that_comes_to_a_port_for_tls_is_told_as_such() {
    let folder = Folder::new("ports");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("server.pem", &certified.cert.pem());
    folder.write("server.key", &certified.signing_key.serialize_pem());
    let config = "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
                  [[listener.certificate]]\nchain = \"server.pem\"\nkey = \"server.key\"\n";
    let mut daemon = Daemon::start(&["--config", &folder.write("t.toml", config)]);
    say(daemon.port, MQTT);
    daemon.wait_for("it speaks no TLS to a listener that has a certificate");
    assert!(daemon.log().contains("listener=\"tls\""), "{}", daemon.log());
}
