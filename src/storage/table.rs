//! The tables that databases have for what is kept: which values a change puts into which columns, and back.
//!
//! Backends differ in how values become part of a statement ([`Values`]), in how they are read ([`Row`]) and in their
//! statements; the order of columns is the same.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};

use super::record::{self, corrupt};
use super::{Change, ClientRecord, DeliveryRecord, SessionRecord, StorageError, WillRecord};
use crate::message::{ApplicationMessage, Timestamp};
use crate::session::Will;
use crate::topic::TopicFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Table {
    Session,
    Subscription,
    Received,
    Item,
    Will,
    Message,
    Delivery,
    Retained,
    PluginState,
    Broker,
}

/// What is done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Act {
    /// A whole row.
    Put(Table),
    /// A delivery's number, its state and Packet Identifier.
    SetDeliveryState,
    /// By the columns of the key.
    Delete(Table),
    /// From a number to a number.
    DeleteRange(Table),
    /// By its number, from each table that has rows of it.
    DeleteSession,
}

impl Table {
    /// What the table is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Session => "session",
            Table::Subscription => "subscription",
            Table::Received => "received",
            Table::Item => "item",
            Table::Will => "will",
            Table::Message => "message",
            Table::Delivery => "delivery",
            Table::Retained => "retained",
            Table::PluginState => "plugin_state",
            Table::Broker => "broker",
        }
    }
}

/// Tables with rows of a session.
pub(super) const OF_SESSION: [Table; 4] = [Table::Subscription, Table::Received, Table::Item, Table::Session];

/// Takes the values of one row, or of one key, column by column.
pub(super) trait Values {
    fn number(&mut self, value: u64);
    fn text(&mut self, value: &str);
    fn bytes(&mut self, value: &[u8]);
    fn null(&mut self);
    /// What a row is found by where it has no number: the texts themselves, or a hash where they are too long.
    fn key(&mut self, parts: &[&str]);
    /// The parts of a key, once more where it is a hash.
    fn spelled_out(&mut self, parts: &[&str]);

    fn optional_number(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.number(value),
            None => self.null(),
        }
    }

    fn optional_text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }
}

/// Gives the values of one row, column by column.
pub(super) trait Row {
    fn value(&self, column: usize) -> Result<Value<'_>, StorageError>;
}

#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Number(u64),
    /// Texts too.
    Bytes(&'a [u8]),
}

/// What a change does.
pub(super) fn act(change: &Change) -> Act {
    match change {
        Change::PutSession(_) => Act::Put(Table::Session),
        Change::DeleteSession(_) => Act::DeleteSession,
        Change::PutSubscription { .. } => Act::Put(Table::Subscription),
        Change::DeleteSubscription { .. } => Act::Delete(Table::Subscription),
        Change::PutReceived { .. } => Act::Put(Table::Received),
        Change::DeleteReceived { .. } => Act::Delete(Table::Received),
        Change::PutItem { .. } => Act::Put(Table::Item),
        Change::DeleteItem { .. } => Act::Delete(Table::Item),
        Change::PutWill(_) => Act::Put(Table::Will),
        Change::DeleteWill(_) => Act::Delete(Table::Will),
        Change::PutMessage { .. } => Act::Put(Table::Message),
        Change::DeleteMessages(_) => Act::DeleteRange(Table::Message),
        Change::PutDelivery(_) => Act::Put(Table::Delivery),
        Change::SetDeliveryState { .. } => Act::SetDeliveryState,
        Change::DeleteDeliveries(_) => Act::DeleteRange(Table::Delivery),
        Change::PutRetained(_) => Act::Put(Table::Retained),
        Change::DeleteRetained(_) => Act::Delete(Table::Retained),
        Change::PutState { .. } => Act::Put(Table::PluginState),
        Change::DeleteState { .. } => Act::Delete(Table::PluginState),
        Change::SetAlive(_) => Act::Put(Table::Broker),
    }
}

/// Gives the values that [`act`] needs, in the order of its columns.
pub(super) fn values(change: &Change, scratch: &mut BytesMut, to: &mut impl Values) {
    match change {
        Change::PutSession(record) => session(record, to),
        Change::DeleteSession(number) | Change::DeleteWill(number) => to.number(*number),
        Change::PutSubscription { session, filter, routed, subscription } => {
            to.number(*session);
            to.key(&[filter.as_str()]);
            to.spelled_out(&[filter.as_str()]);
            to.optional_text(routed.as_ref().map(TopicFilter::as_str));
            to.number(record::options(subscription).into());
            to.optional_number(subscription.identifier.map(|identifier| identifier.get().into()));
        }
        Change::DeleteSubscription { session, filter } => {
            to.number(*session);
            to.key(&[filter.as_str()]);
        }
        Change::PutReceived { session, packet_identifier }
        | Change::DeleteReceived { session, packet_identifier } => {
            to.number(*session);
            to.number(packet_identifier.get().into());
        }
        Change::PutItem { session, key, value } => {
            to.number(*session);
            to.key(&[key]);
            to.spelled_out(&[key]);
            to.bytes(value);
        }
        Change::DeleteItem { session, key } => {
            to.number(*session);
            to.key(&[key]);
        }
        Change::PutWill(record) => will(record, scratch, to),
        Change::PutMessage { number, message } => {
            to.number(*number);
            body(message, scratch, to);
        }
        Change::DeleteMessages(numbers) | Change::DeleteDeliveries(numbers) => range(numbers, to),
        Change::PutDelivery(record) => delivery(record, scratch, to),
        Change::SetDeliveryState { number, state } => {
            to.number(*number);
            delivery_state(*state, to);
        }
        Change::PutRetained(message) => {
            to.key(&[message.topic.as_str()]);
            to.spelled_out(&[message.topic.as_str()]);
            body(message, scratch, to);
        }
        Change::DeleteRetained(topic) => to.key(&[topic.as_str()]),
        Change::PutState { plugin, key, value, expires_at } => {
            to.key(&[plugin, key]);
            to.spelled_out(&[plugin, key]);
            to.bytes(value);
            to.optional_number(expires_at.map(|at| at.0));
        }
        Change::DeleteState { plugin, key } => to.key(&[plugin, key]),
        Change::SetAlive(at) => {
            // The table has one row.
            to.number(1);
            to.number(at.0);
        }
    }
}

