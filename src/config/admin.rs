//! `[admin]`: the port for monitoring, which is closed where there is no such section.

use std::path::Path;

use super::report::Problems;
use super::section::{Entry, Section};
use crate::admin::{AdminAddress, AdminOptions, InvalidAddress};

/// Bytes of a token: fewer could be guessed.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;

pub(super) fn read(
    mut section: Section<'_, '_>,
    folder: &Path,
    problems: &Problems<'_>,
) -> Option<AdminOptions> {
    let entry = section.require("listen", "write an address, such as \"127.0.0.1:9883\"");
    let listen = entry.as_ref().and_then(|entry| read_address(entry, folder));
    let given_token = section.get("token");
    let token = given_token.as_ref().and_then(read_token);
    let mut allow_remote = false;
    section.set("allow-remote", &mut allow_remote, |v| v.boolean());
    section.finish();
    let (entry, listen) = (entry?, listen?);
    if !listen.is_local() && !allow_remote {
        problems.add(
            &entry.span(),
            "admin.listen",
            "other machines reach that address; listen on 127.0.0.1, or set `allow-remote = true` and a `token`",
        );
        return None;
    }
    if !listen.is_local() && given_token.is_none() {
        problems.add(
            &entry.span(),
            "admin.token",
            "is missing; other machines reach the port, so whoever asks has to know a token",
        );
        return None;
    }
    Some(AdminOptions { listen, token })
}

/// A relative path is one from the file's folder.
fn read_address(entry: &Entry<'_, '_>, folder: &Path) -> Option<AdminAddress> {
    match entry.text()?.parse() {
        Ok(AdminAddress::Unix(path)) => Some(AdminAddress::Unix(folder.join(path))),
        Ok(address) => Some(address),
        Err(InvalidAddress) => entry.problem(format!("is no address; {InvalidAddress}")),
    }
}

fn read_token(entry: &Entry<'_, '_>) -> Option<String> {
    let text = entry.text()?;
    if !TOKEN.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return entry.problem("a token has 16 to 256 letters, digits or signs of ASCII, and no spaces");
    }
    Some(text.to_owned())
}
