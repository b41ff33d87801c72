//! The tables, and the steps that lead from an older version to today's.
//!
//! MySQL ends a transaction with each table that it makes: a step has to be one that may be taken again.

use mysql::prelude::Queryable;

use super::super::StorageError;
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

/// 0 where the tables are still to be made.
fn version(connection: &mut Connection, prefix: &str) -> Result<usize, StorageError> {
    let like = format!("{}%", prefix.replace('_', "\\_"));
    let tables: Vec<String> = connection
        .conn
        .exec(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ?",
            (like,),
        )
        .map_err(failed(DOING))?;
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
    let version = connection.conn.query_first(format!("SELECT version FROM {prefix}schema_version"));
    version.map_err(failed(DOING))?.ok_or_else(|| refused("its tables are not complete"))
}
