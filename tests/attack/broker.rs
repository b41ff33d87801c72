//! A broker in a process of its own, whose memory can be looked at.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Broker {
    child: Child,
    folder: PathBuf,
    pub port: u16,
    /// Of the listener for TLS, and of the one for WebSocket, where there are such.
    pub tls: Option<u16>,
    pub web_socket: Option<u16>,
    admin: u16,
}

/// Listeners with a certificate and for WebSocket.
pub const FURTHER_DOORS: &str = "[[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\nanonymous = true\n\
                                 default-authorization = \"allow\"\n\
                                 [[listener.certificate]]\nchain = \"server.pem\"\nkey = \"server.key\"\n\
                                 [[listener]]\nname = \"web-socket\"\naddress = \"127.0.0.1:0\"\nanonymous = true\n\
                                 default-authorization = \"allow\"\nwebsocket = true\n";

impl Broker {
    /// With these sections of a configuration; everybody on loopback may do anything.
    pub async fn start(sections: &str) -> Broker {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("tidegate-attack-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("server.pem"), certified.cert.pem()).unwrap();
        fs::write(folder.join("server.key"), certified.signing_key.serialize_pem()).unwrap();
        let config = folder.join("tidegate.toml");
        let listener = "[[listener]]\nname = \"open\"\naddress = \"0.0.0.0:0\"\nanonymous = true\n\
                        default-authorization = \"allow\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
        fs::write(&config, format!("{listener}{sections}")).unwrap();
        let sections = sections.to_owned();
        tokio::task::spawn_blocking(move || Broker::run(config, folder, &sections)).await.unwrap()
    }

    fn run(config: PathBuf, folder: PathBuf, sections: &str) -> Broker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut port_in = |text: &str, address: &str| {
            let line = lines.find(|line| line.contains(text)).unwrap_or_else(|| panic!("no `{text}`"));
            let digits = line.split(address).nth(1).unwrap_or_else(|| panic!("no address in {line}"));
            let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        };
        let port = port_in("listening: ", "0.0.0.0:");
        let mut further = |name: &str| {
            let is_there = sections.contains(&format!("name = \"{name}\""));
            is_there.then(|| port_in(&format!("listener=\"{name}\""), "127.0.0.1:"))
        };
        let (tls, web_socket) = (further("tls"), further("web-socket"));
        let admin = port_in("admin port open", "127.0.0.1:");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Broker { child, folder, port, tls, web_socket, admin }
    }

    /// Bytes of memory now.
    pub fn resident(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most that it was.
    pub fn highest_resident(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> usize {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// A number of its metrics.
    pub async fn figure(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).await.unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {answer}")).parse().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
