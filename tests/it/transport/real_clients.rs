//! Clients and proxies that others wrote, through every door.
//!
//! One that is not installed is passed over, and that is said; `./test` installs all of them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tidegate::broker::Options;
use tidegate::hook::What;
use tidegate::server::{ListenerOptions, Server};
use tidegate::transport::proxy::ProxyOptions;
use tidegate::transport::tls::{ClientCertificates, TlsOptions};
use tidegate::transport::websocket::{Origins, WebSocketOptions};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::Folder;
use super::authority::{Authority, write};
use crate::support::*;

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn is_installed(program: &str) -> bool {
    let mut run = std::process::Command::new(program);
    run.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn passed_over(client: &str, package: &str) {
    println!("PASSED OVER: {client} is not installed; apt-get install {package}");
}

/// A certificate for this machine, and one of a client.
struct Fixture {
    folder: Folder,
    tls: TlsOptions,
}

impl Fixture {
    fn new() -> Fixture {
        let (folder, authority) = (Folder::new(), Authority::new("Example"));
        let (chain, key) = authority.issue("broker", &["localhost", "127.0.0.1"]).write(&folder, "server");
        authority.issue("device", &[]).write(&folder, "device");
        write(&folder.path("ca.pem"), &authority.pem);
        Fixture { folder, tls: TlsOptions::new(chain, key) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path(name).display().to_string()
    }

    fn listener(&self) -> ListenerOptions {
        let mut listener = ListenerOptions::loopback(0);
        listener.transport.tls = Some(self.tls.clone());
        listener
    }

    fn asking_for_certificates(mut self) -> Fixture {
        self.tls.client_certificates = Some(ClientCertificates::required(vec![self.folder.path("ca.pem")]));
        self
    }
}

async fn start(listener: ListenerOptions) -> Server {
    Server::builder().workers(2).listener(listener).start().await.unwrap()
}

async fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("an end").unwrap()
}

/// Runs a script of `tests/clients` once per version against a broker.
async fn run(server: &Server, program: impl AsRef<Path>, script: &str, environment: &[(&str, String)]) {
    let address = server.addresses()[0];
    for version in ["311", "5"] {
        let mut command = Command::new(program.as_ref());
        command.arg(clients().join(script)).arg("127.0.0.1").arg(address.port().to_string()).arg(version);
        let ran = output(command.envs(environment.iter().map(|(name, value)| (*name, value)))).await;
        let said = String::from_utf8_lossy(&ran.stdout);
        let complained = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{script} {version}: {}\n{said}\n{complained}", ran.status);
        assert_eq!(server.statistics().protocol_errors, 0, "{script} {version}");
    }
}

#[tokio::test]
async fn mosquitto_clients_do_all_of_it_through_tls_and_with_certificates() {
    if !is_installed("mosquitto_pub") {
        return passed_over("mosquitto_pub", "mosquitto-clients");
    }
    let fixture = Fixture::new();
    let trust = format!("--cafile {}", fixture.path("ca.pem"));
    run(&start(fixture.listener()).await, "/bin/sh", "mosquitto.sh", &[("MQTT_OPTIONS", trust)]).await;
    let fixture = Fixture::new().asking_for_certificates();
    let [ca, own, key] = ["ca.pem", "device.pem", "device.key"].map(|name| fixture.path(name));
    let options = format!("--cafile {ca} --cert {own} --key {key}");
    let server = start(fixture.listener()).await;
    run(&server, "/bin/sh", "mosquitto.sh", &[("MQTT_OPTIONS", options)]).await;
    let port = server.addresses()[0].port().to_string();
    let mut nameless = Command::new("mosquitto_pub");
    let nameless = nameless.args(["-h", "127.0.0.1", "-p", &port, "--cafile", &ca, "-t", "t", "-m", "m"]);
    assert!(!output(nameless).await.status.success());
    until(|| server.statistics().refused_certificate == 1).await;
}

#[tokio::test]
async fn paho_mqtt_does_all_of_it_through_tls_and_websockets() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let has_paho = std::process::Command::new(&python).args(["-c", "import paho.mqtt"]).status();
    if !has_paho.is_ok_and(|status| status.success()) {
        println!(
            "PASSED OVER: paho-mqtt is not installed; python3 -m venv .venv && .venv/bin/pip install paho-mqtt"
        );
        return;
    }
    let fixture = Fixture::new();
    let (trust, path) = (("MQTT_CA", fixture.path("ca.pem")), ("MQTT_PATH", "/mqtt".to_owned()));
    run(&start(fixture.listener()).await, &python, "paho_client.py", std::slice::from_ref(&trust)).await;
    let mut plain = ListenerOptions::loopback(0);
    plain.transport.web_socket = Some(WebSocketOptions::default());
    run(&start(plain).await, &python, "paho_client.py", std::slice::from_ref(&path)).await;
    let mut secure = fixture.listener();
    secure.transport.web_socket = Some(WebSocketOptions::default());
    run(&start(secure).await, &python, "paho_client.py", &[trust, path]).await;
}

