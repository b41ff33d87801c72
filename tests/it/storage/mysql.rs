//! MySQL, by a MariaDB of the test's own: the contract, what is refused, and what a broken connection does.

use std::sync::Arc;

use ::mysql::prelude::Queryable;
use proptest::test_runner::{Config, TestRunner};
use tidegate::storage::mysql::{MysqlOptions, MysqlStorage};
use tidegate::storage::{Change, Storage, StorageError, StorageFault};

use super::changes::*;
use super::{Place, contract, loaded, random, sorted};
use crate::support::mariadb::MariaDb;

/// An empty database.
struct Database {
    url: String,
}

impl Database {
    fn new(server: &MariaDb) -> Database {
        Database { url: server.url(&server.make_database()) }
    }

    fn try_open(&self) -> Result<MysqlStorage, StorageError> {
        MysqlStorage::open(&self.url, MysqlOptions::default())
    }

    fn open(&self) -> MysqlStorage {
        self.try_open().unwrap()
    }
}

impl Place for Database {
    fn open(&self) -> Arc<dyn Storage> {
        Arc::new(self.open())
    }
}

/// It is not opened, or not loaded, for this reason.
#[track_caller]
fn refused(opened: Result<MysqlStorage, StorageError>, why: &str) -> StorageFault {
    let error = opened.and_then(|storage| storage.load(&mut |_| {})).expect_err(why);
    println!("{error}");
    assert!(error.to_string().contains(why), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    error.fault
}

#[test]
fn mysql_keeps_the_contract_of_storages() {
    let Some(server) = MariaDb::start() else { return };
    contract::holds(|| Box::new(Database::new(&server)));
}

#[test]
fn mysql_holds_what_memory_holds() {
    let Some(server) = MariaDb::start_with("innodb_flush_log_at_trx_commit=0") else { return };
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    runner
        .run(&random::history(), |history| random::ends_as_in_memory(&Database::new(&server), &history))
        .unwrap();
}

#[test]
fn what_the_database_refuses_is_told_in_a_sentence() {
    let Some(server) = MariaDb::start() else { return };
    let open = |url: &str| MysqlStorage::open(url, MysqlOptions::default());
    let database = server.make_database();
    let (url, port) = (server.url(&database), server.port());
    let unusable = StorageFault::Unusable;
    assert_eq!(refused(open(&url.replace("secret", "sesame")), "look at user, password"), unusable);
    assert_eq!(
        refused(open(&url.replace("tide:secret", "nobody:secret")), "look at user, password"),
        unusable
    );
    assert_eq!(refused(open(&url.replace(&database, "mysql")), "does not let user \"tide\" use"), unusable);
    assert_eq!(refused(open(&server.url("tide_none")), "has no database \"tide_none\""), unusable);
    let nowhere = url.replace(&port.to_string(), "1");
    assert_eq!(refused(open(&nowhere), "127.0.0.1:1 cannot be reached"), StorageFault::Unavailable);
    for wrong in ["", "secret", "postgres://secret@a/b", "mysql://", "mysql://tide:secret@a"] {
        assert_eq!(refused(open(wrong), "mysql://"), unusable);
    }
    assert_eq!(refused(open(&format!("{url}?sceret=1")), "there is no parameter sceret"), unusable);
    assert_eq!(refused(open(&url.replace("mysql:", "mysqls:")), "no encrypted connection"), unusable);
    let options = |prefix: &str| MysqlOptions { table_prefix: prefix.into(), ..MysqlOptions::default() };
    for wrong in ["a-b", "`", "\u{e4}", &"a".repeat(33)] {
        assert_eq!(refused(MysqlStorage::open(&url, options(wrong)), "table prefix"), unusable);
    }
    let large = MysqlOptions { largest_message: 200_000_000, ..MysqlOptions::default() };
    assert_eq!(refused(MysqlStorage::open(&url, large), "raise its max_allowed_packet"), unusable);
    let tables: Vec<String> = server.root().query(format!("SHOW TABLES FROM {database}")).unwrap();
    assert_eq!(tables, Vec::<String>::new(), "nothing was changed");
}

#[test]
fn what_cannot_be_used_is_left_as_it_is() {
    let Some(server) = MariaDb::start() else { return };
    let database = server.make_database();
    let open = || MysqlStorage::open(&server.url(&database), MysqlOptions::default());
    let sum = || -> Vec<(String, u64)> {
        let tables: Vec<String> = server.root().query(format!("SHOW TABLES FROM {database}")).unwrap();
        let sums = tables.iter().map(|table| format!("{database}.{table}")).collect::<Vec<_>>();
        server.root().query(format!("CHECKSUM TABLE {}", sums.join(","))).unwrap()
    };
    // Another program's.
    server.as_root(&format!("CREATE TABLE {database}.tidegate_session (a INT)"));
    let before = sum();
    assert_eq!(refused(open(), "tables of another program begin with \"tidegate_\""), StorageFault::Unusable);
    assert_eq!(sum(), before);
    server.as_root(&format!("DROP TABLE {database}.tidegate_session"));
    open().unwrap().commit(&all_puts()).unwrap();
    // In use.
    let first = open().unwrap();
    let before = sum();
    assert_eq!(refused(open(), "is in use by another broker (connection "), StorageFault::Unusable);
    assert_eq!(sum(), before);
    drop(first);
    // Newer.
    server.as_root(&format!("UPDATE {database}.tidegate_schema_version SET version = 99"));
    let before = sum();
    assert_eq!(refused(open(), "newer tidegate (version 99 of its tables"), StorageFault::Unusable);
    assert_eq!(sum(), before);
    server.as_root(&format!("UPDATE {database}.tidegate_schema_version SET version = 1"));
    // Corrupt.
    server.as_root(&format!("UPDATE {database}.tidegate_retained SET body = x'02'"));
    assert_eq!(refused(open(), "is corrupt"), StorageFault::Unusable);
}

#[test]
fn tables_that_were_not_finished_are_made_again_and_keep_what_they_have() {
    // MySQL has no transaction for tables: a broker that was killed leaves some of them.
    let Some(server) = MariaDb::start() else { return };
    let database = server.make_database();
    let open = || MysqlStorage::open(&server.url(&database), MysqlOptions::default()).unwrap();
    open().commit(&[session(1, client("c"))]).unwrap();
    server.as_root(&format!("UPDATE {database}.tidegate_schema_version SET version = 0"));
    server.as_root(&format!("DROP TABLE {database}.tidegate_retained"));
    let storage = open();
    storage.commit(&[retain(message("r", "x"))]).unwrap();
    assert_eq!(loaded(&storage), [session(1, client("c")), retain(message("r", "x"))]);
}

#[test]
fn brokers_with_other_databases_or_prefixes_do_not_meet() {
    let Some(server) = MariaDb::start() else { return };
    let (one, two) = (Database::new(&server), Database::new(&server));
    let options = MysqlOptions { table_prefix: "b_".into(), ..MysqlOptions::default() };
    let storages = [one.open(), two.open(), MysqlStorage::open(&one.url, options).unwrap()];
    for (number, storage) in (1..).zip(&storages) {
        storage.commit(&[session(number, client("c"))]).unwrap();
    }
    for (number, storage) in (1..).zip(&storages) {
        assert_eq!(loaded(storage), [session(number, client("c"))]);
    }
}

#[test]
fn a_database_keeps_all_of_a_batch_or_nothing() {
    let Some(server) = MariaDb::start() else { return };
    let database = server.make_database();
    let storage = MysqlStorage::open(&server.url(&database), MysqlOptions::default()).unwrap();
    storage.commit(&[session(1, client("c"))]).unwrap();
    // Plugin state is what is put last; it is refused.
    server.as_root(&format!(
        "CREATE TRIGGER {database}.refuse BEFORE INSERT ON {database}.tidegate_plugin_state FOR EACH ROW \
         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'"
    ));
    // More than goes into one packet.
    let large: Vec<_> = (1..=20).map(|n| put_message(n, message("t", vec![7; 500_000]))).collect();
    let batch: Vec<_> =
        large.into_iter().chain(all_puts().split_off(3)).chain([Change::DeleteSession(1)]).collect();
    let error = storage.commit(&batch).unwrap_err();
    assert!(error.why.contains("not now"), "{error}");
    assert_eq!(error.fault, StorageFault::Unavailable);
    assert_eq!(loaded(&storage), [session(1, client("c"))]);
    server.as_root(&format!("DROP TRIGGER {database}.refuse"));
    storage.commit(&batch).unwrap();
    let kept = loaded(&storage);
    assert_eq!(kept.iter().filter(|change| matches!(change, Change::PutMessage { .. })).count(), 20);
    assert!(!kept.contains(&session(1, client("c"))));
}

#[test]
fn a_row_that_is_larger_than_a_packet_is_told_and_keeps_nothing_of_its_batch() {
    let Some(server) = MariaDb::start_with("max_allowed_packet=4M") else { return };
    let storage = Database::new(&server).open();
    let error = storage.commit(&[retain(message("r", "x")), item(1, "k", vec![0; 3_000_000])]).unwrap_err();
    assert!(error.why.contains("raise its max_allowed_packet"), "{error}");
    assert!(loaded(&storage).is_empty());
    let fits = [put_message(1, message("t", vec![0; 2_000_000]))];
    storage.commit(&fits).unwrap();
    assert_eq!(loaded(&storage), fits);
}

#[test]
fn a_broken_connection_and_a_restarted_server_lose_nothing() {
    let Some(mut server) = MariaDb::start() else { return };
    let database = Database::new(&server);
    let storage = database.open();
    storage.commit(&[retain(message("r", "1"))]).unwrap();
    // The server breaks it: the next batch is sent by another connection.
    kill_connections(&server);
    storage.commit(&[retain(message("r", "2"))]).unwrap();
    server.kill();
    let error = storage.commit(&[retain(message("r", "3"))]).unwrap_err();
    assert_eq!(error.fault, StorageFault::Unavailable, "{error}");
    assert!(error.why.contains("cannot be reached"), "{error}");
    server.start_again();
    storage.commit(&[retain(message("r", "3")), retain(message("s", "1"))]).unwrap();
    let kept = sorted([retain(message("r", "3")), retain(message("s", "1"))]);
    assert_eq!(sorted(loaded(&storage)), kept);
    drop(storage);
    assert_eq!(sorted(loaded(&database.open())), kept);
}

#[test]
fn a_broker_whose_database_another_used_meanwhile_writes_nothing_more() {
    let Some(server) = MariaDb::start() else { return };
    let database = Database::new(&server);
    let storage = database.open();
    kill_connections(&server);
    let other = database.open();
    let error = storage.commit(&[retain(message("r", "1"))]).unwrap_err();
    assert!(error.why.contains("is in use by another broker"), "{error}");
    drop(other);
    let error = storage.commit(&[retain(message("r", "1"))]).unwrap_err();
    assert!(error.why.contains("another broker has used it meanwhile"), "{error}");
    assert_eq!(error.fault, StorageFault::Unusable);
    assert!(loaded(&database.open()).is_empty());
}

#[test]
fn an_encrypted_connection_asks_the_server_who_it_is() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mysqls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let (certificate, key) =
        (file("certificate", own.cert.pem()), file("key", own.signing_key.serialize_pem()));
    let settings = format!("ssl-cert={certificate}\nssl-key={key}\nrequire-secure-transport=ON");
    let Some(server) = MariaDb::start_with(&settings) else { return };
    let plain = server.url(&server.make_database());
    let encrypted = plain.replace("mysql:", "mysqls:");
    let open = |url: &str| MysqlStorage::open(url, MysqlOptions::default());
    assert_eq!(refused(open(&plain), "does not let user"), StorageFault::Unusable);
    assert_eq!(refused(open(&encrypted), "no encrypted connection"), StorageFault::Unusable);
    let storage = open(&format!("{encrypted}?root_cert_path={certificate}")).unwrap();
    storage.commit(&all_puts()).unwrap();
    assert_eq!(sorted(loaded(&storage)), sorted(all_puts()));
    std::fs::remove_dir_all(&folder).unwrap();
}

