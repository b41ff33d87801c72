//! Plugins that wait: for an HTTP answer, for a password hash.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::thread;

use super::*;

/// A server on a thread for each connection: what it answers, the path says.
struct Web {
    port: u16,
    /// Each lets an answer to `/held` go.
    release: Sender<()>,
    /// Connections that it accepted, and requests for `/held` that came.
    connections: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
}

impl Web {
    fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (release, released) = channel();
        let released = Arc::new(Mutex::new(released));
        let (connections, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let web = Web { port, release, connections: Arc::clone(&connections), held: Arc::clone(&held) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (released, held) = (Arc::clone(&released), Arc::clone(&held));
                thread::spawn(move || serve(stream, &released, &held));
            }
        });
        web
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn release(&self, count: usize) {
        (0..count).for_each(|_| self.release.send(()).unwrap());
    }

    fn wait_until_held(&self, count: usize) {
        eventually("as many requests wait", || self.held.load(Ordering::SeqCst) == count);
    }
}

fn serve(mut stream: TcpStream, released: &Mutex<Inbox<()>>, held: &AtomicUsize) {
    while let Some(path) = read_head(&mut stream) {
        let (status, body) = match path.as_str() {
            "/held" => {
                held.fetch_add(1, Ordering::SeqCst);
                if lock(released).recv().is_err() {
                    return;
                }
                ("200 OK", "at last".to_owned())
            }
            "/large" => ("200 OK", "x".repeat(100_000)),
            "/elsewhere" => ("302 Found\r\nLocation: /fine", String::new()),
            "/nonsense" => ("two hundred", String::new()),
            _ => ("200 OK", "fine".to_owned()),
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The path of a request without a body.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()?.split(' ').nth(1).map(str::to_owned)
}

fn waits() -> PluginOptions {
    let grants = Grants { hosts: vec!["127.0.0.1".into()], ..Grants::default() };
    PluginOptions { grants, ..options("waits") }
}

fn with(change: impl FnOnce(&mut Budgets)) -> PluginOptions {
    let mut options = waits();
    change(&mut options.budgets);
    options
}

/// The verdict, and what the plugin says of it.
fn ask(host: &Host, wish: &str) -> (ConnectVerdict, String) {
    told(host.connect(wish))
}

fn told(outcome: ConnectOutcome) -> (ConnectVerdict, String) {
    let reason = outcome.reply.and_then(|reply| reply.reason_string).map(|text| text.to_string());
    (outcome.verdict, reason.unwrap_or_default())
}

/// Makes the call, and does not wait for the answer.
fn begin(host: &Host, wish: &str) -> Answer<ConnectOutcome> {
    let mut connect = Connect::new(ProtocolVersion::V5, "c1".into());
    connect.user_name = Some(wish.to_owned().into());
    host.host.validating_connection(ConnectContext { client: &client("c1"), connect: &connect })
}

const REFUSED: ConnectVerdict = ConnectVerdict::Deny(ReasonCode::NOT_AUTHORIZED);
const FAILED: ConnectVerdict = ConnectVerdict::Deny(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);

#[test]
fn a_password_is_verified_against_a_hash_and_costly_hashes_are_refused() {
    // 101 rounds of PBKDF2 over "right".
    let hash = "$7$101$/8Py7a7I8GcOCSM+$\
        evTgoWf4ucge4dTr/iB7gONFY2jyqdoKdOs28jdqcqMzoeR2RIRt/b/J32Rhbq4eMDbkNzZtRMafoHKosogv1w==";
    let host = Host::start(&[waits()]);
    assert_eq!(ask(&host, &format!("hash:{hash}")), (ConnectVerdict::Allow, "fits: true".into()));
    let wrong = hash.replace("$101$", "$102$");
    assert_eq!(ask(&host, &format!("hash:{wrong}")), (REFUSED, "fits: false".into()));
    let costly = hash.replace("$101$", "$99999999$");
    assert!(ask(&host, &format!("hash:{costly}")).1.contains("too-costly"));
    assert!(ask(&host, "hash:right").1.contains("unknown-format"));
    assert_eq!(host.status().failures, []);
    assert_eq!(ask(&host, "hashes").0, FAILED);
    assert!(host.status().last_error.unwrap().contains("more than 16 password hashes in one call"));
}

#[test]
fn a_request_is_answered_and_its_connection_kept_for_the_next() {
    let (host, web) = (Host::start(&[waits()]), Web::start());
    for _ in 0..3 {
        assert_eq!(ask(&host, &format!("get:{}", web.url("x"))), (ConnectVerdict::Allow, "200 fine".into()));
    }
    assert_eq!(web.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_request_that_is_not_granted_not_legal_or_one_too_many_is_not_made() {
    let (host, web) = (Host::start(&[waits()]), Web::start());
    let says = |wish: &str| ask(&host, wish).1;
    assert_eq!(says(&format!("get:http://localhost:{}/", web.port)), "Error::Denied");
    assert_eq!(
        says(&format!("get:http://127.0.0.1@localhost:{}/", web.port)).split('(').next(),
        Some("Error::Invalid")
    );
    assert_eq!(says("get:127.0.0.1/x").split('(').next(), Some("Error::Invalid"));
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
    assert_eq!(says(&format!("get-often:{}", web.url("x"))), "4 times, then Error::Busy");
    // The budget is the next call's again.
    assert_eq!(says(&format!("get:{}", web.url("x"))), "200 fine");
    assert_eq!(host.status().failures, []);
}

#[test]
fn a_redirect_is_not_followed_and_a_long_or_illegal_answer_is_an_error() {
    let web = Web::start();
    let host = Host::start(&[with(|budgets| budgets.handed_over = 50_000)]);
    let says = |path: &str| ask(&host, &format!("get:{}", web.url(path))).1;
    assert_eq!(says("elsewhere"), "302 ");
    assert_eq!(says("large"), "Error::TooLarge");
    assert!(says("nonsense").starts_with("Error::Failed"), "{}", says("nonsense"));
    assert_eq!(says("x"), "200 fine");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = ask(&host, &format!("get:http://{gone}/")).1;
    assert!(refused.starts_with("Error::Failed"), "{refused}");
    assert_eq!(host.status().failures, []);
}

#[test]
fn a_request_ends_at_its_own_time_limit_and_at_the_configurations() {
    let web = Web::start();
    let host = Host::start(&[with(|budgets| budgets.http_timeout = Duration::from_secs(2))]);
    let begun = Instant::now();
    assert_eq!(ask(&host, &format!("get-shortly:{}", web.url("held"))).1, "Error::Timeout");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(ask(&host, &format!("get:{}", web.url("held"))).1, "Error::Timeout");
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(host.status().failures, [], "it is no failure of the plugin");
}

#[test]
fn the_time_that_a_plugin_waits_is_not_the_calls_and_the_time_after_it_is() {
    let web = Web::start();
    let host = Host::start(&[with(|budgets| budgets.decision = Duration::from_millis(20))]);
    let answer = begin(&host, &format!("get:{}", web.url("held")));
    web.wait_until_held(1);
    // The server takes many times what a call may.
    thread::sleep(Duration::from_millis(400));
    web.release(1);
    assert_eq!(told(wait(answer)), (ConnectVerdict::Allow, "200 at last".into()));
    assert_eq!(host.status().overruns, 0);

    let begun = Instant::now();
    let answer = begin(&host, &format!("get-and-loop:{}", web.url("x")));
    assert_eq!(told(wait(answer)).0, FAILED);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(host.status().overruns, 1);
}

#[test]
fn as_many_calls_wait_at_once_as_the_configuration_says_and_the_next_waits_for_a_thread() {
    let web = Web::start();
    let host = Host::start(&[with(|budgets| budgets.calls_at_once = 3)]);
    let answers: Vec<_> = (0..4).map(|_| begin(&host, &format!("get:{}", web.url("held")))).collect();
    web.wait_until_held(3);
    web.release(1);
    web.wait_until_held(4);
    web.release(3);
    for answer in answers {
        assert_eq!(told(wait(answer)), (ConnectVerdict::Allow, "200 at last".into()));
    }
}

#[test]
fn what_clients_do_who_are_in_does_not_wait_for_logins() {
    let web = Web::start();
    let host = Host::start(&[with(|budgets| budgets.calls_at_once = 1)]);
    let login = begin(&host, &format!("get:{}", web.url("held")));
    web.wait_until_held(1);
    let PublishVerdict::Modify(message) = host.publish_message(&message("get/x", web.url("x"))).verdict
    else {
        panic!("not asked");
    };
    assert_eq!(message.payload, "200 fine");
    web.release(1);
    assert_eq!(told(wait(login)).0, ConnectVerdict::Allow);
}

#[test]
fn where_too_many_calls_wait_the_failure_policy_answers_and_an_answer_that_nobody_awaits_is_not_asked_for() {
    let web = Web::start();
    let host = Host::start(&[with(|budgets| budgets.calls_at_once = 1)]);
    let wish = format!("get:{}", web.url("held"));
    let first = begin(&host, &wish);
    web.wait_until_held(1);
    let second = begin(&host, &wish);
    let others: Vec<_> = (0..1023).map(|_| begin(&host, &wish)).collect();
    assert!(matches!(begin(&host, &wish), Answer::Ready(outcome) if outcome.verdict == FAILED));
    assert_eq!(host.status().not_asked, 1);
    drop(others);
    web.release(3);
    assert_eq!(told(wait(first)).0, ConnectVerdict::Allow);
    // With its answer there is room in the queue: the thread answers the first before it takes the second.
    assert_eq!(told(wait(second)).0, ConnectVerdict::Allow);
    assert_eq!(ask(&host, &wish).0, ConnectVerdict::Allow);
    assert_eq!(web.held.load(Ordering::SeqCst), 3);
}

#[test]
fn a_reload_does_not_wait_for_a_call_that_waits() {
    let web = Web::start();
    let host = Host::start(&[waits()]);
    assert_eq!(ask(&host, "calls").1, "1");
    let answer = begin(&host, &format!("get:{}", web.url("held")));
    web.wait_until_held(1);
    // Another instance, which is free when the new version takes over.
    assert_eq!(ask(&host, "calls").1, "1");
    let next = with(|budgets| budgets.calls_at_once = 2);
    let before = host.status().version;
    host.host.reload(&[next]).unwrap();
    assert!(host.status().version > before);
    // What the free instance left was handed over.
    assert_eq!(ask(&host, "calls").1, "2");
    web.release(1);
    assert_eq!(told(wait(answer)), (ConnectVerdict::Allow, "200 at last".into()));
}

#[test]
fn a_message_meets_plugins_that_wait_and_others_in_their_order() {
    let web = Web::start();
    let host = Host::start(&[options("every-hook"), waits(), options("marker")]);
    let payload = |outcome: PublishOutcome| match outcome.verdict {
        PublishVerdict::Modify(message) => String::from_utf8(message.payload.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(payload(host.publish_message(&message("get/x", web.url("x")))), "200 fine v1");
    // The first plugin makes it a topic that the second one wants.
    assert_eq!(payload(host.publish_message(&message("modify/x", web.url("x")))), "200 fine v1");
    // A message of another topic does not leave its thread.
    let (client, message) = (client("sender"), message("other/x", "x"));
    let context = PublishContext { client: Some(&client), message: &message, now: NOW };
    let Answer::Ready(outcome) = host.host.intercepting_publish(context) else { panic!("it went aside") };
    assert_eq!(payload(outcome), "x v1");
}

#[test]
fn an_observer_that_waits_keeps_no_event_from_another() {
    let web = Web::start();
    let mut host = Host::start(&[waits(), options("every-hook")]);
    let subscribed = |path: &str| {
        let (client, filter) = (client("c1"), TopicFilter::try_from(web.url(path).as_str()).unwrap());
        Event { time: NOW, what: What::ClientSubscribedTopic { client, filter, qos: QoS::AtMostOnce } }
    };
    host.host.event(subscribed("held"));
    web.wait_until_held(1);
    host.host.event(subscribed("x"));
    let counted = "events/client-subscribed-topic";
    eventually("the other observer sees both", || host.state(counted).as_deref() == Some(b"2"));
    assert_eq!(web.connections.load(Ordering::SeqCst), 1);
    web.release(1);
    eventually("it goes on", || host.host.status()[0].calls == 2);
    assert_eq!(host.host.status()[0].dropped_events, 0);
}

#[test]
fn a_plugin_that_waits_and_fails_is_quarantined_as_any_other() {
    let quarantine = QuarantineOptions { failures: 2, ..QuarantineOptions::default() };
    let host = Host::start_with(HostOptions { quarantine, ..host_options() }, &[waits()]);
    assert_eq!(ask(&host, "loop").0, FAILED);
    assert_eq!(ask(&host, "calls"), (ConnectVerdict::Allow, "1".into()));
    assert_eq!(ask(&host, "loop").0, FAILED);
    assert!(matches!(host.status().state, PluginState::Quarantined { .. }));
    assert_eq!(ask(&host, "calls").0, FAILED);
    assert_eq!((host.status().quarantines, host.status().not_asked), (1, 1));
}

#[test]
fn a_file_of_certificates_that_has_none_refuses_the_plugin() {
    let file = folder().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let options = HostOptions { http_ca: Some(file), ..host_options() };
    let (requester, _requests) = requests(RequestLimits::default());
    let errors = PluginHost::start(options, &[waits()], requester).err().expect("refused");
    assert!(errors[0].to_string().contains("there is no certificate in it"), "{}", errors[0]);
}

/// Answers one request over TLS with a certificate that it signed itself; says what the certificate is.
#[cfg(feature = "http")]
fn serve_tls(name: &str) -> (u16, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let pem = cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::Stream::new(&mut tls, &mut stream);
            // A client that does not trust us says so, and is gone.
            let mut request = [0; 1024];
            if stream.read(&mut request).is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
            }
        }
    });
    (port, pem)
}

#[cfg(feature = "http")]
#[test]
fn a_server_is_believed_whose_certificate_the_operator_trusts_and_no_other() {
    let file = folder().join("ca.pem");
    let (trusted, pem) = serve_tls("localhost");
    let (stranger, _) = serve_tls("localhost");
    let (another_name, its_pem) = serve_tls("elsewhere.example");
    std::fs::write(&file, format!("{pem}{its_pem}")).unwrap();
    let mut plugin = waits();
    plugin.grants.hosts = vec!["localhost".into()];
    let host = Host::start_with(HostOptions { http_ca: Some(file), ..host_options() }, &[plugin]);
    let get = |port: u16| ask(&host, &format!("get:https://localhost:{port}/"));
    assert_eq!(get(trusted), (ConnectVerdict::Allow, "200 secret".into()));
    for port in [stranger, another_name] {
        let (verdict, why) = get(port);
        assert_eq!(verdict, REFUSED, "{why}");
        assert!(why.contains("certificate"), "{why}");
    }
}
