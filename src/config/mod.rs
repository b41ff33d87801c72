//! The configuration file: what an operator writes in TOML becomes the options of each part.
//!
//! Unknown keys are errors, and all problems are reported together, each with file, line and key. What
//! was typed (a tree of TOML values with their places) and what the program uses ([`Config`]) are two
//! things: a [`Config`] in hand is legal. Whether a plugin's file holds a plugin is not looked at here.
//! The parts below never see this module.

mod admin;
mod bridge;
mod broker;
mod grants;
mod guard;
mod listener;
mod log;
mod near;
mod plugin;
mod report;
mod section;
mod settings;
mod storage;
mod units;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use grants::Grants;
pub use listener::{DEFAULT_ADDRESS, Listener, parse_address};
pub use log::{Level, LogFormat, LogOptions};
pub use plugin::{FailurePolicy, HookName, PluginSpec, PluginsOptions};
pub use report::{Problem, Report};
#[cfg(feature = "wasm")]
pub(crate) use settings::read_text as read_settings_file;
pub use storage::{StorageOptions, StoragePlace, parse_database_url, parse_table_prefix, read_database_url};
pub use units::parse_time;

use crate::admin::AdminOptions;
use crate::bridge::BridgeOptions;
use crate::broker::Options;
use report::Problems;
use section::Section;

/// A larger file is no configuration.
const MAXIMUM_FILE_SIZE: u64 = 4 * 1024 * 1024;

/// What the program uses.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read from.
    pub file: Option<PathBuf>,
    pub broker: Options,
    pub listeners: Vec<Listener>,
    pub plugins_options: PluginsOptions,
    /// In the order of the chain, without those that are not enabled.
    pub plugins: Vec<PluginSpec>,
    pub bridges: Vec<BridgeOptions>,
    pub log: LogOptions,
    /// None: there is no admin port.
    pub admin: Option<AdminOptions>,
    /// None: state ends with the process.
    pub storage: Option<StorageOptions>,
}

impl Config {
    /// Reads a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn load(file: &Path) -> Result<Config, Report> {
        Config::load_beside(file, &[])
    }

    /// The same while these listeners are open. Of their certificates, keys, authorities and lists those are in use that
    /// were good when they were read: they are not looked at, unless a listener is to use others.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn load_beside(file: &Path, running: &[Listener]) -> Result<Config, Report> {
        let text = read_text(file).map_err(|message| Report::of_file(file, message))?;
        Config::parse_beside(file, &text, running)
    }

    /// Reads the text of a file that lies, or would lie, at `file`.
    ///
    /// # Errors
    /// Every problem of the text.
    pub fn parse(file: &Path, text: &str) -> Result<Config, Report> {
        Config::parse_beside(file, text, &[])
    }

    fn parse_beside(file: &Path, text: &str, running: &[Listener]) -> Result<Config, Report> {
        let problems = Problems::new(file, text);
        let (root, syntax) = DeTable::parse_recoverable(text);
        let root = Section::new(root.get_ref(), 0..0, "", &problems);
        let config = read_root(root, file, running, &problems);
        let lines: Vec<usize> =
            syntax.iter().filter_map(|error| Some(problems.line(error.span()?.start))).collect();
        problems.forget_lines(&lines);
        for error in &syntax {
            problems.add_syntax(error.span(), error.message().trim_end());
        }
        let problems = problems.into_problems();
        if problems.is_empty() { Ok(config) } else { Err(Report { problems, sound_plugins: config.plugins }) }
    }

    /// What holds where there is no file: clients of this machine may do anything.
    pub fn without_file() -> Config {
        Config {
            file: None,
            broker: Options::default(),
            listeners: vec![Listener::unconfigured("default", DEFAULT_ADDRESS)],
            plugins_options: PluginsOptions::default(),
            plugins: Vec::new(),
            bridges: Vec::new(),
            log: LogOptions::default(),
            admin: None,
            storage: None,
        }
    }

    /// Takes from the configuration before what a running process cannot change.
    pub fn keep_what_needs_a_restart(&mut self, before: Config) {
        self.log.format = before.log.format;
        self.plugins_options = before.plugins_options;
        self.admin = before.admin;
        self.storage = before.storage;
    }

    /// Listens on these addresses instead; does nothing where there are none. What clients may do without
    /// a plugin's word is what holds for an address without a configuration, or, with a file, nothing.
    pub fn listen_on(&mut self, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return;
        }
        // The same address twice is asked for once.
        let mut addresses = addresses.to_vec();
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| address.port() == 0 || seen.insert(*address));
        let named = addresses.iter().enumerate().map(|(index, address)| {
            let name =
                if addresses.len() == 1 { "default".to_owned() } else { format!("default-{}", index + 1) };
            match self.file {
                Some(_) => Listener::strict(name, *address),
                None => Listener::unconfigured(name, *address),
            }
        });
        self.listeners = named.collect();
    }
}

fn read_root(
    mut root: Section<'_, '_>,
    file: &Path,
    running: &[Listener],
    problems: &Problems<'_>,
) -> Config {
    let folder = file.parent().unwrap_or(Path::new(""));
    let broker = root.get("broker").and_then(|v| v.section("broker")).map(broker::read);
    let guard = root.get("guard").and_then(|v| v.section("guard")).map(guard::read);
    let listeners = root.get("listener").map(|v| v.sections("listener")).unwrap_or_default();
    let plugins = root.get("plugin").map(|v| v.sections("plugin")).unwrap_or_default();
    let bridges = root.get("bridge").map(|v| v.sections("bridge")).unwrap_or_default();
    let common = root.get("plugins").and_then(|v| v.section("plugins"));
    let log = root.get("log").and_then(|v| v.section("log")).map(log::read);
    let admin = root.get("admin").and_then(|v| v.section("admin"));
    let storage = root.get("storage").and_then(|v| v.section("storage"));
    root.finish();
    let common = common.map(|section| plugin::read_common(section, folder)).unwrap_or_default();
    let listeners = listener::read(listeners, folder, running, problems);
    let mut plugins = plugin::read(plugins, folder, &listeners, &common, problems);
    plugins.retain(|plugin| plugin.enabled);
    let broker = Options { guard: guard.unwrap_or_default(), ..broker.unwrap_or_default() };
    Config {
        file: Some(file.to_owned()),
        bridges: bridge::read(bridges, folder, broker.queue_limits(), problems),
        broker,
        listeners,
        plugins_options: common,
        plugins,
        log: log.unwrap_or_default(),
        admin: admin.and_then(|section| admin::read(section, folder, problems)),
        storage: storage.and_then(|section| storage::read(section, folder, problems)),
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(file).and_then(|opened| opened.take(MAXIMUM_FILE_SIZE + 1).read_to_end(&mut bytes)).map_err(
        |error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                "does not exist; write it (the folder examples/config has samples), or correct the path"
                    .to_owned()
            }
            std::io::ErrorKind::PermissionDenied => {
                "may not be read by this user; change its permissions".to_owned()
            }
            _ => format!("cannot be read: {error}"),
        },
    )?;
    if bytes.len() as u64 > MAXIMUM_FILE_SIZE {
        return Err("is larger than 4MiB, so it is no configuration; correct the path".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("line {line} is not UTF-8 text; save the file as UTF-8")
    })
}
