//! What of a client outlives its process: messages of QoS 1 and 2 that are not acknowledged, and received QoS 2
//! identifiers.
//!
//! It is the port of the broker's own state, [`storage`](crate::storage), with one session in it. What must not be said
//! before it is kept waits in the connection's output: a QoS 2 PUBLISH for its first time, as after a crash it would be a
//! new message under another identifier; PUBREL, PUBREC and PUBCOMP. All else is written at once.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::core::Completion;
use super::error::InvalidOptions;
use super::options::Options;
use super::session::Outgoing;
use crate::message::{ApplicationMessage, Timestamp};
use crate::packet::{PacketIdentifier, Publish, QoS};
#[cfg(feature = "sqlite")]
use crate::storage::sqlite::{SqliteOptions, SqliteStorage};
use crate::storage::{
    Change, ClientRecord, Committer, DeliveryRecord, DeliveryState, Op, OpenedStorage, Promise, SessionRecord,
};
#[cfg(feature = "sqlite")]
use crate::storage::{Durability, StorageError};
use crate::topic::TopicName;

/// Where a client keeps what is to outlive its process. One client has it at a time; what is left when the client ends
/// is written when the last clone of this is dropped.
#[derive(Clone)]
pub struct Store {
    committer: Arc<Committer>,
    /// Until a client takes it.
    found: Arc<Mutex<Option<Vec<Change>>>>,
}

impl Store {
    /// A folder with a SQLite database, made where there is none. What is acknowledged to be kept is on the disk.
    ///
    /// # Errors
    /// Where there is something else or something corrupt, or another process uses it.
    ///
    /// ```
    /// use tidegate::client::{Client, Options, Store};
    /// use tidegate::packet::{Publish, QoS};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let folder = std::env::temp_dir().join(format!("tidegate-doc-store-{}", std::process::id()));
    /// let with_store = || -> Result<Client, Box<dyn std::error::Error>> {
    ///     let mut options = Options::new("localhost", 1883, "thermometer-7");
    ///     options.store = Some(Store::open(&folder)?);
    ///     Ok(Client::new(options)?)
    /// };
    /// with_store()?.enqueue(Publish::new("t".into(), "21.5".into()).with_qos(QoS::AtLeastOnce)).await?;
    /// // The next process has it, and sends it once it is connected.
    /// assert_eq!(with_store()?.queued(), (1, 0));
    /// # std::fs::remove_dir_all(&folder)?; Ok(()) }
    /// ```
    #[cfg(feature = "sqlite")]
    pub fn open(folder: &Path) -> Result<Store, StorageError> {
        let storage = SqliteStorage::open(folder, SqliteOptions::default())?;
        Ok(Store::new(OpenedStorage::new(Arc::new(storage), Durability::Always)?))
    }

    /// What another storage holds.
    ///
    /// ```
    /// use tidegate::client::{Client, Options, Store};
    /// use tidegate::storage::memory::MemoryStorage;
    /// use tidegate::storage::{Durability, OpenedStorage};
    ///
    /// let storage = std::sync::Arc::new(MemoryStorage::default());
    /// let mut options = Options::new("localhost", 1883, "thermometer-7");
    /// options.store = Some(Store::new(OpenedStorage::new(storage, Durability::Always)?));
    /// let client = Client::new(options.clone())?;
    /// // One client has it at a time.
    /// assert!(Client::new(options).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(opened: OpenedStorage) -> Store {
        let (committer, found) = opened.into_parts();
        Store { committer, found: Arc::new(Mutex::new(Some(found))) }
    }

    /// Takes what was found, for the client that has the store from now on.
    pub(super) fn take(&self, options: &Options) -> Result<(Keeper, Found), InvalidOptions> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(changes) = found.take() else {
            let reason = "another client has it";
            return Err(InvalidOptions::Contradiction { option: "store", reason });
        };
        Ok(Keeper::new(self.committer.clone(), changes, options))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What was kept, in its order.
#[derive(Default)]
pub(super) struct Found {
    /// The session that they belong to was that of this client.
    pub(super) is_same: bool,
    pub(super) messages: Vec<(DeliveryRecord, Option<Arc<ApplicationMessage>>)>,
    pub(super) received: Vec<PacketIdentifier>,
}

/// Tells a store what changes.
pub(super) struct Keeper {
    committer: Arc<Committer>,
    session: u64,
    /// What has to be kept before anything more is written.
    promised: Promise,
}

