//! The statements of one transaction, each for as many rows as go into a packet.
//!
//! Bytes and texts are written in hexadecimal digits, so that nothing in them can mean anything to the server. Changes
//! of one batch are about different things, so they are sorted by what they do.

use std::collections::BTreeMap;

use bytes::BytesMut;
use sha2::{Digest, Sha256};

use super::super::table::{self, Act, OF_SESSION, Table, Values};
use super::super::{Change, StorageError, StorageFault};

/// Bytes of a packet, where the server takes more: it is built in memory.
const PACKET: usize = 4 * 1024 * 1024;
/// Rows that one statement finds by a list of conditions.
const FOUND: usize = 500;
/// Deliveries whose states one statement sets: for each the server looks through the list from its start. MariaDB 10.11
/// takes 9 µs of CPU for each at 50, 14 at 10, 15 at 100, 12 for a join with the list, 38 for a statement each.
const SET: usize = 50;

pub(super) struct Script<'a> {
    prefix: &'a str,
    /// Bytes of a packet that the server takes.
    largest: usize,
    packets: Vec<Vec<u8>>,
    packet: Vec<u8>,
    /// Rows of the statement that stands at the end of the packet.
    rows: usize,
}

impl<'a> Script<'a> {
    /// What carries out the changes in one transaction, packet by packet.
    ///
    /// # Errors
    /// Where a row is larger than a packet may be.
    pub(super) fn write(
        prefix: &'a str,
        largest: usize,
        changes: &[Change],
    ) -> Result<Vec<String>, StorageError> {
        let mut acts: BTreeMap<Act, Vec<&Change>> = BTreeMap::new();
        changes.iter().for_each(|change| acts.entry(table::act(change)).or_default().push(change));
        let packet = b"START TRANSACTION".to_vec();
        let mut script = Script { prefix, largest, packets: Vec::new(), packet, rows: 0 };
        acts.into_iter().try_for_each(|(act, changes)| script.carry_out(act, &changes))?;
        script.packet.extend_from_slice(b";COMMIT");
        script.packets.push(script.packet);
        let text = |packet| String::from_utf8(packet).expect("numbers, names and digits are ASCII");
        Ok(script.packets.into_iter().map(text).collect())
    }

    fn carry_out(&mut self, act: Act, changes: &[&Change]) -> Result<(), StorageError> {
        self.rows = 0;
        let prefix = self.prefix;
        match act {
            Act::Put(table) => self.put(table, changes),
            Act::SetDeliveryState => self.set_states(changes),
            Act::Delete(table) => self.delete(table, key(table), changes),
            Act::DeleteRange(table) => {
                let head = format!("DELETE FROM {prefix}{} WHERE ", table.name());
                changes.iter().try_for_each(|change| self.add(&head, " OR ", FOUND, &range(change)))
            }
            Act::DeleteSession => OF_SESSION.iter().try_for_each(|table| {
                self.rows = 0;
                let key: &[_] = if *table == Table::Session { &["number"] } else { &["session"] };
                self.delete(*table, key, changes)
            }),
        }
    }

    fn put(&mut self, table: Table, changes: &[&Change]) -> Result<(), StorageError> {
        let head = format!("REPLACE INTO {}{} VALUES ", self.prefix, table.name());
        let (mut row, mut scratch) = (Vec::new(), BytesMut::new());
        changes.iter().try_for_each(|change| {
            row.clear();
            row.push(b'(');
            table::values(change, &mut scratch, &mut Literals { out: &mut row, columns: &[] });
            // A comma stands behind each.
            row.pop();
            row.push(b')');
            self.add(&head, ",", usize::MAX, &row)
        })
    }

    fn delete(&mut self, table: Table, key: &[&str], changes: &[&Change]) -> Result<(), StorageError> {
        let head = format!("DELETE FROM {}{} WHERE ", self.prefix, table.name());
        let (mut row, mut scratch) = (Vec::new(), BytesMut::new());
        changes.iter().try_for_each(|change| {
            row.clear();
            row.push(b'(');
            table::values(change, &mut scratch, &mut Literals { out: &mut row, columns: key });
            row.push(b')');
            self.add(&head, " OR ", FOUND, &row)
        })
    }

    fn set_states(&mut self, changes: &[&Change]) -> Result<(), StorageError> {
        let rows: Vec<_> = changes.iter().map(|change| numbers(change)).collect();
        rows.chunks(SET).try_for_each(|rows| self.add("", "", 1, &set_states(self.prefix, rows)))
    }

