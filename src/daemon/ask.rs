//! Commands that ask a running broker, through its admin port: where that is, and what is said when it does not answer.

use std::env;
use std::path::Path;

use super::exit::{Exit, Failure};
use crate::admin::fetch::FetchError;
use crate::admin::{AdminAddress, AdminOptions};
use crate::config::Config;

/// Of a broker's port that the configuration does not name.
const TOKEN: &str = "TIDEGATE_ADMIN_TOKEN";

/// The port that is given, or else the one that the configuration names.
pub(super) fn port(given: Option<&AdminAddress>, config: &Path) -> Option<AdminOptions> {
    match given {
        Some(address) => Some(AdminOptions { listen: address.clone(), token: env::var(TOKEN).ok() }),
        // Where other parts of the file are wrong, those commands tell that look at them.
        None => Config::load(config).ok()?.admin,
    }
}

pub(super) fn not_answered(error: &FetchError) -> Failure {
    let hint = match error {
        FetchError::Unauthorized(_) => format!(" (write it into the environment variable {TOKEN})"),
        _ => String::new(),
    };
    Failure::new(Exit::Unavailable, format!("failed to {error}{hint}"))
}

pub(super) fn not_understood(address: &AdminAddress, error: &serde_json::Error) -> Failure {
    not_answered(&FetchError::NotUnderstood(address.clone(), error.to_string()))
}

/// A text that somebody else chose, without what a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    let letter = |letter: char| match letter.is_control() {
        true => letter.escape_default().collect(),
        false => String::from(letter),
    };
    text.chars().map(letter).collect()
}
