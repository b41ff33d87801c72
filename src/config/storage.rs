//! `[storage]`: where state outlives the process. Without such a section it ends with the process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::Problems;
use super::section::{Entry, Section};
use super::settings::read_text;
use crate::storage::Durability;

/// Where state is kept, and what answers wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageOptions {
    pub place: StoragePlace,
    pub durability: Durability,
    /// Bytes that the database in a data folder may take; None: as many as there are. The log beside it is not counted:
    /// 16 MiB, and what is committed at once.
    pub maximum_bytes: Option<u64>,
    /// What the names of a database's tables begin with: ASCII letters, digits and `_`, at most 32.
    pub table_prefix: String,
}

#[derive(Clone, PartialEq, Eq)]
pub enum StoragePlace {
    /// A data folder.
    Folder(PathBuf),
    /// The URL of a database; it holds a password.
    Mysql(String),
}

impl std::fmt::Debug for StoragePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoragePlace::Folder(folder) => f.debug_tuple("Folder").field(folder).finish(),
            StoragePlace::Mysql(_) => f.write_str("Mysql(..)"),
        }
    }
}

impl StorageOptions {
    /// All that is acknowledged is kept in this folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> StorageOptions {
        let place = StoragePlace::Folder(folder.into());
        let (durability, table_prefix) = (Durability::Always, TABLE_PREFIX.into());
        StorageOptions { place, durability, maximum_bytes: None, table_prefix }
    }

    /// All that is acknowledged is kept in the database with this URL.
    pub fn in_database(url: impl Into<String>) -> StorageOptions {
        StorageOptions { place: StoragePlace::Mysql(url.into()), ..StorageOptions::in_folder("") }
    }
}

const TABLE_PREFIX: &str = "tidegate_";
/// Bytes.
const LONGEST_TABLE_PREFIX: usize = 32;

#[derive(Clone, Copy)]
enum Level {
    Always,
    Interval,
    None,
}

const LEVELS: [(&str, Level); 3] =
    [("always", Level::Always), ("interval", Level::Interval), ("none", Level::None)];

pub(super) fn read(
    mut section: Section<'_, '_>,
    folder: &Path,
    problems: &Problems<'_>,
) -> Option<StorageOptions> {
    let span = section.span();
    let data = section.get("data");
    let url = section.get("url");
    let url_file = section.get("url-file");
    let (mut level, mut interval) = (Level::Always, None);
    section.set("durability", &mut level, |v| v.choice(&LEVELS));
    section.set("interval", &mut interval, |v| {
        v.duration(Duration::from_millis(1)..=Duration::from_secs(3600))
            .map(|interval| Some((interval, v.span())))
    });
    let mut maximum_bytes = None;
    section.set("maximum-bytes", &mut maximum_bytes, |v| v.size(1 << 20..=1 << 50).map(Some));
    let mut table_prefix = TABLE_PREFIX.to_owned();
    section.set("table-prefix", &mut table_prefix, checked_prefix);
    section.finish();
    if let (Level::Always | Level::None, Some((_, span))) = (level, &interval) {
        problems.add(
            span,
            "storage.interval",
            "is used with `durability = \"interval\"` only; remove one of them",
        );
    }
    let durability = match level {
        Level::Always => Durability::Always,
        Level::Interval => {
            Durability::Interval(interval.map_or(Duration::from_millis(100), |(given, _)| given))
        }
        Level::None => Durability::None,
    };
    let places: Vec<_> = [&data, &url, &url_file].into_iter().flatten().collect();
    let place = match places.as_slice() {
        [] => {
            problems.add(&span, "storage.data", "is missing; write a folder, or a `url` of a database");
            return None;
        }
        [_] => match (data, url, url_file) {
            (Some(data), ..) => StoragePlace::Folder(folder.join(data.text()?)),
            (_, Some(url), _) => StoragePlace::Mysql(checked(&url, url.text()?)?),
            (.., Some(file)) => StoragePlace::Mysql(read_url(&file, folder)?),
            _ => return None,
        },
        [_, other, ..] => {
            return other.problem("state is kept in one place: keep one of `data`, `url` and `url-file`");
        }
    };
    Some(StorageOptions { place, durability, maximum_bytes, table_prefix })
}

/// So that the password need not stand in the configuration.
fn read_url(entry: &Entry<'_, '_>, folder: &Path) -> Option<String> {
    let file = entry.text()?;
    match read_text(&folder.join(file)) {
        Ok(text) => checked(entry, text.trim()),
        Err(problem) => entry.problem(format!("{file} {problem}")),
    }
}

fn checked(entry: &Entry<'_, '_>, url: &str) -> Option<String> {
    parse_database_url(url).map_or_else(|why| entry.problem(why), Some)
}

/// The URL of a database that stands alone in a file.
///
/// # Errors
/// What is wrong with the file, or with what is in it.
pub fn read_database_url(file: &Path) -> Result<String, String> {
    parse_database_url(read_text(file)?.trim())
}

/// A URL whose backend there is.
///
/// # Errors
/// What to write instead.
pub fn parse_database_url(url: &str) -> Result<String, String> {
    if url.starts_with("mysql://") || url.starts_with("mysqls://") {
        Ok(url.to_owned())
    } else {
        Err("is no URL of a database; write mysql://user:password@host/database".to_owned())
    }
}

fn checked_prefix(entry: &Entry<'_, '_>) -> Option<String> {
    parse_table_prefix(entry.text()?).map_or_else(|why| entry.problem(why), Some)
}

/// What the names of tables may begin with.
///
/// # Errors
/// What it may be.
pub fn parse_table_prefix(prefix: &str) -> Result<String, String> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if prefix.len() <= LONGEST_TABLE_PREFIX && prefix.bytes().all(is_word) {
        Ok(prefix.to_owned())
    } else {
        Err(format!(
            "begins the names of tables: it may have ASCII letters, digits and _ only, at most {LONGEST_TABLE_PREFIX}"
        ))
    }
}
