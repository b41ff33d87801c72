//! The broker that is to crash: a process that is killed, or one of this process whose storage hears nothing more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate::broker::Options;
use tidegate::server::{ListenerOptions, Server};
use tidegate::storage::{Change, Durability, OpenedStorage, Storage, StorageError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub trait Broker {
    /// Starts it where it was before. Returns its port.
    async fn start(&mut self) -> u16;

    /// Ends it so that it can do nothing more.
    async fn crash(&mut self);

    /// Ends it as an operator does.
    async fn stop(&mut self);

    /// Whatever else troubles it is over for good.
    async fn calm(&mut self) {}
}

/// A folder for one test, removed with it unless the test fails.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        Folder::at(std::env::temp_dir().join(format!("tidegate-crash-{}-{name}", std::process::id())))
    }

    pub fn at(path: PathBuf) -> Folder {
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the data is left in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
            let _ = fs::remove_file(self.0.with_extension("toml"));
        }
    }
}

/// Sessions that stay away must not lose what their queue has no room for.
const CONFIGURATION: &str = r#"
[[listener]]
name = "local"
address = "127.0.0.1:0"
anonymous = true
default-authorization = "allow"
[broker]
maximum-queued-messages = 1_000_000
maximum-queued-bytes = "1GiB"
"#;

/// `tidegate run`, with a data folder or a database.
pub struct Process {
    pub folder: PathBuf,
    /// Beside that which names its configuration.
    arguments: Vec<String>,
    pub environment: Vec<(String, PathBuf)>,
    child: Option<Child>,
}

impl Process {
    pub fn on(folder: &Path) -> Process {
        Process::with(folder, "")
    }

    /// With more in its configuration.
    pub fn with(folder: &Path, more: &str) -> Process {
        fs::write(folder.with_extension("toml"), format!("{CONFIGURATION}{more}")).unwrap();
        let arguments = vec!["--data".into(), folder.to_str().unwrap().into()];
        Process { folder: folder.to_owned(), arguments, environment: Vec::new(), child: None }
    }

    /// Its configuration lies beside the folder, its data in the database.
    #[cfg(feature = "mysql")]
    pub fn on_database(folder: &Path, url: &str) -> Process {
        let storage = format!("[storage]\nurl = {url:?}\n");
        fs::write(folder.with_extension("toml"), format!("{CONFIGURATION}{storage}")).unwrap();
        Process { folder: folder.to_owned(), arguments: Vec::new(), environment: Vec::new(), child: None }
    }

    /// STOP, CONT or TERM.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.as_ref().and_then(Child::id).unwrap();
        signal(name, &pid.to_string()).await;
    }

    /// What it said where it has ended.
    pub async fn try_start(&mut self) -> Result<u16, String> {
        let mut child = self.command().spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let port = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                assert!(!child.wait().await.unwrap().success(), "it ended as if all were well:\n{said}");
                return Err(said);
            };
            if let Some(port) = port_of(&line) {
                break port;
            }
            said.push_str(&line);
            said.push('\n');
        };
        // A pipe that nobody reads would hold it up.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("panicked") || line.contains("ERROR") {
                    eprintln!("the broker: {line}");
                }
            }
        });
        self.child = Some(child);
        Ok(port)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("run").arg("--config").arg(self.folder.with_extension("toml")).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Broker for Process {
    async fn start(&mut self) -> u16 {
        self.try_start().await.unwrap_or_else(|said| panic!("it does not start:\n{said}"))
    }

    /// SIGKILL.
    async fn crash(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// SIGTERM.
    async fn stop(&mut self) {
        self.signal("TERM").await;
        assert!(self.child.take().unwrap().wait().await.unwrap().success());
    }
}

fn port_of(line: &str) -> Option<u16> {
    let digits = line.split_once("listening: ")?.1.split_once("127.0.0.1:")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

pub async fn signal(name: &str, pid: &str) {
    let killed = Command::new("kill").args([&format!("-{name}"), pid]).status().await;
    assert!(killed.unwrap().success());
}

/// A broker of this process. What it crashes with is that its storage hears of nothing any more, whatever it does on its
/// way out; what it answers on that way must be true nevertheless.
pub struct Local {
    storage: Arc<dyn Storage>,
    running: Option<(Server, Arc<Lifetime>)>,
}

impl Local {
    pub fn on(storage: Arc<dyn Storage>) -> Local {
        Local { storage, running: None }
    }
}

impl Broker for Local {
    async fn start(&mut self) -> u16 {
        let lifetime = Arc::new(Lifetime { storage: self.storage.clone(), is_over: Mutex::new(false) });
        let options = Options { maximum_queued_messages: 1_000_000, ..Options::default() };
        let opened = OpenedStorage::new(lifetime.clone(), Durability::Always).unwrap();
        let builder = Server::builder().workers(2).options(options).storage(opened);
        let server = builder.listener(ListenerOptions::loopback(0)).start().await.unwrap();
        let port = server.addresses()[0].port();
        self.running = Some((server, lifetime));
        port
    }

    async fn crash(&mut self) {
        let (server, lifetime) = self.running.take().unwrap();
        // Where a commit is under way it ends before, as it is whole or not there.
        tokio::task::spawn_blocking(move || lifetime.end()).await.unwrap();
        drop(server);
    }

    async fn stop(&mut self) {
        self.running.take().unwrap().0.shutdown().await;
    }
}

/// What one broker sees of a storage that outlives it.
struct Lifetime {
    storage: Arc<dyn Storage>,
    is_over: Mutex<bool>,
}

impl Lifetime {
    fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl Storage for Lifetime {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_over {
            return Err(StorageError::new("commit", "the broker has crashed"));
        }
        self.storage.commit(changes)
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        self.storage.load(each)
    }
}
