//! What the operator wrote ([`Settings`]) and what the plugin works with ([`Users`]).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tidegate_plugin::crypto::{Algorithm, digest, hmac};

use crate::METHOD;
use crate::message::is_name;

/// RFC 7677, section 4.
const LEAST_ITERATIONS: u32 = 4096;
/// RFC 5802 asks for no length; shorter ones can be looked up in tables.
const SHORTEST_SALT: usize = 8;
const LONGEST_SALT: usize = 64;
const SHORTEST_SECRET: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// name = `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`
    #[serde(default)]
    pub(crate) users: BTreeMap<String, String>,
    pub(crate) expires_after_seconds: Option<u32>,
    pub(crate) secret: Option<String>,
}

/// What is known of a password. It has no `Debug`: who has it can pass for the server.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) stored_key: Vec<u8>,
    pub(crate) server_key: Vec<u8>,
}

/// The users by their names.
pub(crate) struct Users {
    entries: BTreeMap<String, Entry>,
    /// Makes the entries of those who are not there.
    secret: Vec<u8>,
    /// Number of iterations and length of salt of every entry, for those.
    looks: Vec<(u32, usize)>,
}

impl Users {
    /// Says all that is wrong with the settings at once.
    pub(crate) fn check(settings: Settings) -> Result<Self, String> {
        let mut problems = Problems(Vec::new());
        if settings.users.is_empty() {
            problems.add(
                "users",
                "name at least one, as `name = \"SCRAM-SHA-256$…\"`; nobody can connect without",
            );
        }
        if settings.expires_after_seconds == Some(0) {
            problems.add(
                "expires-after-seconds",
                "should be 1 or more; leave it out for connections without end",
            );
        }
        if settings.secret.as_ref().is_some_and(|secret| secret.len() < SHORTEST_SECRET) {
            problems.add("secret", &format!("should have {SHORTEST_SECRET} characters or more"));
        }
        let mut entries = BTreeMap::new();
        for (name, text) in settings.users {
            let place = format!("users.{name}");
            if !is_name(&name) {
                problems.add(&place, "a name is printable ASCII of 1 to 255 characters");
            }
            match Entry::parse(&text) {
                Ok(entry) => drop(entries.insert(name, entry)),
                Err(problem) => problems.add(&place, &problem),
            }
        }
        problems.into_result()?;
        let secret = secret(settings.secret.as_deref(), &entries);
        let looks = entries.values().map(|entry| (entry.iterations, entry.salt.len())).collect();
        Ok(Self { entries, secret, looks })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of this name. Somebody who is not there has one too, always the same and no password for
    /// it, so that nobody can find out who is. Both take the same time.
    pub(crate) fn get(&self, name: &str) -> Entry {
        let invented = self.invent(name);
        self.entries.get(name).cloned().unwrap_or(invented)
    }

    fn invent(&self, name: &str) -> Entry {
        let derive = |what: &str| hmac(Algorithm::Sha256, &self.secret, format!("{what} {name}").as_bytes());
        let (iterations, salt_length) = self.look(&derive("look"));
        let mut salt = [derive("salt 1"), derive("salt 2")].concat();
        salt.truncate(salt_length);
        Entry { salt, iterations, stored_key: derive("stored key"), server_key: derive("server key") }
    }

    /// That of one of those who are there.
    fn look(&self, chance: &[u8]) -> (u32, usize) {
        let number = chance.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        self.looks[(number % self.looks.len() as u64) as usize]
    }
}

/// The operator's, or else one that lasts as long as the entries do.
fn secret(given: Option<&str>, entries: &BTreeMap<String, Entry>) -> Vec<u8> {
    let keys = entries.values().flat_map(|entry| entry.server_key.iter().copied());
    given.map_or_else(
        || digest(Algorithm::Sha256, &keys.collect::<Vec<_>>()),
        |given| given.as_bytes().to_vec(),
    )
}

impl Entry {
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, the last three in base64: as PostgreSQL has it.
    fn parse(text: &str) -> Result<Self, String> {
        let parts = split(text).ok_or_else(|| {
            format!("should be `{METHOD}$iterations:salt$StoredKey:ServerKey`; see the README")
        })?;
        let [iterations, salt, stored_key, server_key] = parts;
        let iterations = match iterations.parse() {
            Ok(iterations) if iterations >= LEAST_ITERATIONS => iterations,
            Ok(_) => return Err(format!("should have {LEAST_ITERATIONS} iterations or more")),
            Err(_) => return Err("its iterations are no number".to_owned()),
        };
        let salt = decode("salt", salt)?;
        if !(SHORTEST_SALT..=LONGEST_SALT).contains(&salt.len()) {
            return Err(format!("its salt should have {SHORTEST_SALT} to {LONGEST_SALT} bytes"));
        }
        Ok(Self {
            salt,
            iterations,
            stored_key: key("StoredKey", stored_key)?,
            server_key: key("ServerKey", server_key)?,
        })
    }
}

fn split(text: &str) -> Option<[&str; 4]> {
    let (work, keys) = text.strip_prefix(METHOD)?.strip_prefix('$')?.split_once('$')?;
    let ((iterations, salt), (stored_key, server_key)) = (work.split_once(':')?, keys.split_once(':')?);
    Some([iterations, salt, stored_key, server_key])
}

fn key(what: &str, text: &str) -> Result<Vec<u8>, String> {
    let key = decode(what, text)?;
    if key.len() == 32 { Ok(key) } else { Err(format!("its {what} should have 32 bytes")) }
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| format!("its {what} is not base64"))
}

/// All that is wrong, with its place. Keys are never quoted.
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, place: &str, problem: &str) {
        self.0.push(format!("{place}: {problem}"));
    }

    fn into_result(self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("settings: {}", self.0.join("; "))) }
    }
}
