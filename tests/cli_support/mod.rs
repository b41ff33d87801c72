//! Runs the built command, in the foreground and in the background.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tidegate::packet::{Connect, Decoder, Packet, ProtocolVersion, ReasonCode, encode};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn tidegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.stdin(Stdio::null());
    command
}

pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(arguments: &[&str]) -> Outcome {
    let output = tidegate().args(arguments).output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder for one test, removed with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tidegate-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Puts the file in place in one go, and says where it is.
    pub fn write(&self, name: &str, text: &str) -> String {
        let (file, new) = (self.0.join(name), self.0.join("new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, &file).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

/// The module of a plugin of `plugins/`, built where it is missing.
#[cfg(feature = "wasm")]
pub fn module(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let path = folder.join(format!("target/tidegate/{name}.wasm"));
    if !path.exists() {
        assert!(Command::new(folder.join("build")).arg(name).status().unwrap().success());
    }
    path
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command that runs in the background; killed when it is dropped.
pub struct Background {
    child: Child,
    err: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Background {
    pub fn start(arguments: &[&str]) -> Background {
        let mut child =
            tidegate().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (err, mut pipe) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let shared = err.clone();
        let reading = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        });
        Background { child, err, reading: Some(reading) }
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Waits until it says this, and answers the line.
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no `{text}` ({ended:?}) in:\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&self) {
        let pid = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub fn finish(&mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        };
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        Outcome { code: status.code().unwrap_or(-1), out: String::new(), err: self.said() }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A broker on a port of its own.
pub struct Daemon {
    process: Background,
    pub port: u16,
}

impl Daemon {
    /// With these arguments; without a configuration, on a free port.
    pub fn start(arguments: &[&str]) -> Daemon {
        let mut all = vec!["run"];
        all.extend(arguments);
        if !arguments.contains(&"--config") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let mut process = Background::start(&all);
        let line = process.wait_for("listening: ");
        let digits = line.split("127.0.0.1:").nth(1).unwrap_or_default();
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        Daemon { process, port: digits.parse().unwrap() }
    }

    /// Runs `pub` or `sub` against it.
    pub fn client(&self, command: &str, arguments: &[&str]) -> Outcome {
        run(&self.aimed(command, arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn background(&self, command: &str, arguments: &[&str]) -> Background {
        Background::start(&self.aimed(command, arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn wait_for(&mut self, text: &str) {
        self.process.wait_for(text);
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> String {
        self.process.said()
    }

    /// SIGHUP.
    #[cfg(feature = "tls")]
    pub fn hang_up(&self) {
        let pid = self.process.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// SIGTERM; answers the exit code.
    pub fn terminate(&mut self) -> i32 {
        self.process.terminate();
        self.process.finish().code
    }

    fn aimed(&self, command: &str, arguments: &[&str]) -> Vec<String> {
        let port = self.port.to_string();
        let first = [command, "-h", "127.0.0.1", "-p", &port];
        first.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
    }
}

/// A client that reads only when it is asked to.
pub struct RawClient {
    stream: TcpStream,
    decoder: Decoder,
    received: BytesMut,
}

impl RawClient {
    /// One that was let in.
    pub fn connect(port: u16, client_identifier: &'static str) -> RawClient {
        let (client, reason) = RawClient::ask(port, client_identifier);
        assert!(!reason.is_error(), "{reason:?}");
        client
    }

    /// Why one is not let in.
    pub fn refused(port: u16, client_identifier: &'static str) -> ReasonCode {
        RawClient::ask(port, client_identifier).1
    }

    fn ask(port: u16, client_identifier: &'static str) -> (RawClient, ReasonCode) {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let decoder = Decoder::client(ProtocolVersion::V5, u32::MAX);
        let mut client = RawClient { stream, decoder, received: BytesMut::new() };
        client.send(Packet::Connect(Box::new(Connect::new(ProtocolVersion::V5, client_identifier.into()))));
        match client.receive() {
            Packet::Connack(connack) => (client, connack.reason_code),
            other => panic!("{other:?}"),
        }
    }

    pub fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        encode(&packet, ProtocolVersion::V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

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
}