fn session(record: &SessionRecord, to: &mut impl Values) {
    to.number(record.number);
    client(&record.client, to);
    to.number(record.expiry_interval.into());
    to.optional_number(record.expires_at.map(|at| at.0));
    to.number(record.is_connected.into());
}

fn client(client: &ClientRecord, to: &mut impl Values) {
    to.text(&client.client_identifier);
    to.optional_text(client.user_name.as_deref());
    to.text(&client.listener);
    to.number(client.default_authorization.into());
    to.number(client.protocol_version.level().into());
}

fn will(record: &WillRecord, scratch: &mut BytesMut, to: &mut impl Values) {
    to.number(record.number);
    client(&record.client, to);
    to.number(record.will.delay_interval.into());
    to.optional_number(record.due.map(|at| at.0));
    body(&record.will.message, scratch, to);
}

fn delivery(record: &DeliveryRecord, scratch: &mut BytesMut, to: &mut impl Values) {
    to.number(record.number);
    to.number(record.session);
    to.number(record.message);
    to.number(record::delivery_options(record.qos, record.retain).into());
    delivery_state(record.state, to);
    if record.subscription_identifiers.is_empty() {
        to.null();
    } else {
        scratch.clear();
        record::put_identifiers(&record.subscription_identifiers, scratch);
        to.bytes(scratch);
    }
    to.optional_text(record.shared.as_ref().map(TopicFilter::as_str));
}

fn delivery_state(state: super::DeliveryState, to: &mut impl Values) {
    let (state, identifier) = record::state(state);
    to.number(state.into());
    to.optional_number(identifier.map(|identifier| identifier.get().into()));
}

fn body(message: &ApplicationMessage, scratch: &mut BytesMut, to: &mut impl Values) {
    scratch.clear();
    record::put_message(message, scratch);
    to.bytes(scratch);
}

fn range(numbers: &RangeInclusive<u64>, to: &mut impl Values) {
    // Numbers are counted from 1; what is beyond 63 bits only means the end, and a database has a sign.
    let end = i64::MAX.cast_unsigned();
    to.number((*numbers.start()).min(end));
    to.number((*numbers.end()).min(end));
}

/// How all rows of a table are read: the columns, what follows the table's name, and what a row is.
pub(super) struct Reading {
    pub(super) table: Table,
    pub(super) columns: &'static str,
    pub(super) order: &'static str,
    pub(super) change: fn(&dyn Row) -> Result<Change, StorageError>,
}

/// In the order in which a storage hands over what it holds.
pub(super) const READINGS: [Reading; 10] = [
    Reading {
        table: Table::Broker,
        columns: "alive",
        order: "",
        change: |row| Ok(Change::SetAlive(Timestamp(number(row, 0)?))),
    },
    Reading {
        table: Table::Session,
        columns: "number, client_identifier, user_name, listener, default_authorization, protocol_version, expiry_interval, expires_at, is_connected",
        order: " ORDER BY number",
        change: read_session,
    },
    Reading {
        table: Table::Subscription,
        columns: "session, filter, routed, options, identifier",
        order: " ORDER BY session",
        change: read_subscription,
    },
    Reading {
        table: Table::Received,
        columns: "session, packet_identifier",
        order: " ORDER BY session",
        change: read_received,
    },
    Reading {
        table: Table::Item,
        columns: "session, name, value",
        order: " ORDER BY session",
        change: read_item,
    },
    Reading {
        table: Table::Will,
        columns: "number, client_identifier, user_name, listener, default_authorization, protocol_version, delay_interval, due, body",
        order: " ORDER BY number",
        change: read_will,
    },
    Reading {
        table: Table::Message,
        columns: "number, body",
        order: " ORDER BY number",
        change: read_message,
    },
    Reading {
        table: Table::Delivery,
        columns: "number, session, message, options, state, packet_identifier, subscription_identifiers, shared",
        order: " ORDER BY number",
        change: read_delivery,
    },
    Reading { table: Table::Retained, columns: "body", order: "", change: read_retained },
    Reading {
        table: Table::PluginState,
        columns: "plugin, name, value, expires_at",
        order: "",
        change: read_plugin_state,
    },
];

