//! SQLite: the contract, and what is not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use rusqlite::Connection;
use tidegate::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};
use tidegate::storage::{Change, Storage, StorageError, StorageFault};

use super::changes::*;
use super::{Place, contract, loaded, random, sorted};

/// A folder of a test's own, gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sqlite-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    /// With a database in it.
    pub fn used() -> Folder {
        let folder = Folder::new();
        folder.open().commit(&all_puts()).unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Of its tables.
    pub fn version(&self) -> u32 {
        let connection = Connection::open(self.database()).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    fn try_open(&self) -> Result<SqliteStorage, StorageError> {
        SqliteStorage::open(&self.0, SqliteOptions::default())
    }

    pub fn open(&self) -> SqliteStorage {
        self.try_open().unwrap()
    }

    pub fn database(&self) -> PathBuf {
        self.0.join("tidegate.db")
    }

    fn change_database(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.database()).unwrap();
        change(&mut bytes);
        fs::write(self.database(), bytes).unwrap();
    }

    /// All files with what is in them.
    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    }

    /// It cannot be opened and loaded, for this reason, and is the same afterwards.
    fn is_refused(&self, why: &str) {
        let before = self.contents();
        let to_write = || self.try_open();
        let to_read = || SqliteStorage::open_to_read(&self.0);
        for open in [&to_write as &dyn Fn() -> _, &to_read] {
            let error = open().and_then(|storage| storage.load(&mut |_| {})).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.fault, StorageFault::Unusable);
        }
        let names = |all: &[(PathBuf, Vec<u8>)]| all.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&self.contents()), names(&before));
        assert!(self.contents() == before, "a file was changed");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place for Folder {
    fn open(&self) -> Arc<dyn Storage> {
        let options = SqliteOptions { synchronous: Synchronous::Off, ..SqliteOptions::default() };
        Arc::new(SqliteStorage::open(&self.0, options).unwrap())
    }
}

