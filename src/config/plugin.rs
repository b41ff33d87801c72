//! `[[plugin]]`: the plugins in the order of the chain, and `[plugins]`, what holds for all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::grants::{self, Grants};
use super::listener::Listener;
use super::near;
use super::report::Problems;
use super::section::{Entry, Section, shortened};
use super::settings;
use crate::topic::TopicFilter;

/// One plugin as the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    pub name: String,
    pub file: PathBuf,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits; another file is refused.
    pub sha256: Option<String>,
    /// Of its minisign signature; none: beside it, with `.minisig` after its name.
    pub signature: Option<PathBuf>,
    /// Refuse the file where it is not signed by a trusted key; none: as `[plugins]` says.
    pub require_signature: Option<bool>,
    /// Where the configuration names the file.
    pub line: Option<usize>,
    pub enabled: bool,
    /// Only these of its hooks are used; none: all that it exports.
    pub hooks: Option<Vec<HookName>>,
    /// Messages whose topic matches none of these are kept away from it; empty: none are.
    pub topics: Vec<TopicFilter>,
    /// Names of listeners: asked about their clients only; empty: about all.
    pub listeners: Vec<String>,
    /// An object; what the plugin gets as its settings.
    pub settings: Value,
    /// Keys of the settings whose texts were read from these files.
    pub settings_files: BTreeMap<String, PathBuf>,
    /// Wall time of a call.
    pub deadline: Duration,
    /// Wall time of `init`, `drain` and `migrate`.
    pub lifecycle_deadline: Duration,
    /// Bytes of its file, which is compiled where it is seen first.
    pub file_size: usize,
    /// Wall time of compiling it.
    pub compile_timeout: Duration,
    /// Bytes of memory of what compiles it.
    pub compile_memory: usize,
    /// Bytes of linear memory of one instance.
    pub memory: usize,
    pub log_lines_per_second: u32,
    pub publishes_per_call: u32,
    /// Calls of host services that cost the broker something, during one call of the plugin.
    pub host_calls_per_call: u32,
    /// Elements of each of its tables.
    pub table_elements: usize,
    /// Core instances, memories and tables of one instance, each.
    pub core_instances: usize,
    /// Bytes that it hands to the broker with one answer or one call; none: what two of the largest packets
    /// need.
    pub result_size: Option<usize>,
    /// Of what it keeps in its state.
    pub state_keys: usize,
    /// Whether its state is kept where the broker's is.
    pub keep_state: bool,
    pub state_bytes: usize,
    /// Of a plugin that may wait for an HTTP answer or a password hash: logins that it is asked about at the same
    /// time, and as many other calls.
    pub calls_at_once: u32,
    /// Wall time of one HTTP request.
    pub http_timeout: Duration,
    pub http_requests_per_call: u32,
    pub grants: Grants,
    /// What answers in its place where a call fails; the hook's default where it is not named.
    pub on_failure: BTreeMap<HookName, FailurePolicy>,
}

impl PluginSpec {
    /// Whether one of its settings' files is not any more what was read.
    pub fn has_stale_settings(&self) -> bool {
        let is_stale = |(key, file): (&String, &PathBuf)| {
            settings::read_text(file).is_ok_and(|text| self.settings[key].as_str() != Some(&text))
        };
        self.settings_files.iter().any(is_stale)
    }

    /// A plugin with default limits and no settings.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> PluginSpec {
        PluginSpec {
            name: name.into(),
            file: file.into(),
            sha256: None,
            signature: None,
            require_signature: None,
            line: None,
            enabled: true,
            hooks: None,
            topics: Vec::new(),
            listeners: Vec::new(),
            settings: Value::Object(serde_json::Map::new()),
            settings_files: BTreeMap::new(),
            deadline: Duration::from_millis(10),
            lifecycle_deadline: Duration::from_millis(100),
            file_size: 64 * 1024 * 1024,
            compile_timeout: Duration::from_secs(120),
            compile_memory: 2 << 30,
            memory: 64 * 1024 * 1024,
            log_lines_per_second: 100,
            publishes_per_call: 16,
            host_calls_per_call: 10_000,
            table_elements: 100_000,
            core_instances: 128,
            result_size: None,
            state_keys: 100_000,
            keep_state: true,
            state_bytes: 16 * 1024 * 1024,
            calls_at_once: 8,
            http_timeout: Duration::from_secs(5),
            http_requests_per_call: 4,
            grants: Grants::default(),
            on_failure: BTreeMap::new(),
        }
    }
}