fn kill_connections(server: &MariaDb) {
    let mut root = server.root();
    let of_user = "SELECT id FROM information_schema.processlist WHERE user = 'tide'";
    let ids: Vec<u64> = root.query(of_user).unwrap();
    assert!(!ids.is_empty());
    for id in ids {
        root.query_drop(format!("KILL {id}")).unwrap();
    }
}

#[test]
fn looking_makes_and_changes_nothing() {
    let Some(server) = MariaDb::start() else { return };
    let database = server.make_database();
    let open = || MysqlStorage::open_to_read(&server.url(&database), MysqlOptions::default().table_prefix);
    assert_eq!(refused(open(), "no tables of a broker begin with \"tidegate_\""), StorageFault::Unusable);
    let tables: Vec<String> = server.root().query(format!("SHOW TABLES FROM {database}")).unwrap();
    assert_eq!(tables, Vec::<String>::new());
    MysqlStorage::open(&server.url(&database), MysqlOptions::default()).unwrap().commit(&all_puts()).unwrap();
    let sum = || -> Vec<(String, u64)> {
        let tables: Vec<String> = server.root().query(format!("SHOW TABLES FROM {database}")).unwrap();
        let sums = tables.iter().map(|table| format!("{database}.{table}")).collect::<Vec<_>>();
        server.root().query(format!("CHECKSUM TABLE {}", sums.join(","))).unwrap()
    };
    let before = sum();
    let storage = open().unwrap();
    assert_eq!(sorted(loaded(&storage)), sorted(all_puts()));
    let extent = storage.extent().unwrap();
    assert_eq!(extent.version, Some(1));
    assert!(extent.bytes > Some(0));
    storage.commit(&[Change::DeleteMessages(1..=9)]).unwrap_err();
    drop(storage);
    assert_eq!(sum(), before);
    server.as_root(&format!("UPDATE {database}.tidegate_schema_version SET version = 99"));
    assert_eq!(refused(open(), "its tables have version 99"), StorageFault::Unusable);
}