#[test]
fn sqlite_keeps_the_contract_of_storages() {
    contract::holds(|| Box::new(Folder::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sqlite_holds_what_memory_holds(history in random::history()) {
        random::ends_as_in_memory(&Folder::new(), &history)?;
    }
}

#[test]
fn a_folder_is_made_with_all_above_it_and_for_its_owner_alone() {
    let above = Folder::new();
    let folder = above.0.join("a/b");
    drop(SqliteStorage::open(&folder, SqliteOptions::default()).unwrap());
    let mode =
        |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
    assert_eq!(mode(&folder) & 0o777, 0o700);
    assert_eq!(mode(&folder.join("tidegate.db")) & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn one_process_at_a_time_uses_a_folder() {
    let folder = Folder::used();
    let first = folder.open();
    folder.is_refused("is in use by another process");
    drop(first);
    folder.open();
}

#[test]
fn a_database_that_another_program_has_open_is_refused() {
    let folder = Folder::used();
    let other = Connection::open(folder.database()).unwrap();
    other.execute_batch("BEGIN; SELECT * FROM session").unwrap();
    folder.is_refused("is in use by another process");
    drop(other);
    assert_eq!(sorted(loaded(&folder.open())), sorted(all_puts()));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    for text in [&b"x"[..], b"SQLite format 3", &[b'x'; 10_000]] {
        fs::write(folder.database(), text).unwrap();
        folder.is_refused("is not an SQLite database: name another data folder");
    }
}

#[test]
fn what_is_no_folder_or_no_file_is_refused() {
    let folder = Folder::new();
    fs::write(&folder.0, "x").unwrap();
    folder.is_refused("is not a folder: name another one");
    fs::remove_file(&folder.0).unwrap();
    fs::create_dir_all(folder.database()).unwrap();
    let error = folder.try_open().unwrap_err();
    assert!(error.to_string().contains("is not a file: name another data folder"), "{error}");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let other = Connection::open(folder.database()).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE session (a)").unwrap();
    drop(other);
    folder.is_refused("belongs to another program: name another data folder");
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let folder = Folder::used();
    let newer = Connection::open(folder.database()).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(newer);
    folder.is_refused("was written by a newer tidegate (version 99 of its tables; this one knows 1)");
}

#[test]
fn a_database_that_a_killed_newer_version_left_is_refused() {
    // The file's header is older than the log then.
    let folder = Folder::used();
    let newer = Connection::open(folder.database()).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    let killed = Folder::new();
    fs::create_dir_all(&killed.0).unwrap();
    for name in ["tidegate.db", "tidegate.db-wal"] {
        fs::copy(folder.0.join(name), killed.0.join(name)).unwrap();
    }
    killed.is_refused("was written by a newer tidegate (version 99");
}

#[test]
fn a_database_that_is_cut_short_is_refused() {
    let folder = Folder::used();
    let whole = fs::read(folder.database()).unwrap();
    for len in [whole.len() - 1, whole.len() - 4096, 8192, 4096, 512, 100] {
        folder.change_database(|bytes| *bytes = whole[..len].to_vec());
        folder.is_refused("is cut short");
    }
}

#[test]
fn a_database_with_overwritten_pages_is_refused() {
    let folder = Folder::used();
    let whole = fs::read(folder.database()).unwrap();
    // All but what lies free: the first page has the tables, each of the others is a table's or an index's.
    for page in 0..whole.len() / 4096 {
        let from = page * 4096 + if page == 0 { 100 } else { 0 };
        folder.change_database(|bytes| {
            *bytes = whole.clone();
            bytes[from..(page + 1) * 4096].fill(0xa5);
        });
        folder.is_refused("is corrupt");
    }
}

#[test]
fn a_row_that_cannot_have_been_written_is_refused() {
    let rows = [
        "UPDATE message SET body = x'02'",
        "UPDATE message SET body = substr(body, 1, 14)",
        "UPDATE retained SET body = x''",
        "UPDATE session SET protocol_version = 3",
        "UPDATE subscription SET options = 3",
        "UPDATE subscription SET filter = 'a/#/b'",
        "UPDATE received SET packet_identifier = 70000 WHERE packet_identifier = 1",
        "UPDATE delivery SET state = 9",
        "UPDATE delivery SET subscription_identifiers = x'00' ",
        "UPDATE will SET delay_interval = -1",
        "UPDATE session SET client_identifier = CAST(x'ff' AS TEXT)",
    ];
    for row in rows {
        let folder = Folder::used();
        let connection = Connection::open(folder.database()).unwrap();
        connection.execute_batch(row).unwrap();
        drop(connection);
        folder.is_refused("is corrupt");
    }
}

#[test]
fn a_log_without_its_database_is_refused() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("tidegate.db-wal"), "x").unwrap();
    folder.is_refused("is missing");
}

#[test]
fn what_is_read_only_is_refused() {
    let folder = Folder::used();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap()
    };
    set(&folder.database(), 0o400);
    folder.is_refused("is read-only");
    set(&folder.database(), 0o600);
    set(&folder.0, 0o500);
    folder.is_refused("is read-only");
    set(&folder.0, 0o700);
    folder.open();
}

#[test]
fn reading_leaves_nothing_behind() {
    let folder = Folder::used();
    let before = folder.contents();
    assert_eq!(sorted(loaded(&folder.open())), sorted(all_puts()));
    assert!(folder.contents() == before);
    assert_eq!(before.len(), 1, "the log is carried over when it is closed");
}

/// Opened to read, a folder has what it had, and is the same afterwards.
fn is_read_as_it_is(folder: &Folder) {
    let before = folder.contents();
    let storage = SqliteStorage::open_to_read(&folder.0).unwrap();
    assert_eq!(sorted(loaded(&storage)), sorted(all_puts()));
    storage.check().unwrap();
    let extent = storage.extent().unwrap();
    assert_eq!(extent.version, Some(1));
    assert!(extent.bytes >= Some(before.iter().map(|(_, bytes)| bytes.len() as u64).sum()));
    storage.commit(&[retain(message("r/2", "x"))]).unwrap_err();
    drop(storage);
    assert!(folder.contents() == before, "a file was changed");
}

#[test]
fn looking_changes_nothing() {
    is_read_as_it_is(&Folder::used());
}

#[test]
fn looking_changes_nothing_where_a_killed_broker_left_a_log() {
    let (folder, killed) = (Folder::new(), Folder::new());
    let storage = folder.open();
    storage.commit(&all_puts()).unwrap();
    fs::create_dir_all(&killed.0).unwrap();
    for name in ["tidegate.db", "tidegate.db-wal"] {
        fs::copy(folder.0.join(name), killed.0.join(name)).unwrap();
    }
    assert!(fs::metadata(killed.0.join("tidegate.db-wal")).unwrap().len() > 0);
    is_read_as_it_is(&killed);
}

#[test]
fn looking_changes_nothing_of_a_copy_without_a_log() {
    let (folder, copied) = (Folder::used(), Folder::new());
    fs::create_dir_all(&copied.0).unwrap();
    let connection = Connection::open(folder.database()).unwrap();
    connection.execute("VACUUM INTO ?", [copied.database().to_str().unwrap()]).unwrap();
    is_read_as_it_is(&copied);
}

#[test]
fn looking_makes_nothing() {
    let folder = Folder::new();
    let missing = |folder: &Folder| {
        let error = SqliteStorage::open_to_read(&folder.0).unwrap_err();
        assert!(error.to_string().contains("is not there: name the data folder of a broker"), "{error}");
    };
    missing(&folder);
    assert!(!folder.0.exists());
    fs::create_dir_all(&folder.0).unwrap();
    missing(&folder);
    assert_eq!(folder.contents(), []);
}

#[test]
fn looking_brings_no_older_version_up_to_date() {
    let folder = Folder::used();
    let older = Connection::open(folder.database()).unwrap();
    older.execute_batch("PRAGMA user_version = 0").unwrap();
    drop(older);
    let before = folder.contents();
    let error = SqliteStorage::open_to_read(&folder.0).unwrap_err();
    assert!(error.to_string().contains("was written by an older tidegate (version 0"), "{error}");
    assert!(folder.contents() == before);
}

#[test]
fn looking_finishes_no_transaction_that_was_given_up() {
    let folder = Folder::used();
    fs::write(folder.0.join("tidegate.db-journal"), "half").unwrap();
    let before = folder.contents();
    let error = SqliteStorage::open_to_read(&folder.0).unwrap_err();
    assert!(error.to_string().contains("start a broker with the folder first"), "{error}");
    assert!(folder.contents() == before);
}

#[test]
fn what_was_left_of_a_database_that_was_never_finished_is_made_anew() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join("tidegate.db.new"), "half").unwrap();
    fs::write(folder.0.join("tidegate.db.new-journal"), "half").unwrap();
    folder.open().commit(&all_puts()).unwrap();
    assert_eq!(folder.contents().len(), 1);
}

