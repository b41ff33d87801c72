//! The keys of a listener that are about what lies on its sockets, but for TLS.

use super::super::section::{Entry, Section};
use crate::peer::Network;
use crate::transport::ListenAddress;
#[cfg(feature = "websocket")]
use crate::transport::TransportOptions;
use crate::transport::proxy::{Others, ProxyOptions};
#[cfg(unix)]
use crate::transport::unix::UnixOptions;

/// What is asked of a file's permissions.
#[cfg(unix)]
pub(super) fn read_unix(section: &mut Section<'_, '_>, address: &ListenAddress) -> UnixOptions {
    let mut options = UnixOptions::default();
    for (key, read) in [
        ("unix-mode", read_mode as fn(&Entry<'_, '_>, &mut UnixOptions) -> Option<()>),
        ("unix-user", read_user),
        ("unix-group", read_group),
    ] {
        let Some(entry) = section.get(key) else { continue };
        match address {
            ListenAddress::Unix(_) => drop(read(&entry, &mut options)),
            ListenAddress::Tcp(_) => drop(
                entry.problem::<()>("is used with an address such as \"unix:/run/tidegate/mqtt.sock\" only"),
            ),
        }
    }
    options
}

#[cfg(unix)]
fn read_mode(entry: &Entry<'_, '_>, options: &mut UnixOptions) -> Option<()> {
    match u32::from_str_radix(entry.text()?, 8) {
        Ok(mode) if mode <= 0o777 => options.mode = mode,
        _ => return entry.problem("is no mode; write it in octal digits and quotes, such as \"0660\""),
    }
    Some(())
}

#[cfg(unix)]
fn read_user(entry: &Entry<'_, '_>, options: &mut UnixOptions) -> Option<()> {
    options.user = number_of(entry.text()?, "/etc/passwd");
    if options.user.is_none() {
        return entry.problem("is no user of this machine; write a name of /etc/passwd, or a number");
    }
    Some(())
}

#[cfg(unix)]
fn read_group(entry: &Entry<'_, '_>, options: &mut UnixOptions) -> Option<()> {
    options.group = number_of(entry.text()?, "/etc/group");
    if options.group.is_none() {
        return entry.problem("is no group of this machine; write a name of /etc/group, or a number");
    }
    Some(())
}

/// What stands for a name in a file whose lines are `name:password:number:…`.
#[cfg(unix)]
fn number_of(name: &str, file: &str) -> Option<u32> {
    let lines = std::fs::read_to_string(file).unwrap_or_default();
    let number_in = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    };
    name.parse().ok().or_else(|| lines.lines().find_map(number_in))
}

pub(super) fn read_proxy(section: &mut Section<'_, '_>, address: &ListenAddress) -> Option<ProxyOptions> {
    let from = section.get("proxy-protocol-from");
    let others = section.get("proxy-protocol-others");
    let Some(from) = from else {
        return others?.problem("is used with `proxy-protocol-from` only; name the proxies, or remove it");
    };
    let networks = from.list()?;
    if networks.is_empty() && address.tcp().is_some() {
        return from
            .problem("names no proxy; name addresses or networks, such as [\"10.0.0.0/8\"], or remove it");
    }
    let others =
        others.and_then(|entry| entry.choice(&[("refuse", Others::Refused), ("direct", Others::Direct)]));
    let trusted = networks.iter().filter_map(read_network).collect();
    Some(ProxyOptions { trusted, others: others.unwrap_or_default() })
}

fn read_network(entry: &Entry<'_, '_>) -> Option<Network> {
    match entry.text()?.parse::<Network>() {
        Ok(network) => Some(network),
        Err(error) => entry.problem(error.to_string()),
    }
}

#[cfg(feature = "websocket")]
pub(super) fn read_web_socket(section: &mut Section<'_, '_>, transport: &mut TransportOptions) {
    use crate::transport::websocket::WebSocketOptions;

    let (mut is_web_socket, mut options) = (false, WebSocketOptions::default());
    section.set("websocket", &mut is_web_socket, |v| v.boolean());
    let path = section.get("websocket-path");
    let origins = section.get("websocket-origins");
    if !is_web_socket {
        for entry in [path, origins].into_iter().flatten() {
            entry.problem::<()>("is used with `websocket = true` only; add that, or remove it");
        }
        return;
    }
    if let Some(path) = path.and_then(|entry| read_path(&entry)) {
        options.path = path;
    }
    if let Some(origins) = origins.and_then(|entry| read_origins(&entry)) {
        options.origins = origins;
    }
    transport.web_socket = Some(options);
}

#[cfg(feature = "websocket")]
fn read_path(entry: &Entry<'_, '_>) -> Option<String> {
    let path = entry.text()?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return entry.problem("is no path; write one that begins with `/`, such as \"/mqtt\"");
    }
    Some(path.to_owned())
}

#[cfg(feature = "websocket")]
fn read_origins(entry: &Entry<'_, '_>) -> Option<crate::transport::websocket::Origins> {
    use crate::transport::websocket::Origins;

    let entries = entry.list()?;
    let mut listed = Vec::new();
    for entry in &entries {
        let origin = entry.text()?;
        if origin == "*" {
            if entries.len() > 1 {
                return entry.problem("stands for every page; remove the others, or it");
            }
            return Some(Origins::Any);
        }
        let host = origin.split_once("://").map(|(_, host)| host);
        if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
            return entry
                .problem("is no Origin; write \"https://\" and a host, with nothing behind it, or \"*\"");
        }
        listed.push(origin.to_owned());
    }
    Some(Origins::Listed(listed))
}

/// Keys of what was left out of this build.
#[cfg(not(all(feature = "tls", feature = "websocket")))]
pub(super) fn refuse(section: &mut Section<'_, '_>, key: &'static str, feature: &str) {
    if let Some(entry) = section.get(key) {
        entry.problem::<()>(format!("is not possible: this build was made without the feature `{feature}`"));
    }
}
