//! Lets in clients whose User Name and Password fit an entry of a password file, such as mosquitto_passwd writes.
//!
//! - [`users`]: the entries, from the file's text or from the settings

mod users;

#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidegate_plugin::prelude::*;

use crate::users::{Users, UsersSettings};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    users: Option<UsersSettings>,
    #[serde(default)]
    unknown_users: UnknownUsers,
}

/// A CONNECT whose User Name has no entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UnknownUsers {
    #[default]
    Deny,
    /// leave it to the next plugin
    Next,
}

struct PasswordFile {
    users: Users,
    unknown_users: UnknownUsers,
}

impl Lifecycle for PasswordFile {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        let users = Users::check(settings.users)?;
        log::info!("ready", users = users.len());
        Ok((PasswordFile { users, unknown_users: settings.unknown_users }, Registration::new()))
    }
}

impl ValidatingConnection for PasswordFile {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        let Some(name) = connect.user_name() else { return ConnectVerdict::Next };
        if connect.authentication_method().is_some() {
            return ConnectVerdict::Next;
        }
        let password = connect.password().unwrap_or_default();
        match self.users.get(name) {
            Some(hash) if fits(name, password, hash) => ConnectVerdict::Allow,
            Some(_) => refuse(name),
            None if self.unknown_users == UnknownUsers::Next => ConnectVerdict::Next,
            None => {
                // As long as it takes for a name that is there: nobody can find out who is.
                let _ = passwords::verify(password, self.users.any_hash());
                refuse(name)
            }
        }
    }
}

fn fits(name: &str, password: &[u8], hash: &str) -> bool {
    match passwords::verify(password, hash) {
        Ok(fits) => fits,
        Err(passwords::Error::UnknownFormat) => {
            log::error!("the entry's hash has no format that is known", user = name);
            false
        }
        Err(passwords::Error::TooCostly) => {
            log::error!("the entry's hash asks for more memory or time than the broker gives", user = name);
            false
        }
    }
}

fn refuse(name: &str) -> ConnectVerdict {
    log::info!("connection refused", client = client::identifier(), user = name);
    ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD)
}

tidegate_plugin::export!(PasswordFile: lifecycle, validating_connection);
