//! Who there is. Hashes are never quoted: whoever has one can guess at the password.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum UsersSettings {
    /// Lines `name:hash`.
    Text(String),
    Table(BTreeMap<String, String>),
}

/// Hashes by the users' names. It has no `Debug`.
pub(crate) struct Users(BTreeMap<String, String>);

impl Users {
    /// Says all that is wrong at once.
    pub(crate) fn check(settings: Option<UsersSettings>) -> Result<Self, String> {
        let mut problems = Vec::new();
        let users = match settings {
            Some(UsersSettings::Text(text)) => from_text(&text, &mut problems),
            Some(UsersSettings::Table(table)) => from_table(table, &mut problems),
            None => BTreeMap::new(),
        };
        if users.is_empty() && problems.is_empty() {
            problems.push(
                "users: there is none, so nobody could connect; name the file, `settings-files = { users = \"passwd\" }`"
                    .to_owned(),
            );
        }
        if problems.is_empty() { Ok(Self(users)) } else { Err(format!("settings: {}", problems.join("; "))) }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    #[cfg(test)]
    pub(crate) fn of(entries: &[(&str, &str)]) -> Self {
        Self(entries.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect())
    }

    /// Of somebody.
    pub(crate) fn any_hash(&self) -> &str {
        self.0.values().next().map_or("", String::as_str)
    }
}

fn from_text(text: &str, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut users = BTreeMap::new();
    let lines = text.lines().map(str::trim_end).zip(1..);
    for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let place = format!("users: line {number}");
        let Some((name, hash)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            problems.push(format!("{place}: should be `name:hash`"));
            continue;
        };
        check_hash(hash, &place, problems);
        if users.insert(name.to_owned(), hash.to_owned()).is_some() {
            problems.push(format!("{place}: `{name}` is there twice"));
        }
    }
    users
}

fn from_table(table: BTreeMap<String, String>, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    for (name, hash) in &table {
        check_hash(hash, &format!("users.{name}"), problems);
    }
    table
}

fn check_hash(hash: &str, place: &str, problems: &mut Vec<String>) {
    if !has_known_form(hash) {
        problems.push(format!(
            "{place}: the password is not hashed in a known format, or not all of the hash is there; `mosquitto_passwd -U` \
             hashes a file of plain ones"
        ));
    }
}

/// Whether all of a hash may be there. What only computing it shows, such as how much that costs, shows when it is used.
fn has_known_form(hash: &str) -> bool {
    let Some(hash) = hash.strip_prefix('$') else { return false };
    match hash.split('$').collect::<Vec<_>>()[..] {
        ["argon2id" | "argon2i" | "argon2d", ref rest @ ..] => {
            let rest = rest.strip_prefix(&["v=19"]).or(rest.strip_prefix(&["v=16"])).unwrap_or(rest);
            matches!(*rest, [costs, salt, output] if are_costs(costs) && is_coded(salt, 1) && is_coded(output, 22))
        }
        ["2a" | "2b" | "2y", cost, rest] => {
            cost.len() == 2 && is_number(cost) && rest.len() == 53 && is_coded(rest, 53)
        }
        ["pbkdf2-sha256" | "pbkdf2-sha512", rounds, salt, output] => {
            let rounds = rounds.strip_prefix("i=").unwrap_or(rounds);
            let rounds = rounds.split(',').next().unwrap_or(rounds);
            is_number(rounds) && is_coded(salt, 1) && is_coded(output, 22)
        }
        ["6", salt, output] => is_coded(salt, 1) && is_coded(output, 86),
        ["7", iterations, salt, output] => is_number(iterations) && is_coded(salt, 1) && is_coded(output, 22),
        _ => false,
    }
}

/// `m=65536,t=3,p=4`, in any order.
fn are_costs(text: &str) -> bool {
    let mut names: Vec<_> = text.split(',').filter_map(|part| part.split_once('=')).collect();
    names.sort_unstable();
    matches!(names[..], [("m", m), ("p", p), ("t", t)] if [m, p, t].into_iter().all(is_number))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// In one of the forms of Base64, with so many characters at least.
fn is_coded(text: &str, least: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/.".contains(&byte);
    let digits = text.trim_end_matches('=');
    digits.len() >= least && text.len() - digits.len() <= 2 && digits.bytes().all(is_digit)
}