#[test]
fn a_full_database_keeps_nothing_of_a_batch_and_works_again_when_there_is_room() {
    let folder = Folder::new();
    let options = SqliteOptions { maximum_bytes: Some(256 * 1024), ..SqliteOptions::default() };
    let storage = SqliteStorage::open(&folder.0, options).unwrap();
    let large = |number| put_message(number, message("t", vec![1; 100_000]));
    storage.commit(&[large(1)]).unwrap();
    let error = storage.commit(&[retain(message("r", "x")), large(2), large(3)]).unwrap_err();
    assert_eq!(error.fault, StorageFault::Full, "{error}");
    assert_eq!(sorted(loaded(&storage)), sorted([large(1)]));
    // What makes room needs none.
    storage.commit(&[Change::DeleteMessages(1..=1)]).unwrap();
    storage.commit(&[large(2)]).unwrap();
    // So does what makes room in the same batch.
    storage.commit(&[large(3), large(4), Change::DeleteMessages(1..=2)]).unwrap();
    assert_eq!(sorted(loaded(&storage)), sorted([large(3), large(4)]));
    assert!(fs::metadata(folder.database()).unwrap().len() <= 256 * 1024);
}

#[test]
fn a_database_may_be_larger_than_a_limit_that_came_later() {
    let folder = Folder::new();
    folder.open().commit(&[put_message(1, message("t", vec![1; 100_000]))]).unwrap();
    let options = SqliteOptions { maximum_bytes: Some(4096), ..SqliteOptions::default() };
    let storage = SqliteStorage::open(&folder.0, options).unwrap();
    let error = storage.commit(&[put_message(2, message("t", vec![1; 100_000]))]).unwrap_err();
    assert_eq!(error.fault, StorageFault::Full, "{error}");
    storage.commit(&[Change::DeleteMessages(1..=1)]).unwrap();
}

#[test]
fn the_log_does_not_grow_without_end() {
    let folder = Folder::new();
    let options = SqliteOptions { synchronous: Synchronous::Off, ..SqliteOptions::default() };
    let storage = SqliteStorage::open(&folder.0, options).unwrap();
    for number in 1..=200 {
        storage.commit(&[put_message(number, message("t", vec![1; 300_000]))]).unwrap();
        storage.commit(&[Change::DeleteMessages(1..=number)]).unwrap();
    }
    let log = fs::metadata(folder.0.join("tidegate.db-wal")).unwrap().len();
    assert!(log < 20 * 1024 * 1024, "{log}");
    assert!(fs::metadata(folder.database()).unwrap().len() < 2 * 1024 * 1024);
}

#[test]
fn a_copy_without_a_log_is_opened() {
    let folder = Folder::used();
    let copied = Folder::new();
    fs::create_dir_all(&copied.0).unwrap();
    let connection = Connection::open(folder.database()).unwrap();
    connection.execute("VACUUM INTO ?", [copied.database().to_str().unwrap()]).unwrap();
    drop(connection);
    let storage = copied.open();
    storage.commit(&[retain(message("r/2", "x"))]).unwrap();
    assert_eq!(loaded(&storage).len(), all_puts().len() + 1);
    storage.check().unwrap();
}
