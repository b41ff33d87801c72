//! The port as those see it who ask: in memory with tokio's time paused, and over real sockets.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::Instant;

use super::fetch::{FetchError, fetch};
use super::port::{ANSWER_TIME, HEAD_TIME, Port, Reach, serve_one};
use super::{Admin, AdminAddress, AdminOptions, Figures};
use crate::broker::{Broker, Options};
use crate::cluster::standalone::Standalone;
use crate::hook::NoHooks;

const TOKEN: &str = "0123456789abcdef";

fn figures() -> Figures {
    let hooks = Arc::new(NoHooks);
    Figures {
        listeners: None,
        #[cfg(feature = "bridge")]
        bridges: None,
        broker: Broker::new(Options::default(), hooks, None, Arc::new(Standalone)),
        #[cfg(feature = "wasm")]
        plugins: None,
    }
}

fn port(token: Option<&str>) -> Port {
    Port { figures: figures(), token: token.map(str::to_owned), reach: Reach::Network }
}

/// What is answered to these bytes.
async fn answer(request: impl AsRef<[u8]>, port: &Port) -> String {
    let (mut ours, theirs) = duplex(1 << 20);
    ours.write_all(request.as_ref()).await.unwrap();
    let (answer, ()) = tokio::join!(
        async {
            let mut answer = String::new();
            ours.read_to_string(&mut answer).await.unwrap();
            answer
        },
        serve_one(theirs, port)
    );
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn each_path_answers_with_its_type_and_length_and_ends_the_connection() {
    let port = port(None);
    for (path, content_type, begin) in [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP tidegate_build_info"),
        ("/metrics?x=1", "text/plain; version=0.0.4; charset=utf-8", "# HELP tidegate_build_info"),
        ("/plugins", "application/json", "{\"dropped_events\":0"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
    ] {
        let answer = answer(get(path), &port).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(head.ends_with("Connection: close"), "{head}");
        assert!(body.starts_with(begin), "{body}");
    }
    let answer = answer(get("/healthz").replace("GET", "HEAD"), &port).await;
    assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_for_a_path_is_refused_by_its_status() {
    let port = port(None);
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    for (request, status) in [
        (get("/"), 404),
        (get("/plugins/x"), 404),
        (get("/metrics").replace("GET", "POST"), 405),
        (get("/metrics").replace("GET", "DELETE"), 405),
        (get("/metrics").replace("Host: localhost\r\n", ""), 400),
        (get("/metrics").replace("Host:", "Host: localhost\r\nHost:"), 400),
        (get("/metrics").replace("localhost", "evil.example"), 403),
        (get("/metrics").replace("HTTP/1.1", "HTTP/9"), 400),
        ("\x16\x03\x01\x02\x00\x01\r\n\r\n".to_owned(), 400),
        ("\x10\x0c\0\x04MQTT\x04\0\0\0\0\0\n".to_owned(), 400),
        (long, 431),
        (many, 431),
    ] {
        let answer = answer(&request, &port).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {answer:.60}");
    }
    let old = answer("GET /healthz HTTP/1.0\r\n\r\n", &port).await;
    assert!(old.starts_with("HTTP/1.1 200 "), "{old}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_in_pieces_is_whole_in_the_end() {
    let (port, request) = (port(None), get("/healthz"));
    let (ours, theirs) = duplex(1 << 20);
    let (mut answers, mut asks) = tokio::io::split(ours);
    let feed = async {
        for byte in request.as_bytes() {
            asks.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        answers.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, ()) = tokio::join!(feed, serve_one(theirs, &port));
    assert!(answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_to_ask_or_to_read_is_let_go() {
    let (port, start) = (port(None), Instant::now());
    let answer = answer("GET /metr", &port).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(start.elapsed() >= HEAD_TIME, "{:?}", start.elapsed());

    let start = Instant::now();
    let (mut ours, theirs) = duplex(64);
    let ask = async {
        ours.write_all(get("/metrics").as_bytes()).await.unwrap();
        serve_done(start).await;
        ours
    };
    let (_ours, ()) = tokio::join!(ask, serve_one(theirs, &port));
    assert!(start.elapsed() >= ANSWER_TIME && start.elapsed() < 2 * ANSWER_TIME, "{:?}", start.elapsed());
}

/// Longer than a connection is kept whose client reads nothing.
async fn serve_done(start: Instant) {
    tokio::time::sleep_until(start + ANSWER_TIME + HEAD_TIME).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_everywhere_but_at_the_health_check() {
    let port = port(Some(TOKEN));
    for path in ["/metrics", "/plugins", "/nothing"] {
        let refused = answer(get(path), &port).await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        assert!(refused.contains("WWW-Authenticate: Bearer\r\n"), "{refused}");
        let with = |token: &str| {
            get(path).replace("\r\n\r\n", &format!("\r\nauthorization: Bearer {token}\r\n\r\n"))
        };
        assert!(answer(with("0123456789abcdeF"), &port).await.starts_with("HTTP/1.1 401 "));
        let known = answer(with(TOKEN), &port).await;
        assert!(!known.starts_with("HTTP/1.1 401 "), "{known}");
    }
    assert!(answer(get("/healthz"), &port).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_metrics_hold_every_statistic_and_each_family_once() {
    let text = figures().metrics();
    let mut families = std::collections::HashSet::new();
    let mut samples = std::collections::HashSet::new();
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(family) => assert!(families.insert(family.split(' ').next().unwrap()), "{line}"),
            None if line.starts_with('#') => assert!(line.starts_with("# HELP "), "{line}"),
            None => {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(samples.insert(series), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(families.contains(series.split('{').next().unwrap()), "{line}");
            }
        }
    }
    let statistics = figures().broker.statistics().all().len();
    assert_eq!(samples.len(), statistics + 1, "and the version");
    for series in [
        "tidegate_received_bytes_total",
        "tidegate_sessions",
        "tidegate_dropped_messages_total{cause=\"queue-full\"}",
        "tidegate_limit_reached_total{limit=\"queued-bytes\"}",
    ] {
        assert!(samples.contains(series), "{series}");
    }
}

fn open(listen: &str, token: Option<&str>) -> Admin {
    let options = AdminOptions { listen: listen.parse().unwrap(), token: token.map(str::to_owned) };
    Admin::start(options, figures()).unwrap()
}

#[tokio::test]
async fn a_running_port_is_asked_over_tcp_and_closed_when_it_is_dropped() {
    let admin = open("127.0.0.1:0", Some(TOKEN));
    let address = admin.address().clone();
    assert_eq!(fetch(&address, "/healthz", None).unwrap(), "ok\n");
    assert!(fetch(&address, "/metrics", Some(TOKEN)).unwrap().contains("tidegate_sessions 0\n"));
    assert!(matches!(fetch(&address, "/metrics", None), Err(FetchError::Unauthorized(_))));
    assert!(matches!(fetch(&address, "/x", Some(TOKEN)), Err(FetchError::NotUnderstood(..))));
    drop(admin);
    assert!(fetch(&address, "/healthz", None).unwrap_err().is_nobody_there());
}

#[tokio::test]
async fn more_connections_than_there_is_room_for_wait_and_harm_nobody() {
    let admin = open("127.0.0.1:0", None);
    let AdminAddress::Tcp(address) = admin.address() else { panic!() };
    // They never ask; each is let go after HEAD_TIME, and those that are closed before give their place back at once.
    let silent: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    drop(silent);
    for _ in 0..100 {
        assert_eq!(fetch(admin.address(), "/healthz", None).unwrap(), "ok\n");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_in_the_file_system_is_for_its_user_alone_and_takes_no_ones_place() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("tidegate-admin-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let admin = open(&listen, None);
    assert_eq!(fetch(admin.address(), "/healthz", None).unwrap(), "ok\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = AdminOptions { listen: listen.parse().unwrap(), token: None };
    let error = Admin::start(again, figures()).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(admin);
    assert!(!path.exists());

    // One that a broker left which was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(open(&listen, None));
    std::fs::write(&path, "no socket").unwrap();
    let options = AdminOptions { listen: listen.parse().unwrap(), token: None };
    assert!(Admin::start(options, figures()).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no socket");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn addresses_are_read_as_they_are_shown() {
    for text in ["http://127.0.0.1:9883", "http://[::1]:9883", "unix:/run/a.sock"] {
        assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), text);
    }
    assert_eq!("127.0.0.1:9883".parse(), Ok(AdminAddress::Tcp("127.0.0.1:9883".parse().unwrap())));
    for text in ["", "unix:", "localhost:1", "https://127.0.0.1:1", "127.0.0.1"] {
        assert!(text.parse::<AdminAddress>().is_err(), "{text}");
    }
    let is_local = |text: &str| text.parse::<AdminAddress>().unwrap().is_local();
    assert!(is_local("[::ffff:127.0.0.1]:1") && is_local("unix:a") && !is_local("0.0.0.0:1"));
}

#[tokio::test(start_paused = true)]
async fn who_is_shut_out_is_listed() {
    let port = port(None);
    let guard = port.figures.broker.guard();
    let login = guard.login("192.0.2.7".parse().unwrap(), "meter \"7\"", None).unwrap();
    (0..guard.options().failed_logins).for_each(|_| guard.login_failed(login));
    let bans = json(&answer(get("/bans"), &port).await);
    let ban = serde_json::json!({
        "address": "192.0.2.7", "name": "meter \"7\"", "cause": "failed-logins", "left_seconds": 60,
    });
    assert_eq!(bans, serde_json::json!({ "bans": [ban] }));
}

fn json(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Shuts these names out of everything from this address.
fn shut_out(port: &Port, address: &str, names: &[&str]) {
    let guard = port.figures.broker.guard();
    for name in names {
        let login = guard.login(address.parse().unwrap(), name, None).unwrap();
        (0..guard.options().failed_logins).for_each(|_| guard.login_failed(login));
    }
}

fn delete(path: &str) -> String {
    get(path).replace("GET", "DELETE")
}

#[tokio::test(start_paused = true)]
async fn an_address_or_a_name_is_let_in_again_on_request() {
    let port = port(None);
    shut_out(&port, "192.0.2.7", &["ada", "a/b c\u{e9}"]);
    shut_out(&port, "192.0.2.8", &["ada", "eve"]);
    shut_out(&port, "2001:db8:1:2::9", &["eve"]);
    // A name that looks like an address.
    shut_out(&port, "192.0.2.9", &["192.0.2.8"]);
    for (whom, lifted) in [
        ("nobody", 0),
        ("198.51.100.1", 0),
        ("ada", 2),
        ("ada", 0),
        ("a%2Fb%20c%C3%A9", 1),
        ("2001%3Adb8%3A1%3A2%3A%3A%2F64", 1),
        ("192.0.2.8", 2),
    ] {
        let answer = answer(delete(&format!("/bans/{whom}")), &port).await;
        assert_eq!(json(&answer), serde_json::json!({ "lifted": lifted }), "{whom}");
    }
    assert_eq!(port.figures.broker.statistics().bans, 0);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_ask_lifts_no_ban() {
    let guarded = port(Some(TOKEN));
    let open = port(None);
    for port in [&guarded, &open] {
        shut_out(port, "192.0.2.7", &["ada"]);
    }
    let status = |answer: String| answer.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(answer(delete("/bans/ada"), &guarded).await), "401");
    let foreign = delete("/bans/ada").replace("localhost", "evil.example");
    assert_eq!(status(answer(foreign, &open).await), "403");
    // What a page can send by itself.
    assert_eq!(status(answer(get("/bans/ada").replace("GET", "POST"), &open).await), "405");
    assert_eq!(status(answer(get("/bans/ada"), &open).await), "404");
    assert_eq!(status(answer(delete("/bans/%ff"), &open).await), "400");
    assert_eq!([&guarded, &open].map(|port| port.figures.broker.statistics().bans), [1, 1]);
}
