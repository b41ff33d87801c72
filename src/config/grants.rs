//! `[plugin.grants]`: what a plugin may do beyond answering hooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::plugin::{read_each, read_topics};
use super::section::{Entry, shortened};
use crate::topic::TopicFilter;

/// By default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// Topics that it may publish to.
    pub publish: Vec<TopicFilter>,
    /// Topics whose retained message it may read.
    pub retained: Vec<TopicFilter>,
    /// Look at clients and sessions, disconnect clients, subscribe sessions.
    pub clients: bool,
    /// Read and write what plugins keep with sessions.
    pub session_items: bool,
    /// For HTTP requests: a host name with any port, or `host:port`.
    pub hosts: Vec<String>,
    /// Paths that it sees, and the files and folders there, which it may read.
    pub files: BTreeMap<String, PathBuf>,
}

pub(super) fn read(entry: &Entry<'_, '_>, folder: &Path) -> Option<Grants> {
    let mut section = entry.section("plugin.grants")?;
    let mut grants = Grants::default();
    section.set("publish", &mut grants.publish, read_topics);
    section.set("retained", &mut grants.retained, read_topics);
    section.set("clients", &mut grants.clients, |v| v.boolean());
    section.set("session-items", &mut grants.session_items, |v| v.boolean());
    section.set("hosts", &mut grants.hosts, |v| read_each(&v.list()?, read_host));
    section.set("files", &mut grants.files, |v| read_files(v, folder));
    section.finish();
    Some(grants)
}

fn read_host(entry: &Entry<'_, '_>) -> Option<String> {
    let text = entry.text()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if name.is_empty() || name.contains(['/', '*', '@', ' ']) || !port.is_none_or(is_port) {
        let shown = shortened(text);
        return entry.problem(format!(
            "`{shown}` is no host; write a name or an address, `auth.example.com` or `auth.example.com:8443`"
        ));
    }
    Some(text.to_ascii_lowercase())
}

fn read_files(entry: &Entry<'_, '_>, folder: &Path) -> Option<BTreeMap<String, PathBuf>> {
    let DeValue::Table(table) = entry.value() else {
        return entry.problem(
            "expects a table of the paths that the plugin sees and the files that are meant, `{ \"/rules\" = \"rules\" }`",
        );
    };
    let mut files = BTreeMap::new();
    for (seen, meant) in table {
        let seen: &str = seen.get_ref().as_ref();
        let Some(meant) = meant.get_ref().as_str() else {
            return entry.problem(format!("expects a path for `{}`, as a text", shortened(seen)));
        };
        if !seen.starts_with('/') || seen.contains("/..") {
            return entry
                .problem(format!("`{}` is to begin with `/`, and to go nowhere up", shortened(seen)));
        }
        let file = folder.join(meant);
        if !file.exists() {
            return entry.problem(format!("{} does not exist (it is relative to this file)", file.display()));
        }
        files.insert(seen.to_owned(), file);
    }
    Some(files)
}
