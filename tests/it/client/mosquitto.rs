//! The same against Mosquitto, where it is installed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::cuts::cut_everywhere;
use super::road;
use super::*;
use crate::support::{QOS1, QOS2, VERSIONS};

const PROGRAM: &str = "/usr/sbin/mosquitto";

struct Mosquitto {
    child: Child,
    port: u16,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mosquitto {
    /// On a free port, which it takes as an argument and serves on loopback without a password.
    async fn start() -> Option<Mosquitto> {
        if !Path::new(PROGRAM).exists() {
            println!("PASSED OVER: mosquitto is not installed; apt-get install mosquitto");
            return None;
        }
        let port = crate::support::free_port();
        let mut command = Command::new(PROGRAM);
        let command = command.args(["-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        let mosquitto = Mosquitto { child: command.spawn().unwrap(), port };
        within(async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Some(mosquitto)
    }
}

#[tokio::test]
async fn qos_2_with_mosquitto_is_exactly_once_wherever_the_connection_is_cut() {
    // [MQTT-4.3.3-10] [MQTT-4.4.0-1]
    let Some(mosquitto) = Mosquitto::start().await else { return };
    for version in VERSIONS {
        cut_everywhere(|| road::to_port(mosquitto.port), version, false, 3).await;
    }
}

#[tokio::test]
async fn mosquitto_serves_subscriptions_that_overlap_and_are_given_up() {
    let Some(mosquitto) = Mosquitto::start().await else { return };
    for version in VERSIONS {
        let mut options = Options::new("127.0.0.1", mosquitto.port, "both");
        options.connect.protocol_version = version;
        let client = done(tidegate::client::connect(options)).await;
        let mut wide = done(client.subscribe(("o/#", QOS1))).await;
        let mut narrow = done(client.subscribe(("o/+/x", QOS2))).await;
        // Mosquitto 2.0.11 counts each of these twice as in flight, forgets to count one of them back, and sends nothing
        // more after 20.
        for number in 0..10 {
            client.enqueue(numbered("o/a/x", number, QOS2)).await.unwrap();
        }
        receives(&mut wide, 0..10).await;
        receives(&mut narrow, 0..10).await;
        done(narrow.unsubscribe()).await;
        done(client.publish(numbered("o/a/x", 10, QOS1))).await;
        receives(&mut wide, [10]).await;
        done(client.disconnect()).await;
    }
}
