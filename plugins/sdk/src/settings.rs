//! The plugin's own table of the configuration.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::host;

/// For plugins without settings: any key is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// As JSON; `{}` where there is none. [`Lifecycle::init`](crate::Lifecycle::init) gets it parsed.
pub fn get() -> String {
    host::settings::get()
}

/// Reads settings; the error says which key is wrong, and how.
///
/// ```
/// use tidegate_plugin::settings;
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Limits { bytes: Option<u32> }
///
/// let error = settings::parse::<Limits>(r#"{"byte": 5}"#).unwrap_err();
/// assert_eq!(error, "settings: unknown field `byte`, expected `bytes`");
/// let error = settings::parse::<Limits>(r#"{"bytes": "five"}"#).unwrap_err();
/// assert_eq!(error, r#"settings: bytes: invalid type: string "five", expected u32"#);
/// ```
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let message = without_position(&error.into_inner().to_string()).to_owned();
        // The path of an unknown key is the key itself, which the message names.
        if path == "." || message.contains(&format!("field `{path}`")) {
            format!("settings: {message}")
        } else {
            format!("settings: {path}: {message}")
        }
    })
}

/// Line and column of the JSON mean nothing to somebody who wrote TOML.
fn without_position(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(before, _)| before)
}
