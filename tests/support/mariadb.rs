//! A MariaDB server of a test's own: its own folder, socket and port, ended with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

/// Small and quick: what it keeps is gone with the test.
const SETTINGS: &str = "[mysqld]\nbind-address=127.0.0.1\nskip-name-resolve\nskip-log-bin\n\
    innodb_log_file_size=8M\ninnodb_buffer_pool_size=32M\nperformance_schema=OFF\nmax_connections=50\n";

pub struct MariaDb {
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl MariaDb {
    /// None, and that is said, where it is not installed.
    pub fn start() -> Option<MariaDb> {
        MariaDb::start_with("")
    }

    /// With further lines of the server's settings, in which `{folder}` is the server's folder.
    pub fn start_with(settings: &str) -> Option<MariaDb> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let Some(template) = template() else {
            println!(
                "PASSED OVER: MariaDB is not installed; apt-get install --no-install-recommends mariadb-server"
            );
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = folder(&format!("mariadb-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        run(Command::new("cp").arg("-r").arg(template).arg(folder.join("data")));
        let port = super::free_port::free_port();
        let path = folder.to_str().unwrap();
        let settings = format!(
            "{SETTINGS}datadir={path}/data\nsocket={path}/socket\npid-file={path}/pid\nport={port}\n{}\n",
            settings.replace("{folder}", path)
        );
        fs::write(folder.join("my.cnf"), settings).unwrap();
        let mut server = MariaDb { folder, port, process: None };
        server.start_again();
        let grant =
            "CREATE USER tide@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON `tide%`.* TO tide@'127.0.0.1'";
        server.as_root(grant);
        Some(server)
    }

    /// Begins where it was killed.
    pub fn start_again(&mut self) {
        let mut process = Command::new(program("mariadbd").unwrap())
            .arg(format!("--defaults-file={}", self.folder.join("my.cnf").display()))
            .args(user())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let (mut line, mut all) = (String::new(), String::new());
        while !line.contains("ready for connections") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "MariaDB does not start: {all}");
            all.push_str(&line);
        }
        // It waits where nobody reads what it says.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        self.process = Some(process);
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new empty database; its name begins with `tide`.
    pub fn make_database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tide{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.as_root(&format!("CREATE DATABASE {name}"));
        name
    }

    pub fn url(&self, database: &str) -> String {
        format!("mysql://tide:secret@127.0.0.1:{}/{database}", self.port)
    }

    pub fn as_root(&self, statements: &str) {
        self.root().query_drop(statements).unwrap();
    }

    pub fn root(&self) -> Conn {
        let socket = self.folder.join("socket").to_str().unwrap().to_string();
        Conn::new(OptsBuilder::new().socket(Some(socket)).user(Some("root"))).unwrap()
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A data folder as it is before the first start. To make one takes seconds: it is made once and copied.
fn template() -> Option<PathBuf> {
    let (install, _) = (program("mariadb-install-db")?, program("mariadbd")?);
    let (made, new) = (folder("mariadb-template"), folder("mariadb-template.new"));
    // Tests of this and of other processes wait for the one that makes it.
    let lock = fs::File::create(folder("mariadb-template.lock")).unwrap();
    lock.lock().unwrap();
    if !made.exists() {
        let _ = fs::remove_dir_all(&new);
        let mut command = Command::new(install);
        command.arg("--no-defaults").arg(format!("--datadir={}", new.display())).args(user());
        command.args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=8M",
        ]);
        run(&mut command);
        fs::rename(&new, &made).unwrap();
    }
    Some(made)
}

/// Short, as a socket's path may have 107 bytes.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The server refuses to run as root unless it is told to.
fn user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().ok()?;
    (id.stdout == b"0\n").then_some("--user=root")
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.exists())
}

fn run(command: &mut Command) {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