#[tokio::test]
async fn openssl_gets_the_versions_and_ciphers_that_are_meant_and_no_others() {
    if !is_installed("openssl") {
        return passed_over("openssl", "openssl");
    }
    let fixture = Fixture::new();
    let server = start(fixture.listener()).await;
    let address = server.addresses()[0].to_string();
    for (arguments, is_spoken) in [
        (&["-tls1_3"][..], true),
        (&["-tls1_2"], true),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], true),
        // Without forward secrecy, with CBC, without encryption, without a certificate.
        (&["-tls1_2", "-cipher", "AES256-GCM-SHA384:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"], false),
        (&["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"], false),
        (&["-tls1_3", "-alpn", "mqtt"], true),
        (&["-tls1_3", "-alpn", "h2"], false),
    ] {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address, "-CAfile", &fixture.path("ca.pem")]);
        command.args(["-verify_return_error", "-servername", "localhost"]).args(arguments);
        let ran = output(&mut command).await;
        let said = String::from_utf8_lossy(&ran.stdout);
        let is_connected = ran.status.success() && said.contains("Verify return code: 0 (ok)");
        assert_eq!(
            is_connected,
            is_spoken,
            "{arguments:?}\n{said}\n{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

#[tokio::test]
async fn openssl_gets_no_second_handshake_on_a_connection_and_others_are_served() {
    if !is_installed("openssl") {
        return passed_over("openssl", "openssl");
    }
    let fixture = Fixture::new();
    let options = Options { connect_timeout: Duration::from_secs(5), ..Options::default() };
    let server =
        Server::builder().workers(2).options(options).listener(fixture.listener()).start().await.unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-tls1_2", "-connect", &server.addresses()[0].to_string()]);
    command.args(["-CAfile", &fixture.path("ca.pem"), "-servername", "localhost"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut openssl = command.spawn().unwrap();
    // What asks for it, again and again.
    let mut asks = openssl.stdin.take().unwrap();
    asks.write_all(b"R\nR\nR\n").await.unwrap();
    let ran = tokio::time::timeout(Duration::from_secs(60), openssl.wait_with_output()).await;
    let ran = ran.expect("an end").unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(said.contains("RENEGOTIATING"), "{said}");
    // The certificates of one handshake: the authority's and the broker's.
    assert_eq!(said.matches("verify return:1").count(), 2, "{said}");
    drop(asks);
    let trust = format!("--cafile {}", fixture.path("ca.pem"));
    run(&server, "/bin/sh", "mosquitto.sh", &[("MQTT_OPTIONS", trust)]).await;
}

/// HAProxy in front of a broker, and the port at which it listens.
async fn haproxy(folder: &Folder, broker: std::net::SocketAddr, how: &str) -> (Child, u16) {
    let free = free_port();
    let file = folder.path("haproxy.cfg");
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen mqtt\n bind 127.0.0.1:{free}\n server broker {broker} {how}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    let child =
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    within(async {
        while tokio::net::TcpStream::connect(("127.0.0.1", free)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    (child, free)
}

#[tokio::test]
async fn behind_haproxy_hooks_see_the_client_and_not_the_proxy() {
    if !is_installed("/usr/sbin/haproxy") {
        return passed_over("haproxy", "haproxy");
    }
    for how in ["send-proxy", "send-proxy-v2"] {
        let (folder, script) = (Folder::new(), Script::default().shared());
        let mut listener = ListenerOptions::loopback(0);
        let trusted = vec!["127.0.0.1".parse().unwrap()];
        listener.transport.proxy = Some(ProxyOptions::from_networks(trusted));
        let server = Server::builder().hooks(script.clone()).listener(listener).start().await.unwrap();
        let (_haproxy, port) = haproxy(&folder, server.addresses()[0], how).await;
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let own = stream.local_addr().unwrap();
        let mut client = Client::over(stream, V5);
        client.handshake(connect(V5, "a")).await;
        client.ping().await;
        until(|| {
            script.saw(|what| {
                matches!(what, What::ClientConnected { client, .. } if client.remote_address() == Some(own)
                    && client.known().unwrap().proxy.as_ref().unwrap().destination.unwrap().port() == port)
            })
        })
        .await;
    }
}

#[tokio::test]
async fn mqtt_js_in_a_browser_publishes_and_subscribes_through_a_secure_websocket() {
    let library = clients().join("node_modules/mqtt/dist/mqtt.min.js");
    let browsers = ["chromium-headless-shell", "chromium"];
    let Some(browser) = browsers.into_iter().find(|browser| is_installed(browser)) else {
        return passed_over("Chromium", "chromium-headless-shell");
    };
    if !library.is_file() {
        println!("PASSED OVER: MQTT.js is not installed; npm ci in tests/clients");
        return;
    }
    let fixture = Fixture::new();
    for version in [4, 5] {
        let mut secure = ListenerOptions { name: "browser".into(), ..fixture.listener() };
        // A page that is a file has no host.
        secure.transport.web_socket =
            Some(WebSocketOptions { origins: Origins::Any, ..WebSocketOptions::default() });
        let builder = Server::builder().workers(2).listener(ListenerOptions::loopback(0)).listener(secure);
        let server = builder.start().await.unwrap();
        let mut observer = Client::connect(&server, connect(V5, "observer")).await;
        observer.subscribe("browser/said", QOS1).await;
        let page = fixture.folder.path("browser.html");
        let text = std::fs::read_to_string(clients().join("browser.html")).unwrap();
        let url = format!("wss://127.0.0.1:{}/mqtt", server.addresses()[1].port());
        let text = text.replace("{library}", &format!("file://{}", library.display()));
        std::fs::write(&page, text.replace("{url}", &url).replace("{version}", &version.to_string()))
            .unwrap();
        let running = Browser::open(browser, &page, &fixture.path("profile"));
        let said = observer.receive_or_end_for(Duration::from_secs(60)).await;
        drop(running);
        let Some(tidegate::packet::Packet::Publish(said)) = said else { panic!("{said:?}") };
        assert_eq!(said.payload, "done");
    }
}

/// A browser that shows a page until it is dropped.
struct Browser(std::process::Child);

impl Browser {
    fn open(program: &str, page: &Path, profile: &str) -> Self {
        let mut command = std::process::Command::new(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--ignore-certificate-errors", "--allow-file-access-from-files"]);
        command.arg("--remote-debugging-port=0").arg(format!("--user-data-dir={profile}"));
        command.arg(format!("file://{}", page.display())).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the browser starts"))
    }
}

impl Drop for Browser {
    /// Ends its whole group: what a distribution installs is a script that waits for the browser.
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let killed = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the browser is left running");
        self.0.wait().expect("it was started");
    }
}
