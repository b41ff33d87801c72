//! Mosquitto's listeners, where it is installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::direct::Secure;
use super::*;

pub struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub const PROGRAM: &str = "/usr/sbin/mosquitto";

/// Listens at four ports: plain, TLS, WebSocket, WebSocket in TLS.
pub async fn start(secure: &Secure) -> (Mosquitto, [u16; 4]) {
    let ports = [(); 4].map(|()| crate::support::free_port());
    let path = |name: &str| secure.folder.path(name).display().to_string();
    let tls = format!("certfile {}\nkeyfile {}\n", path("server.pem"), path("server.key"));
    let text = format!(
        "allow_anonymous true\nuser root\n\
         listener {} 127.0.0.1\n\
         listener {} 127.0.0.1\n{tls}\
         listener {} 127.0.0.1\nprotocol websockets\n\
         listener {} 127.0.0.1\nprotocol websockets\n{tls}",
        ports[0], ports[1], ports[2], ports[3]
    );
    let file = secure.folder.path("mosquitto.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(PROGRAM);
    let command = command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let mosquitto = Mosquitto(command.spawn().unwrap());
    for port in ports {
        within(async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    (mosquitto, ports)
}

#[tokio::test]
async fn each_listener_of_mosquitto_is_reached() {
    if !Path::new(PROGRAM).exists() {
        return println!("PASSED OVER: mosquitto is not installed; apt-get install mosquitto");
    }
    let secure = Secure::new();
    let (_mosquitto, ports) = start(&secure).await;
    for (uri, port) in ["mqtt://b", "mqtts://b", "ws://b/mqtt", "wss://b/mqtt"].into_iter().zip(ports) {
        let mut dialer = at(uri, SocketAddr::from(([127, 0, 0, 1], port)));
        if let Some(tls) = &mut dialer.tls {
            tls.trust = tidegate::transport::tls::Trust::Authorities(vec![secure.folder.path("ca.pem")]);
        }
        // Of a WebSocket Mosquitto takes 4 KB in a tenth of a second.
        carries_these(&dialer, &[0, 1, 125, 126, 10_000]).await;
    }
}
