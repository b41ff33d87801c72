//! The tables, and the steps that lead from an older version to today's.
//!
//! MySQL ends a transaction with each table that it makes: a step has to be one that may be taken again.

use mysql::prelude::Queryable;

use super::super::StorageError;
use super::super::record::corrupt;
use super::connection::{Connection, refused};
use super::error::failed;

/// The version of a database is the number of steps it has taken. `{}` stands for the prefix.
pub(super) const STEPS: &[&str] = &[include_str!("schema/1.sql")];

const DOING: &str = "make the tables";

pub(super) fn bring_up_to_date(
    connection: &mut Connection,
    prefix: &str,
    steps: &[&str],
) -> Result<(), StorageError> {
    let version = version(connection, prefix)?;
    if version > steps.len() {
        return Err(refused(format!(
            "it was written by a newer tidegate (version {version} of its tables; this one knows {}): run that one, or \
             name another database or table prefix",
            steps.len()
        )));
    }
    for (at, step) in (1..).zip(steps).skip(version) {
        let step = format!(
            "{};UPDATE {prefix}schema_version SET version = {at}",
            step.replace("{}", prefix).trim().trim_end_matches(';')
        );
        connection.run(&step).map_err(failed(DOING))?;
    }
    Ok(())
}

/// For what only looks: nothing is made, and nothing brought up to date.
pub(super) fn require_version(
    connection: &mut Connection,
    prefix: &str,
    known: usize,
) -> Result<(), StorageError> {
    if !tables(connection, prefix)?.contains(&format!("{prefix}schema_version")) {
        let why =
            format!("no tables of a broker begin with {prefix:?}: name another database or table prefix");
        return Err(refused(why));
    }
    let version = recorded_version(connection, prefix)?;
    if version == known {
        return Ok(());
    }
    Err(refused(format!(
        "its tables have version {version}, and this tidegate has {known}: run the one that wrote them, or start a \
         broker with it first where they are older"
    )))
}

/// What the server finds wrong with the tables. Of what InnoDB cannot read it says so, or ends.
pub(super) fn check(connection: &mut Connection, prefix: &str) -> Result<(), StorageError> {
    for table in tables(connection, prefix)? {
        let said: Vec<(String, String, String, String)> =
            connection.conn.query(format!("CHECK TABLE {table}")).map_err(failed("check the tables"))?;
        if said.iter().any(|(_, _, kind, what)| kind != "note" && (kind != "status" || what != "OK")) {
            let findings: Vec<_> = said.iter().map(|(.., finding)| finding.as_str()).collect();
            return Err(corrupt(format!("{table}: {}", findings.join("; "))));
        }
    }
    Ok(())
}

/// Bytes of the tables with their indexes; the server's estimate.
pub(super) fn bytes(connection: &mut Connection, prefix: &str) -> Result<Option<u64>, StorageError> {
    let sum = "SELECT CAST(SUM(data_length + index_length) AS UNSIGNED) FROM information_schema.tables \
               WHERE table_schema = DATABASE() AND table_name LIKE ?";
    let bytes: Option<Option<u64>> =
        connection.conn.exec_first(sum, (like(prefix),)).map_err(failed("read the size"))?;
    Ok(bytes.flatten())
}

fn like(prefix: &str) -> String {
    format!("{}%", prefix.replace('_', "\\_"))
}

fn tables(connection: &mut Connection, prefix: &str) -> Result<Vec<String>, StorageError> {
    let names = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ?";
    connection.conn.exec(names, (like(prefix),)).map_err(failed(DOING))
}

pub(super) fn recorded_version(connection: &mut Connection, prefix: &str) -> Result<usize, StorageError> {
    let version = connection.conn.query_first(format!("SELECT version FROM {prefix}schema_version"));
    version.map_err(failed(DOING))?.ok_or_else(|| refused("its tables are not complete"))
}

/// 0 where the tables are still to be made.
fn version(connection: &mut Connection, prefix: &str) -> Result<usize, StorageError> {
    let tables = tables(connection, prefix)?;
    if !tables.contains(&format!("{prefix}schema_version")) {
        if !tables.is_empty() {
            let why = format!(
                "tables of another program begin with {prefix:?} ({}): name another table prefix",
                tables.join(", ")
            );
            return Err(refused(why));
        }
        let make = format!(
            "CREATE TABLE {prefix}schema_version (id TINYINT PRIMARY KEY, version INT UNSIGNED NOT NULL, \
             epoch BIGINT UNSIGNED NOT NULL) ENGINE = InnoDB"
        );
        connection.run(&make).map_err(failed(DOING))?;
    }
    let begin = format!("INSERT IGNORE INTO {prefix}schema_version VALUES (1, 0, 0)");
    connection.run(&begin).map_err(failed(DOING))?;
    recorded_version(connection, prefix)
}