fn read_session(row: &dyn Row) -> Result<Change, StorageError> {
    Ok(Change::PutSession(Box::new(SessionRecord {
        number: number(row, 0)?,
        client: read_client(row, 1)?,
        expiry_interval: small(number(row, 6)?)?,
        expires_at: optional_number(row, 7)?.map(Timestamp),
        is_connected: number(row, 8)? != 0,
    })))
}

fn read_client(row: &dyn Row, column: usize) -> Result<ClientRecord, StorageError> {
    Ok(ClientRecord {
        client_identifier: text(row, column)?.into(),
        user_name: optional_text(row, column + 1)?.map(Into::into),
        listener: text(row, column + 2)?.into(),
        default_authorization: number(row, column + 3)? != 0,
        protocol_version: record::protocol_version(number(row, column + 4)?)?,
    })
}

fn read_subscription(row: &dyn Row) -> Result<Change, StorageError> {
    let identifier = optional_number(row, 4)?.map(small).transpose()?;
    Ok(Change::PutSubscription {
        session: number(row, 0)?,
        filter: filter(text(row, 1)?)?,
        routed: optional_text(row, 2)?.map(filter).transpose()?,
        subscription: record::subscription(small(number(row, 3)?)?, identifier)?,
    })
}

fn read_received(row: &dyn Row) -> Result<Change, StorageError> {
    let packet_identifier = record::packet_identifier(number(row, 1)?)?;
    Ok(Change::PutReceived { session: number(row, 0)?, packet_identifier })
}

fn read_item(row: &dyn Row) -> Result<Change, StorageError> {
    Ok(Change::PutItem { session: number(row, 0)?, key: text(row, 1)?.into(), value: bytes(row, 2)? })
}

fn read_will(row: &dyn Row) -> Result<Change, StorageError> {
    let number = number(row, 0)?;
    let message = record::message(bytes(row, 8)?)?;
    Ok(Change::PutWill(Box::new(WillRecord {
        number,
        client: read_client(row, 1)?,
        will: Will { message, delay_interval: small(self::number(row, 6)?)?, number },
        due: optional_number(row, 7)?.map(Timestamp),
    })))
}

fn read_message(row: &dyn Row) -> Result<Change, StorageError> {
    Ok(Change::PutMessage { number: number(row, 0)?, message: record::message(bytes(row, 1)?)?.into() })
}

fn read_delivery(row: &dyn Row) -> Result<Change, StorageError> {
    let (qos, retain) = record::sent_how(small(number(row, 3)?)?)?;
    Ok(Change::PutDelivery(Box::new(DeliveryRecord {
        number: number(row, 0)?,
        session: number(row, 1)?,
        message: number(row, 2)?,
        qos,
        retain,
        subscription_identifiers: match row.value(6)? {
            Value::Null => Box::default(),
            _ => record::identifiers(raw(row, 6)?)?,
        },
        shared: optional_text(row, 7)?.map(filter).transpose()?,
        state: record::delivery_state(number(row, 4)?, optional_number(row, 5)?)?,
    })))
}

fn read_retained(row: &dyn Row) -> Result<Change, StorageError> {
    Ok(Change::PutRetained(record::message(bytes(row, 0)?)?.into()))
}

fn read_plugin_state(row: &dyn Row) -> Result<Change, StorageError> {
    Ok(Change::PutState {
        plugin: text(row, 0)?.into(),
        key: text(row, 1)?.into(),
        value: bytes(row, 2)?,
        expires_at: optional_number(row, 3)?.map(Timestamp),
    })
}

fn number(row: &dyn Row, column: usize) -> Result<u64, StorageError> {
    optional_number(row, column)?.ok_or_else(|| corrupt("a number is missing"))
}

fn optional_number(row: &dyn Row, column: usize) -> Result<Option<u64>, StorageError> {
    match row.value(column)? {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(Some(number)),
        Value::Bytes(_) => Err(corrupt("a number is none")),
    }
}

fn small<T: TryFrom<u64>>(number: u64) -> Result<T, StorageError> {
    T::try_from(number).map_err(|_| corrupt("a number is out of range"))
}

fn raw(row: &dyn Row, column: usize) -> Result<&[u8], StorageError> {
    match row.value(column)? {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(corrupt("bytes are missing")),
    }
}

fn bytes(row: &dyn Row, column: usize) -> Result<Bytes, StorageError> {
    raw(row, column).map(Bytes::copy_from_slice)
}

fn text(row: &dyn Row, column: usize) -> Result<&str, StorageError> {
    std::str::from_utf8(raw(row, column)?).map_err(|_| corrupt("a text is not UTF-8"))
}

fn optional_text(row: &dyn Row, column: usize) -> Result<Option<&str>, StorageError> {
    match row.value(column)? {
        Value::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

fn filter(text: &str) -> Result<TopicFilter, StorageError> {
    TopicFilter::try_from(text).map_err(corrupt)
}