    /// Adds a row to the statement that begins with `head` and has fewer than `most`.
    fn add(&mut self, head: &str, between: &str, most: usize, row: &[u8]) -> Result<(), StorageError> {
        // What ends the transaction, and what the protocol puts before the statements.
        let alone = head.len() + row.len() + 64;
        if alone > self.largest {
            return Err(too_large(alone, self.largest));
        }
        let more = between.len() + head.len() + row.len() + 64;
        let has_room = self.packet.len() + more <= PACKET.min(self.largest);
        if !has_room && !self.packet.is_empty() {
            self.packets.push(std::mem::take(&mut self.packet));
            self.rows = 0;
        }
        if self.rows == 0 || self.rows >= most {
            if !self.packet.is_empty() {
                self.packet.push(b';');
            }
            self.packet.extend_from_slice(head.as_bytes());
            self.rows = 0;
        } else {
            self.packet.extend_from_slice(between.as_bytes());
        }
        self.packet.extend_from_slice(row);
        self.rows += 1;
        Ok(())
    }
}

/// Writes values as SQL has them, each followed by a comma, or where there are columns, each compared with its own.
struct Literals<'a> {
    out: &'a mut Vec<u8>,
    columns: &'a [&'a str],
}

impl Literals<'_> {
    fn literal(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let [column, rest @ ..] = self.columns else {
            write(self.out);
            self.out.push(b',');
            return;
        };
        self.columns = rest;
        self.out.extend_from_slice(column.as_bytes());
        self.out.push(b'=');
        write(self.out);
        if !rest.is_empty() {
            self.out.extend_from_slice(b" AND ");
        }
    }
}

impl Values for Literals<'_> {
    fn number(&mut self, value: u64) {
        self.literal(|out| out.extend_from_slice(value.to_string().as_bytes()));
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.literal(|out| put_hexadecimal(value, out));
    }

    fn null(&mut self) {
        self.literal(|out| out.extend_from_slice(b"NULL"));
    }

    fn key(&mut self, parts: &[&str]) {
        self.bytes(&hash(parts));
    }

    fn spelled_out(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.text(part));
    }
}

/// Takes numbers only.
#[derive(Default)]
struct Numbers([Option<u64>; 3], usize);

impl Numbers {
    fn take(&mut self, value: Option<u64>) {
        if let Some(place) = self.0.get_mut(self.1) {
            *place = value;
        }
        self.1 += 1;
    }
}

impl Values for Numbers {
    fn number(&mut self, value: u64) {
        self.take(Some(value));
    }

    fn text(&mut self, _: &str) {}

    fn bytes(&mut self, _: &[u8]) {}

    fn null(&mut self) {
        self.take(None);
    }

    fn key(&mut self, _: &[&str]) {}

    fn spelled_out(&mut self, _: &[&str]) {}
}

fn numbers(change: &Change) -> [Option<u64>; 3] {
    let mut numbers = Numbers::default();
    table::values(change, &mut BytesMut::new(), &mut numbers);
    numbers.0
}

fn range(change: &Change) -> Vec<u8> {
    let [first, last, _] = numbers(change).map(Option::unwrap_or_default);
    let text =
        if first == last { format!("number={first}") } else { format!("number BETWEEN {first} AND {last}") };
    text.into_bytes()
}

/// From rows of a number, a state and a Packet Identifier.
fn set_states(prefix: &str, rows: &[[Option<u64>; 3]]) -> Vec<u8> {
    let number = |row: &[Option<u64>; 3]| row[0].unwrap_or_default();
    let value = |value: Option<u64>| value.map_or("NULL".into(), |value| value.to_string());
    let case = |column: usize| -> String {
        rows.iter().map(|row| format!(" WHEN {} THEN {}", number(row), value(row[column]))).collect()
    };
    let all: Vec<_> = rows.iter().map(|row| number(row).to_string()).collect();
    format!(
        "UPDATE {prefix}delivery SET state=CASE number{} END,packet_identifier=CASE number{} END WHERE number IN ({})",
        case(1),
        case(2),
        all.join(",")
    )
    .into_bytes()
}

fn put_hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 * bytes.len() + 4);
    out.extend_from_slice(b"x'");
    out.extend(
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
    );
    out.push(b'\'');
}

/// What stands for texts of any length in a key; each text with its length, so that no two lists are one.
fn hash(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let whole: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|at| whole[at])
}

/// What brokers of one database and table prefix lock: at most 64 bytes, whatever they are called.
pub(super) fn lock_name(database: &str, prefix: &str) -> String {
    let hash = hash(&[database, prefix]);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("tidegate-{digits}")
}

fn key(table: Table) -> &'static [&'static str] {
    match table {
        Table::Session | Table::Will | Table::Message | Table::Delivery => &["number"],
        Table::Subscription | Table::Item => &["session", "id"],
        Table::Received => &["session", "packet_identifier"],
        Table::Retained | Table::PluginState | Table::Broker => &["id"],
    }
}

fn too_large(len: usize, largest: usize) -> StorageError {
    let why = format!(
        "what is to be kept takes a packet of {len} bytes, and the database takes {largest}: raise its max_allowed_packet"
    );
    StorageError::new("write", why).with_fault(StorageFault::Unusable)
}
