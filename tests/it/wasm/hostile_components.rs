//! Small plugins in text, each of which does one thing that no plugin must: `tests/hostile/*.wat`.
//!
//! Each is contained: what asks it gets the answer of the failure policy, the failure is counted and stands in the
//! log under the plugin's name, and clients that have nothing to do with it go on as before.

mod calls;
mod compiling;
mod files;
mod loading;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, Once};
use std::time::Duration;

use tidegate::plugin::{Budgets, HostOptions, PluginOptions, QuarantineOptions};

use super::assemble::assembled;

/// A folder of the test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tidegate-hostile-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A plugin file, and the plugin that it is, under its own name, for topics that begin with it.
    fn plugin(&self, name: &str, bytes: &[u8]) -> PluginOptions {
        let path = self.0.join(format!("{name}.wasm"));
        fs::write(&path, bytes).unwrap();
        let topics = vec![format!("{name}/#").as_str().try_into().unwrap()];
        let budgets = Budgets { decision: DEADLINE, ..Budgets::default() };
        PluginOptions { topics, budgets, ..PluginOptions::new(name, path) }
    }

    fn assembled(&self, name: &str) -> PluginOptions {
        self.plugin(name, &assembled(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Five times the default, so that what else runs on the machine weighs little.
const DEADLINE: Duration = Duration::from_millis(50);

/// Without quarantine, so that every call is really made.
fn patient() -> HostOptions {
    let quarantine = QuarantineOptions { failures: u32::MAX, ..QuarantineOptions::default() };
    HostOptions { watch: false, quarantine, workers: 2, ..HostOptions::default() }
}

/// What was logged in this process at `warn` and above, by plugin.
static LOGGED: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

/// From here on, what is logged is kept.
fn keep_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log =
            tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).without_time().with_ansi(false);
        let _ = log.with_writer(|| Line).try_init();
    });
}

/// The lines that name this plugin.
fn logged(plugin: &str) -> Vec<String> {
    LOGGED.lock().unwrap().get(plugin).cloned().unwrap_or_default()
}

struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(line);
        let name = line.split("plugin=\"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(name) = name {
            LOGGED.lock().unwrap().entry(name.to_owned()).or_default().push(line.to_string());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
