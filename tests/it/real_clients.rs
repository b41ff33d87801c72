//! Clients that others wrote, against this broker: the scripts of `tests/clients/`.
//!
//! A client that is not installed is passed over, and that is said; `./test` installs all of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::support::*;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn clients() -> PathBuf {
    project().join("tests/clients")
}

/// Runs a script once per version, with a broker of its own.
async fn run(program: impl AsRef<Path>, script: &str) {
    for version in ["311", "5"] {
        let server = start().await;
        let address = server.addresses()[0];
        let mut command = Command::new(program.as_ref());
        command.arg(clients().join(script)).arg(address.ip().to_string()).arg(address.port().to_string());
        command.arg(version).stdin(Stdio::null()).kill_on_drop(true);
        let ran = tokio::time::timeout(Duration::from_secs(120), command.output()).await.expect("an end");
        let ran = ran.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        let complained = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{script} {version}: {}\n{said}\n{complained}", ran.status);
        assert_eq!(server.statistics().protocol_errors, 0, "{script} {version}");
    }
}

fn installed(program: &str) -> bool {
    let mut run = std::process::Command::new(program);
    run.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn passed_over(client: &str, how: &str) {
    println!("PASSED OVER: {client} is not installed; {how}");
}

#[tokio::test]
async fn mosquitto_clients_do_all_of_it() {
    if !installed("mosquitto_pub") || !installed("mosquitto_sub") {
        return passed_over("mosquitto_pub", "apt-get install mosquitto-clients");
    }
    run("/bin/sh", "mosquitto.sh").await;
}

#[tokio::test]
async fn paho_mqtt_does_all_of_it() {
    let python = project().join(".venv/bin/python");
    let has_paho = std::process::Command::new(&python).args(["-c", "import paho.mqtt"]).status();
    if !has_paho.is_ok_and(|status| status.success()) {
        return passed_over("paho-mqtt", "python3 -m venv .venv && .venv/bin/pip install paho-mqtt");
    }
    run(python, "paho_client.py").await;
}

#[tokio::test]
async fn mqtt_js_does_all_of_it() {
    if !installed("node") || !clients().join("node_modules/mqtt").is_dir() {
        return passed_over("MQTT.js", "npm ci in tests/clients");
    }
    run("node", "mqttjs.mjs").await;
}
