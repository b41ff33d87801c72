//! Processes whose output is read while they run, and a server that says what a test wants.

#[path = "../support/free_port.rs"]
mod free_port;

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use tidegate::packet::{Connack, Decoder, Packet, ProtocolVersion, ReasonCode, encode};

use crate::cli_support::{Folder, tidegate};

pub use free_port::free_port;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A command whose lines are read as they come. Killed when it is dropped.
pub struct Reading {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Reading {
    pub fn start(arguments: &[&str]) -> Reading {
        let mut child =
            tidegate().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()).lines());
        Reading { child, lines }
    }

    pub fn line(&mut self) -> String {
        self.lines.as_mut().unwrap().next().expect("another line").unwrap()
    }

    /// Reads no more, as `head` does.
    pub fn stop_reading(&mut self) {
        self.lines = None;
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Runs a program; what it prints, as it is.
pub fn printed(program: &mut Command) -> Vec<u8> {
    let output = program.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What was written to its stdin is published; answers what it said on stderr, and its exit code.
pub fn publish_lines(arguments: &[&str], lines: &str) -> (String, i32) {
    let mut command = tidegate();
    let mut child = command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code().unwrap_or(-1))
}

pub fn is_installed(program: &str) -> bool {
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("PASSED OVER: {program} is not installed; apt-get install mosquitto mosquitto-clients");
    }
    found
}

/// Waits until something listens there.
pub fn wait_for_port(port: u16) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "nobody listens at {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Debian's broker. Killed when it is dropped.
pub struct Mosquitto {
    child: Child,
    pub port: u16,
    _folder: Folder,
}

impl Mosquitto {
    pub fn start(name: &str) -> Option<Mosquitto> {
        let program = "/usr/sbin/mosquitto";
        if !is_installed(program) {
            return None;
        }
        let (folder, port) = (Folder::new(name), free_port());
        let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n");
        let file = folder.write("mosquitto.conf", &config);
        let mut command = Command::new(program);
        let child = command.args(["-c", &file]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_port(port);
        Some(Mosquitto { child, port, _folder: folder })
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that lets a client in and answers nothing of itself.
pub struct Silent {
    listener: TcpListener,
    pub port: u16,
}

pub struct SilentConnection {
    stream: TcpStream,
    decoder: Decoder,
    received: BytesMut,
}

impl Silent {
    pub fn new() -> Silent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Silent { listener, port }
    }

    pub fn accept(&self) -> SilentConnection {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        SilentConnection { stream, decoder: Decoder::server(u32::MAX), received: BytesMut::new() }
    }
}

impl SilentConnection {
    pub fn receive(&mut self) -> Packet {
        let mut chunk = [0; 4096];
        loop {
            if let Some(packet) = self.decoder.decode(&mut self.received).unwrap() {
                return packet;
            }
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the connection ended");
            self.received.extend_from_slice(&chunk[..count]);
        }
    }

    /// Answers a CONNECT.
    pub fn let_in(&mut self, version: ProtocolVersion) {
        let mut connack = Connack::refused(ReasonCode::SUCCESS);
        connack.session_present = false;
        let mut bytes = BytesMut::new();
        encode(&Packet::Connack(Box::new(connack)), version, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }
}
