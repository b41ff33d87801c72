//! The ways to a broker: TLS, WebSocket, Unix socket, proxy, all of it in a URI.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::cli_support::{Daemon, Folder, run};
use crate::support::free_port;

/// A broker that listens at a port in TLS, for WebSockets, for both, and at a Unix socket.
struct Ways {
    _daemon: Daemon,
    folder: Folder,
    plain: u16,
    tls: u16,
    ws: u16,
    wss: u16,
}

impl Ways {
    fn start(name: &str) -> Ways {
        let folder = Folder::new(name);
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        folder.write("server.key", &signing_key.serialize_pem());
        folder.write("server.pem", &cert.pem());
        let [tls, ws, wss] = [(); 3].map(|()| free_port());
        let listener = |name: &str, address: &str, more: &str| {
            format!(
                "[[listener]]\nname = \"{name}\"\naddress = \"{address}\"\nanonymous = true\n\
                 default-authorization = \"allow\"\n{more}"
            )
        };
        let certificate = "[[listener.certificate]]\nchain = \"server.pem\"\nkey = \"server.key\"\n";
        let text = [
            listener("plain", "127.0.0.1:0", ""),
            listener("tls", &format!("127.0.0.1:{tls}"), certificate),
            listener("ws", &format!("127.0.0.1:{ws}"), "websocket = true\n"),
            listener("wss", &format!("127.0.0.1:{wss}"), &format!("websocket = true\n{certificate}")),
            listener("unix", &format!("unix:{}", folder.path("mqtt.sock")), ""),
        ]
        .concat();
        let mut daemon = Daemon::start(&["--config", &folder.write("t.toml", &text)]);
        daemon.wait_for("listener=\"unix\"");
        Ways { plain: daemon.port, _daemon: daemon, folder, tls, ws, wss }
    }

    /// A message goes there, and is got from there by the same way.
    fn leads(&self, way: &[&str]) {
        let sent = run(&[&["pub", "-t", "way", "-m", "x", "-r", "-q", "1"], way].concat());
        assert_eq!(sent.code, 0, "{way:?}: {}", sent.err);
        let got = run(&[&["sub", "-t", "way", "-C", "1", "-W", "20"], way].concat());
        assert_eq!((got.code, got.out.as_str()), (0, "x\n"), "{way:?}: {}", got.err);
    }

    fn does_not_lead(&self, way: &[&str], says: &str) {
        let sent = run(&[&["pub", "-t", "way", "-m", "x"], way].concat());
        assert_eq!(sent.code, 69, "{way:?}: {}", sent.err);
        assert!(sent.err.contains(says), "{way:?}: {}", sent.err);
    }
}

#[test]
fn each_way_to_the_broker_is_an_option_or_a_uri() {
    let ways = Ways::start("ways");
    let [plain, tls, ws, wss] = [ways.plain, ways.tls, ways.ws, ways.wss].map(|port| port.to_string());
    let (authority, socket) = (ways.folder.path("server.pem"), ways.folder.path("mqtt.sock"));
    let folder = Path::new(&authority).parent().unwrap().to_str().unwrap().to_owned();
    ways.leads(&["-L", &format!("mqtt://127.0.0.1:{plain}")]);
    ways.leads(&["--unix", &socket]);
    ways.leads(&["-L", &format!("unix://{socket}")]);
    ways.leads(&["-p", &tls, "--cafile", &authority]);
    ways.leads(&["-h", "127.0.0.1", "-p", &tls, "--cafile", &authority, "--servername", "localhost"]);
    ways.leads(&["-p", &tls, "--capath", &folder, "--tls-alpn", "mqtt"]);
    ways.leads(&["-h", "127.0.0.1", "-p", &tls, "--insecure"]);
    ways.leads(&["-L", &format!("mqtts://localhost:{tls}"), "--cafile", &authority]);
    ways.leads(&["-h", "127.0.0.1", "-p", &ws, "--ws"]);
    ways.leads(&["-L", &format!("ws://127.0.0.1:{ws}")]);
    ways.leads(&["-p", &wss, "--ws", "--cafile", &authority]);
    ways.leads(&["-L", &format!("wss://localhost:{wss}/mqtt"), "--cafile", &authority]);
}

#[test]
fn a_topic_at_the_end_of_a_uri_is_that_of_the_messages() {
    let ways = Ways::start("uri-topic");
    let uri = format!("mqtt://127.0.0.1:{}/a/topic%20of%20mine", ways.plain);
    assert_eq!(run(&["pub", "-L", &uri, "-m", "x", "-r", "-q", "1"]).code, 0);
    let got = run(&["sub", "-L", &uri, "-v", "-C", "1", "-W", "20"]);
    assert_eq!((got.code, got.out.as_str()), (0, "a/topic of mine x\n"), "{}", got.err);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_a_file_that_is_none_is_a_mistake() {
    let ways = Ways::start("distrusted");
    let tls = ways.tls.to_string();
    ways.does_not_lead(&["-p", &tls, "--cafile", &other_authority(&ways)], "certificate is not accepted");
    ways.does_not_lead(
        &["-h", "127.0.0.1", "-p", &tls, "--cafile", &ways.folder.path("server.pem")],
        "certificate is not accepted",
    );
    let none = run(&["pub", "-t", "a", "-m", "x", "-p", &tls, "--cafile", &ways.folder.path("t.toml")]);
    assert_eq!(none.code, 64, "{}", none.err);
    let empty = run(&["pub", "-t", "a", "-m", "x", "--capath", "/proc/self/fdinfo"]);
    assert_eq!(empty.code, 64, "{}", empty.err);
    let plain = run(&["pub", "-t", "a", "-m", "x", "--servername", "localhost"]);
    assert_eq!(plain.code, 64, "{}", plain.err);
}

fn other_authority(ways: &Ways) -> String {
    let other = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    ways.folder.write("other.pem", &other.cert.pem())
}

#[test]
fn a_proxy_leads_to_the_broker() {
    let ways = Ways::start("proxied");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://127.0.0.1:{}", proxy.local_addr().unwrap().port());
    let broker = ways.plain;
    let leading = std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", broker)).unwrap();
        let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut back, &mut to));
        let _ = std::io::copy(&mut client, &mut server);
        String::from_utf8(head).unwrap()
    });
    let at = ["-h", "broker.example", "-p", "1883", "--proxy", &uri];
    let sent = run(&[&["pub", "-t", "a", "-m", "x", "-q", "1"][..], &at].concat());
    assert_eq!(sent.code, 0, "{}", sent.err);
    assert!(leading.join().unwrap().starts_with("CONNECT broker.example:1883 HTTP/1.1\r\n"));
}
