//! Who there is. Hashes are never quoted: whoever has one can guess at the password.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a hash begins with.
const FORMATS: [&str; 10] = [
    "$argon2id$",
    "$argon2i$",
    "$argon2d$",
    "$2a$",
    "$2b$",
    "$2y$",
    "$pbkdf2-sha256$",
    "$pbkdf2-sha512$",
    "$6$",
    "$7$",
];

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
    if !FORMATS.iter().any(|format| hash.starts_with(format)) {
        problems.push(format!(
            "{place}: the password is not hashed in a known format; `mosquitto_passwd -U` hashes a file of plain ones"
        ));
    }
}