/// What holds for all plugins together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginsOptions {
    /// Folder for compiled code; none: the user's cache folder.
    pub cache: Option<PathBuf>,
    /// Bytes of compiled code that are kept there.
    pub cache_size: u64,
    /// Count the fuel that calls spend.
    pub fuel: bool,
    /// Take over changed files while running.
    pub reload: bool,
    /// So many failures of a plugin within the window set it aside for a while.
    pub quarantine_failures: u32,
    pub quarantine_window: Duration,
    /// Events that may wait for the plugins that observe them.
    pub event_queue: usize,
    /// minisign public keys: a plugin that has a signature needs one by one of these.
    pub trusted_keys: Vec<String>,
    /// Refuse plugins that have no signature.
    pub require_signature: bool,
    /// PEM, of certificates that plugins' HTTP requests trust beside those that the system does.
    pub http_ca: Option<PathBuf>,
}

impl Default for PluginsOptions {
    fn default() -> PluginsOptions {
        PluginsOptions {
            cache: None,
            cache_size: 1 << 30,
            fuel: false,
            reload: true,
            quarantine_failures: 5,
            quarantine_window: Duration::from_secs(10),
            event_queue: 10_000,
            trusted_keys: Vec::new(),
            require_signature: false,
            http_ca: None,
        }
    }
}

/// A hook, by its one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookName {
    ValidatingConnection,
    Authorizer,
    InterceptingPublish,
    InterceptingClientEnqueue,
    InterceptingSubscription,
    InterceptingUnsubscription,
    ApplicationMessageNotConsumed,
    Events,
}

