//! From a text that was read into a storage.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::Wrong;
use super::lines::Changes;
use crate::message::Timestamp;
use crate::storage::{Change, Storage, StorageError, Survey};

/// Changes in a batch, and bytes of what is in them.
const BATCH: (usize, usize) = (1_000, 8 << 20);
/// What is wrong that is told.
const TOLD: usize = 20;
/// The largest number that a database has a sign for.
const LAST_NUMBER: u64 = i64::MAX.cast_unsigned();

/// What a text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    /// Retained messages and nothing else, which can be put beside what is there.
    Retained,
}

/// What a text has said already, so that nothing is said twice.
struct Seen {
    /// Hashes of 128 bits: what is seen takes 16 bytes, however long its topic.
    keys: HashSet<(u64, u64)>,
    hashers: (RandomState, RandomState),
}

/// Looks at all of a text.
///
/// # Errors
/// What is wrong with it, at most 20 places.
pub fn examine(changes: Changes<'_>, part: Part, now: Timestamp) -> Result<Survey, Vec<Wrong>> {
    let mut survey = Survey::new(now);
    let mut seen = Seen { keys: HashSet::new(), hashers: Default::default() };
    let mut wrong = Vec::new();
    for read in changes {
        let looked_at = read.and_then(|(at, change)| {
            look_at(&change, part, &survey, &mut seen).map_err(|why| at.wrong(why))?;
            Ok(change)
        });
        match looked_at {
            Ok(change) => survey.note(&change),
            Err(error) => wrong.push(error),
        }
        if wrong.len() == TOLD {
            break;
        }
    }
    if wrong.is_empty() { Ok(survey) } else { Err(wrong) }
}

fn look_at(change: &Change, part: Part, survey: &Survey, seen: &mut Seen) -> Result<(), String> {
    if part == Part::Retained && !matches!(change, Change::PutRetained(_)) {
        return Err("is no retained message, and only those can be put beside what is there".to_owned());
    }
    let key = key(change);
    if let Some(number) = key.own_number
        && number > LAST_NUMBER
    {
        return Err(format!("the number is {number}; the largest is {LAST_NUMBER}"));
    }
    if let Some(session) = key.session
        && !survey.has_session(session)
    {
        return Err(format!("is of session {session}, and no line before it is that session"));
    }
    if seen.insert(&key) { Ok(()) } else { Err("a line before it says the same otherwise".to_owned()) }
}

/// What a change is about.
#[derive(Default, Hash)]
struct Key<'a> {
    kind: u8,
    own_number: Option<u64>,
    /// That it belongs to and that has to be there.
    session: Option<u64>,
    packet_identifier: u16,
    texts: [&'a str; 2],
}

fn key(change: &Change) -> Key<'_> {
    let of = |kind| Key { kind, ..Key::default() };
    let numbered = |kind, number| Key { own_number: Some(number), ..of(kind) };
    match change {
        Change::SetAlive(_) => of(0),
        Change::PutSession(record) => numbered(1, record.number),
        Change::PutSubscription { session, filter, .. } => {
            Key { session: Some(*session), texts: [filter.as_str(), ""], ..of(2) }
        }
        Change::PutReceived { session, packet_identifier } => {
            Key { session: Some(*session), packet_identifier: packet_identifier.get(), ..of(3) }
        }
        Change::PutItem { session, key, .. } => Key { session: Some(*session), texts: [key, ""], ..of(4) },
        Change::PutWill(record) => numbered(5, record.number),
        Change::PutMessage { number, .. } => numbered(6, *number),
        Change::PutDelivery(record) => numbered(7, record.number),
        Change::PutRetained(message) => Key { texts: [message.topic.as_str(), ""], ..of(8) },
        Change::PutState { plugin, key, .. } => Key { texts: [plugin, key], ..of(9) },
        // No text has it.
        _ => of(10),
    }
}

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, key: &Key<'_>) -> bool {
        self.keys.insert((self.hashers.0.hash_one(key), self.hashers.1.hash_one(key)))
    }
}

/// Puts all of a text that was examined, of which `survey` says what it has.
///
/// # Errors
/// Where the storage does not take it, or the text is another one by now. Some of it may be there then.
pub fn put(storage: &dyn Storage, changes: Changes<'_>, survey: &Survey) -> Result<(), PutError> {
    // Where a session with the same number ended long ago, something may be left that was never handed over.
    let sessions: Vec<_> = survey.sessions().map(Change::DeleteSession).collect();
    commit_all(storage, &sessions)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for read in changes {
        let (_, change) = read?;
        bytes += size(&change);
        batch.push(change);
        if batch.len() == BATCH.0 || bytes >= BATCH.1 {
            storage.commit(&batch)?;
            (batch, bytes) = (Vec::new(), 0);
        }
    }
    storage.commit(&batch)?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("read once more what was good before: {0}")]
    Text(#[from] Wrong),
}

/// Deletes all that a storage holds.
///
/// # Errors
/// Where it cannot.
pub fn clear(storage: &dyn Storage) -> Result<(), StorageError> {
    let (mut small, mut sessions) = (Vec::new(), Vec::new());
    storage.load(&mut |change| match change {
        Change::PutSession(record) => sessions.push(Change::DeleteSession(record.number)),
        Change::PutWill(record) => small.push(Change::DeleteWill(record.number)),
        Change::PutRetained(message) => small.push(Change::DeleteRetained(message.topic.to_detached())),
        Change::PutState { plugin, key, .. } => small.push(Change::DeleteState { plugin, key }),
        _ => {}
    })?;
    storage.commit(&[Change::DeleteDeliveries(0..=LAST_NUMBER), Change::DeleteMessages(0..=LAST_NUMBER)])?;
    commit_all(storage, &small)?;
    commit_all(storage, &sessions)
}

fn commit_all(storage: &dyn Storage, changes: &[Change]) -> Result<(), StorageError> {
    changes.chunks(BATCH.0).try_for_each(|batch| storage.commit(batch))
}

/// About.
fn size(change: &Change) -> usize {
    match change {
        Change::PutMessage { message, .. } | Change::PutRetained(message) => message.size(),
        Change::PutWill(record) => record.will.message.size(),
        Change::PutItem { value, .. } | Change::PutState { value, .. } => value.len(),
        _ => 100,
    }
}