impl Keeper {
    fn new(committer: Arc<Committer>, changes: Vec<Change>, options: &Options) -> (Keeper, Found) {
        let client_identifier = options.connect.client_identifier.to_string();
        let mut found = Found::default();
        let mut session = None;
        let mut bodies = std::collections::HashMap::new();
        for change in changes {
            match change {
                Change::PutSession(record) => {
                    session = Some(record.number);
                    found.is_same = record.client.client_identifier == client_identifier;
                }
                Change::PutReceived { packet_identifier, .. } => found.received.push(packet_identifier),
                Change::PutMessage { number, message } => drop(bodies.insert(number, message)),
                Change::PutDelivery(record) => {
                    let message = bodies.get(&record.message).cloned();
                    found.messages.push((*record, message));
                }
                _ => {}
            }
        }
        let mut keeper = Keeper { session: session.unwrap_or(0), promised: Promise::default(), committer };
        if session.is_none() {
            keeper.session = keeper.committer.next_number();
        }
        keeper.keep_session(client_identifier, options);
        (keeper, found)
    }

    fn keep_session(&self, client_identifier: String, options: &Options) {
        let client = ClientRecord {
            client_identifier,
            user_name: None,
            listener: "client".to_owned(),
            default_authorization: false,
            protocol_version: options.connect.protocol_version,
        };
        let record = SessionRecord {
            number: self.session,
            client,
            expiry_interval: u32::MAX,
            expires_at: None,
            is_connected: false,
        };
        self.committer.append(Op::Change(Change::PutSession(Box::new(record))));
    }

    pub(super) fn committer(&self) -> &Arc<Committer> {
        &self.committer
    }

    /// What has to be kept before anything more is written.
    pub(super) fn promised(&self) -> Promise {
        self.promised
    }

    pub(super) fn next_number(&self) -> u64 {
        self.committer.next_number()
    }

    /// A message waits. QoS 0 is not kept.
    pub(super) fn queued(&self, message: &Outgoing<Completion>) -> Option<Promise> {
        if message.publish.qos == QoS::AtMostOnce {
            return None;
        }
        let record = DeliveryRecord {
            number: message.number,
            session: self.session,
            message: 0,
            qos: message.publish.qos,
            retain: message.publish.retain,
            subscription_identifiers: Box::default(),
            shared: None,
            state: DeliveryState::Queued,
        };
        let message = Arc::new(body(&message.publish, message.expires_at));
        Some(self.committer.append(Op::Enqueue { record: Box::new(record), message }))
    }

    /// A message goes out for the first time.
    pub(super) fn sent(&mut self, number: u64, id: PacketIdentifier, qos: QoS) {
        let kept = self.set(number, DeliveryState::Sent(id));
        if qos == QoS::ExactlyOnce {
            self.promised = self.promised.max(kept);
        }
    }

    /// PUBREC came, and PUBREL is to be sent.
    pub(super) fn released(&mut self, number: u64, id: PacketIdentifier) {
        let kept = self.set(number, DeliveryState::Released(id));
        self.promised = self.promised.max(kept);
    }

    /// A message that was sent waits as new.
    pub(super) fn requeued(&self, number: u64) {
        self.set(number, DeliveryState::Queued);
    }

    /// Nothing is left to do for a message.
    pub(super) fn done(&self, number: u64) {
        self.committer.append(Op::Dequeue(number));
    }

    /// PUBREC is to be sent.
    pub(super) fn received(&mut self, packet_identifier: PacketIdentifier) {
        self.promise(Change::PutReceived { session: self.session, packet_identifier });
    }

    /// PUBCOMP is to be sent, or the session is another.
    pub(super) fn released_received(&mut self, packet_identifier: PacketIdentifier) {
        self.promise(Change::DeleteReceived { session: self.session, packet_identifier });
    }

    fn set(&self, number: u64, state: DeliveryState) -> Promise {
        self.committer.append(Op::SetDeliveryState { number, state })
    }

    fn promise(&mut self, change: Change) {
        let kept = self.committer.append(Op::Change(change));
        self.promised = self.promised.max(kept);
    }
}

fn body(publish: &Publish, expires_at: Option<Timestamp>) -> ApplicationMessage {
    let topic = TopicName::of_publish(publish.topic.clone());
    let message = ApplicationMessage::new(topic, publish.payload.clone());
    let mut message = message.with_qos(publish.qos).with_retain(publish.retain);
    message.properties = publish.properties.clone();
    message.expires_at = expires_at;
    message
}

/// The PUBLISH of a message that was kept.
pub(super) fn publish(record: &DeliveryRecord, message: &ApplicationMessage) -> Publish {
    let topic = message.topic.clone().into_inner();
    let mut publish =
        Publish::new(topic, message.payload.clone()).with_qos(record.qos).with_retain(record.retain);
    publish.properties = message.properties.clone();
    publish
}
