//! A database of each released version is read by the tidegate of today.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::storage::Storage;
use tidegate::storage::sqlite::{SqliteOptions, SqliteStorage};

use super::changes::all_puts;
use super::sqlite::Folder;
use super::{loaded, sorted};

/// Of the tables, not of the program.
const NEWEST: u32 = 1;

fn kept(version: u32) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/storage-versions");
    folder.join(version.to_string()).join("tidegate.db")
}

#[test]
fn a_database_of_every_version_is_opened_and_brought_up_to_date() {
    for version in 1..=NEWEST {
        let folder = Folder::new();
        fs::create_dir_all(folder.path()).unwrap();
        fs::copy(kept(version), folder.database()).unwrap();
        let storage = SqliteStorage::open(folder.path(), SqliteOptions::default()).unwrap();
        assert_eq!(sorted(loaded(&storage)), sorted(all_puts()), "version {version}");
        storage.check().unwrap();
        storage.commit(&all_puts()).unwrap();
        drop(storage);
        assert_eq!(folder.version(), NEWEST);
    }
    assert!(!kept(NEWEST + 1).exists(), "it is not tested");
}

/// Run with `--ignored` when a version is released.
#[test]
#[ignore = "it makes the file of the newest version"]
fn make_the_database_of_the_newest_version() {
    let folder = Folder::used();
    assert_eq!(folder.version(), NEWEST);
    fs::create_dir_all(kept(NEWEST).parent().unwrap()).unwrap();
    fs::copy(folder.database(), kept(NEWEST)).unwrap();
}