#[cfg(feature = "daemon")]
#[test]
fn state_moves_there_and_back() {
    use tidegate::message::Timestamp;
    use tidegate::storage::memory::MemoryStorage;
    use tidegate::storage::transfer::{Part, clear, examine, export, put, read};

    let Some(server) = MariaDb::start() else { return };
    let move_to = |from: &dyn Storage, to: &dyn Storage| {
        let mut text = Vec::new();
        export(from, &mut text).unwrap();
        let changes = || read(&text[..], None, Timestamp(0)).unwrap();
        let survey = examine(changes(), Part::All, Timestamp(0)).unwrap();
        put(to, changes(), &survey).unwrap();
    };
    let (database, memory) = (Database::new(&server), MemoryStorage::default());
    memory.commit(&all_puts()).unwrap();
    let storage = database.open();
    move_to(&memory, &storage);
    let back = MemoryStorage::default();
    move_to(&storage, &back);
    assert_eq!(sorted(loaded(&back)), sorted(all_puts()));
    clear(&storage).unwrap();
    assert_eq!(loaded(&storage).len(), 1, "when it was alive");
}

#[test]
fn what_the_server_finds_wrong_with_its_tables_is_found_by_a_check() {
    let Some(server) = MariaDb::start() else { return };
    let database = server.make_database();
    let storage = MysqlStorage::open(&server.url(&database), MysqlOptions::default()).unwrap();
    storage.commit(&all_puts()).unwrap();
    storage.check().unwrap();
    // Of InnoDB's files the server itself would not survive that.
    let table = format!("{database}.tidegate_retained");
    server.as_root(&format!("ALTER TABLE {table} ENGINE = MyISAM"));
    server.as_root(&format!("FLUSH TABLES {table}"));
    let folder: String = server.root().query_first("SELECT @@datadir").unwrap().unwrap();
    std::fs::write(format!("{folder}/{database}/tidegate_retained.MYD"), "x").unwrap();
    let error = storage.check().unwrap_err();
    assert_eq!(error.fault, StorageFault::Unusable);
    assert!(error.to_string().contains("tidegate_retained"), "{error}");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
}

#[cfg(feature = "daemon")]
#[test]
fn the_commands_look_at_the_tables_whose_prefix_they_are_given() {
    let Some(server) = MariaDb::start() else { return };
    let url = server.url(&server.make_database());
    let options = MysqlOptions { table_prefix: "b_".into(), ..MysqlOptions::default() };
    MysqlStorage::open(&url, options).unwrap().commit(&all_puts()).unwrap();
    let check = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["store", "check", "--url", &url]).args(more).output().unwrap()
    };
    let (with, without) = (check(&["--table-prefix", "b_"]), check(&[]));
    let said = String::from_utf8_lossy(&with.stderr).into_owned() + &String::from_utf8_lossy(&with.stdout);
    assert!(said.contains("sessions"), "{said}");
    assert_eq!(without.status.code(), Some(74));
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(said.contains("no tables of a broker begin with \"tidegate_\""), "{said}");
}