impl HookName {
    pub const ALL: [(&'static str, HookName); 8] = [
        ("validating-connection", HookName::ValidatingConnection),
        ("authorizer", HookName::Authorizer),
        ("intercepting-publish", HookName::InterceptingPublish),
        ("intercepting-client-enqueue", HookName::InterceptingClientEnqueue),
        ("intercepting-subscription", HookName::InterceptingSubscription),
        ("intercepting-unsubscription", HookName::InterceptingUnsubscription),
        ("application-message-not-consumed", HookName::ApplicationMessageNotConsumed),
        ("events", HookName::Events),
    ];

    pub fn as_str(self) -> &'static str {
        HookName::ALL.iter().find(|(_, hook)| *hook == self).map_or("", |(name, _)| *name)
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What answers in the place of a plugin that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    Deny,
    Allow,
    Next,
    /// Go back to the version before.
    LastGood,
    Disconnect,
}

const POLICIES: [(&str, FailurePolicy); 5] = [
    ("deny", FailurePolicy::Deny),
    ("allow", FailurePolicy::Allow),
    ("next", FailurePolicy::Next),
    ("last-good", FailurePolicy::LastGood),
    ("disconnect", FailurePolicy::Disconnect),
];

/// `[plugins]`
pub(super) fn read_common(mut section: Section<'_, '_>, folder: &Path) -> PluginsOptions {
    let mut options = PluginsOptions::default();
    section.set("cache", &mut options.cache, |v| Some(Some(folder.join(v.text()?))));
    section.set("cache-size", &mut options.cache_size, |v| v.size(1 << 20..=1 << 50));
    section.set("fuel", &mut options.fuel, |v| v.boolean());
    section.set("reload", &mut options.reload, |v| v.boolean());
    section.set("quarantine-failures", &mut options.quarantine_failures, |v| v.integer(1..=1_000_000));
    section
        .set("quarantine-window", &mut options.quarantine_window, |v| v.duration(ms(100)..=ms(86_400_000)));
    section.set("event-queue", &mut options.event_queue, |v| v.integer(1..=10_000_000));
    section.set("trusted-keys", &mut options.trusted_keys, |v| read_each(&v.list()?, read_key));
    let needs_keys = |v: &Entry<'_, '_>| read_required(v, &options.trusted_keys);
    section.set("require-signature", &mut options.require_signature, needs_keys);
    section.set("http-ca", &mut options.http_ca, |v| read_file_path(v, folder).map(Some));
    section.finish();
    options
}

/// `[[plugin]]`
pub(super) fn read(
    sections: Vec<Section<'_, '_>>,
    folder: &Path,
    listeners: &[Listener],
    common: &PluginsOptions,
    problems: &Problems<'_>,
) -> Vec<PluginSpec> {
    let mut found: Vec<(PluginSpec, Range<usize>)> = Vec::new();
    for section in sections {
        let before = problems.count();
        let Some((spec, span)) = read_one(section, folder, listeners, common, problems) else { continue };
        if let Some((_, other)) = found.iter().find(|(other, _)| other.name == spec.name) {
            let line = problems.line(other.start);
            problems.add(
                &span,
                "plugin.name",
                format!("`{}` is also the name of the plugin of line {line}; names must differ", spec.name),
            );
        }
        if problems.count() == before {
            found.push((spec, span));
        }
    }
    found.into_iter().map(|(spec, _)| spec).collect()
}

fn read_one(
    mut section: Section<'_, '_>,
    folder: &Path,
    listeners: &[Listener],
    common: &PluginsOptions,
    problems: &Problems<'_>,
) -> Option<(PluginSpec, Range<usize>)> {
    let named = section.require("name", "name each plugin, for the log and the metrics");
    let name = named.as_ref().and_then(Entry::name);
    let mut spec = PluginSpec::new(name.clone().unwrap_or_default(), PathBuf::new());
    section.set("enabled", &mut spec.enabled, |v| v.boolean());
    let enabled = spec.enabled;
    if let Some(entry) = section.require("path", "write the plugin's .wasm file, relative to this file") {
        spec.file = read_path(&entry, folder, enabled).unwrap_or_default();
        spec.line = Some(problems.line(entry.span().start));
    }
    section.set("sha256", &mut spec.sha256, |v| read_digest(v).map(Some));
    let keys = &common.trusted_keys;
    section.set("signature", &mut spec.signature, |v| read_signature(v, folder, keys).map(Some));
    section.set("require-signature", &mut spec.require_signature, |v| read_required(v, keys).map(Some));
    section.set("hooks", &mut spec.hooks, |v| read_hooks(v).map(Some));
    section.set("topics", &mut spec.topics, read_topics);
    section.set("listeners", &mut spec.listeners, |v| read_each(&v.list()?, |v| read_listener(v, listeners)));
    section.set("settings", &mut spec.settings, settings::read);
    if let Some(files) =
        section.get("settings-files").and_then(|v| settings::read_files(&v, folder, &mut spec.settings))
    {
        spec.settings_files = files;
    }
    section.set("deadline", &mut spec.deadline, |v| v.duration(ms(2)..=ms(60_000)));
    section.set("lifecycle-deadline", &mut spec.lifecycle_deadline, |v| v.duration(ms(2)..=ms(300_000)));
    section.set("file-size", &mut spec.file_size, |v| v.size(1024..=1 << 30));
    section.set("compile-timeout", &mut spec.compile_timeout, |v| v.duration(ms(10)..=ms(3_600_000)));
    section.set("compile-memory", &mut spec.compile_memory, |v| v.size(128 << 20..=1 << 40));
    section.set("memory", &mut spec.memory, |v| v.size(64 * 1024..=4 << 30));
    section.set("log-lines-per-second", &mut spec.log_lines_per_second, |v| v.integer(0..=1_000_000));
    section.set("publishes-per-call", &mut spec.publishes_per_call, |v| v.integer(0..=10_000));
    section.set("host-calls-per-call", &mut spec.host_calls_per_call, |v| v.integer(1..=1 << 30));
    section.set("table-elements", &mut spec.table_elements, |v| v.integer(1..=10_000_000));
    section.set("core-instances", &mut spec.core_instances, |v| v.integer(1..=1000));
    section.set("result-size", &mut spec.result_size, |v| v.size(1024..=1 << 30).map(Some));
    section.set("keep-state", &mut spec.keep_state, |v| v.boolean());
    section.set("state-keys", &mut spec.state_keys, |v| v.integer(0..=1 << 32));
    section.set("state-bytes", &mut spec.state_bytes, |v| v.size(0..=1 << 40));
    section.set("calls-at-once", &mut spec.calls_at_once, |v| v.integer(1..=1000));
    section.set("http-timeout", &mut spec.http_timeout, |v| v.duration(ms(10)..=ms(60_000)));
    section.set("http-requests-per-call", &mut spec.http_requests_per_call, |v| v.integer(0..=1000));
    section.set("grants", &mut spec.grants, |v| grants::read(v, folder));
    section.set("on-failure", &mut spec.on_failure, read_policies);
    section.finish();
    named.filter(|_| name.is_some()).map(|entry| (spec, entry.span()))
}

fn read_path(entry: &Entry<'_, '_>, folder: &Path, enabled: bool) -> Option<PathBuf> {
    let text = entry.text()?;
    if text.is_empty() {
        return entry.problem("is empty; write the plugin's .wasm file, relative to this file");
    }
    let file = folder.join(text);
    if !enabled {
        return Some(file);
    }
    let shown = file.display();
    // Opening a pipe would wait for somebody to write to it.
    let openable = std::fs::metadata(&file).and_then(|found| match found.is_file() {
        true => File::open(&file).map(|_| found),
        false => Ok(found),
    });
    match openable {
        Ok(found) if found.is_file() => Some(file),
        Ok(_) => entry.problem(format!("{shown} is not a file; write the plugin's .wasm file itself")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => entry.problem(format!(
            "{shown} does not exist; build the plugin, or correct the path (it is relative to this file)"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            entry.problem(format!("{shown} may not be read by this user; change its permissions"))
        }
        Err(error) => entry.problem(format!("{shown} cannot be read: {error}")),
    }
}

fn read_digest(entry: &Entry<'_, '_>) -> Option<String> {
    let text = entry.text()?;
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return entry.problem("expects a SHA-256, 64 hexadecimal digits as sha256sum prints them");
    }
    Some(text.to_ascii_lowercase())
}

/// Base64 of 42 bytes, of which the first two say `Ed`. Whether there is such a key shows when it is used.
fn read_key(entry: &Entry<'_, '_>) -> Option<String> {
    let text = entry.text()?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    if text.len() != 56 || !text.starts_with("RW") || !text.bytes().all(is_base64) {
        let shown = shortened(text);
        entry.problem::<()>(format!(
            "`{shown}` is no public key of minisign; copy the second line of minisign.pub, which begins with `RW`"
        ));
        // It stands among the keys all the same, so that nobody is told that there are none.
    }
    Some(text.to_owned())
}

fn read_signature(entry: &Entry<'_, '_>, folder: &Path, keys: &[String]) -> Option<PathBuf> {
    let file = entry.text()?;
    if keys.is_empty() {
        return entry.problem(NO_KEYS);
    }
    Some(folder.join(file))
}

fn read_required(entry: &Entry<'_, '_>, keys: &[String]) -> Option<bool> {
    let required = entry.boolean()?;
    if required && keys.is_empty() {
        return entry.problem(NO_KEYS);
    }
    Some(required)
}

const NO_KEYS: &str = "needs keys to check signatures with; write them into `trusted-keys` of `[plugins]`";

fn read_file_path(entry: &Entry<'_, '_>, folder: &Path) -> Option<PathBuf> {
    let file = folder.join(entry.text()?);
    if !file.is_file() {
        return entry.problem(format!("{} is not a file (it is relative to this file)", file.display()));
    }
    Some(file)
}

fn read_hooks(entry: &Entry<'_, '_>) -> Option<Vec<HookName>> {
    let entries = entry.list()?;
    if entries.is_empty() {
        return entry.problem("names no hook, so the plugin would do nothing; leave the key out to use all");
    }
    read_each(&entries, |entry| entry.choice(&HookName::ALL))
}

pub(super) fn read_topics(entry: &Entry<'_, '_>) -> Option<Vec<TopicFilter>> {
    read_each(&entry.list()?, read_topic)
}

/// Reads all of them, so that each problem is reported.
pub(super) fn read_each<'a, 'i, T>(
    entries: &[Entry<'a, 'i>],
    read: impl Fn(&Entry<'a, 'i>) -> Option<T>,
) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = entries.iter().map(read).collect();
    read.into_iter().collect()
}

fn read_listener(entry: &Entry<'_, '_>, listeners: &[Listener]) -> Option<String> {
    let name = entry.text()?;
    let names: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    if names.contains(&name) {
        return Some(name.to_owned());
    }
    entry.problem(format!("no listener has the name `{}`; {}", shortened(name), near::hint(name, &names)))
}

fn read_topic(entry: &Entry<'_, '_>) -> Option<TopicFilter> {
    let text = entry.text()?;
    match TopicFilter::try_from(text) {
        Ok(filter) if filter.share_name().is_some() => {
            entry.problem(format!("`{}` is a shared subscription; write the filter alone", shortened(text)))
        }
        Ok(filter) => Some(filter),
        Err(error) => entry.problem(format!("`{}` is no legal Topic Filter: {error}", shortened(text))),
    }
}

fn read_policies(entry: &Entry<'_, '_>) -> Option<BTreeMap<HookName, FailurePolicy>> {
    let mut section = entry.section("plugin.on-failure")?;
    let mut policies = BTreeMap::new();
    // Events are observed after the fact: there is nothing to answer in the plugin's place.
    for (name, hook) in HookName::ALL.into_iter().filter(|(_, hook)| *hook != HookName::Events) {
        if let Some(policy) = section.get(name).and_then(|value| value.choice(&POLICIES)) {
            policies.insert(hook, policy);
        }
    }
    section.finish();
    Some(policies)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
