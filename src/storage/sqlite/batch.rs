//! The changes of one transaction. A statement is looked up once a batch, not once a change.

use bytes::BytesMut;
use rusqlite::{CachedStatement, Connection, ToSql};

use super::super::Change;
use super::super::table::{self, Act, OF_SESSION, Table, Values};

pub(super) struct Batch<'c> {
    connection: &'c Connection,
    /// Few: a list is searched faster than anything else.
    statements: Vec<(Act, Vec<CachedStatement<'c>>)>,
    /// Of the bodies of messages.
    scratch: BytesMut,
}

/// Gives values to a statement, one after the other.
struct Binding<'a, 'c> {
    statement: &'a mut CachedStatement<'c>,
    bound: usize,
    result: rusqlite::Result<()>,
}

/// Whether it can come before all else in its batch, and leaves the database smaller.
pub(super) fn makes_room(change: &Change) -> bool {
    matches!(table::act(change), Act::Delete(_) | Act::DeleteRange(_))
}

impl<'c> Batch<'c> {
    pub(super) fn new(connection: &'c Connection) -> Batch<'c> {
        Batch { connection, statements: Vec::new(), scratch: BytesMut::new() }
    }

    pub(super) fn carry_out(&mut self, change: &Change) -> rusqlite::Result<()> {
        let act = table::act(change);
        let at = match self.statements.iter().position(|(known, _)| *known == act) {
            Some(at) => at,
            None => {
                let prepared: Result<_, _> =
                    texts(act).iter().map(|text| self.connection.prepare_cached(text)).collect();
                self.statements.push((act, prepared?));
                self.statements.len() - 1
            }
        };
        for statement in &mut self.statements[at].1 {
            let mut binding = Binding { statement, bound: 0, result: Ok(()) };
            table::values(change, &mut self.scratch, &mut binding);
            binding.result?;
            statement.raw_execute()?;
        }
        Ok(())
    }
}

impl Binding<'_, '_> {
    fn bind(&mut self, value: impl ToSql) {
        self.bound += 1;
        if self.result.is_ok() {
            self.result = self.statement.raw_bind_parameter(self.bound, value);
        }
    }
}

impl Values for Binding<'_, '_> {
    fn number(&mut self, value: u64) {
        self.bind(value.cast_signed());
    }

    fn text(&mut self, value: &str) {
        self.bind(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.bind(value);
    }

    fn null(&mut self) {
        self.bind(rusqlite::types::Null);
    }

    fn key(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.text(part));
    }

    fn spelled_out(&mut self, _: &[&str]) {}
}

fn texts(act: Act) -> Vec<String> {
    match act {
        Act::Put(table) => {
            let places = vec!["?"; columns(table)].join(", ");
            vec![format!("INSERT OR REPLACE INTO {} VALUES ({places})", table.name())]
        }
        Act::SetDeliveryState => {
            vec!["UPDATE delivery SET state = ?2, packet_identifier = ?3 WHERE number = ?1".into()]
        }
        Act::Delete(table) => {
            let key: Vec<_> = key(table).iter().map(|column| format!("{column} = ?")).collect();
            vec![format!("DELETE FROM {} WHERE {}", table.name(), key.join(" AND "))]
        }
        Act::DeleteRange(table) => vec![format!("DELETE FROM {} WHERE number BETWEEN ? AND ?", table.name())],
        Act::DeleteSession => OF_SESSION.iter().map(|table| delete_session(*table)).collect(),
    }
}

fn delete_session(table: Table) -> String {
    let column = if table == Table::Session { "number" } else { "session" };
    format!("DELETE FROM {} WHERE {column} = ?", table.name())
}

fn columns(table: Table) -> usize {
    match table {
        Table::Session | Table::Will => 9,
        Table::Delivery => 8,
        Table::Subscription => 5,
        Table::PluginState => 4,
        Table::Item => 3,
        Table::Received | Table::Message | Table::Retained | Table::Broker => 2,
    }
}

fn key(table: Table) -> &'static [&'static str] {
    match table {
        Table::Session | Table::Will | Table::Message | Table::Delivery => &["number"],
        Table::Subscription => &["session", "filter"],
        Table::Received => &["session", "packet_identifier"],
        Table::Item => &["session", "name"],
        Table::Retained => &["topic"],
        Table::PluginState => &["plugin", "name"],
        Table::Broker => &["id"],
    }
}
